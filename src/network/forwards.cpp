#include "network/forwards.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/error.h"

namespace berth::network {
namespace {

constexpr int backlog = 128;
constexpr int most_per_round = 64;
constexpr std::chrono::minutes longest_hold{3};  // a wake takes seconds
constexpr std::size_t most_held = 256;           // of a machine; others wait in the system's queue
constexpr int reserved_descriptors = 128;
constexpr std::size_t most_talks = 1024;
constexpr std::chrono::minutes talk_limit{2};
constexpr std::uint16_t first_talk_port = 49'152;

sockaddr_in socket_address(Ipv4 address, std::uint16_t port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_addr.s_addr = htonl(address.bits);
  result.sin_port = htons(port);
  return result;
}

bool may_come(const std::vector<Cidr>& sources, Ipv4 from) {
  return sources.empty() || std::ranges::any_of(sources, [&](const Cidr& c) { return c.contains(from); });
}

/// libslirp must always have descriptors for the connections that we make to it: who waits for one that it
/// could not accept would wait for ever. A new descriptor is the lowest that is free.
bool nearly_last(const Fd& newest) {
  rlimit descriptors{};
  return ::getrlimit(RLIMIT_NOFILE, &descriptors) != 0 ||
         static_cast<rlim_t>(newest.get()) + reserved_descriptors >= descriptors.rlim_cur;
}

Fd open_port(const Forward& forward, int type) {
  const auto fail = [] { throw std::system_error(errno, std::generic_category()); };
  Fd socket(::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) fail();
  const int on = 1;
  if (type == SOCK_STREAM) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto address = socket_address(parse_ipv4(forward.host_address).value_or(Ipv4{}), forward.host_port);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail();
  return socket;
}

/// Listens at a bound TCP socket, or stops and keeps its port. A port that is kept and not listened at must
/// not be had by others who set SO_REUSEADDR; one that is must be had over what is left of old connections.
bool set_listening(int socket, bool listening) {
  const int reuse = listening ? 1 : 0;
  if (!listening && ::shutdown(socket, SHUT_RD) != 0) return false;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  return !listening || ::listen(socket, backlog) == 0;
}

std::string explain(const std::system_error& error) {
  switch (error.code().value()) {
    case EADDRINUSE:
      return "address in use";
    case EACCES:
    case EPERM:
      return "permission denied";
    case EADDRNOTAVAIL:
      return "address not available";
    default:
      return error.code().message();
  }
}

}  // namespace

std::vector<Cidr> parse_sources(const Forward& forward) {
  std::vector<Cidr> blocks;
  for (const std::string& source : forward.sources) {
    const auto block = parse_cidr(source);
    if (!block)
      throw Error(ErrorKind::invalid, "InvalidAddressPrefix",
                  fmt::format("'{}' is no IPv4 address block that may reach port {} of {}.", source,
                              forward.host_port, forward.host_address));
    blocks.push_back(*block);
  }
  return blocks;
}

TcpForward::TcpForward(const Forward& forward, Nat& nat, std::filesystem::path inner_socket)
    : nat_(nat),
      inner_socket_(std::move(inner_socket)),
      sources_(parse_sources(forward)),
      door_(open_port(forward, SOCK_STREAM)) {
  // Whether somebody else has the port shows only when one listens.
  const bool had = set_listening(door_.socket(), true) && set_listening(door_.socket(), false);
  if (!had || !nat_.listen(inner_socket_, forward.guest_port))
    throw std::system_error(errno, std::generic_category());
}

TcpForward::~TcpForward() {
  nat_.stop_listening(inner_socket_);
}

void TcpForward::open(bool open) {
  if (open != open_ && set_listening(door_.socket(), open)) open_ = open;
  if (open_) return;
  for (Held& held : held_) reset_connection(std::move(held.client));
  held_.clear();
}

Fd TcpForward::accept(Relays::Time now, bool& any) {
  sockaddr_in from{};
  socklen_t length = sizeof from;
  Fd client = door_.accept(now, reinterpret_cast<sockaddr*>(&from), &length);
  any = static_cast<bool>(client);
  if (!client) return {};
  if (!may_come(sources_, {ntohl(from.sin_addr.s_addr)}) || nearly_last(client)) {
    reset_connection(std::move(client));
    return {};
  }
  const int on = 1;
  ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(client.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(client.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // see set_listening
  return client;
}

void TcpForward::poll(const PollSet& set, Relays& relays, Relays::Time now) {
  // libslirp's own queue has room for two.
  for (int i = 0; i < 2 && !held_.empty() && !relays.full(); ++i) {
    relays.add(std::move(held_.front().client), inner_socket_, now);
    held_.pop_front();
  }
  bool any = door_.ready(set);
  for (int i = 0; any && i < most_per_round && !relays.full(); ++i)
    if (Fd client = accept(now, any)) relays.add(std::move(client), inner_socket_, now);
}

void TcpForward::hold(const PollSet& set, Relays::Time now) {
  bool any = door_.ready(set);
  for (int i = 0; any && i < most_per_round && held_.size() < most_held; ++i)
    if (Fd client = accept(now, any)) held_.push_back({std::move(client), now + longest_hold});
  while (!held_.empty() && held_.front().give_up < now) {
    reset_connection(std::move(held_.front().client));
    held_.pop_front();
  }
}

std::uint16_t UdpTalks::port_of(const Key& key, MachineLink::Time now) {
  if (const auto known = ports.find(key); known != ports.end()) {
    talks.at(known->second).last = now;
    return known->second;
  }
  if (talks.size() >= most_talks) {
    std::erase_if(talks, [&](const auto& entry) {
      const bool old = now - entry.second.last > talk_limit;
      if (old) ports.erase(entry.second.key);
      return old;
    });
    if (talks.size() >= most_talks) return 0;
  }
  do {
    next_port = static_cast<std::uint16_t>(next_port < first_talk_port ? first_talk_port : next_port + 1);
  } while (next_port == 0 || talks.contains(next_port));
  ports[key] = next_port;
  talks.insert_or_assign(next_port, Talk{key, now});
  return next_port;
}

void UdpTalks::forget(const UdpForward* forward) {
  std::erase_if(ports, [&](const auto& entry) { return entry.first.first == forward; });
  std::erase_if(talks, [&](const auto& entry) { return entry.second.key.first == forward; });
}

UdpForward::UdpForward(const Forward& forward, const DhcpLease& lease, UdpTalks& talks)
    : lease_(lease),
      talks_(talks),
      guest_port_(forward.guest_port),
      sources_(parse_sources(forward)),
      socket_(open_port(forward, SOCK_DGRAM)) {}

void UdpForward::poll(const PollSet& set, MachineLink& link, Time now) {
  if ((set.events(index_) & POLLIN) == 0) return;
  std::uint8_t data[65'536];
  for (int i = 0; i < most_per_round; ++i) {
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const ssize_t count =
        ::recvfrom(socket_.get(), data, sizeof data, 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (count < 0) return;
    const UdpTalks::Client client{{ntohl(from.sin_addr.s_addr)}, ntohs(from.sin_port)};
    const std::uint16_t port = may_come(sources_, client.address) ? talks_.port_of({this, client}, now) : 0;
    if (port == 0) continue;
    const End gateway{lease_.subnet.gateway_mac(), lease_.subnet.gateway(), port};
    const End machine{lease_.mac, lease_.address, guest_port_};
    for (const Bytes& frame :
         udp_frames(gateway, machine, {data, static_cast<std::size_t>(count)}, datagrams_++))
      link.send(frame);
  }
}

bool UdpForward::called(const PollSet& set) const {
  if ((set.events(index_) & POLLIN) == 0) return false;
  for (int i = 0; i < most_per_round; ++i) {
    char byte = 0;
    sockaddr_in from{};
    socklen_t length = sizeof from;
    if (::recvfrom(socket_.get(), &byte, 1, MSG_PEEK, reinterpret_cast<sockaddr*>(&from), &length) < 0)
      return false;
    if (may_come(sources_, {ntohl(from.sin_addr.s_addr)})) return true;
    ::recv(socket_.get(), &byte, 1, 0);
  }
  return false;
}

void UdpForward::answer(const UdpTalks::Client& client, const Ipv4Packet& packet) const {
  if (packet.source_port != guest_port_) return;
  const auto data = packet.udp_data();
  const auto to = socket_address(client.address, client.port);
  ::sendto(socket_.get(), data.data(), data.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to),
           sizeof to);
}

std::vector<Forwards::Refused> Forwards::set(const std::vector<Forward>& wanted) {
  std::map<Forward, std::vector<std::string>> sources;
  for (const Forward& forward : wanted) {
    Forward key = forward;
    key.sources.clear();
    sources[key] = forward.sources;
  }
  std::erase_if(tcp_, [&](const auto& open) { return !sources.contains(open.first); });
  std::erase_if(udp_, [&](const auto& open) { return !sources.contains(open.first); });

  std::vector<Refused> refused;
  for (const auto& [key, allowed] : sources) {
    Forward forward = key;
    forward.sources = allowed;
    try {
      if (key.protocol == Forward::Protocol::tcp) {
        const auto open = tcp_.find(key);
        if (open != tcp_.end())
          open->second.set_sources(parse_sources(forward));
        else
          tcp_.try_emplace(key, forward, nat_, fmt::format("{}.{}", inner_, opened_++));
      } else {
        const auto open = udp_.find(key);
        if (open != udp_.end())
          open->second.set_sources(parse_sources(forward));
        else
          udp_.try_emplace(key, forward, lease_, talks_);
      }
    } catch (const std::system_error& error) {
      refused.push_back({forward, explain(error)});
    }
  }
  std::set<std::uint16_t> guest_ports;
  for (const auto& [key, forward] : tcp_) guest_ports.insert(key.guest_port);
  probes_.watch(guest_ports);
  if (asleep_) probes_.machine_pauses();
  open_and_close();
  return refused;
}

void Forwards::fill(PollSet& set, const Relays& relays, Relays::Time now) {
  for (auto& [key, forward] : tcp_) {
    forward.fill(set, relays, now);
    if (forward.held() > 0) set.wake_within(1);
  }
  for (auto& [key, forward] : udp_) forward.fill(set);
  if (const auto next = probes_.next(); machine_was_there_ && next)
    set.wake_within(static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(*next - now).count()));
}

void Forwards::poll(const PollSet& set, MachineLink& link, Relays& relays, Relays::Time now) {
  if (machine_was_there_ && !link.connected()) {
    probes_.machine_left();
    open_and_close();
  }
  machine_was_there_ = link.connected();
  if (machine_was_there_) {
    if (const auto questions = probes_.due(now); !questions.empty()) {
      for (const Bytes& frame : questions) link.send(frame);
      open_and_close();
    }
  }
  for (auto& [key, forward] : tcp_) forward.poll(set, relays, now);
  for (auto& [key, forward] : udp_) forward.poll(set, link, now);
}

void Forwards::sleep() {
  asleep_ = true;
  probes_.machine_pauses();
  open_and_close();
}

void Forwards::wake(Relays::Time now) {
  asleep_ = false;
  machine_was_there_ = false;  // what the link was meanwhile says nothing of the ports
  probes_.machine_goes_on(now);
}

void Forwards::fill_asleep(PollSet& set, const Relays& relays, Relays::Time now, bool look) {
  std::size_t held = 0;
  for (const auto& [key, forward] : tcp_) held += forward.held();
  for (auto& [key, forward] : tcp_) forward.fill(set, relays, now, held < most_held);
  for (auto& [key, forward] : udp_) forward.fill(set, look);
}

bool Forwards::poll_asleep(const PollSet& set, Relays::Time now) {
  bool somebody = false;
  for (auto& [key, forward] : tcp_) {
    forward.hold(set, now);
    somebody = forward.held() > 0 || somebody;
  }
  for (const auto& [key, forward] : udp_) somebody = forward.called(set) || somebody;
  return somebody;
}

void Forwards::open_and_close() {
  for (auto& [key, forward] : tcp_) forward.open(probes_.open(key.guest_port));
}

std::size_t Forwards::open_ports() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(tcp_, [](const auto& forward) { return forward.second.is_open(); }));
}

bool Forwards::take_answer(const Ipv4Packet& packet, MachineLink& link, Relays::Time now) {
  const auto end = probes_.take(packet, now);
  if (!end) {
    // It may have refused, or broken off, a connection: perhaps nobody listens any more.
    if (const auto segment = parse_tcp(packet); segment && (segment->header.flags & tcp_rst))
      probes_.doubt(packet.source_port, now);
    return false;
  }
  if (!end->empty()) link.send(*end);
  open_and_close();
  return true;
}

void Forwards::answer_udp(const Ipv4Packet& packet, Relays::Time now) {
  const auto talk = talks_.talks.find(packet.destination_port);
  if (talk == talks_.talks.end()) return;
  talk->second.last = now;
  talk->second.key.first->answer(talk->second.key.second, packet);
}

}  // namespace berth::network
