#include "region/groups.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/as_error.h"
#include "model/catalog.h"
#include "region/dialect_documents.h"
#include "region/disks.h"
#include "region/host_names.h"
#include "region/images.h"
#include "region/inert_resources.h"
#include "region/region_records.h"
#include "region/switches.h"
#include "region/vm_removal.h"

namespace berth {

namespace asio = boost::asio;

Groups::Groups(RegionRecords& records, Operations& operations, Contents contents)
    : records_(records), operations_(operations), contents_(contents) {}

Put<ResourceGroup> Groups::put(const std::string& name, const std::string& location, const Tags& tags) {
  const bool fits =
      !name.empty() && name.size() <= 90 && name.back() != '.' && std::ranges::all_of(name, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_' || c == '.' || c == '(' || c == ')';
      });
  if (!fits)
    throw Error(ErrorKind::invalid, "InvalidResourceGroup",
                fmt::format("'{}' is not a name for a resource group.", name),
                "Use up to 90 letters, digits, '-', '_', '.', '(' and ')', with no '.' at the end.");
  const Location* place = find_location(location);
  if (!place)
    throw Error(ErrorKind::invalid, "LocationNotAvailableForResourceGroup",
                fmt::format("The provided location '{}' is not available for resource group.", location),
                "'azure region status' and 'az account list-locations' show those there are.");
  records_.check_group_stays(name);
  const ResourceGroup* before = find(name);
  if (before && before->location != place->name)
    throw Error(
        ErrorKind::conflict, "InvalidResourceGroupLocation",
        fmt::format(
            "Invalid resource group location '{}'. The Resource group already exists in location '{}'.",
            place->name, before->location));
  ResourceGroup wanted;
  wanted.name = wanted.group = name;
  wanted.location = place->name;
  wanted.tags = tags;
  stamp(wanted, before);
  const bool created = !before;
  return records_.change([&]() -> Put<ResourceGroup> {
    return {records_.groups.put(std::move(wanted)), created};
  });
}

std::vector<const ResourceGroup*> Groups::list() const {
  return records_.groups.list({});
}
const ResourceGroup* Groups::find(const std::string& name) const {
  return records_.groups.find({name, name});
}
const ResourceGroup& Groups::get(const std::string& name) const {
  if (const ResourceGroup* found = find(name)) return *found;
  throw group_not_found(name);
}

void Groups::check_stays(const std::string& name) const {
  records_.check_group(name);
}

void Groups::check_use_from_outside(const std::string& group) const {
  const auto refuse = [&](const char* code, const char* what, const Ref& used, const char* user,
                          const Ref& by) {
    if (used.empty() || !same_name(used.group, group) || same_name(by.group, group)) return;
    throw Error(
        ErrorKind::conflict, code,
        fmt::format("The resource group '{}' cannot be deleted: its {} '{}' is used by {} '{}' of group "
                    "'{}'.",
                    group, what, used.name, user, by.name, by.group),
        fmt::format("Delete the resource group '{}' first, or that {}.", by.group, user));
  };
  constexpr const char* of_security_group = "InUseNetworkSecurityGroupCannotBeDeleted";
  for (const auto& [key, nic] : records_.interfaces.rows()) {
    refuse(of_security_group, "network security group", nic.security_group, "interface", nic.ref());
    for (const IpConfiguration& configuration : nic.configurations) {
      refuse("InUseVirtualNetworkCannotBeDeleted", "virtual network", configuration.network, "interface",
             nic.ref());
      refuse("InUsePublicIPAddressCannotBeDeleted", "public address", configuration.public_address,
             "interface", nic.ref());
      for (const std::string& rule : configuration.nat_rules)
        for (const LoadBalancer* balancer : records_.load_balancers.with("rule " + lower(rule)))
          refuse("InboundNatRuleInUse", "load balancer", balancer->ref(), "interface", nic.ref());
    }
  }
  for (const auto& [key, balancer] : records_.load_balancers.rows())
    for (const LoadBalancer::Frontend& frontend : balancer.frontends)
      refuse("InUsePublicIPAddressCannotBeDeleted", "public address", frontend.address, "load balancer",
             balancer.ref());
  for (const auto& [key, network] : records_.networks.rows())
    for (const Subnet& subnet : network.subnets)
      refuse(of_security_group, "network security group", subnet.security_group, "virtual network",
             network.ref());
  for (const auto& [key, vm] : records_.vms.rows()) {
    for (const Ref& nic : vm.interfaces) refuse("NicInUse", "network interface", nic, "VM", vm.ref());
    for (const Ref& disk : vm.disks()) refuse("DiskInUse", "disk", disk, "VM", vm.ref());
  }
}

Accepted Groups::remove(const std::string& name) {
  const std::string kept = get(name).name;
  const std::string target = "resourceGroups/" + kept;
  if (records_.groups_going.contains(lower(kept)))
    for (const Operation* operation : operations_.of(target))
      if (operation->status == OperationStatus::running) return {operation->id, false};
  check_use_from_outside(kept);
  return records_.change([&]() -> Accepted {
    records_.write("group-going", lower(kept), kept);
    records_.after([this, kept] { records_.groups_going.insert(lower(kept)); });
    return {operations_.begin(
                OperationKind::group_delete, target,
                [this, kept](std::string operation) { return remove_contents(std::move(operation), kept); }),
            false};
  });
}

asio::awaitable<void> Groups::remove_contents(std::string operation, std::string name) {
  operations_.phase(operation, "Deleting the resource group");
  std::optional<Error> trouble;
  std::vector<std::string> deletions;
  try {
    for (const Vm* vm : records_.vms.list(name)) deletions.push_back(contents_.vms.begin(vm->ref(), {}));
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  for (const std::string& deletion : deletions) try {
      co_await operations_.finish(deletion);
    } catch (const std::exception& caught) {
      trouble = as_error(caught);
    }
  if (!trouble) try {
      for (const VirtualNetwork* network : records_.networks.list(name))
        co_await contents_.switches.remove(*network);
    } catch (const std::exception& caught) {
      trouble = as_error(caught);
    }
  std::vector<std::string> files;
  co_await operations_.insist([&] {
    files.clear();
    if (!trouble) erase(name, files);
    records_.write("group-going", lower(name), std::nullopt);
    records_.after([this, name] { records_.groups_going.erase(lower(name)); });
  });
  if (trouble) throw *trouble;
  contents_.names.rewrite();
  co_await contents_.disks.remove_files(std::move(files));
  contents_.images.sweep();
}

/// All that is left in it, within a change.
void Groups::erase(const std::string& name, std::vector<std::string>& files) {
  const auto erase_all = [&](auto& table) {
    for (const auto* row : table.list(name)) table.erase(row->ref());
  };
  erase_all(records_.interfaces);
  erase_all(records_.load_balancers);
  erase_all(records_.addresses);
  for (const VirtualNetwork* network : records_.networks.list(name))
    contents_.switches.forget_after(*network);
  erase_all(records_.networks);
  erase_all(records_.security_groups);
  for (const Disk* disk : records_.disks.list(name)) contents_.disks.erase(disk->ref(), files);
  contents_.inert.erase_group(name);
  contents_.documents.erase_group(name);
  records_.groups.erase({name, name});
}

void Groups::restore() {
  const auto restore = [this](const Resource& resource) {
    if (records_.groups.find({resource.group, resource.group})) return;
    ResourceGroup group;
    group.group = group.name = resource.group;
    group.location = resource.location;
    stamp(group, nullptr);
    spdlog::warn("restored group={}: its own document was missing", group.name);
    records_.groups.put(std::move(group));
  };
  const auto restore_all = [&](const auto& table) {
    for (const auto& [key, resource] : table) restore(resource);
  };
  restore_all(records_.networks.rows());
  restore_all(records_.addresses.rows());
  restore_all(records_.security_groups.rows());
  restore_all(records_.interfaces.rows());
  restore_all(records_.load_balancers.rows());
  restore_all(records_.disks.rows());
  restore_all(records_.vms.rows());
  restore_all(records_.inert.rows());
}

void Groups::take_up_removals(Operations::Unfinished& unfinished) {
  for (auto& [key, name] : records_.all("group-going")) take_up_removal(key, name, unfinished);
}

void Groups::take_up_removal(const std::string& key, const std::string& name,
                             Operations::Unfinished& unfinished) {
  if (!records_.groups.find({name, name})) {  // its deletion was done
    records_.write("group-going", key, std::nullopt);
    records_.after([this, key] { records_.groups_going.erase(key); });
    return;
  }
  const std::string target = "resourceGroups/" + name;
  operations_.begin(
      OperationKind::group_delete, target,
      [this, name](std::string op) { return remove_contents(std::move(op), name); },
      take_unfinished(unfinished, OperationKind::group_delete, target));
}

}  // namespace berth
