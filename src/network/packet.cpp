#include "network/packet.h"

#include <algorithm>
#include <cstring>

namespace berth::network {
namespace {

constexpr std::size_t ip_header = 20;
constexpr std::size_t udp_header = 8;
constexpr std::size_t tcp_header = 20;
constexpr std::uint8_t ip_time_to_live = 64;
constexpr std::uint8_t echo = 8;  // ICMP's type of a ping

void put_ethernet(Bytes& frame, const Mac& to, const Mac& from, std::uint16_t type) {
  frame.insert(frame.end(), to.begin(), to.end());
  frame.insert(frame.end(), from.begin(), from.end());
  frame.push_back(static_cast<std::uint8_t>(type >> 8));
  frame.push_back(static_cast<std::uint8_t>(type));
}

void put_ip(std::uint8_t* at, std::size_t length, std::uint16_t id, std::uint16_t fragment,
            IpProtocol protocol, Ipv4 from, Ipv4 to) {
  std::memset(at, 0, ip_header);
  at[0] = 0x45;
  store16(at + 2, static_cast<unsigned>(length));
  store16(at + 4, id);
  store16(at + 6, fragment);
  at[8] = ip_time_to_live;
  at[9] = static_cast<std::uint8_t>(protocol);
  store32(at + 12, from.bits);
  store32(at + 16, to.bits);
  store16(at + 10, checksum_end(checksum_add(0, {at, ip_header})));
}

/// RFC 1624, equation 3: HC' = ~(~HC + ~m + m').
void adjust(std::uint8_t* checksum, std::uint32_t before, std::uint32_t after) {
  std::uint32_t sum = static_cast<std::uint16_t>(~load16(checksum));
  sum += static_cast<std::uint16_t>(~(before >> 16)) +
         static_cast<std::uint32_t>(static_cast<std::uint16_t>(~before));
  sum += (after >> 16) + (after & 0xffff);
  store16(checksum, checksum_end(sum));
}

/// The checksum field that covers addresses and ports, or nullptr when the packet has none.
std::uint8_t* transport_checksum(const Ipv4Packet& packet) {
  const bool later_fragment = packet.fragment && (load16(packet.header + 6) & 0x1fff) != 0;
  if (later_fragment) return nullptr;
  if (packet.is(IpProtocol::tcp) && packet.payload.size() >= tcp_header) return packet.payload.data() + 16;
  if (packet.is(IpProtocol::udp) && packet.payload.size() >= udp_header) {
    std::uint8_t* checksum = packet.payload.data() + 6;
    return load16(checksum) == 0 ? nullptr : checksum;  // zero: the sender made none
  }
  return nullptr;
}

void adjust_transport(const Ipv4Packet& packet, std::uint32_t before, std::uint32_t after) {
  std::uint8_t* checksum = transport_checksum(packet);
  if (!checksum) return;
  adjust(checksum, before, after);
  if (packet.is(IpProtocol::udp) && load16(checksum) == 0) store16(checksum, 0xffff);
}

void change_address(const Ipv4Packet& packet, std::uint8_t* at, Ipv4 address) {
  const std::uint32_t before = load32(at);
  store32(at, address.bits);
  adjust(packet.header + 10, before, address.bits);
  adjust_transport(packet, before, address.bits);
}

void change_port(const Ipv4Packet& packet, std::uint8_t* at, std::uint16_t port) {
  const std::uint32_t before = load16(at);
  store16(at, port);
  adjust_transport(packet, before, port);
}

}  // namespace

Mac destination_mac(std::span<const std::uint8_t> frame) {
  Mac mac;
  std::copy_n(frame.begin(), mac.size(), mac.begin());
  return mac;
}

Mac source_mac(std::span<const std::uint8_t> frame) {
  Mac mac;
  std::copy_n(frame.begin() + 6, mac.size(), mac.begin());
  return mac;
}

std::span<std::uint8_t> Ipv4Packet::udp_data() const {
  if (!is(IpProtocol::udp) || payload.size() < udp_header) return {};
  const std::size_t length = load16(payload.data() + 4);
  if (length < udp_header || length > payload.size()) return {};
  return payload.subspan(udp_header, length - udp_header);
}

bool Ipv4Packet::opens_tcp() const {
  if (!is(IpProtocol::tcp) || payload.size() < tcp_header) return false;
  return (payload[13] & (tcp_syn | tcp_ack)) == tcp_syn;
}

std::optional<Ipv4Packet> parse_ipv4_packet(std::span<std::uint8_t> frame) {
  if (frame.size() < ethernet_header + ip_header || ethertype(frame) != ethertype_ipv4) return std::nullopt;
  Ipv4Packet packet;
  packet.header = frame.data() + ethernet_header;
  if (packet.header[0] >> 4 != 4) return std::nullopt;
  packet.header_length = (packet.header[0] & 15u) * 4;
  const std::size_t length = load16(packet.header + 2);
  if (packet.header_length < ip_header || length < packet.header_length ||
      length > frame.size() - ethernet_header)
    return std::nullopt;
  packet.payload = frame.subspan(ethernet_header + packet.header_length, length - packet.header_length);
  packet.source.bits = load32(packet.header + 12);
  packet.destination.bits = load32(packet.header + 16);
  packet.protocol = packet.header[9];
  packet.fragment = (load16(packet.header + 6) & 0x3fff) != 0;  // "more fragments" or an offset
  const std::size_t needed = packet.is(IpProtocol::tcp)   ? tcp_header
                             : packet.is(IpProtocol::udp) ? udp_header
                                                          : SIZE_MAX;
  if (!packet.fragment && packet.payload.size() >= needed) {
    packet.source_port = load16(packet.payload.data());
    packet.destination_port = load16(packet.payload.data() + 2);
  }
  return packet;
}

std::uint32_t checksum_add(std::uint32_t sum, std::span<const std::uint8_t> bytes) {
  // The sum of 16-bit words is the same in any byte order, but for its own (RFC 1071, section 2): words are
  // added as this machine has them, four bytes at a time.
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  std::uint64_t native = 0;
  for (; left >= 4; at += 4, left -= 4) {
    std::uint32_t word;
    std::memcpy(&word, at, sizeof word);
    native += word;
  }
  std::uint8_t last[4]{};
  std::memcpy(last, at, left);
  std::uint32_t word;
  std::memcpy(&word, last, sizeof word);
  native += word;
  while (native >> 16) native = (native & 0xffff) + (native >> 16);
  const auto folded = static_cast<std::uint16_t>(native);
  std::uint8_t in_order[2];
  std::memcpy(in_order, &folded, sizeof folded);
  std::uint64_t wide = std::uint64_t{sum} + load16(in_order);
  while (wide >> 32) wide = (wide & 0xffffffff) + (wide >> 32);
  return static_cast<std::uint32_t>(wide);
}

std::uint16_t checksum_end(std::uint32_t sum) {
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void set_source(Ipv4Packet& packet, Ipv4 address) {
  change_address(packet, packet.header + 12, address);
  packet.source = address;
}

void set_destination(Ipv4Packet& packet, Ipv4 address) {
  change_address(packet, packet.header + 16, address);
  packet.destination = address;
}

void set_source_port(Ipv4Packet& packet, std::uint16_t port) {
  if (!packet.has_ports()) return;
  change_port(packet, packet.payload.data(), port);
  packet.source_port = port;
}

void set_destination_port(Ipv4Packet& packet, std::uint16_t port) {
  if (!packet.has_ports()) return;
  change_port(packet, packet.payload.data() + 2, port);
  packet.destination_port = port;
}

namespace {

/// Over the pseudo header and `segment`, whose own checksum field is zero.
std::uint16_t transport_checksum_of(Ipv4 from, Ipv4 to, IpProtocol protocol,
                                    std::span<const std::uint8_t> segment) {
  std::uint8_t pseudo[12]{};
  store32(pseudo, from.bits);
  store32(pseudo + 4, to.bits);
  pseudo[9] = static_cast<std::uint8_t>(protocol);
  store16(pseudo + 10, static_cast<unsigned>(segment.size()));
  return checksum_end(checksum_add(checksum_add(0, pseudo), segment));
}

}  // namespace

bool checksums_hold(const Ipv4Packet& packet) {
  if (checksum_end(checksum_add(0, {packet.header, packet.header_length})) != 0) return false;
  if (packet.is(IpProtocol::icmp)) return checksum_end(checksum_add(0, packet.payload)) == 0;
  if (packet.is(IpProtocol::udp)) {
    if (packet.payload.size() < udp_header) return false;
    const std::size_t length = load16(packet.payload.data() + 4);
    if (length < udp_header || length > packet.payload.size()) return false;
    return load16(packet.payload.data() + 6) == 0 ||
           transport_checksum_of(packet.source, packet.destination, IpProtocol::udp,
                                 packet.payload.first(length)) == 0;
  }
  return packet.is(IpProtocol::tcp) &&
         transport_checksum_of(packet.source, packet.destination, IpProtocol::tcp, packet.payload) == 0;
}

namespace {

constexpr std::uint8_t end_of_options = 0, no_operation = 1;

bool options_are_sound(std::span<const std::uint8_t> options) {
  while (!options.empty() && options[0] != end_of_options) {
    const std::size_t length = options[0] == no_operation ? 1 : options.size() < 2 ? 0 : options[1];
    if (length == 0 || length > options.size() || (options[0] != no_operation && length < 2)) return false;
    options = options.subspan(length);
  }
  return true;
}

}  // namespace

std::optional<TcpSegment> parse_tcp(const Ipv4Packet& packet) {
  if (!packet.is(IpProtocol::tcp) || packet.fragment || packet.payload.size() < tcp_header)
    return std::nullopt;
  const std::uint8_t* at = packet.payload.data();
  const std::size_t length = (at[12] >> 4) * 4u;
  if (length < tcp_header || length > packet.payload.size()) return std::nullopt;
  TcpSegment segment{{load32(at + 4), load32(at + 8), at[13], load16(at + 14)},
                     packet.payload.subspan(tcp_header, length - tcp_header),
                     packet.payload.subspan(length)};
  if (!options_are_sound(segment.options)) return std::nullopt;
  return segment;
}

void rewrite_tcp(Ipv4Packet& packet, const TcpHeader& header, std::size_t data) {
  std::uint8_t* at = packet.payload.data();
  const std::size_t length = (at[12] >> 4) * 4u + data;
  packet.payload = packet.payload.first(length);
  store16(packet.header + 2, static_cast<unsigned>(packet.header_length + length));
  store16(packet.header + 10, 0);
  store16(packet.header + 10, checksum_end(checksum_add(0, {packet.header, packet.header_length})));
  store32(at + 4, header.sequence);
  store32(at + 8, header.acknowledged);
  at[13] = header.flags;
  store16(at + 14, header.window);
  store16(at + 16, 0);
  store16(at + 18, 0);  // the urgent pointer
  store16(at + 16, transport_checksum_of(packet.source, packet.destination, IpProtocol::tcp, packet.payload));
}

Bytes tcp_frame(const End& from, const End& to, const TcpHeader& header, std::string_view data) {
  Bytes frame;
  put_ethernet(frame, to.mac, from.mac, ethertype_ipv4);
  frame.resize(ethernet_header + ip_header + tcp_header);
  frame.insert(frame.end(), data.begin(), data.end());
  std::uint8_t* ip = frame.data() + ethernet_header;
  put_ip(ip, ip_header + tcp_header + data.size(), 0, 0, IpProtocol::tcp, from.address, to.address);
  std::uint8_t* tcp = ip + ip_header;
  store16(tcp, from.port);
  store16(tcp + 2, to.port);
  store32(tcp + 4, header.sequence);
  store32(tcp + 8, header.acknowledged);
  tcp[12] = tcp_header / 4 << 4;
  tcp[13] = header.flags;
  store16(tcp + 14, header.window);
  store16(tcp + 16,
          transport_checksum_of(from.address, to.address, IpProtocol::tcp, {tcp, tcp_header + data.size()}));
  return frame;
}

std::vector<Bytes> fragments_of(std::span<const std::uint8_t> frame) {
  const std::uint8_t* ip = frame.data() + ethernet_header;
  const auto payload = frame.subspan(ethernet_header + ip_header, load16(ip + 2) - ip_header);
  std::vector<Bytes> frames;
  constexpr std::size_t piece = (mtu - ip_header) / 8 * 8;
  for (std::size_t offset = 0; offset == 0 || offset < payload.size(); offset += piece) {
    const std::size_t here =
        std::min(payload.size() <= mtu - ip_header ? payload.size() : piece, payload.size() - offset);
    const bool more = offset + here < payload.size();
    Bytes& made = frames.emplace_back(frame.begin(), frame.begin() + ethernet_header + ip_header);
    const auto part = payload.subspan(offset, here);
    made.insert(made.end(), part.begin(), part.end());
    std::uint8_t* header = made.data() + ethernet_header;
    store16(header + 2, static_cast<unsigned>(ip_header + here));
    store16(header + 6, static_cast<unsigned>((more ? 0x2000 : 0) | offset / 8));
    store16(header + 10, 0);
    store16(header + 10, checksum_end(checksum_add(0, {header, ip_header})));
    if (!more) break;
  }
  return frames;
}

std::vector<Bytes> udp_frames(const End& from, const End& to, std::span<const std::uint8_t> data,
                              std::uint16_t id) {
  const std::size_t length = udp_header + data.size();
  if (length > 65'535 - ip_header) return {};
  Bytes frame;
  put_ethernet(frame, to.mac, from.mac, ethertype_ipv4);
  frame.resize(ethernet_header + ip_header + udp_header);
  frame.insert(frame.end(), data.begin(), data.end());
  std::uint8_t* ip = frame.data() + ethernet_header;
  put_ip(ip, ip_header + length, id, 0, IpProtocol::udp, from.address, to.address);
  std::uint8_t* udp = ip + ip_header;
  store16(udp, from.port);
  store16(udp + 2, to.port);
  store16(udp + 4, static_cast<unsigned>(length));
  const std::uint16_t checksum =
      transport_checksum_of(from.address, to.address, IpProtocol::udp, {udp, length});
  store16(udp + 6, checksum == 0 ? 0xffff : checksum);
  return fragments_of(frame);
}

namespace {

Bytes arp_frame(const Mac& to, std::uint16_t operation, const Mac& sender, Ipv4 sender_address,
                const Mac& target, Ipv4 target_address) {
  Bytes frame;
  put_ethernet(frame, to, sender, ethertype_arp);
  frame.resize(ethernet_header + 28);
  std::uint8_t* arp = frame.data() + ethernet_header;
  store16(arp, 1);
  store16(arp + 2, ethertype_ipv4);
  arp[4] = 6;
  arp[5] = 4;
  store16(arp + 6, operation);
  std::ranges::copy(sender, arp + 8);
  store32(arp + 14, sender_address.bits);
  std::ranges::copy(target, arp + 18);
  store32(arp + 24, target_address.bits);
  return frame;
}

}  // namespace

Bytes arp_reply(std::span<const std::uint8_t> request, const Mac& mac, Ipv4 address) {
  const std::uint8_t* arp = request.data() + ethernet_header;
  Mac asker;
  std::copy_n(arp + 8, asker.size(), asker.begin());
  return arp_frame(asker, 2, mac, address, asker, {load32(arp + 14)});
}

std::optional<Ipv4> arp_target(std::span<const std::uint8_t> frame) {
  constexpr std::size_t target = ethernet_header + 24;
  if (ethertype(frame) != ethertype_arp || frame.size() < target + 4) return std::nullopt;
  return Ipv4{load32(frame.data() + target)};
}

Bytes arp_announcement(const Mac& mac, Ipv4 address) {
  return arp_frame(broadcast_mac, 1, mac, address, Mac{}, address);
}

namespace {

/// RFC 793, section 3.4: a reset that the sender of `packet` believes.
Bytes tcp_reset(std::span<const std::uint8_t> frame, const Ipv4Packet& packet, const Mac& mac) {
  const std::uint8_t* theirs = packet.payload.data();
  const std::uint8_t flags = theirs[13];
  if (flags & tcp_rst) return {};
  const std::size_t offset = std::min<std::size_t>((theirs[12] >> 4) * 4u, packet.payload.size());
  const std::size_t length =
      packet.payload.size() - offset + ((flags & tcp_syn) ? 1 : 0) + ((flags & tcp_fin) ? 1 : 0);
  Bytes reply;
  put_ethernet(reply, source_mac(frame), mac, ethertype_ipv4);
  reply.resize(ethernet_header + ip_header + tcp_header);
  std::uint8_t* ip = reply.data() + ethernet_header;
  put_ip(ip, ip_header + tcp_header, 0, 0, IpProtocol::tcp, packet.destination, packet.source);
  std::uint8_t* tcp = ip + ip_header;
  store16(tcp, packet.destination_port);
  store16(tcp + 2, packet.source_port);
  if (flags & tcp_ack) {
    store32(tcp + 4, load32(theirs + 8));
    tcp[13] = tcp_rst;
  } else {
    store32(tcp + 8, load32(theirs + 4) + static_cast<std::uint32_t>(length));
    tcp[13] = tcp_rst | tcp_ack;
  }
  tcp[12] = tcp_header / 4 << 4;
  store16(tcp + 16,
          transport_checksum_of(packet.destination, packet.source, IpProtocol::tcp, {tcp, tcp_header}));
  return reply;
}

}  // namespace

Bytes echo_reply(std::span<const std::uint8_t> frame, const Ipv4Packet& packet, const Mac& mac) {
  Bytes reply;
  put_ethernet(reply, source_mac(frame), mac, ethertype_ipv4);
  reply.resize(ethernet_header + ip_header);
  reply.insert(reply.end(), packet.payload.begin(), packet.payload.end());
  std::uint8_t* ip = reply.data() + ethernet_header;
  put_ip(ip, ip_header + packet.payload.size(), load16(packet.header + 4), 0, IpProtocol::icmp,
         packet.destination, packet.source);
  std::uint8_t* icmp = ip + ip_header;
  adjust(icmp + 2, std::uint32_t{echo} << 8, 0);
  icmp[0] = 0;
  return reply;
}

Bytes refuse(std::span<const std::uint8_t> frame, const Ipv4Packet& packet, const Mac& mac, Ipv4 router,
             Refusal why) {
  if (is_group(destination_mac(frame)) || (load16(packet.header + 6) & 0x1fff) != 0) return {};
  if (packet.is(IpProtocol::tcp)) return packet.has_ports() ? tcp_reset(frame, packet, mac) : Bytes{};
  if (packet.is(IpProtocol::icmp) && (packet.payload.empty() || packet.payload[0] != echo)) return {};
  const std::size_t quoted = packet.header_length + std::min<std::size_t>(packet.payload.size(), 8);
  Bytes reply;
  put_ethernet(reply, source_mac(frame), mac, ethertype_ipv4);
  reply.resize(ethernet_header + ip_header + 8 + quoted);
  std::uint8_t* ip = reply.data() + ethernet_header;
  put_ip(ip, ip_header + 8 + quoted, 0, 0, IpProtocol::icmp, router, packet.source);
  std::uint8_t* icmp = ip + ip_header;
  icmp[0] = 3;
  icmp[1] = static_cast<std::uint8_t>(why);
  std::copy_n(packet.header, quoted, icmp + 8);
  store16(icmp + 2, checksum_end(checksum_add(0, {icmp, 8 + quoted})));
  return reply;
}

}  // namespace berth::network
