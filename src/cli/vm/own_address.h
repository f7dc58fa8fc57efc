#pragma once

#include <string>

#include "base/secret.h"
#include "cli/session.h"

namespace berth {

/// The address that Azure saw the person who is signed in at: ports that are not for everybody are opened to it. Tells which. Throws
/// Error(invalid, "AddressUnknown") for others, whose tokens do not have it; `option` is how to name one.
std::string own_address(Session& session, const std::string& option);

/// The claim "ipaddr" of an access token of Microsoft Entra; "" when it has none.
std::string address_in_token(const Secret& token);

}  // namespace berth
