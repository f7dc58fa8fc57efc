#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/secret.h"
#include "region/guest_host.h"

namespace berth {

class Guests;

/// What the tokens of managed identities are signed with.
struct IdentityTokens {
  std::string subscription, tenant;
  Secret key;
  std::function<bool(const std::string& id)> exists;  ///< whether a user-assigned identity is (still) there
};

/// The guests of a region, with tokens for the managed identities of their machines. `guests` outlives it.
std::unique_ptr<GuestHost> with_identities(Guests& guests, IdentityTokens tokens);

}  // namespace berth
