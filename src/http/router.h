#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/message.h"

namespace berth {

/// Finds the gate of a request. Literal segments compare without case; "{name}" takes one segment into
/// Request::params; "{name...}" at the end takes all that is left. The most literal pattern wins.
class Router {
 public:
  struct Route {
    std::string method;  ///< "GET"; "*" for any
    std::string pattern;
    Gate gate;
  };

  void add(Route route);

  /// Sets `params` and returns the gate; nullptr when no pattern matches. `method_mismatch` is then set to
  /// true when another method would have matched (405).
  const Gate* match(Request& request, bool& method_mismatch) const;

 private:
  struct Entry;
  std::vector<std::shared_ptr<const Entry>> entries_;
};

}  // namespace berth
