#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/session.h"
#include "cli/vm/hosts.h"

namespace berth {

/// The Resource Manager path of an extension of a VM, below the subscription.
std::string extension_path(const HostView& host, const std::string& name);

/// The extensions of a VM: of each what was asked for and what the guest reported, as
/// `azure vm extension get --json` prints it. Throws Error of the region.
std::vector<nlohmann::ordered_json> extension_views(Session& session, const HostView& host);
/// Of one, by the name of its resource; nullopt when the VM has none of that name.
std::optional<nlohmann::ordered_json> find_extension_view(Session& session, const HostView& host,
                                                          const std::string& name);

/// Prints one of them, for people or as JSON.
void show_extension(Session& session, const nlohmann::ordered_json& view);

}  // namespace berth
