#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>

#include "crypto/encoding.h"
#include "crypto/random.h"
#include "host/hosts_file.h"
#include "region/guest_sockets.h"
#include "region/impl.h"
#include "region/port_rules.h"

namespace berth {
namespace {

constexpr int most_moves_of_a_port = 5;
constexpr std::uint32_t loopback_block = 127u << 24;

std::string twelve_digits(std::string_view uuid) {
  std::string digits;
  for (const char c : uuid)
    if (c != '-' && digits.size() < 12) digits += c;
  return digits;
}

Error in_use(const std::string& type, const Ref& ref, const std::string& by) {
  return Error(ErrorKind::conflict, "InUse" + type + "CannotBeDeleted",
               fmt::format("{} '{}' cannot be deleted: {} uses it.", type, ref.name, by),
               "Delete that first, or the whole resource group.");
}

bool is_on(const Vm& vm) {
  return vm.power == PowerState::starting || vm.power == PowerState::running ||
         vm.power == PowerState::stopping;
}

/// The ports that a VM's extensions serve, from their public settings: "docker.port" and "dockerport".
std::vector<std::uint16_t> served_ports(const Vm& vm) {
  std::vector<std::uint16_t> ports;
  for (const Extension& extension : vm.extensions) {
    const auto settings = nlohmann::json::parse(extension.settings, nullptr, false);
    if (!settings.is_object()) continue;
    nlohmann::json port = settings.value("dockerport", nlohmann::json());
    if (const auto docker = settings.find("docker"); docker != settings.end() && docker->is_object())
      port = docker->value("port", port);
    const int number = port.is_number_integer() ? port.get<int>()
                       : port.is_string()       ? std::atoi(port.get<std::string>().c_str())
                                                : 0;
    if (number > 0 && number < 65536) ports.push_back(static_cast<std::uint16_t>(number));
  }
  return ports;
}

/// Where a port goes when the host will not have it at `tried`: ten thousand higher each time; 0 when that
/// ends.
std::uint16_t next_host_port(std::uint16_t asked, std::uint16_t tried) {
  const int next = tried < asked ? asked : tried + 10'000;
  return next > 65'535 || next > asked + 10'000 * most_moves_of_a_port ? std::uint16_t{0}
                                                                       : static_cast<std::uint16_t>(next);
}

}  // namespace

std::string Region::Impl::network_id(const VirtualNetwork& network) const {
  return twelve_digits(network.guid);
}

bool Region::Impl::uses_network(const NetworkInterface& nic, const Ref& network) const {
  return std::ranges::any_of(nic.configurations,
                             [&](const IpConfiguration& c) { return c.network == network; });
}

SwitchConfig Region::Impl::switch_config(const VirtualNetwork& network, std::set<std::string>& new_ports_of) {
  SwitchConfig config;
  config.subnet = network.prefixes.empty() ? "10.0.0.0/16" : network.prefixes.front();
  config.egress = settings.egress;
  const auto folder = host.networks.folder(network_id(network));
  for (auto& [key, nic] : interfaces.rows()) {
    if (nic.vm.empty() || !uses_network(nic, network.ref())) continue;
    const Vm* vm = vms.find(nic.vm);
    if (!vm || !is_on(*vm)) continue;
    SwitchPort port;
    port.id = twelve_digits(nic.guid);
    port.mac = lower(nic.mac);
    std::ranges::replace(port.mac, '-', ':');
    port.host_name = vm->computer_name;
    port.machine_socket = folder / (port.id + ".sock");
    const GuestSockets sockets = guest_sockets(folder, vm->id);
    port.wire_server = sockets.wire;
    port.host_plugin = sockets.plugin;
    port.metadata = sockets.metadata;
    const SecurityGroup* of_interface = security_groups.find(nic.security_group);
    for (const IpConfiguration& configuration : nic.configurations) {
      if (configuration.primary || port.address.empty()) port.address = configuration.private_address;
      PublicAddress* address = addresses.find(configuration.public_address);
      if (!address) continue;
      const auto subnet = std::ranges::find_if(
          network.subnets, [&](const Subnet& s) { return same_name(s.name, configuration.subnet); });
      const SecurityGroup* of_subnet =
          subnet == network.subnets.end() ? nullptr : security_groups.find(subnet->security_group);
      for (const OpenPort& open : open_ports(nic, of_interface, of_subnet, served_ports(*vm))) {
        auto known = std::ranges::find_if(address->ports, [&](const PublicAddress::Port& p) {
          return p.protocol == open.protocol && p.port == open.public_port;
        });
        if (known == address->ports.end()) {
          address->ports.push_back({.protocol = open.protocol,
                                    .port = open.public_port,
                                    .host_port = open.public_port,
                                    .guest_port = open.guest_port,
                                    .moved_because = {}});
          known = std::prev(address->ports.end());
          new_ports_of.insert(address->address);
        }
        known->guest_port = open.guest_port;
        if (known->host_port == 0) continue;  // there is no place for it on this host
        port.forwards.push_back(
            {.protocol = open.protocol == "udp" ? Forward::Protocol::udp : Forward::Protocol::tcp,
             .host_address = address->address,
             .host_port = known->host_port,
             .guest_port = open.guest_port,
             .sources = open.sources});
      }
    }
    config.ports.push_back(std::move(port));
  }
  return config;
}

asio::awaitable<void> Region::Impl::settle_once(Ref ref) {
  for (int round = 0; round < 8; ++round) {
    const VirtualNetwork* network = networks.find(ref);
    if (!network) co_return;
    const std::string id = network_id(*network);
    std::set<std::string> changed_addresses;
    SwitchConfig config = switch_config(*network, changed_addresses);
    if (config.ports.empty()) {
      if (live_networks[id]->done > 0) co_await host.networks.remove(id);
      co_return;
    }
    // Which ports are wanted now, so that the addresses forget the others.
    std::map<std::string, std::vector<std::pair<std::string, std::uint16_t>>> wanted;
    for (const SwitchPort& port : config.ports)
      for (const Forward& forward : port.forwards)
        wanted[forward.host_address].emplace_back(forward.protocol == Forward::Protocol::udp ? "udp" : "tcp",
                                                  forward.host_port);
    const SwitchReport report = co_await host.networks.apply(id, std::move(config));
    bool moved = false;
    for (auto& [key, address] : addresses.rows()) {
      const auto here = wanted.find(address.address);
      if (here == wanted.end()) continue;
      const std::size_t before = address.ports.size();
      std::erase_if(address.ports, [&](const PublicAddress::Port& p) {
        return p.host_port != 0 &&
               std::ranges::find(here->second, std::pair(p.protocol, p.host_port)) == here->second.end();
      });
      bool changed = address.ports.size() != before || changed_addresses.contains(address.address);
      for (const SwitchReport::Refused& refused : report.refused) {
        if (refused.forward.host_address != address.address) continue;
        const std::string protocol = refused.forward.protocol == Forward::Protocol::udp ? "udp" : "tcp";
        for (PublicAddress::Port& port : address.ports) {
          if (port.protocol != protocol || port.host_port != refused.forward.host_port) continue;
          port.host_port = next_host_port(port.port, port.host_port);
          port.moved_because = refused.why;
          spdlog::warn("moved port={} to={} address={} why=\"{}\"", port.port, port.host_port,
                       address.address, refused.why);
          changed = moved = true;
        }
      }
      if (changed) addresses.save(address);
    }
    if (!moved) co_return;
  }
}

asio::awaitable<void> Region::Impl::settle(Ref ref) {
  const VirtualNetwork* network = networks.find(ref);
  if (!network) co_return;
  auto& slot = live_networks[network_id(*network)];
  if (!slot) slot = std::make_shared<LiveNetwork>(host.executor);
  const auto state = slot;
  const unsigned long mine = ++state->wanted;
  while (state->done < mine) {
    if (state->running) {
      co_await state->changed.wait(std::chrono::seconds(60));
      continue;
    }
    state->running = true;
    const unsigned long round = state->wanted;
    std::exception_ptr trouble;
    try {
      co_await settle_once(ref);
    } catch (...) {
      trouble = std::current_exception();
    }
    state->running = false;
    state->done = std::max(state->done, round);
    state->changed.notify();
    if (trouble) std::rethrow_exception(trouble);
  }
}

void Region::Impl::settle_soon(const Ref& ref) {
  asio::co_spawn(
      host.executor,
      [](Impl& self, Ref network) -> asio::awaitable<void> {
        try {
          co_await self.settle(network);
        } catch (const Error& error) {
          spdlog::error("could not settle network={}: {}", network.key(), error.what());
        }
      }(*this, ref),
      asio::detached);
}

void Region::Impl::settle_soon(const NetworkInterface& nic) {
  for (const IpConfiguration& configuration : nic.configurations) settle_soon(configuration.network);
}

/// Names resolve on this host while their address exists; the whole block is written anew each time.
void Region::Impl::write_hosts() {
  if (settings.hosts_file.empty()) return;
  std::map<std::string, std::string> names;
  for (const auto& [key, address] : addresses.rows())
    if (!address.fqdn.empty()) names[address.fqdn] = address.address;
  write_hosts_block(settings.hosts_file, hosts_owner, names);
}

/// 127.a.b.c: a and b from the region's folder, so that two regions of one host seldom meet; c counts.
std::string Region::Impl::free_address() {
  std::set<std::string> taken;
  for (const auto& [key, address] : addresses.rows()) taken.insert(address.address);
  const std::string hash = sha256(host.home.string());
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(hash[i]));
  };
  const std::uint32_t first = byte(0) % 200 + 20, second = byte(1);
  for (std::uint32_t block = 0; block < 256; ++block)
    for (std::uint32_t last = 1; last < 255; ++last) {
      const std::string address =
          format_ipv4(loopback_block | first << 16 | ((second + block) & 255) << 8 | last);
      if (!taken.contains(address)) return address;
    }
  throw Error(ErrorKind::unavailable, "PublicIPCountLimitReached",
              "All 65,024 public addresses of this region are taken.",
              "Delete resource groups that are no longer needed.");
}

std::string Region::Impl::free_private_address(const VirtualNetwork& network, const Subnet& subnet,
                                               const Ref& for_nic) const {
  std::uint32_t base = 0;
  unsigned bits = 0;
  parse_cidr(subnet.prefix, base, bits);
  std::set<std::string> taken;
  for (const auto& [key, nic] : interfaces.rows())
    if (!(nic.ref() == for_nic))
      for (const IpConfiguration& configuration : nic.configurations)
        if (configuration.network == network.ref()) taken.insert(configuration.private_address);
  const std::uint32_t end = base + (bits >= 31 ? 0 : (std::uint32_t{1} << (32 - bits)) - 1);
  // As in Azure the first four addresses are the network's own. The switch's own aliases sit near its top.
  for (std::uint32_t address = base + 4; address < end; ++address)
    if (std::string text = format_ipv4(address); !taken.contains(text)) return text;
  throw Error(ErrorKind::conflict, "SubnetIsFull",
              fmt::format("Subnet '{}' with {} has no free address.", subnet.name, subnet.prefix),
              "Use a larger subnet.");
}

Put<VirtualNetwork> Region::put_virtual_network(VirtualNetwork wanted) {
  get_group(wanted.group);
  const VirtualNetwork* before = impl_->networks.find(wanted.ref());
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
  for (const Subnet& subnet : wanted.subnets) {
    const bool inside = parse_cidr(subnet.prefix, inner, inner_bits) &&
                        std::ranges::any_of(wanted.prefixes, [&](const std::string& prefix) {
                          parse_cidr(prefix, network, bits);
                          return inner_bits >= bits && (bits == 0 || ((inner ^ network) >> (32 - bits)) == 0);
                        });
    if (!inside)
      throw Error(ErrorKind::invalid, "NetcfgInvalidSubnet",
                  fmt::format("Subnet '{}' with '{}' is not inside virtual network '{}'.", subnet.name,
                              subnet.prefix, wanted.name));
    if (!subnet.security_group.empty() && !impl_->security_groups.find(subnet.security_group))
      throw resource_not_found("Microsoft.Network/networkSecurityGroups", subnet.security_group);
  }
  for (const auto& [key, nic] : impl_->interfaces.rows())
    for (const IpConfiguration& configuration : nic.configurations)
      if (configuration.network == wanted.ref() && std::ranges::none_of(wanted.subnets, [&](const Subnet& s) {
            return same_name(s.name, configuration.subnet);
          }))
        throw Error(ErrorKind::conflict, "InUseSubnetCannotBeDeleted",
                    fmt::format("Subnet '{}' is used by interface '{}'.", configuration.subnet, nic.name));
  stamp(wanted, before);
  const bool created = !before;
  VirtualNetwork& kept = impl_->networks.put(std::move(wanted));
  if (!created) impl_->settle_soon(kept.ref());
  return {kept, created};
}

Put<SecurityGroup> Region::put_security_group(SecurityGroup wanted) {
  get_group(wanted.group);
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
  const SecurityGroup* before = impl_->security_groups.find(wanted.ref());
  stamp(wanted, before);
  const bool created = !before;
  SecurityGroup& kept = impl_->security_groups.put(std::move(wanted));
  if (!created) {
    for (const auto& [key, nic] : impl_->interfaces.rows())
      if (nic.security_group == kept.ref() && !nic.vm.empty()) impl_->settle_soon(nic);
    for (const auto& [key, network] : impl_->networks.rows())
      if (std::ranges::any_of(network.subnets,
                              [&](const Subnet& s) { return s.security_group == kept.ref(); }))
        impl_->settle_soon(network.ref());
  }
  return {kept, created};
}

Put<PublicAddress> Region::put_public_address(PublicAddress wanted) {
  get_group(wanted.group);
  const PublicAddress* before = impl_->addresses.find(wanted.ref());
  if (!wanted.label.empty()) {
    wanted.label = lower(wanted.label);
    if (!is_dns_label(wanted.label))
      throw Error(ErrorKind::invalid, "InvalidDomainNameLabel",
                  fmt::format("The domain name label '{}' is not one.", wanted.label),
                  "Use lower case letters, digits and hyphens; begin with a letter.");
    for (const auto& [key, address] : impl_->addresses.rows())
      if (address.label == wanted.label && !(address.ref() == wanted.ref()))
        throw Error(ErrorKind::conflict, "DnsRecordInUse",
                    fmt::format("DNS record {}.{} is already used by another public IP.", wanted.label,
                                impl_->settings.dns_suffix),
                    "Choose another name.");
    wanted.fqdn = wanted.label + "." + impl_->settings.dns_suffix;
  }
  stamp(wanted, before);
  wanted.address = before ? before->address : impl_->free_address();
  wanted.ports = before ? before->ports : std::vector<PublicAddress::Port>{};
  const bool created = !before;
  const std::optional<PublicAddress> old = before ? std::optional(*before) : std::nullopt;
  PublicAddress& kept = impl_->addresses.put(std::move(wanted));
  if (!old || old->fqdn != kept.fqdn) {
    try {
      impl_->write_hosts();
    } catch (...) {
      const Ref ref = kept.ref();
      old ? void(impl_->addresses.put(*old)) : impl_->addresses.erase(ref);
      throw;
    }
  }
  return {kept, created};
}

Put<NetworkInterface> Region::put_interface(NetworkInterface wanted) {
  get_group(wanted.group);
  const NetworkInterface* before = impl_->interfaces.find(wanted.ref());
  if (wanted.configurations.empty())
    throw Error(ErrorKind::invalid, "NetworkInterfaceMustHaveIpConfiguration",
                fmt::format("Network interface '{}' has no IP configuration.", wanted.name));
  if (!wanted.security_group.empty() && !impl_->security_groups.find(wanted.security_group))
    throw resource_not_found("Microsoft.Network/networkSecurityGroups", wanted.security_group);
  bool any_primary = false;
  for (IpConfiguration& configuration : wanted.configurations) {
    const VirtualNetwork* network = impl_->networks.find(configuration.network);
    if (!network) throw resource_not_found("Microsoft.Network/virtualNetworks", configuration.network);
    const auto subnet = std::ranges::find_if(
        network->subnets, [&](const Subnet& s) { return same_name(s.name, configuration.subnet); });
    if (subnet == network->subnets.end())
      throw Error(
          ErrorKind::not_found, "InvalidResourceReference",
          fmt::format("Virtual network '{}' has no subnet '{}'.", network->name, configuration.subnet));
    if (!configuration.public_address.empty()) {
      if (!impl_->addresses.find(configuration.public_address))
        throw resource_not_found("Microsoft.Network/publicIPAddresses", configuration.public_address);
      const bool had_it = before && std::ranges::any_of(before->configurations, [&](const IpConfiguration& c) {
                            return c.public_address == configuration.public_address;
                          });
      for (const auto& [key, other] : impl_->interfaces.rows())
        if (!(other.ref() == wanted.ref()) && !had_it && !wanted.endpoints_only &&
            (wanted.endpoints.empty() || other.endpoints.empty()))
          for (const IpConfiguration& theirs : other.configurations)
            if (theirs.public_address == configuration.public_address)
              throw Error(ErrorKind::conflict, "PublicIPAddressInUse",
                          fmt::format("Public address '{}' is used by interface '{}'.",
                                      configuration.public_address.name, other.name));
    }
    // A dynamic address stays what it is as long as the interface stays in its subnet.
    if (before && !same_name(configuration.allocation, "Static"))
      for (const IpConfiguration& old : before->configurations)
        if (same_name(old.name, configuration.name) && old.network == configuration.network &&
            same_name(old.subnet, configuration.subnet))
          configuration.private_address = old.private_address;
    if (configuration.private_address.empty()) {
      configuration.private_address = impl_->free_private_address(*network, *subnet, wanted.ref());
    } else {
      std::uint32_t address = 0, base = 0;
      unsigned bits = 0;
      parse_cidr(subnet->prefix, base, bits);
      if (!parse_ipv4(configuration.private_address, address) || (address ^ base) >> (32 - bits) != 0 ||
          address - base < 4)
        throw Error(ErrorKind::invalid, "PrivateIPAddressNotInSubnet",
                    fmt::format("The private address '{}' cannot be used in subnet '{}' with {}.",
                                configuration.private_address, subnet->name, subnet->prefix));
      for (const auto& [key, other] : impl_->interfaces.rows())
        for (const IpConfiguration& theirs : other.configurations)
          if (!(other.ref() == wanted.ref()) && theirs.network == configuration.network &&
              theirs.private_address == configuration.private_address)
            throw Error(ErrorKind::conflict, "PrivateIPAddressInUse",
                        fmt::format("The private address {} is used by interface '{}'.",
                                    theirs.private_address, other.name));
    }
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
  NetworkInterface& kept = impl_->interfaces.put(std::move(wanted));
  if (!created && !kept.vm.empty()) impl_->settle_soon(kept);
  return {kept, created};
}

void Region::delete_virtual_network(const Ref& ref) {
  const VirtualNetwork* network = impl_->networks.find(ref);
  if (!network) return;
  for (const auto& [key, nic] : impl_->interfaces.rows())
    if (impl_->uses_network(nic, ref)) throw in_use("VirtualNetwork", ref, "interface '" + nic.name + "'");
  const std::string id = impl_->network_id(*network);
  impl_->networks.erase(ref);
  asio::co_spawn(impl_->host.executor, impl_->host.networks.remove(id), [id](std::exception_ptr trouble) {
    if (trouble) spdlog::error("could not remove network={}", id);
  });
}

void Region::delete_security_group(const Ref& ref) {
  for (const auto& [key, nic] : impl_->interfaces.rows())
    if (nic.security_group == ref) throw in_use("NetworkSecurityGroup", ref, "interface '" + nic.name + "'");
  for (const auto& [key, network] : impl_->networks.rows())
    for (const Subnet& subnet : network.subnets)
      if (subnet.security_group == ref)
        throw in_use("NetworkSecurityGroup", ref, "subnet '" + subnet.name + "'");
  if (impl_->security_groups.find(ref)) impl_->security_groups.erase(ref);
}

void Region::delete_public_address(const Ref& ref) {
  for (const auto& [key, nic] : impl_->interfaces.rows())
    for (const IpConfiguration& configuration : nic.configurations)
      if (configuration.public_address == ref)
        throw in_use("PublicIPAddress", ref, "interface '" + nic.name + "'");
  if (!impl_->addresses.find(ref)) return;
  impl_->addresses.erase(ref);
  try {
    impl_->write_hosts();
  } catch (const Error& error) {
    spdlog::warn("could not write the hosts file: {}", error.what());
  }
}

void Region::delete_interface(const Ref& ref) {
  const NetworkInterface* nic = impl_->interfaces.find(ref);
  if (!nic) return;
  if (!nic->vm.empty() && impl_->vms.find(nic->vm))
    throw Error(ErrorKind::conflict, "NicInUse",
                fmt::format("Network interface '{}' is used by VM '{}'.", ref.name, nic->vm.name),
                "Delete the VM first.");
  impl_->interfaces.erase(ref);
}

std::vector<const VirtualNetwork*> Region::virtual_networks(const std::string& group) const {
  return impl_->networks.list(group);
}
std::vector<const SecurityGroup*> Region::security_groups(const std::string& group) const {
  return impl_->security_groups.list(group);
}
std::vector<const PublicAddress*> Region::public_addresses(const std::string& group) const {
  return impl_->addresses.list(group);
}
std::vector<const NetworkInterface*> Region::interfaces(const std::string& group) const {
  return impl_->interfaces.list(group);
}
const VirtualNetwork* Region::find_virtual_network(const Ref& ref) const {
  return impl_->networks.find(ref);
}
const SecurityGroup* Region::find_security_group(const Ref& ref) const {
  return impl_->security_groups.find(ref);
}
const PublicAddress* Region::find_public_address(const Ref& ref) const {
  return impl_->addresses.find(ref);
}
const NetworkInterface* Region::find_interface(const Ref& ref) const {
  return impl_->interfaces.find(ref);
}

bool Region::is_label_free(const std::string& label) const {
  return std::ranges::none_of(impl_->addresses.rows(),
                              [&](const auto& row) { return same_name(row.second.label, label); });
}

asio::awaitable<void> Region::settle_ports(Ref ref) {
  const Vm* vm = impl_->vms.find(ref);
  if (!vm) co_return;
  std::vector<Ref> networks;
  for (const Ref& nic : vm->interfaces)
    if (const NetworkInterface* found = impl_->interfaces.find(nic))
      for (const IpConfiguration& configuration : found->configurations)
        networks.push_back(configuration.network);
  for (const Ref& network : networks) co_await impl_->settle(network);
}

}  // namespace berth
