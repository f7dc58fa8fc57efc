#pragma once

#include <string>
#include <vector>

#include "endpoints/classic/mapping.h"

/// What goes, and what goes with it.
namespace berth::classic {

/// The tags by which the command line deletes a host with everything made for it: right only while its
/// service has one role. To be called when a role has come; remove_roles does it for those that go.
void set_host_tags(Region& region, const CloudService& service);

/// Deletes these VMs with their interfaces, and their disks if wanted. Goes through all of them, then throws
/// the first trouble.
asio::awaitable<void> remove_roles(Classic& classic, std::vector<Ref> vms, bool disks);

/// Deletes the group when this dialect made it and nothing is left in it; and any other such group, which may
/// have waited for that.
asio::awaitable<void> drop_group_if_empty(Classic& classic, std::string group);

}  // namespace berth::classic
