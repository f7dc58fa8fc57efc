#include "region/networks.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <set>

#include "crypto/encoding.h"
#include "crypto/random.h"
#include "region/host_names.h"
#include "region/port_rules.h"
#include "region/region_records.h"
#include "region/settings.h"
#include "region/switches.h"

// Networks, interfaces, addresses and security groups: what may stand beside what, and who uses which.
namespace berth {

namespace asio = boost::asio;

namespace {

constexpr std::uint32_t loopback_block = 127u << 24;

Error in_use(const std::string& type, const Ref& ref, const std::string& by) {
  return Error(ErrorKind::conflict, "InUse" + type + "CannotBeDeleted",
               fmt::format("{} '{}' cannot be deleted: {} uses it.", type, ref.name, by),
               "Delete that first, or the whole resource group.");
}

const Subnet* find_subnet(const VirtualNetwork& network, const std::string& name) {
  const auto found =
      std::ranges::find_if(network.subnets, [&](const Subnet& s) { return same_name(s.name, name); });
  return found == network.subnets.end() ? nullptr : &*found;
}

bool same_block(const std::string& a, const std::string& b) {
  std::uint32_t base_a = 0, base_b = 0;
  unsigned bits_a = 0, bits_b = 0;
  return parse_cidr(a, base_a, bits_a) && parse_cidr(b, base_b, bits_b) && base_a == base_b &&
         bits_a == bits_b;
}

Error prefix_in_use(const std::string& what, const std::string& name, const std::string& prefix,
                    const NetworkInterface& by) {
  return Error(ErrorKind::conflict, "InUsePrefixCannotBeDeleted",
               fmt::format("The address prefix {} of {} '{}' cannot be changed: interface '{}' uses it.",
                           prefix, what, name, by.name),
               "Delete the interfaces first.");
}

/// Whether its block and those of its subnets fit; throws Error(invalid) naming the one that does not.
void check_blocks(const VirtualNetwork& wanted, const std::string& whole) {
  if (wanted.prefixes.empty())
    throw Error(ErrorKind::invalid, "InvalidRequestFormat",
                fmt::format("Virtual network '{}' has no address prefix.", wanted.name),
                "Give addressSpace.addressPrefixes, for example [\"10.0.0.0/16\"].");
  std::uint32_t network = 0, inner = 0;
  unsigned bits = 0, inner_bits = 0;
  for (const std::string& prefix : wanted.prefixes)
    if (!parse_cidr(prefix, network, bits) || bits < 8 || bits > 29)
      throw Error(ErrorKind::invalid, "InvalidAddressPrefixFormat",
                  fmt::format("'{}' of virtual network '{}' is not an IPv4 block between /8 and /29.", prefix,
                              wanted.name));
  if (whole.empty())
    throw Error(
        ErrorKind::invalid, "OperationNotAllowed",
        fmt::format(
            "Virtual network '{}' has the address prefixes {}: in the local region one block of /8 or "
            "smaller must hold them all.",
            wanted.name, fmt::join(wanted.prefixes, ", ")),
        "Give prefixes of one private range, for example 10.0.0.0/16 and 10.1.0.0/16.");
  const auto is_inside = [&] {
    return std::ranges::any_of(wanted.prefixes, [&](const std::string& prefix) {
      return parse_cidr(prefix, network, bits) && inner_bits >= bits && (inner ^ network) >> (32 - bits) == 0;
    });
  };
  for (const Subnet& subnet : wanted.subnets) {
    if (!parse_cidr(subnet.prefix, inner, inner_bits) || !is_inside())
      throw Error(ErrorKind::invalid, "NetcfgInvalidSubnet",
                  fmt::format("Subnet '{}' with '{}' is not inside virtual network '{}'.", subnet.name,
                              subnet.prefix, wanted.name));
    const std::uint64_t first = inner, size = std::uint64_t{1} << (32 - inner_bits);
    for (const Subnet& other : wanted.subnets) {
      if (&other == &subnet) break;
      if (same_name(other.name, subnet.name))
        throw Error(ErrorKind::invalid, "NetcfgDuplicateSubnet",
                    fmt::format("Virtual network '{}' has two subnets '{}'.", wanted.name, subnet.name));
      std::uint32_t other_first = 0;
      unsigned other_bits = 0;
      parse_cidr(other.prefix, other_first, other_bits);
      if (first < other_first + (std::uint64_t{1} << (32 - other_bits)) && other_first < first + size)
        throw Error(
            ErrorKind::invalid, "NetcfgSubnetRangesOverlap",
            fmt::format("Subnet '{}' with '{}' overlaps subnet '{}' with '{}' in virtual network '{}'.",
                        subnet.name, subnet.prefix, other.name, other.prefix, wanted.name));
    }
  }
}

}  // namespace

Networks::Networks(RegionRecords& records, Switches& switches, HostNames& names,
                   const RegionSettings& settings, const std::filesystem::path& home)
    : records_(records),
      switches_(switches),
      names_(names),
      settings_(settings),
      home_hash_(sha256(home.string())) {}

/// 127.a.b.c: a and b from the region's folder, so that two regions of one host seldom meet; c counts on, so
/// that an address that was given up is not somebody else's at once.
std::string Networks::free_address() const {
  constexpr std::uint32_t blocks = 256, of_a_block = 254;
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(home_hash_[i]));
  };
  const std::uint32_t first = byte(0) % 200 + 20, second = byte(1);
  // Mostly the one after the newest is free, and one look finds that.
  for (std::uint32_t tried = 0; tried < blocks * of_a_block; ++tried) {
    const std::uint32_t number = (next_address_ + tried) % (blocks * of_a_block);
    const std::uint32_t lower_half = ((second + number / of_a_block) & 255) << 8 | (number % of_a_block + 1);
    std::string address = format_ipv4(loopback_block | first << 16 | lower_half);
    if (!records_.addresses.with("at " + address).empty()) continue;
    next_address_ = number + 1;
    return address;
  }
  throw Error(ErrorKind::unavailable, "PublicIPCountLimitReached",
              "All 65,024 public addresses of this region are taken.",
              "Delete resource groups that are no longer needed.");
}

std::string Networks::free_private_address(const VirtualNetwork& network, const Subnet& subnet,
                                           const Ref& for_nic) const {
  std::uint32_t base = 0;
  unsigned bits = 0;
  parse_cidr(subnet.prefix, base, bits);
  std::set<std::string> taken;
  for (const NetworkInterface* nic : records_.interfaces.with(term("network", network.ref())))
    if (!(nic->ref() == for_nic))
      for (const IpConfiguration& configuration : nic->configurations)
        if (configuration.network == network.ref()) taken.insert(configuration.private_address);
  const std::uint32_t end = base + (bits >= 31 ? 0 : (std::uint32_t{1} << (32 - bits)) - 1);
  // As in Azure the first four addresses are the network's own. The switch's own aliases sit near its top.
  for (std::uint32_t address = base + 4; address < end; ++address)
    if (std::string text = format_ipv4(address); !taken.contains(text)) return text;
  throw Error(ErrorKind::conflict, "SubnetIsFull",
              fmt::format("Subnet '{}' with {} has no free address.", subnet.name, subnet.prefix),
              "Use a larger subnet.");
}

void Networks::check_security_group(const Ref& ref) const {
  if (ref.empty()) return;
  if (!records_.security_groups.find(ref))
    throw resource_not_found("Microsoft.Network/networkSecurityGroups", ref);
  records_.check_group(ref.group);
}

void Networks::check_network_users(const VirtualNetwork& before, const VirtualNetwork& wanted) const {
  for (const NetworkInterface* nic : records_.interfaces.with(term("network", wanted.ref()))) {
    if (!same_block(whole_block(before), whole_block(wanted)))
      throw prefix_in_use("virtual network", wanted.name, before.prefixes.front(), *nic);
    for (const IpConfiguration& configuration : nic->configurations) {
      if (!(configuration.network == wanted.ref())) continue;
      const Subnet* subnet = find_subnet(wanted, configuration.subnet);
      const Subnet* old = find_subnet(before, configuration.subnet);
      if (!subnet)
        throw Error(ErrorKind::conflict, "InUseSubnetCannotBeDeleted",
                    fmt::format("Subnet '{}' is used by interface '{}'.", configuration.subnet, nic->name));
      if (old && !same_block(old->prefix, subnet->prefix))
        throw prefix_in_use("subnet", subnet->name, old->prefix, *nic);
    }
  }
}

Put<VirtualNetwork> Networks::put(VirtualNetwork wanted) {
  records_.check_group(wanted.group);
  const VirtualNetwork* before = records_.networks.find(wanted.ref());
  check_blocks(wanted, whole_block(wanted));
  for (const Subnet& subnet : wanted.subnets) check_security_group(subnet.security_group);
  if (before) check_network_users(*before, wanted);
  stamp(wanted, before);
  const bool created = !before;
  return records_.change([&]() -> Put<VirtualNetwork> {
    const VirtualNetwork& kept = records_.networks.put(std::move(wanted));
    if (!created) records_.after([this, ref = kept.ref()] { switches_.settle_soon(ref); });
    return {kept, created};
  });
}

Put<SecurityGroup> Networks::put(SecurityGroup wanted) {
  records_.check_group(wanted.group);
  std::set<std::pair<std::string, int>> priorities;
  std::set<std::string> names;
  for (const SecurityRule& rule : wanted.rules) {
    if (const std::string problem = rule_problem(rule); !problem.empty())
      throw Error(ErrorKind::invalid, "SecurityRuleInvalid", problem);
    if (!priorities.emplace(lower(rule.direction), rule.priority).second)
      throw Error(ErrorKind::invalid, "SecurityRuleConflict",
                  fmt::format("Rule '{}' has the priority {} of another {} rule.", rule.name, rule.priority,
                              lower(rule.direction)));
    if (!names.insert(lower(rule.name)).second)
      throw Error(ErrorKind::invalid, "SecurityRuleConflict",
                  fmt::format("There are two rules '{}'.", rule.name));
  }
  const SecurityGroup* before = records_.security_groups.find(wanted.ref());
  stamp(wanted, before);
  const bool created = !before;
  return records_.change([&]() -> Put<SecurityGroup> {
    const SecurityGroup& kept = records_.security_groups.put(std::move(wanted));
    const std::string users = term("security-group", kept.ref());
    for (const NetworkInterface* nic : records_.interfaces.with(users))
      if (!nic->vm.empty()) switches_.settle_after(*nic);
    for (const VirtualNetwork* network : records_.networks.with(users))
      records_.after([this, ref = network->ref()] { switches_.settle_soon(ref); });
    return {kept, created};
  });
}

Put<PublicAddress> Networks::put(PublicAddress wanted) {
  records_.check_group(wanted.group);
  const PublicAddress* before = records_.addresses.find(wanted.ref());
  if (!wanted.label.empty()) {
    wanted.label = lower(wanted.label);
    if (!is_dns_label(wanted.label))
      throw Error(ErrorKind::invalid, "InvalidDomainNameLabel",
                  fmt::format("The domain name label '{}' is not one.", wanted.label),
                  "Use lower case letters, digits and hyphens; begin with a letter.");
    for (const PublicAddress* other : records_.addresses.with("label " + wanted.label))
      if (!(other->ref() == wanted.ref()))
        throw Error(ErrorKind::conflict, "DnsRecordInUse",
                    fmt::format("DNS record {}.{} is already used by another public IP.", wanted.label,
                                settings_.dns_suffix),
                    "Choose another name.");
    wanted.fqdn = wanted.label + "." + settings_.dns_suffix;
  }
  stamp(wanted, before);
  wanted.address = before ? before->address : free_address();
  wanted.ports = before ? before->ports : std::vector<PublicAddress::Port>{};
  const bool created = !before, renamed = !before || before->fqdn != wanted.fqdn;
  try {
    return records_.change([&]() -> Put<PublicAddress> {
      const PublicAddress& kept = records_.addresses.put(std::move(wanted));
      if (renamed) names_.write();  // a name that cannot be written is refused
      return {kept, created};
    });
  } catch (...) {
    if (renamed) names_.rewrite();
    throw;
  }
}

void Networks::check_public_address(const NetworkInterface& wanted, const IpConfiguration& configuration,
                                    const NetworkInterface* before) const {
  const Ref& address = configuration.public_address;
  if (address.empty()) return;
  if (!records_.addresses.find(address))
    throw resource_not_found("Microsoft.Network/publicIPAddresses", address);
  records_.check_group(address.group);
  const bool had_it = before && std::ranges::any_of(before->configurations, [&](const IpConfiguration& c) {
                        return c.public_address == address;
                      });
  if (had_it || wanted.endpoints_only) return;
  if (!configuration.balanced)
    for (const LoadBalancer* balancer : records_.load_balancers.with(term("address", address)))
      throw Error(
          ErrorKind::conflict, "PublicIPAddressInUse",
          fmt::format("Public address '{}' is used by load balancer '{}'.", address.name, balancer->name));
  for (const NetworkInterface* other : records_.interfaces.with(term("address", address)))
    if (!(other->ref() == wanted.ref()) && (wanted.endpoints.empty() || other->endpoints.empty()))
      throw Error(ErrorKind::conflict, "PublicIPAddressInUse",
                  fmt::format("Public address '{}' is used by interface '{}'.", address.name, other->name));
}

void Networks::check_private_address(const NetworkInterface& wanted, const IpConfiguration& configuration,
                                     const Subnet& subnet) const {
  std::uint32_t address = 0, base = 0;
  unsigned bits = 0;
  parse_cidr(subnet.prefix, base, bits);
  if (!parse_ipv4(configuration.private_address, address) || (address ^ base) >> (32 - bits) != 0 ||
      address - base < 4)
    throw Error(ErrorKind::invalid, "PrivateIPAddressNotInSubnet",
                fmt::format("The private address '{}' cannot be used in subnet '{}' with {}.",
                            configuration.private_address, subnet.name, subnet.prefix));
  for (const NetworkInterface* other : records_.interfaces.with(term("network", configuration.network)))
    for (const IpConfiguration& theirs : other->configurations)
      if (!(other->ref() == wanted.ref()) && theirs.network == configuration.network &&
          theirs.private_address == configuration.private_address)
        throw Error(ErrorKind::conflict, "PrivateIPAddressInUse",
                    fmt::format("The private address {} is used by interface '{}'.", theirs.private_address,
                                other->name));
}

Put<NetworkInterface> Networks::put(NetworkInterface wanted) {
  records_.check_group(wanted.group);
  const NetworkInterface* before = records_.interfaces.find(wanted.ref());
  if (wanted.configurations.empty())
    throw Error(ErrorKind::invalid, "NetworkInterfaceMustHaveIpConfiguration",
                fmt::format("Network interface '{}' has no IP configuration.", wanted.name));
  check_security_group(wanted.security_group);
  balance(wanted, before);
  bool any_primary = false;
  for (IpConfiguration& configuration : wanted.configurations) {
    const VirtualNetwork* network = records_.networks.find(configuration.network);
    if (!network) throw resource_not_found("Microsoft.Network/virtualNetworks", configuration.network);
    records_.check_group(network->group);
    const Subnet* subnet = find_subnet(*network, configuration.subnet);
    if (!subnet)
      throw Error(
          ErrorKind::not_found, "InvalidResourceReference",
          fmt::format("Virtual network '{}' has no subnet '{}'.", network->name, configuration.subnet));
    check_public_address(wanted, configuration, before);
    // A dynamic address stays what it is as long as the interface stays in its subnet.
    if (before && !same_name(configuration.allocation, "Static"))
      for (const IpConfiguration& old : before->configurations)
        if (same_name(old.name, configuration.name) && old.network == configuration.network &&
            same_name(old.subnet, configuration.subnet))
          configuration.private_address = old.private_address;
    if (configuration.private_address.empty())
      configuration.private_address = free_private_address(*network, *subnet, wanted.ref());
    else
      check_private_address(wanted, configuration, *subnet);
    any_primary |= configuration.primary;
  }
  if (!any_primary) wanted.configurations.front().primary = true;
  stamp(wanted, before);
  const bool created = !before;
  wanted.vm = before ? before->vm : Ref{};
  if (before) {
    wanted.mac = before->mac;
  } else {
    const std::string digits = random_hex(6);  // 00-0D-3A is the vendor part of Azure's own interfaces
    wanted.mac = fmt::format("00-0D-3A-{}{}-{}{}-{}{}", digits[0], digits[1], digits[2], digits[3], digits[4],
                             digits[5]);
    std::ranges::transform(wanted.mac, wanted.mac.begin(),
                           [](char c) { return c >= 'a' && c <= 'f' ? char(c - 32) : c; });
  }
  return records_.change([&]() -> Put<NetworkInterface> {
    const NetworkInterface& kept = records_.interfaces.put(std::move(wanted));
    if (!created && !kept.vm.empty()) switches_.settle_after(kept);
    return {kept, created};
  });
}

void Networks::check_rules_stay(const LoadBalancer& before, const LoadBalancer& wanted) const {
  for (const LoadBalancer::NatRule& rule : before.nat_rules) {
    if (std::ranges::any_of(wanted.nat_rules,
                            [&](const LoadBalancer::NatRule& r) { return same_name(r.id, rule.id); }))
      continue;
    for (const NetworkInterface* nic : records_.interfaces.with("rule " + lower(rule.id)))
      throw Error(ErrorKind::conflict, "InboundNatRuleInUse",
                  fmt::format("The inbound NAT rule '{}' of load balancer '{}' is used by interface '{}'.",
                              rule.name, before.name, nic->name),
                  "Take the rule away from the interface first.");
  }
}

void Networks::check_frontends(const LoadBalancer& wanted) const {
  const auto in_use = [](const Ref& address, const char* what, const std::string& by) {
    return Error(ErrorKind::conflict, "PublicIPAddressInUse",
                 fmt::format("Public address '{}' is used by {} '{}'.", address.name, what, by));
  };
  std::set<std::string> own;
  for (const auto& [id, address] : wanted.frontends) {
    if (!records_.addresses.find(address))
      throw resource_not_found("Microsoft.Network/publicIPAddresses", address);
    records_.check_group(address.group);
    if (!own.insert(address.key()).second)
      throw in_use(address, "another frontend of load balancer", wanted.name);
    for (const LoadBalancer* other : records_.load_balancers.with(term("address", address)))
      if (!(other->ref() == wanted.ref())) throw in_use(address, "load balancer", other->name);
    for (const NetworkInterface* nic : records_.interfaces.with(term("address", address)))
      for (const IpConfiguration& configuration : nic->configurations)
        if (configuration.public_address == address && !configuration.balanced)
          throw in_use(address, "interface", nic->name);
  }
}

void Networks::balance(NetworkInterface& nic, const NetworkInterface* before) const {
  // What was made of rules is made of them again.
  if (before && std::ranges::any_of(before->configurations, &IpConfiguration::balanced)) {
    nic.endpoints.clear();
    nic.endpoints_only = false;
  }
  for (IpConfiguration& configuration : nic.configurations) {
    if (configuration.balanced) configuration.public_address = {};
    configuration.balanced = false;
    for (const std::string& id : configuration.nat_rules) {
      const std::string by_rule = "rule " + lower(id);
      const auto balancers = records_.load_balancers.with(by_rule);
      if (balancers.empty())
        throw Error(ErrorKind::not_found, "ResourceNotFound",
                    fmt::format("There is no inbound NAT rule {}.", id));
      for (const NetworkInterface* other : records_.interfaces.with(by_rule))
        if (!(other->ref() == nic.ref()))
          throw Error(ErrorKind::conflict, "InboundNatRuleInUse",
                      fmt::format("The inbound NAT rule {} is used by interface '{}'.", id, other->name));
      const LoadBalancer::NatRule& rule = *std::ranges::find_if(
          balancers.front()->nat_rules, [&](const LoadBalancer::NatRule& r) { return same_name(r.id, id); });
      const Ref& address = configuration.public_address;
      if (!address.empty() && (!configuration.balanced || !(address == rule.address)))
        throw Error(
            ErrorKind::conflict, "OperationNotAllowed",
            fmt::format("IP configuration '{}' cannot have both a public address and inbound NAT rules of "
                        "another in the local region.",
                        configuration.name),
            "Leave out one of them.");
      configuration.public_address = rule.address;
      configuration.balanced = true;
      nic.endpoints.push_back({.name = rule.name,
                               .protocol = rule.protocol,
                               .public_port = rule.frontend_port,
                               .private_port = rule.backend_port,
                               .sources = {}});
    }
  }
}

Put<LoadBalancer> Networks::put(LoadBalancer wanted) {
  records_.check_group(wanted.group);
  const LoadBalancer* before = records_.load_balancers.find(wanted.ref());
  if (before) check_rules_stay(*before, wanted);
  check_frontends(wanted);
  stamp(wanted, before);
  const bool created = !before;
  return records_.change([&]() -> Put<LoadBalancer> {
    const LoadBalancer& kept = records_.load_balancers.put(std::move(wanted));
    std::map<std::string, NetworkInterface> users;
    for (const LoadBalancer::NatRule& rule : kept.nat_rules)
      for (const NetworkInterface* nic : records_.interfaces.with("rule " + lower(rule.id)))
        users.emplace(nic->ref().key(), *nic);
    for (auto& [key, nic] : users) {
      const NetworkInterface had = nic;
      balance(nic, &had);
      if (!nic.vm.empty()) switches_.settle_after(nic);
      stamp(nic, &had);
      records_.interfaces.put(std::move(nic));
    }
    return {kept, created};
  });
}

void Networks::remove_load_balancer(const Ref& ref) {
  const LoadBalancer* balancer = records_.load_balancers.find(ref);
  if (!balancer) return;
  check_rules_stay(*balancer, {});
  records_.change([&] { records_.load_balancers.erase(ref); });
}

void Networks::remove_virtual_network(const Ref& ref) {
  const VirtualNetwork* network = records_.networks.find(ref);
  if (!network) return;
  for (const NetworkInterface* nic : records_.interfaces.with(term("network", ref)))
    throw in_use("VirtualNetwork", ref, "interface '" + nic->name + "'");
  records_.change([&] {
    switches_.remove_after(*network);
    records_.networks.erase(ref);
  });
}

void Networks::remove_security_group(const Ref& ref) {
  const std::string users = term("security-group", ref);
  for (const NetworkInterface* nic : records_.interfaces.with(users))
    throw in_use("NetworkSecurityGroup", ref, "interface '" + nic->name + "'");
  for (const VirtualNetwork* network : records_.networks.with(users))
    throw in_use("NetworkSecurityGroup", ref, "a subnet of virtual network '" + network->name + "'");
  if (!records_.security_groups.find(ref)) return;
  records_.change([&] { records_.security_groups.erase(ref); });
}

void Networks::remove_public_address(const Ref& ref) {
  for (const NetworkInterface* nic : records_.interfaces.with(term("address", ref)))
    throw in_use("PublicIPAddress", ref, "interface '" + nic->name + "'");
  for (const LoadBalancer* balancer : records_.load_balancers.with(term("address", ref)))
    throw in_use("PublicIPAddress", ref, "load balancer '" + balancer->name + "'");
  if (!records_.addresses.find(ref)) return;
  records_.change([&] {
    records_.addresses.erase(ref);
    records_.after([this] { names_.rewrite(); });
  });
}

void Networks::remove_interface(const Ref& ref) {
  const NetworkInterface* nic = records_.interfaces.find(ref);
  if (!nic) return;
  if (!nic->vm.empty() && records_.vms.find(nic->vm))
    throw Error(ErrorKind::conflict, "NicInUse",
                fmt::format("Network interface '{}' is used by VM '{}'.", ref.name, nic->vm.name),
                "Delete the VM first.");
  records_.change([&] { records_.interfaces.erase(ref); });
}

template <class T>
std::vector<const T*> Networks::list(const std::string& group) const {
  return records_.table<T>().list(group);
}

template <class T>
const T* Networks::find(const Ref& ref) const {
  return records_.table<T>().find(ref);
}

template std::vector<const VirtualNetwork*> Networks::list(const std::string& group) const;
template std::vector<const SecurityGroup*> Networks::list(const std::string& group) const;
template std::vector<const PublicAddress*> Networks::list(const std::string& group) const;
template std::vector<const LoadBalancer*> Networks::list(const std::string& group) const;
template std::vector<const NetworkInterface*> Networks::list(const std::string& group) const;
template const VirtualNetwork* Networks::find(const Ref& ref) const;
template const SecurityGroup* Networks::find(const Ref& ref) const;
template const PublicAddress* Networks::find(const Ref& ref) const;
template const LoadBalancer* Networks::find(const Ref& ref) const;
template const NetworkInterface* Networks::find(const Ref& ref) const;

bool Networks::is_label_free(const std::string& label) const {
  return records_.addresses.with("label " + lower(label)).empty();
}

asio::awaitable<void> Networks::settle_ports(Ref vm) {
  return switches_.settle_vm(std::move(vm));
}

}  // namespace berth
