#include "region/switches.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>

#include "crypto/encoding.h"
#include "model/docker_extension.h"
#include "region/guest_sockets.h"
#include "region/operations.h"
#include "region/port_rules.h"
#include "region/region_records.h"
#include "region/signal.h"

namespace berth {

namespace asio = boost::asio;

/// One virtual network's switch: settling is one at a time, later wishes are met by one more round.
struct Switches::Live {
  explicit Live(asio::any_io_executor executor) : changed(std::move(executor)) {}
  unsigned long wanted = 0, done = 0;
  bool running = false;
  Signal changed;
};

namespace {

constexpr int most_moves_of_a_port = 5;

std::string twelve_digits(std::string_view uuid) {
  std::string digits;
  for (const char c : uuid)
    if (c != '-' && digits.size() < 12) digits += c;
  return digits;
}

/// What its switch is known by.
std::string network_id(const VirtualNetwork& network) {
  return twelve_digits(network.guid);
}

bool is_on(const Vm& vm) {
  return vm.power == PowerState::starting || vm.power == PowerState::running ||
         vm.power == PowerState::stopping || is_asleep(vm.power);
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

std::string whole_block(const VirtualNetwork& network) {
  std::uint32_t first = 0, other = 0;
  unsigned bits = 0, other_bits = 0;
  if (network.prefixes.empty() || !parse_cidr(network.prefixes.front(), first, bits)) return {};
  for (const std::string& prefix : network.prefixes) {
    if (!parse_cidr(prefix, other, other_bits)) return {};
    bits = std::min(bits, other_bits);
    while (bits > 0 && (first ^ other) >> (32 - bits) != 0) --bits;
  }
  if (bits < 8 || bits > 29) return {};
  return fmt::format("{}/{}", format_ipv4(first >> (32 - bits) << (32 - bits)), bits);
}

Switches::Switches(RegionRecords& records, Operations& operations, asio::any_io_executor executor,
                   VirtualNetworks& networks, const RegionSettings& settings)
    : records_(records),
      operations_(operations),
      executor_(std::move(executor)),
      networks_(networks),
      settings_(settings) {}

std::filesystem::path Switches::folder(const VirtualNetwork& network) const {
  return networks_.folder(network_id(network));
}

MachinePort Switches::port_of(const NetworkInterface& nic, const VirtualNetwork& network) const {
  MachinePort port{.id = twelve_digits(nic.guid), .mac = lower(nic.mac), .socket = {}};
  std::ranges::replace(port.mac, '-', ':');
  port.socket = folder(network) / (port.id + ".sock");
  return port;
}

asio::awaitable<void> Switches::remove(const VirtualNetwork& network) {
  return networks_.remove(network_id(network));
}

void Switches::remove_after(const VirtualNetwork& network) {
  records_.after([this, id = network_id(network)] {
    asio::co_spawn(executor_, networks_.remove(id), [id](std::exception_ptr failure) {
      if (failure) spdlog::error("could not remove network={}", id);
    });
  });
}

void Switches::forget_after(const VirtualNetwork& network) {
  records_.after([this, id = network_id(network)] { live_.erase(id); });
}

asio::awaitable<void> Switches::take_up(std::function<bool(const Vm&)> runs) {
  std::set<std::string> used;  // of networks that a machine runs in; others have no switch
  std::vector<Ref> with_moved_ports;
  for (const auto& [key, network] : records_.networks.rows()) {
    bool any = false, moved = false;
    for (const NetworkInterface* nic : records_.interfaces.with(term("network", network.ref()))) {
      const Vm* vm = records_.vms.find(nic->vm);
      if (!vm || !runs(*vm)) continue;
      any = true;
      moved = return_ports(*vm) || moved;
    }
    if (!any) continue;
    used.insert(network_id(network));
    if (moved)
      with_moved_ports.push_back(network.ref());
    else
      settle_soon(network.ref());
  }
  for (const Ref& network : with_moved_ports) co_await settle_or_log(network);  // who asks next is told where
  co_await networks_.keep(std::move(used));
}

SwitchConfig Switches::config_of(const VirtualNetwork& network, AddressPorts& ports) const {
  SwitchConfig config;
  config.subnet = whole_block(network);
  config.egress = settings_.egress;
  const auto folder = this->folder(network);
  for (const NetworkInterface* attached : records_.interfaces.with(term("network", network.ref()))) {
    const NetworkInterface& nic = *attached;
    const Vm* vm = records_.vms.find(nic.vm);
    if (!vm || !is_on(*vm)) continue;
    SwitchPort port;
    MachinePort machine = port_of(nic, network);
    port.id = std::move(machine.id);
    port.mac = std::move(machine.mac);
    port.machine_socket = std::move(machine.socket);
    port.host_name = vm->computer_name.substr(0, vm->computer_name.find('.'));
    const GuestSockets sockets = guest_sockets(folder, vm->id);
    port.wire_server = sockets.wire;
    port.host_plugin = sockets.plugin;
    port.metadata = sockets.metadata;
    if (is_asleep(vm->power)) port.wake = sockets.wake;
    const SecurityGroup* of_interface = group_in_force(records_.security_groups, nic.security_group);
    for (const IpConfiguration& configuration : nic.configurations) {
      if (configuration.primary || port.address.empty()) port.address = configuration.private_address;
      const PublicAddress* address = records_.addresses.find(configuration.public_address);
      if (!address) continue;
      std::vector<PublicAddress::Port>& own = ports[address->ref().key()];
      const auto subnet = std::ranges::find_if(
          network.subnets, [&](const Subnet& s) { return same_name(s.name, configuration.subnet); });
      const SecurityGroup* of_subnet = subnet == network.subnets.end()
                                           ? nullptr
                                           : group_in_force(records_.security_groups, subnet->security_group);
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

bool Switches::move_refused(const SwitchReport& report, AddressPorts& ports) const {
  bool moved = false;
  for (const SwitchReport::Refused& refused : report.refused) {
    const std::string protocol = refused.forward.protocol == Forward::Protocol::udp ? "udp" : "tcp";
    for (auto& [key, own] : ports) {
      const PublicAddress* address = records_.addresses.find(key);
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

void Switches::keep_ports(AddressPorts ports) {
  operations_.insist_soon([this, ports = std::move(ports)] {
    for (const auto& [key, own] : ports)
      if (const PublicAddress* address = records_.addresses.find(key); address && !(address->ports == own))
        records_.addresses.edit(key).ports = own;
  });
}

asio::awaitable<void> Switches::settle_once(Ref ref) {
  for (int round = 0; round < 8; ++round) {
    const VirtualNetwork* network = records_.networks.find(ref);
    if (!network) co_return;
    const std::string id = network_id(*network);
    AddressPorts ports;
    SwitchConfig config = config_of(*network, ports);
    if (config.ports.empty()) {
      if (live_[id]->done > 0) co_await networks_.remove(id);
      co_return;
    }
    const SwitchReport report = co_await networks_.apply(id, std::move(config));
    const bool moved = move_refused(report, ports);
    keep_ports(std::move(ports));
    if (!moved) co_return;
  }
}

bool Switches::return_ports(const Vm& vm) {
  std::set<std::string> moved;  // keys of addresses
  for (const Ref& ref : vm.interfaces)
    if (const NetworkInterface* nic = records_.interfaces.find(ref))
      for (const IpConfiguration& configuration : nic->configurations)
        if (const PublicAddress* address = records_.addresses.find(configuration.public_address);
            address && std::ranges::any_of(address->ports, [](const PublicAddress::Port& port) {
              return port.host_port != port.port;
            }))
          moved.insert(address->ref().key());
  if (moved.empty()) return false;
  operations_.insist_soon([this, moved] {
    for (const std::string& key : moved) {
      if (!records_.addresses.find(key)) continue;
      for (PublicAddress::Port& port : records_.addresses.edit(key).ports) {
        port.host_port = port.port;
        port.moved_because.clear();
      }
    }
  });
  return true;
}

asio::awaitable<void> Switches::settle(Ref ref) {
  const VirtualNetwork* network = records_.networks.find(ref);
  if (!network) co_return;
  auto& slot = live_[network_id(*network)];
  if (!slot) slot = std::make_shared<Live>(executor_);
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

asio::awaitable<void> Switches::settle_or_log(Ref network) {
  try {
    co_await settle(network);
  } catch (const std::exception& error) {
    spdlog::error("could not settle network={}: {}", network.key(), error.what());
  }
}

void Switches::settle_soon(const Ref& ref) {
  asio::co_spawn(executor_, settle_or_log(ref), asio::detached);
}

void Switches::settle_after(const NetworkInterface& nic) {
  for (const IpConfiguration& configuration : nic.configurations)
    records_.after([this, network = configuration.network] { settle_soon(network); });
}

asio::awaitable<void> Switches::settle_vm(Ref ref) {
  const Vm* vm = records_.vms.find(ref);
  if (!vm) co_return;
  std::vector<Ref> networks;
  for (const Ref& nic : vm->interfaces)
    if (const NetworkInterface* found = records_.interfaces.find(nic))
      for (const IpConfiguration& configuration : found->configurations)
        networks.push_back(configuration.network);
  for (const Ref& network : networks) co_await settle(network);
}

void Switches::tell_deaths() {
  for (const auto& [key, network] : records_.networks.rows()) {
    const auto deaths = networks_.deaths(network_id(network));
    const std::string news = deaths
                                 ? fmt::format(
                                       "The switch of its virtual network died {}, last at {} ({}), and was "
                                       "started again; connections "
                                       "through it were lost each time.",
                                       deaths->count == 1 ? "once" : fmt::format("{} times", deaths->count),
                                       deaths->at, deaths->why)
                                 : std::string();
    for (const NetworkInterface* nic : records_.interfaces.with(term("network", network.ref())))
      if (Vm* vm = records_.vms.unkept(nic->vm)) vm->network_news = news;
  }
}

asio::awaitable<void> Switches::heal() {
  try {
    co_await networks_.heal();
  } catch (const std::exception& error) {
    spdlog::warn("could not heal the networks: {}", error.what());
  }
  tell_deaths();
}

}  // namespace berth
