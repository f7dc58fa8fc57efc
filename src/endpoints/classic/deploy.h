#pragma once

#include <string>
#include <vector>

#include "api/classic/requests.h"
#include "endpoints/classic/handlers.h"
#include "region/operation_kind.h"

namespace berth::classic {

/// Makes roles of a cloud service. What is wrong with them is said at once: throws Error, with nothing made.
/// The operation that it returns ends when every role's agent and extensions have reported; when it fails,
/// nothing of them is left. `network`: name of the virtual network that they go to; "" for that of the
/// service. `kind`: the operation's.
asio::awaitable<std::string> deploy(Classic& classic, std::string service, std::string deployment,
                                    std::string network, std::vector<RoleOrder> roles, OperationKind kind);

}  // namespace berth::classic
