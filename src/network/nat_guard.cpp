#include "network/nat_guard.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace berth::network {
namespace {

constexpr std::chrono::seconds connection_silence{60};  // before a connection may give way to a new one
constexpr std::chrono::milliseconds eviction_pause{50};
constexpr std::uint16_t least_mss = 536;  // RFC 1122, 4.2.2.6; less would cost us a packet for a few bytes
constexpr std::uint8_t maximum_segment_size = 2;
constexpr std::uint8_t echo_request = 8;

/// a - b, of sequence numbers.
std::int32_t distance(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(a - b);
}

/// What is behind the socket has gone, or it has no socket.
bool other_side_ended(int fd) {
  pollfd poll{fd, POLLRDHUP, 0};
  return fd < 0 || ::poll(&poll, 1, 0) != 0;
}

void raise_mss(std::span<std::uint8_t> options) {
  while (options.size() > 1 && options[0] != 0) {
    const std::size_t length = options[0] == 1 ? 1 : options[1];
    if (options[0] == maximum_segment_size && length == 4)
      store16(options.data() + 2, std::max(load16(options.data() + 2), least_mss));
    options = options.subspan(length);
  }
}

}  // namespace

std::size_t NatGuard::Hash::operator()(const Key& key) const {
  const std::uint64_t ports = std::uint64_t{key.local_port} << 16 | key.remote_port;
  std::uint64_t mixed = (std::uint64_t{key.remote.bits} << 32 | ports) * 0x9e3779b97f4a7c15u;
  mixed ^= mixed >> 29 ^ key.local.bits;
  return mixed * 0xbf58476d1ce4e5b9u >> 16;
}

void NatGuard::opened(int fd) {
  int type = 0;
  socklen_t length = sizeof type;
  ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
  if (type != SOCK_STREAM) {
    datagrams_.insert(fd);
  } else if (current_) {
    if (const auto found = connections_.find(*current_); found != connections_.end()) {
      found->second.fd = fd;
      by_fd_[fd] = *current_;
    }
  } else {
    accepted_ = fd;
  }
}

void NatGuard::closed(int fd) {
  if (fd == accepted_) accepted_ = -1;
  if (fd < 0) {
    if (!current_) return;
    const auto found = connections_.find(*current_);
    if (found != connections_.end() && found->second.fd < 0) erase(found);
    return;
  }
  if (datagrams_.erase(fd) > 0) return;
  const auto known = by_fd_.find(fd);
  if (known == by_fd_.end()) return;
  const auto found = connections_.find(known->second);
  by_fd_.erase(known);
  if (found != connections_.end() && found->second.fd == fd) erase(found);
}

void NatGuard::erase(Connections::iterator connection) {
  const Connection& gone = connection->second;
  if (gone.fd >= 0) by_fd_.erase(gone.fd);
  if (!gone.forwarded) {
    --own_;
    if (!gone.established) --half_open_;
  }
  connections_.erase(connection);
}

bool NatGuard::at_limit(const Key& key) const {
  const std::size_t more = key.remote == hidden_ ? limits_.more_for_endpoints : 0;
  return own_ >= limits_.connections + more || half_open_ >= limits_.half_open + more;
}

/// Among those that libslirp lets go at once when it is told to.
NatGuard::Connections::iterator NatGuard::silent_longest(bool half_open) {
  auto found = connections_.end();
  for (auto at = connections_.begin(); at != connections_.end(); ++at) {
    const Connection& connection = at->second;
    if (connection.forwarded || !connection.answered || (half_open && connection.established)) continue;
    if (found == connections_.end() || connection.last < found->second.last) found = at;
  }
  return found;
}

std::optional<Bytes> NatGuard::before(const Ipv4Packet& packet, Time now) {
  if (!packet.opens_tcp()) return std::nullopt;
  current_.reset();
  const Key key{packet.source, packet.destination, packet.source_port, packet.destination_port};
  auto found = connections_.find(key);
  if (found != connections_.end()) {
    const bool again = load32(packet.payload.data() + 4) != found->second.first;
    if (!again || !found->second.answered) return std::nullopt;
  } else if (at_limit(key) && now >= next_eviction_) {
    next_eviction_ = now + eviction_pause;
    const bool half_open = half_open_ >= limits_.half_open;
    found = silent_longest(half_open);
    if (found == connections_.end() || (!half_open && now - found->second.last < connection_silence))
      return std::nullopt;
  }
  if (found == connections_.end()) return std::nullopt;
  const auto& [gone, connection] = *found;
  Bytes reset = tcp_frame({connection.mac, gone.local, gone.local_port}, {{}, gone.remote, gone.remote_port},
                          {connection.next, connection.sent, tcp_rst | tcp_ack, 0});
  if (connection.fd < 0) erase(found);  // no socket that would tell of its end
  return reset;
}

NatGuard::Verdict NatGuard::from_machine(Ipv4Packet& packet, Time now) {
  current_.reset();
  const bool whole = packet.header_length == 20 && !packet.fragment && packet.header[8] != 0;
  if (!whole || !checksums_hold(packet)) return Verdict::drop;
  if (packet.is(IpProtocol::tcp)) return tcp(packet, now);
  if (packet.is(IpProtocol::icmp)) {
    if (packet.payload.size() < 8 || packet.payload[0] != echo_request || packet.payload[1] != 0)
      return Verdict::drop;
  } else if (!packet.is(IpProtocol::udp) || packet.source_port == 0 || packet.destination_port == 0) {
    return Verdict::drop;
  }
  return datagrams_.size() < limits_.datagrams ? Verdict::pass : Verdict::too_many;
}

NatGuard::Verdict NatGuard::tcp(Ipv4Packet& packet, Time now) {
  const auto segment = parse_tcp(packet);
  if (!segment || packet.source_port == 0 || packet.destination_port == 0) return Verdict::drop;
  const Key key{packet.source, packet.destination, packet.source_port, packet.destination_port};
  const std::uint8_t flags = segment->header.flags & (tcp_syn | tcp_ack | tcp_fin | tcp_rst);
  const auto found = connections_.find(key);
  if (flags == tcp_syn) {
    if (found == connections_.end()) return open(key, packet, *segment, now);
    if (!found->second.answered || segment->header.sequence != found->second.first) return Verdict::drop;
    rewrite_tcp(packet, {segment->header.sequence, 0, tcp_syn, segment->header.window}, 0);
    return Verdict::pass;
  }
  if (found == connections_.end()) return (flags & tcp_rst) ? Verdict::drop : Verdict::refuse;

  Connection& connection = found->second;
  connection.last = now;
  current_ = key;
  TcpHeader header = segment->header;
  if (flags & tcp_rst) {
    if (!connection.answered && !connection.forwarded) return Verdict::drop;  // libslirp would not hear it
    rewrite_tcp(packet, {connection.next, connection.sent, tcp_rst | tcp_ack, header.window}, 0);
    if (connection.fd < 0) erase(found);
    return Verdict::pass;
  }
  if (!(flags & tcp_ack)) return Verdict::drop;
  if (flags & tcp_syn) {
    if (!connection.forwarded || (flags & tcp_fin)) return Verdict::drop;
    if (!connection.answered) {
      if (header.acknowledged != connection.sent) return Verdict::drop;
      connection.first = header.sequence;
      connection.next = connection.edge = header.sequence + 1;
      connection.answered = connection.established = true;
      raise_mss(segment->options);
      header.flags = tcp_syn | tcp_ack;
    } else {  // it did not get our answer
      header = {connection.next - 1, connection.sent, tcp_ack, header.window};
    }
    rewrite_tcp(packet, header, 0);
    return Verdict::pass;
  }
  if (!connection.answered || distance(header.acknowledged, connection.sent) > 0) return Verdict::drop;
  if (!connection.established) {
    if (header.acknowledged != connection.sent) return Verdict::drop;
    connection.established = true;
    if (!connection.forwarded) --half_open_;
  }
  return content(connection, packet, *segment);
}

NatGuard::Verdict NatGuard::open(const Key& key, Ipv4Packet& packet, const TcpSegment& segment, Time now) {
  if (at_limit(key) || !(key.remote == hidden_ ? opens_to_endpoints_ : opens_).take(now))
    return Verdict::too_many;
  Connection& made = connections_[key];
  made.first = segment.header.sequence;
  made.next = made.edge = made.first + 1;
  made.last = now;
  made.mac = source_mac({packet.header - ethernet_header, ethernet_header});
  ++own_;
  ++half_open_;
  current_ = key;
  raise_mss(segment.options);
  rewrite_tcp(packet, {made.first, 0, tcp_syn, segment.header.window}, 0);
  return Verdict::pass;
}

/// Data and ends go to libslirp in order and within its window only.
NatGuard::Verdict NatGuard::content(Connection& connection, Ipv4Packet& packet, const TcpSegment& segment) {
  TcpHeader header = segment.header;
  bool fin = (header.flags & tcp_fin) != 0;
  std::size_t length = segment.data.size();
  const bool urgent = (header.flags & tcp_urg) != 0;  // libslirp counts urgent bytes wrong: they are ordinary
  header.flags &= static_cast<std::uint8_t>(~tcp_urg);
  if (length == 0 && !fin) {
    if (urgent) rewrite_tcp(packet, header, 0);
    return Verdict::pass;
  }
  const auto ask_again = [&] {  // an old sequence number: libslirp tells where it is
    rewrite_tcp(packet, {connection.next - 1, header.acknowledged, tcp_ack, header.window}, 0);
    return Verdict::pass;
  };
  if (distance(header.sequence, connection.next) > 0) return ask_again();
  std::uint32_t end = header.sequence + static_cast<std::uint32_t>(length);
  const std::int32_t too_much = distance(end, connection.edge);
  if (too_much > 0) {
    if (static_cast<std::size_t>(too_much) >= length || distance(connection.edge, connection.next) <= 0)
      return ask_again();
    length -= static_cast<std::size_t>(too_much);
    end = connection.edge;
    fin = false;
    header.flags &= static_cast<std::uint8_t>(~tcp_fin);
  }
  const bool is_new = distance(end + (fin ? 1 : 0), connection.next) > 0;
  if (is_new && connection.machine_ended) return ask_again();
  if (is_new && end == 0 && (connection.nat_ended || other_side_ended(connection.fd))) {
    // Once the other side has ended libslirp queues even what is in order, and takes the end of its queue for
    // a segment with the sequence number 0.
    rewrite_tcp(packet, {connection.next, connection.sent, tcp_rst | tcp_ack, header.window}, 0);
    return Verdict::pass;
  }
  if (urgent || length != segment.data.size() || too_much > 0) rewrite_tcp(packet, header, length);
  if (is_new) {
    connection.next = end + (fin ? 1 : 0);
    connection.machine_ended = fin;
  }
  return Verdict::pass;
}

void NatGuard::from_nat(const Ipv4Packet& packet, Time now) {
  const auto segment = parse_tcp(packet);
  if (!segment) return;
  const Key key{packet.destination, packet.source, packet.destination_port, packet.source_port};
  const TcpHeader& header = segment->header;
  auto found = connections_.find(key);
  if ((header.flags & (tcp_syn | tcp_ack)) == tcp_syn && found == connections_.end() && accepted_ >= 0) {
    found = connections_.try_emplace(key).first;
    found->second.forwarded = true;
    found->second.fd = accepted_;
    found->second.sent = header.sequence;
    by_fd_[std::exchange(accepted_, -1)] = key;
  }
  if (found == connections_.end()) return;
  Connection& connection = found->second;
  connection.last = now;
  if (header.flags & tcp_rst) {
    if (connection.fd < 0) erase(found);
    return;
  }
  if (!connection.answered && !connection.forwarded) {
    connection.answered = true;
    connection.sent = header.sequence;
  }
  const std::uint32_t end = header.sequence + static_cast<std::uint32_t>(segment->data.size()) +
                            ((header.flags & tcp_syn) ? 1 : 0) + ((header.flags & tcp_fin) ? 1 : 0);
  if (distance(end, connection.sent) > 0) connection.sent = end;
  if (header.flags & tcp_fin) connection.nat_ended = true;
  if ((header.flags & tcp_ack) && connection.answered) {
    connection.next = header.acknowledged;
    const std::uint32_t edge = header.acknowledged + header.window;
    if (distance(edge, connection.edge) > 0) connection.edge = edge;
  }
  if (connection.fd < 0 && connection.nat_ended && connection.machine_ended) erase(found);
}

}  // namespace berth::network
