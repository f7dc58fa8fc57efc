#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/secret.h"
#include "cli/arm/exchange.h"

namespace berth {

struct AccessToken {
  Secret text;
  std::chrono::steady_clock::time_point good_until;  ///< some minutes before its real end
};

/// Where one account's tokens for Resource Manager come from.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  /// One that is kept, if there is one. `anew`: the one before was refused. `claims`: what Resource Manager wants to be proved
  /// further (the JSON of its challenge); mostly empty. Throws Error(unauthorized) when the authority gives none.
  virtual AccessToken get(bool anew, const std::string& claims, const Listener& listener) = 0;
};

}  // namespace berth
