#include "network/test_machine.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "network/port_probes.h"
#include "network/unix_socket.h"

namespace berth::network {
namespace {

using Clock = std::chrono::steady_clock;

}  // namespace

bool checksums_hold(Bytes frame) {
  const auto packet = parse_ipv4_packet(frame);
  return packet && checksums_hold(*packet);
}

Bytes dhcp_message(const Mac& mac, std::uint8_t type, std::optional<Ipv4> requested) {
  Bytes data(240);
  data[0] = data[1] = 1;
  data[2] = 6;
  store32(data.data() + 4, 0xdeadbeef);
  std::ranges::copy(mac, data.begin() + 28);
  store32(data.data() + 236, 0x63825363);
  data.insert(data.end(), {53, 1, type});
  if (requested) {
    data.insert(data.end(), {50, 4, 0, 0, 0, 0});
    store32(data.data() + data.size() - 4, requested->bits);
  }
  data.push_back(255);
  return data;
}

TestMachine::TestMachine(std::filesystem::path socket, DhcpLease lease, std::function<void()> work, Side side)
    : path_(std::move(socket)), lease_(std::move(lease)), work_(std::move(work)) {
  if (side == Side::listens) listener_ = listen_unix(path_, 1);
}

void TestMachine::connect() {
  reader_.reset();
  const auto deadline = Clock::now() + test_limit;
  while (!socket_ && Clock::now() < deadline) {
    work_();
    socket_ = listener_ ? Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC))
                        : connect_unix(path_);
  }
}

void TestMachine::disconnect() {
  socket_.reset();
}

bool TestMachine::lost() {
  char byte;
  const ssize_t count = ::recv(socket_.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return count == 0 || (count < 0 && errno != EAGAIN);
}

Bytes TestMachine::framed(const Bytes& frame) {
  Bytes bytes(4);
  store32(bytes.data(), static_cast<std::uint32_t>(frame.size()));
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  return bytes;
}

void TestMachine::send_raw(const Bytes& bytes) {
  std::span<const std::uint8_t> rest(bytes);
  const auto deadline = Clock::now() + test_limit;
  while (!rest.empty() && Clock::now() < deadline) {
    const ssize_t count = ::send(socket_.get(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0)
      rest = rest.subspan(static_cast<std::size_t>(count));
    else if (errno != EAGAIN)
      return;
    else
      work_();
  }
}

bool TestMachine::take_frame(Bytes& frame) {
  auto next = reader_.next();
  if (!next) {
    const auto room = reader_.room();
    const ssize_t count = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
    if (count > 0) reader_.filled(static_cast<std::size_t>(count));
    next = reader_.next();
  }
  if (!next) return false;
  frame.assign(next->begin(), next->end());
  return !answer_question(frame) || take_frame(frame);
}

/// What the machine's system does without its programs' knowledge.
bool TestMachine::answer_question(Bytes& frame) {
  const auto packet = parse_ipv4_packet(frame);
  if (!packet || !packet->is(IpProtocol::tcp) || packet->source != lease_.subnet.gateway() ||
      !PortProbes::is_probe_port(packet->source_port))
    return false;
  if (!packet->opens_tcp() || silent_) return true;
  ++questions_;
  const bool listens = listening_.contains(packet->destination_port);
  const std::uint32_t sequence = load32(packet->payload.data() + 4);
  send(tcp_frame(self(packet->destination_port), {source_mac(frame), packet->source, packet->source_port},
                 {listens ? 5'000u : 0u, sequence + 1,
                  static_cast<std::uint8_t>((listens ? tcp_syn : tcp_rst) | tcp_ack)}));
  return true;
}

std::optional<Bytes> TestMachine::receive_any(std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  Bytes frame;
  for (;;) {
    if (take_frame(frame)) return frame;
    if (Clock::now() > deadline) return std::nullopt;
    work_();
  }
}

std::optional<Bytes> TestMachine::receive(const std::function<bool(const Ipv4Packet&)>& matches,
                                          std::chrono::milliseconds limit) {
  const auto deadline = Clock::now() + limit;
  while (Clock::now() < deadline) {
    auto frame = receive_any(std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()));
    if (!frame) break;
    const auto packet = parse_ipv4_packet(*frame);
    if (packet && matches(*packet)) return frame;
  }
  return std::nullopt;
}

std::optional<Ipv4> TestMachine::lease() {
  const auto ask = [&](std::uint8_t type, std::optional<Ipv4> requested) -> std::optional<Bytes> {
    const End client{lease_.mac, {}, 68}, server{broadcast_mac, everybody, 67};
    send(udp_frames(client, server, dhcp_message(lease_.mac, type, requested)).front());
    return receive([](const Ipv4Packet& p) { return p.destination_port == 68; });
  };
  auto offer = ask(1, {});
  if (!offer) return std::nullopt;
  const Ipv4 offered{load32(parse_ipv4_packet(*offer)->udp_data().data() + 16)};
  auto acknowledged = ask(3, offered);
  if (!acknowledged) return std::nullopt;
  return Ipv4{load32(parse_ipv4_packet(*acknowledged)->udp_data().data() + 16)};
}

std::optional<Bytes> TestMachine::ask_udp(Ipv4 to, std::uint16_t port, const Bytes& data) {
  constexpr std::uint16_t own_port = 41'000;
  send(udp_frames(self(own_port), outside(to, port), data).front());
  auto frame = receive([&](const Ipv4Packet& p) {
    return p.is(IpProtocol::udp) && p.source == to && p.source_port == port && p.destination_port == own_port;
  });
  if (!frame) return std::nullopt;
  const auto answer = parse_ipv4_packet(*frame)->udp_data();
  return Bytes(answer.begin(), answer.end());
}

TestTcp::TestTcp(TestMachine& machine, const End& from, const End& to)
    : machine_(&machine), from_(from), to_(to) {
  machine_->send(tcp_frame(from_, to_, {sequence_++, 0, tcp_syn}));
  open_ = next_segment() && !reset_;
}

TestTcp::TestTcp(TestMachine& machine, const End& from, const End& to, std::uint32_t their_sequence)
    : machine_(&machine), from_(from), to_(to), expected_(their_sequence) {}

std::optional<TestTcp> TestTcp::accept(TestMachine& machine, std::uint16_t port,
                                       std::uint32_t first_sequence) {
  auto frame =
      machine.receive([&](const Ipv4Packet& p) { return p.opens_tcp() && p.destination_port == port; });
  if (!frame) return std::nullopt;
  const auto packet = *parse_ipv4_packet(*frame);
  TestTcp connection(machine, machine.self(port), {source_mac(*frame), packet.source, packet.source_port},
                     load32(packet.payload.data() + 4) + 1);
  connection.sequence_ = first_sequence;
  machine.send(tcp_frame(connection.from_, connection.to_,
                         {connection.sequence_++, connection.expected_, tcp_syn | tcp_ack}));
  connection.open_ = true;
  return connection;
}

/// Takes the next segment of this connection in; false at the limit.
bool TestTcp::next_segment(std::chrono::milliseconds limit) {
  auto frame = machine_->receive(
      [&](const Ipv4Packet& p) {
        return p.is(IpProtocol::tcp) && p.source == to_.address && p.source_port == to_.port &&
               p.destination_port == from_.port;
      },
      limit);
  if (!frame || !checksums_hold(*frame)) return false;
  const auto payload = parse_ipv4_packet(*frame)->payload;
  const std::uint8_t flags = payload[13];
  const std::uint32_t sequence = load32(payload.data() + 4);
  window_ = load16(payload.data() + 14);
  if (flags & tcp_rst) {
    reset_ = true;
    open_ = false;
    return true;
  }
  if (flags & tcp_syn) {
    expected_ = sequence + 1;
  } else if (sequence == expected_) {
    const auto data = payload.subspan((payload[12] >> 4) * 4u);
    received_.append(data.begin(), data.end());
    expected_ += static_cast<std::uint32_t>(data.size());
    if (flags & tcp_fin) {
      ended_ = true;
      ++expected_;
    }
    if (data.empty() && !(flags & tcp_fin)) return true;
  }
  machine_->send(tcp_frame(from_, to_, {sequence_, expected_, tcp_ack}));
  return true;
}

void TestTcp::send(std::string_view data) {
  machine_->send(tcp_frame(from_, to_, {sequence_, expected_, tcp_ack}, data));
  sequence_ += static_cast<std::uint32_t>(data.size());
}

void TestTcp::send_ahead(std::uint32_t bytes, std::string_view data) {
  machine_->send(tcp_frame(from_, to_, {sequence_ + bytes, expected_, tcp_ack}, data));
}

std::optional<std::uint16_t> TestTcp::window() {
  return next_segment(std::chrono::milliseconds(200)) ? std::optional(window_) : std::nullopt;
}

void TestTcp::finish() {
  machine_->send(tcp_frame(from_, to_, {sequence_++, expected_, tcp_ack | tcp_fin}));
}

std::string TestTcp::read_all() {
  while (!ended_ && !reset_ && next_segment()) {
  }
  return std::exchange(received_, {});
}

std::string TestTcp::read(std::size_t count) {
  while (received_.size() < count && !ended_ && !reset_ && next_segment()) {
  }
  std::string result = received_.substr(0, count);
  received_.erase(0, result.size());
  return result;
}

TestEndpoint::TestEndpoint(const std::filesystem::path& socket, std::string text, int backlog)
    : text_(std::move(text)), listener_(listen_unix(socket, backlog)) {}

void TestEndpoint::serve() {
  while (Fd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)})
    clients_.push_back(std::move(client));
  std::erase_if(clients_, [&](const Fd& client) {
    char bytes[4096];
    const ssize_t count = ::recv(client.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (count < 0) return errno != EAGAIN;
    if (count > 0) {
      ::send(client.get(), text_.data(), text_.size(), MSG_NOSIGNAL);
      ++served;
    }
    return true;
  });
}

}  // namespace berth::network
