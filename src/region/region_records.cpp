#include "region/region_records.h"

#include <fmt/format.h>

#include "base/utc.h"
#include "crypto/random.h"

namespace berth {
namespace {

// What the tables are searched by.

std::vector<std::string> terms_of_network(const VirtualNetwork& network) {
  std::vector<std::string> terms;
  for (const Subnet& subnet : network.subnets)
    if (!subnet.security_group.empty()) terms.push_back(term("security-group", subnet.security_group));
  return terms;
}

std::vector<std::string> terms_of_address(const PublicAddress& address) {
  std::vector<std::string> terms{"at " + address.address};
  if (!address.label.empty()) terms.push_back("label " + lower(address.label));
  return terms;
}

std::vector<std::string> terms_of_interface(const NetworkInterface& nic) {
  std::vector<std::string> terms;
  if (!nic.vm.empty()) terms.push_back(term("vm", nic.vm));
  if (!nic.security_group.empty()) terms.push_back(term("security-group", nic.security_group));
  for (const IpConfiguration& configuration : nic.configurations) {
    terms.push_back(term("network", configuration.network));
    if (!configuration.public_address.empty()) terms.push_back(term("address", configuration.public_address));
    for (const std::string& rule : configuration.nat_rules) terms.push_back("rule " + lower(rule));
  }
  return terms;
}

std::vector<std::string> terms_of_balancer(const LoadBalancer& balancer) {
  std::vector<std::string> terms;
  for (const LoadBalancer::Frontend& frontend : balancer.frontends)
    terms.push_back(term("address", frontend.address));
  for (const LoadBalancer::NatRule& rule : balancer.nat_rules) terms.push_back("rule " + lower(rule.id));
  return terms;
}

std::vector<std::string> terms_of_disk(const Disk& disk) {
  return disk.vm.empty() ? std::vector<std::string>() : std::vector<std::string>{term("vm", disk.vm)};
}

}  // namespace

RegionRecords::RegionRecords(Database& database)
    : Records(database),
      groups(*this, "group"),
      networks(*this, "network", terms_of_network),
      addresses(*this, "address", terms_of_address),
      security_groups(*this, "security-group"),
      interfaces(*this, "interface", terms_of_interface),
      load_balancers(*this, "load-balancer", terms_of_balancer),
      disks(*this, "disk", terms_of_disk),
      vms(*this, "vm"),
      inert(*this, "inert") {}

void RegionRecords::load(RowReader& rows) {
  groups.load(rows);
  networks.load(rows);
  addresses.load(rows);
  security_groups.load(rows);
  interfaces.load(rows);
  load_balancers.load(rows);
  disks.load(rows);
  vms.load(rows);
  inert.load(rows);
  for (auto& [key, name] : all("group-going")) groups_going.insert(key);
}

void RegionRecords::check_group(const std::string& name) const {
  if (!groups.find({name, name})) throw group_not_found(name);
  check_group_stays(name);
}

void RegionRecords::check_group_stays(const std::string& name) const {
  if (groups_going.contains(lower(name)))
    throw Error(ErrorKind::conflict, "ResourceGroupBeingDeleted",
                fmt::format("The resource group '{}' is being deleted.", name), "Try again when it is gone.");
}

Error group_not_found(const std::string& name) {
  return Error(ErrorKind::not_found, "ResourceGroupNotFound",
               fmt::format("Resource group '{}' could not be found.", name));
}

Error resource_not_found(const std::string& type, const Ref& ref) {
  return Error(ErrorKind::not_found, "ResourceNotFound",
               fmt::format("The Resource '{}/{}' under resource group '{}' was not found.", type, ref.name,
                           ref.group));
}

void stamp(Resource& resource, const Resource* before) {
  resource.etag = new_uuid();
  resource.guid = before ? before->guid : new_uuid();
  resource.created = before ? before->created : utc_now();
  if (before) {  // names stay as they were first written
    resource.group = before->group;
    resource.name = before->name;
  }
  if (resource.location.empty() && before) resource.location = before->location;
}

}  // namespace berth
