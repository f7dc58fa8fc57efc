#include "network/virtual_switch.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "host/files.h"
#include "network/acceptor.h"
#include "network/forwards.h"
#include "network/machine_link.h"
#include "network/nat.h"
#include "network/reassembly.h"
#include "network/switch_config.h"
#include "network/unix_socket.h"

namespace berth::network {
namespace {

// Endpoint connections wait in a queue of this process that must never fill up, since libslirp blocks on it
// and we are the ones to empty it: we do so after as many frames as could have made that many connections.
constexpr int endpoint_backlog = 128;
constexpr unsigned most_waiting_at_doors = 64;
// A connection costs libslirp up to 256 KiB, so all that machines open up to 512 MiB. Each machine has its
// share of them, whatever the others do.
constexpr std::size_t most_connections = 2048, least_share = 64;

constexpr std::chrono::milliseconds knock_pause{1000}, look_pause{500};
constexpr std::string_view knock_words = "POST /wake HTTP/1.0\r\nContent-Length: 0\r\n\r\n";

/// Each machine's connections are descriptors of this process: as many as the system lets us have.
std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 65'536);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

bool same_machine(const SwitchPort& a, const SwitchPort& b) {
  return a.mac == b.mac && a.address == b.address && a.host_name == b.host_name;
}

bool same_door(Forward a, const Forward& b) {
  a.sources = b.sources;
  return a == b;
}

DhcpLease lease_of(const SwitchPort& port, const Subnet& subnet) {
  return {*parse_mac(port.mac), *parse_ipv4(port.address), port.host_name, subnet};
}

/// Our side of a guest endpoint: accepts what libslirp connects and carries it to who serves it.
struct EndpointDoor {
  Acceptor socket;
  std::filesystem::path inner, target;

  void poll(const PollSet& set, Relays& relays, Relays::Time now) {
    if (socket.ready(set)) accept(relays, now);
  }
  void accept(Relays& relays, Relays::Time now) {
    while (Fd client = socket.accept(now)) relays.add(std::move(client), target, now);
  }
};

}  // namespace

struct VirtualSwitch::Port {
  Port(VirtualSwitch& owner, const SwitchPort& wanted)
      : config(wanted),
        member{lease_of(wanted, owner.gateway_.subnet()), {}},
        link(wanted.machine_socket),
        nat(member.lease,
            [this, &owner](std::span<std::uint8_t> frame) {
              owner.from_nat(*this, frame, std::chrono::steady_clock::now());
            }),
        forwards(nat, member.lease, (owner.folder_ / wanted.id).string()),
        relays(owner.most_sockets_) {
    for (const Endpoint endpoint : endpoints) {
      EndpointDoor& door = doors[static_cast<int>(endpoint)];
      door.inner = owner.folder_ / fmt::format("{}-{}", wanted.id, static_cast<int>(endpoint));
      door.socket = Acceptor(listen_unix(door.inner, endpoint_backlog));
      nat.serve(endpoint, door.inner);
    }
  }
  ~Port() {
    for (const EndpointDoor& door : doors) {
      std::error_code ignored;
      std::filesystem::remove(door.inner, ignored);
    }
  }

  /// What may change while the machine runs.
  void update(const SwitchPort& wanted) {
    const std::filesystem::path* targets[] = {&wanted.wire_server, &wanted.host_plugin, &wanted.metadata};
    for (const Endpoint endpoint : endpoints) {
      const auto i = static_cast<std::size_t>(endpoint);
      doors[i].target = *targets[i];
      member.serves[i] = !targets[i]->empty();
    }
    if (wanted.machine_socket != link.path()) link = MachineLink(wanted.machine_socket);
    const bool wakes = asleep() && wanted.wake.empty();
    config = wanted;
    if (asleep()) forwards.sleep();
    open_forwards();
    if (!wakes) return;
    link.expect();
    forwards.wake(std::chrono::steady_clock::now());
  }

  bool asleep() const { return !config.wake.empty(); }
  /// Says that somebody wants the machine, which sleeps. Who hears it knows, or is asked again.
  void knock(Time now) {
    if (now < next_knock) return;
    next_knock = now + knock_pause;
    const Fd door = connect_unix(config.wake);
    if (door) ::send(door.get(), knock_words.data(), knock_words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  /// Opens those that are not open yet. A refusal is told once.
  void open_forwards() {
    auto now_refused = forwards.set(config.forwards);
    for (const auto& [forward, why] : now_refused)
      if (std::ranges::find(refused, Forwards::Refused{forward, why}) == refused.end())
        spdlog::warn("refused forward address={} port={} why=\"{}\"", forward.host_address, forward.host_port,
                     why);
    refused = std::move(now_refused);
  }

  SwitchPort config;
  Member member;
  MachineLink link;
  Reassembler pieces, pieces_from_nat;
  Nat nat;
  EndpointDoor doors[std::size(endpoints)];
  Forwards forwards;
  Relays relays;
  std::vector<Forwards::Refused> refused;
  unsigned frames_to_doors = 0;
  Time next_knock{}, next_look{};
  bool looks = false;  ///< in this round
  struct {
    std::uint64_t received = 0, sent = 0, refused = 0, overflowed = 0;
  } count;
};

VirtualSwitch::VirtualSwitch(std::filesystem::path folder, std::size_t most_sockets)
    : folder_(std::move(folder)),
      gateway_(Subnet{}),
      all_sockets_(raise_descriptor_limit() / 8),
      most_sockets_(std::min(most_sockets, all_sockets_)) {
  std::filesystem::remove_all(folder_);  // sockets of a switch that was killed
  make_folder(folder_);
}

VirtualSwitch::~VirtualSwitch() = default;

void VirtualSwitch::apply(const SwitchConfig& wanted) {
  check(wanted);
  const Subnet subnet = subnet_of(wanted);
  if (!(subnet.block == gateway_.subnet().block)) {
    ports_.clear();
    gateway_ = Gateway(subnet, wanted.egress);
  } else if (wanted.egress != config_.egress) {
    gateway_.set_egress(wanted.egress);
  }
  gateway_.egress().set_host(host_networks_.now());
  resolver_.set_names(gateway_.egress().names());

  // Ports that go free their forwarded ports before others take them.
  std::erase_if(ports_, [&](const auto& port) {
    const auto same = std::ranges::find(wanted.ports, port->config.id, &SwitchPort::id);
    return same == wanted.ports.end() || !same_machine(*same, port->config);
  });
  for (const auto& port : ports_) {
    const auto same = std::ranges::find(wanted.ports, port->config.id, &SwitchPort::id);
    std::vector<Forward> staying;  // with other sources, perhaps
    for (const Forward& forward : same->forwards)
      if (std::ranges::any_of(port->config.forwards,
                              [&](const Forward& open) { return same_door(open, forward); }))
        staying.push_back(forward);
    port->forwards.set(staying);
  }
  HostNames names(subnet.block);
  for (const SwitchPort& want : wanted.ports) {
    auto port = std::ranges::find(ports_, want.id, [](const auto& p) { return p->config.id; });
    if (port == ports_.end()) port = ports_.insert(ports_.end(), std::make_unique<Port>(*this, want));
    (*port)->update(want);
    names.add(want.host_name, (*port)->member.lease.address);
  }
  const std::size_t share = share_of_each();
  for (const auto& port : ports_) {
    port->nat.set_limits({.connections = share, .half_open = (share + 1) / 2, .datagrams = (share + 1) / 2});
    port->relays.set_most(share);
  }
  gateway_.set_names(std::move(names));
  config_ = wanted;
  spdlog::info("applied ports={} subnet={}", ports_.size(), wanted.subnet);
}

std::size_t VirtualSwitch::share_of_each() const {
  if (ports_.empty()) return most_sockets_;
  return std::min(most_sockets_,
                  std::max(std::min(most_connections, all_sockets_) / ports_.size(), least_share));
}

void VirtualSwitch::retry() {
  for (const auto& port : ports_)
    if (!port->refused.empty()) port->open_forwards();
}

SwitchReport VirtualSwitch::report() const {
  SwitchReport report;
  for (const auto& port : ports_) {
    report.connected[port->config.id] = port->link.connected();
    for (const auto& refused : port->refused)
      report.refused.push_back({port->config.id, refused.forward, refused.why});
  }
  return report;
}

nlohmann::json VirtualSwitch::counters() const {
  nlohmann::json all = nlohmann::json::object();
  for (const auto& port : ports_)
    all[port->config.id] = {{"received", port->count.received},
                            {"sent", port->count.sent},
                            {"refused", port->count.refused},
                            {"overflowed", port->count.overflowed},
                            {"natSockets", port->nat.guard().connections() + port->nat.guard().datagrams()},
                            {"halfOpen", port->nat.guard().half_open()},
                            {"relays", port->relays.size()},
                            {"asleep", port->asleep()},
                            {"openPorts", port->forwards.open_ports()}};
  return all;
}

void VirtualSwitch::fill(PollSet& set) {
  const Time now = std::chrono::steady_clock::now();
  resolver_.fill(set);
  host_networks_.fill(set);
  for (const auto& port : ports_) {
    if (port->asleep()) {
      fill_asleep(*port, set, now);
      continue;
    }
    port->link.fill(set, now);
    port->nat.fill(set, !port->link.congested(), now);
    for (EndpointDoor& door : port->doors) door.socket.fill(set, now);
    port->forwards.fill(set, port->relays, now);
    port->relays.fill(set, now);
  }
}

void VirtualSwitch::poll(const PollSet& set) {
  const Time now = std::chrono::steady_clock::now();
  if (host_networks_.poll(set)) gateway_.egress().set_host(host_networks_.now());
  for (const auto& found : resolver_.take()) gateway_.egress().learn(found.name, found.addresses, now);
  for (const auto& port : ports_) {
    if (port->asleep()) {
      poll_asleep(*port, set, now);
      continue;
    }
    port->link.poll(set, [&](std::span<std::uint8_t> frame) { take(*port, frame, now); });
    port->nat.poll(set, now);
    port->forwards.poll(set, port->link, port->relays, now);
    port->relays.poll(set, now);
    for (EndpointDoor& door : port->doors) door.poll(set, port->relays, now);
  }
  for (const auto& port : ports_) port->link.flush();
}

/// Its NAT and its connections stand still with the machine.
void VirtualSwitch::fill_asleep(Port& port, PollSet& set, Time now) {
  if (port.link.connected()) port.link.fill(set, now);  // until it is gone
  port.looks = now >= port.next_look;
  port.forwards.fill_asleep(set, port.relays, now, port.looks);
  if (port.looks) port.relays.watch(set);
  for (const Time next : {port.next_look, port.next_knock})
    if (next > now)
      set.wake_within(static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(next - now).count()));
}

void VirtualSwitch::poll_asleep(Port& port, const PollSet& set, Time now) {
  port.link.poll(set, [&](std::span<std::uint8_t> frame) { take(port, frame, now); });  // its last words
  const bool waited_for = port.forwards.poll_asleep(set, now);
  const bool called = port.looks && port.relays.called(set);
  if (port.looks) port.next_look = now + look_pause;
  if (waited_for || called) port.knock(now);
}

void VirtualSwitch::take(Port& port, std::span<std::uint8_t> frame, Time now) {
  ++port.count.received;
  std::optional<Bytes> whole;
  if (const auto piece = gateway_.piece_for_gateway(port.member, frame)) {
    whole = port.pieces.add(frame, *piece, now);
    if (!whole) return;
    frame = *whole;
  }
  const Gateway::Decision decision = gateway_.from_machine(port.member, frame, now);
  if (!decision.answer.empty()) give_whole(port, decision.answer);
  switch (decision.path) {
    case Gateway::Path::nowhere:
      if (decision.answer.empty()) ++port.count.refused;
      break;
    case Gateway::Path::machine:
      if (Port* to = find(destination_mac(frame)); to && to != &port) pass(*to, frame, now);
      break;
    case Gateway::Path::machines:
      for (const auto& other : ports_)
        if (other.get() != &port) pass(*other, frame, now);
      break;
    case Gateway::Path::nat:
      into_nat(port, frame, now);
      break;
    case Gateway::Path::forwarded_udp:
      if (const auto packet = parse_ipv4_packet(frame)) port.forwards.answer_udp(*packet, now);
      break;
  }
}

/// From a neighbour, who speaks again to one that sleeps: it is woken by what is for it alone.
void VirtualSwitch::pass(Port& to, std::span<std::uint8_t> frame, Time now) {
  if (!to.asleep()) return give(to, frame);
  if (!is_group(destination_mac(frame)) || arp_target(frame) == to.member.lease.address) to.knock(now);
}

void VirtualSwitch::into_nat(Port& port, std::span<std::uint8_t> frame, Time now) {
  const auto packet = parse_ipv4_packet(frame);
  if (!packet) return;
  if (packet->destination == gateway_.subnet().gateway() &&
      port.forwards.take_answer(*packet, port.link, now))
    return;
  const bool to_endpoint = packet->destination == gateway_.subnet().hidden();
  if (to_endpoint && ++port.frames_to_doors >= most_waiting_at_doors) {
    for (EndpointDoor& door : port.doors) door.accept(port.relays, now);
    port.frames_to_doors = 0;
  }
  if (!port.nat.input(frame, now)) ++port.count.overflowed;
}

/// A frame that libslirp made.
void VirtualSwitch::from_nat(Port& port, std::span<std::uint8_t> frame, Time now) {
  const auto packet = parse_ipv4_packet(frame);
  if (!packet) return;
  if (!packet->fragment || packet->destination != gateway_.subnet().hidden()) {
    if (gateway_.from_nat(port.member, frame, now)) give(port, frame);
    return;
  }
  // A long answer of the name server, for the face of it that is rewritten.
  auto whole = port.pieces_from_nat.add(frame, *packet, now);
  if (whole && gateway_.from_nat(port.member, *whole, now)) give_whole(port, *whole);
}

void VirtualSwitch::give_whole(Port& port, std::span<const std::uint8_t> frame) {
  if (frame.size() <= ethernet_header + mtu) return give(port, frame);
  for (const Bytes& part : fragments_of(frame)) give(port, part);
}

void VirtualSwitch::give(Port& port, std::span<const std::uint8_t> frame) {
  ++(port.link.send(frame) ? port.count.sent : port.count.overflowed);
}

VirtualSwitch::Port* VirtualSwitch::find(const Mac& mac) const {
  const auto found = std::ranges::find(ports_, mac, [](const auto& port) { return port->member.lease.mac; });
  return found == ports_.end() ? nullptr : found->get();
}

}  // namespace berth::network
