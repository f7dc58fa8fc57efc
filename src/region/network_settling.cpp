#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>

#include "model/docker_extension.h"
#include "region/guest_sockets.h"
#include "region/impl.h"
#include "region/port_rules.h"

// Making the switches and the ports of this host agree with networks, interfaces and security rules.
namespace berth {
namespace {

constexpr int most_moves_of_a_port = 5;

std::string twelve_digits(std::string_view uuid) {
  std::string digits;
  for (const char c : uuid)
    if (c != '-' && digits.size() < 12) digits += c;
  return digits;
}

bool is_on(const Vm& vm) {
  return vm.power == PowerState::starting || vm.power == PowerState::running ||
         vm.power == PowerState::stopping;
}

/// The ports that a VM's extensions serve.
std::vector<std::uint16_t> served_ports(const Vm& vm) {
  std::vector<std::uint16_t> ports;
  for (const Extension& extension : vm.extensions)
    if (const auto port = docker_port(extension.settings)) ports.push_back(*port);
  return ports;
}

/// The rules that hold: nullptr when none were wanted; when they are wanted and missing, those of a group
/// that lets nobody in.
const SecurityGroup* group_in_force(const Table<SecurityGroup>& groups, const Ref& ref) {
  static const SecurityGroup closed;
  if (ref.empty()) return nullptr;
  const SecurityGroup* found = groups.find(ref);
  return found ? found : &closed;
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

SwitchConfig Region::Impl::switch_config(const VirtualNetwork& network, AddressPorts& ports) const {
  SwitchConfig config;
  config.subnet = network.prefixes.front();
  config.egress = settings.egress;
  const auto folder = host.networks.folder(network_id(network));
  for (const NetworkInterface* attached : interfaces.with(term("network", network.ref()))) {
    const NetworkInterface& nic = *attached;
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
    const SecurityGroup* of_interface = group_in_force(security_groups, nic.security_group);
    for (const IpConfiguration& configuration : nic.configurations) {
      if (configuration.primary || port.address.empty()) port.address = configuration.private_address;
      const PublicAddress* address = addresses.find(configuration.public_address);
      if (!address) continue;
      std::vector<PublicAddress::Port>& own = ports[address->ref().key()];
      const auto subnet = std::ranges::find_if(
          network.subnets, [&](const Subnet& s) { return same_name(s.name, configuration.subnet); });
      const SecurityGroup* of_subnet =
          subnet == network.subnets.end() ? nullptr : group_in_force(security_groups, subnet->security_group);
      for (const OpenPort& open : open_ports(nic, of_interface, of_subnet, served_ports(*vm))) {
        const auto is_it = [&](const PublicAddress::Port& p) {
          return p.protocol == open.protocol && p.port == open.public_port;
        };
        auto known = std::ranges::find_if(own, is_it);
        if (known == own.end()) {
          const auto before = std::ranges::find_if(address->ports, is_it);
          own.push_back(before != address->ports.end() ? *before
                                                       : PublicAddress::Port{.protocol = open.protocol,
                                                                             .port = open.public_port,
                                                                             .host_port = open.public_port,
                                                                             .guest_port = open.guest_port,
                                                                             .moved_because = {}});
          known = std::prev(own.end());
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

bool Region::Impl::move_refused(const SwitchReport& report, AddressPorts& ports) const {
  bool moved = false;
  for (const SwitchReport::Refused& refused : report.refused) {
    const std::string protocol = refused.forward.protocol == Forward::Protocol::udp ? "udp" : "tcp";
    for (auto& [key, own] : ports) {
      const PublicAddress* address = addresses.find(key);
      if (!address || address->address != refused.forward.host_address) continue;
      for (PublicAddress::Port& port : own) {
        if (port.protocol != protocol || port.host_port != refused.forward.host_port) continue;
        port.host_port = next_host_port(port.port, port.host_port);
        port.moved_because = refused.why;
        spdlog::warn("moved port={} to={} address={} why=\"{}\"", port.port, port.host_port, address->address,
                     refused.why);
        moved = true;
      }
    }
  }
  return moved;
}

void Region::Impl::keep_ports(AddressPorts ports) {
  insist_soon([this, ports = std::move(ports)] {
    for (const auto& [key, own] : ports)
      if (const PublicAddress* address = addresses.find(key); address && !(address->ports == own))
        addresses.edit(key).ports = own;
  });
}

asio::awaitable<void> Region::Impl::settle_once(Ref ref) {
  for (int round = 0; round < 8; ++round) {
    const VirtualNetwork* network = networks.find(ref);
    if (!network) co_return;
    const std::string id = network_id(*network);
    AddressPorts ports;
    SwitchConfig config = switch_config(*network, ports);
    if (config.ports.empty()) {
      if (live_networks[id]->done > 0) co_await host.networks.remove(id);
      co_return;
    }
    const SwitchReport report = co_await host.networks.apply(id, std::move(config));
    const bool moved = move_refused(report, ports);
    keep_ports(std::move(ports));
    if (!moved) co_return;
  }
}

bool Region::Impl::return_ports(const Vm& vm) {
  std::set<std::string> moved;  // keys of addresses
  for (const Ref& ref : vm.interfaces)
    if (const NetworkInterface* nic = interfaces.find(ref))
      for (const IpConfiguration& configuration : nic->configurations)
        if (const PublicAddress* address = addresses.find(configuration.public_address);
            address && std::ranges::any_of(address->ports, [](const PublicAddress::Port& port) {
              return port.host_port != port.port;
            }))
          moved.insert(address->ref().key());
  if (moved.empty()) return false;
  insist_soon([this, moved] {
    for (const std::string& key : moved) {
      if (!addresses.find(key)) continue;
      for (PublicAddress::Port& port : addresses.edit(key).ports) {
        port.host_port = port.port;
        port.moved_because.clear();
      }
    }
  });
  return true;
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

asio::awaitable<void> Region::Impl::settle_or_log(Ref network) {
  try {
    co_await settle(network);
  } catch (const std::exception& error) {
    spdlog::error("could not settle network={}: {}", network.key(), error.what());
  }
}

void Region::Impl::settle_soon(const Ref& ref) {
  asio::co_spawn(host.executor, settle_or_log(ref), asio::detached);
}

void Region::Impl::settle_after(const NetworkInterface& nic) {
  for (const IpConfiguration& configuration : nic.configurations)
    records.after([this, network = configuration.network] { settle_soon(network); });
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
