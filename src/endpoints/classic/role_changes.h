#pragma once

#include <string>
#include <vector>

#include "api/classic/requests.h"
#include "endpoints/classic/mapping.h"

/// What creating and changing a role have in common.
namespace berth::classic {

/// The extensions that the role's references ask for. Throws invalid naming the one whose settings are no
/// JSON object.
std::vector<ExtensionOrder> extension_orders(const RoleOrder& role);

/// Throws invalid for what no role of this region can have.
void check_role(const RoleOrder& role);

/// Keeps what the model has no place for, to give it back: words of the client, not facts.
void keep_role_words(Region& region, const Ref& vm, const RoleOrder& role);

asio::awaitable<Response> update_load_balanced_sets(Classic& classic, const Request& request);

}  // namespace berth::classic
