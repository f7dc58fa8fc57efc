#include "endpoints/classic/removal.h"

#include <algorithm>

#include "base/as_error.h"
#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/mapping.h"
#include "model/names.h"

namespace berth::classic {
namespace {

/// Nothing but networks is left in it.
bool is_empty(const Region& region, const std::string& group) {
  return region.machines().list(group).empty() && region.disks().list(group).empty() &&
         region.networks().list<PublicAddress>(group).empty() &&
         region.networks().list<NetworkInterface>(group).empty() && region.inert().list({}, group).empty();
}

/// A role of another service may have joined one of its networks: then the group stays until that is gone,
/// too.
bool is_used_from_outside(const Region& region, const std::string& group) {
  return std::ranges::any_of(region.networks().list<NetworkInterface>(), [&](const NetworkInterface* nic) {
    return std::ranges::any_of(nic->configurations,
                               [&](const IpConfiguration& c) { return same_name(c.network.group, group); });
  });
}

}  // namespace

void set_host_tags(Region& region, const CloudService& service) {
  const std::vector<const Vm*> roles = roles_of(region, service);
  const ResourceGroup* group = region.groups().find(service.address->group);
  if (!group || roles.empty()) return;
  const auto own = group->tags.find(service_tag);
  if (own == group->tags.end() || !same_name(own->second, service.name)) return;
  Tags group_tags = group->tags;
  if (roles.size() == 1)
    group_tags[host_tag] = service.name;
  else
    group_tags.erase(host_tag);
  if (group_tags != group->tags) region.groups().put(group->name, group->location, group_tags);
  std::vector<std::pair<Ref, Tags>> changes;
  for (const Vm* vm : roles) {
    Tags tags = vm->tags;
    if (roles.size() == 1)
      tags[host_tag] = service.name;
    else
      tags.erase(host_tag);
    if (tags != vm->tags) changes.emplace_back(vm->ref(), std::move(tags));
  }
  for (auto& [ref, tags] : changes) region.machines().retag(ref, std::move(tags));
}

asio::awaitable<void> remove_roles(Classic& classic, std::vector<Ref> vms, bool disks) {
  Region& region = classic.region;
  std::vector<std::string> services;
  std::optional<Error> trouble;
  for (const Ref& ref : vms) {
    const Vm* vm = region.machines().find(ref);
    if (!vm) continue;
    if (const auto service = service_of(region, *vm)) services.push_back(service->name);
    const std::vector<Ref> interfaces = vm->interfaces;
    try {
      const Accepted accepted = region.machines().remove(ref, {.disks = disks, .interfaces = false});
      co_await region.operations().finish(accepted.operation);
      for (const Ref& nic : interfaces) region.networks().remove_interface(nic);
      region.documents().drop(role_table, ref.key());
    } catch (const std::exception& caught) {
      if (!trouble) trouble = as_error(caught);
    }
  }
  for (const std::string& name : services)
    if (const auto left = find_cloud_service(region, name)) set_host_tags(region, *left);
  if (trouble) throw *trouble;
}

asio::awaitable<void> drop_group_if_empty(Classic& classic, std::string name) {
  Region& region = classic.region;
  std::vector<std::string> groups{name};
  for (const ResourceGroup* other : region.groups().list())  // whose networks it was the last to use
    if (other->tags.contains(service_tag) && !same_name(other->name, name)) groups.push_back(other->name);
  for (const std::string& one : groups) {
    const ResourceGroup* group = region.groups().find(one);
    const bool made_here = group && (group->tags.contains(service_tag) || group->tags.contains(host_tag));
    if (made_here && is_empty(region, one) && !is_used_from_outside(region, one))
      co_await region.operations().finish(region.groups().remove(one).operation);
  }
}

}  // namespace berth::classic
