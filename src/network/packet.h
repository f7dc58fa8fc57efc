#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "network/addresses.h"

/// Reading, changing and making Ethernet frames with ARP and IPv4 in them (RFC 826, 791, 768, 793, 792).
/// Frames come from guests: nothing about them is trusted, and every length is checked here, once.
namespace berth::network {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t ethernet_header = 14;
constexpr std::size_t mtu = 1500;              ///< of the virtual network
constexpr std::size_t largest_frame = 65'550;  ///< Ethernet header, largest IPv4 packet, and a little
constexpr std::uint16_t ethertype_ipv4 = 0x0800;
constexpr std::uint16_t ethertype_arp = 0x0806;

inline std::uint16_t load16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}
inline std::uint32_t load32(const std::uint8_t* at) {
  return std::uint32_t{load16(at)} << 16 | load16(at + 2);
}
inline void store16(std::uint8_t* at, unsigned value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}
inline void store32(std::uint8_t* at, std::uint32_t value) {
  store16(at, value >> 16);
  store16(at + 2, value & 0xffff);
}

Mac destination_mac(std::span<const std::uint8_t> frame);  ///< of a frame with a whole Ethernet header
Mac source_mac(std::span<const std::uint8_t> frame);
inline std::uint16_t ethertype(std::span<const std::uint8_t> frame) {
  return load16(frame.data() + 12);
}

enum class IpProtocol : std::uint8_t { icmp = 1, tcp = 6, udp = 17 };

/// Where things stand in a frame that holds one whole IPv4 packet. Points into the frame.
struct Ipv4Packet {
  std::uint8_t* header = nullptr;
  std::size_t header_length = 0;    ///< 20 to 60
  std::span<std::uint8_t> payload;  ///< without Ethernet's padding
  Ipv4 source, destination;
  std::uint8_t protocol = 0;
  bool fragment = false;  ///< first, middle or last piece of a larger packet
  /// TCP and UDP with a whole header, not a fragment; else 0.
  std::uint16_t source_port = 0, destination_port = 0;

  bool is(IpProtocol p) const { return protocol == static_cast<std::uint8_t>(p); }
  bool has_ports() const { return source_port != 0 || destination_port != 0; }
  /// The data of a UDP datagram, by the shorter of the two lengths; empty when there is none.
  std::span<std::uint8_t> udp_data() const;
  bool opens_tcp() const;  ///< SYN without ACK
};

enum TcpFlag : std::uint8_t { tcp_fin = 1, tcp_syn = 2, tcp_rst = 4, tcp_ack = 16, tcp_urg = 32 };
struct TcpHeader {
  std::uint32_t sequence = 0, acknowledged = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0xffff;
};

/// nullopt when it is not IPv4 or its lengths contradict each other.
std::optional<Ipv4Packet> parse_ipv4_packet(std::span<std::uint8_t> frame);

/// The Internet checksum (RFC 1071) of bytes that start at an even offset, over a running sum.
std::uint32_t checksum_add(std::uint32_t sum, std::span<const std::uint8_t> bytes);
std::uint16_t checksum_end(std::uint32_t sum);

/// The header's, and the one of TCP, UDP (zero: none was made) or ICMP over the payload. Of a whole packet.
bool checksums_hold(const Ipv4Packet& packet);

/// A TCP segment; `data` points into its packet.
struct TcpSegment {
  TcpHeader header;
  std::span<std::uint8_t> options;
  std::span<std::uint8_t> data;
};
/// nullopt unless it is TCP, whole, and its header and options fit into it.
std::optional<TcpSegment> parse_tcp(const Ipv4Packet& packet);
/// Makes the segment of `packet` one with this header and the first `data` bytes of its data; the frame gets
/// shorter. All checksums are right afterwards.
void rewrite_tcp(Ipv4Packet& packet, const TcpHeader& header, std::size_t data);
/// The answer to the ping in `packet`.
Bytes echo_reply(std::span<const std::uint8_t> frame, const Ipv4Packet& packet, const Mac& mac);

/// Change an address or a port and keep all checksums right (incremental, RFC 1624), a wrong one wrong.
void set_source(Ipv4Packet& packet, Ipv4 address);
void set_destination(Ipv4Packet& packet, Ipv4 address);
void set_source_port(Ipv4Packet& packet, std::uint16_t port);
void set_destination_port(Ipv4Packet& packet, std::uint16_t port);

/// One end of a conversation.
struct End {
  Mac mac{};
  Ipv4 address;
  std::uint16_t port = 0;
};

/// A UDP datagram in as many frames as an MTU of 1500 needs. `id` tells its fragments from those of others.
std::vector<Bytes> udp_frames(const End& from, const End& to, std::span<const std::uint8_t> data,
                              std::uint16_t id = 0);

/// A TCP segment in a frame.
Bytes tcp_frame(const End& from, const End& to, const TcpHeader& header, std::string_view data = {});

/// A frame's IPv4 packet in as many frames as the MTU needs.
std::vector<Bytes> fragments_of(std::span<const std::uint8_t> frame);

/// Whom an ARP frame is about; nullopt for any other frame.
std::optional<Ipv4> arp_target(std::span<const std::uint8_t> frame);
/// "`address` is at `mac`", to whom asked in `request`, a whole ARP frame.
Bytes arp_reply(std::span<const std::uint8_t> request, const Mac& mac, Ipv4 address);
/// "I am `address` at `mac`", to everyone.
Bytes arp_announcement(const Mac& mac, Ipv4 address);

enum class Refusal : std::uint8_t { port_unreachable = 3, prohibited = 13 };  ///< ICMP codes of type 3
/// Tells a guest at once that nothing will come of its packet, as a router at `mac` and `router` does: a TCP
/// reset in the name of the destination, an ICMP error otherwise. Empty for packets that must not be answered
/// (RFC 1122 3.2.2: ICMP errors, resets, broadcasts, later fragments).
Bytes refuse(std::span<const std::uint8_t> frame, const Ipv4Packet& packet, const Mac& mac, Ipv4 router,
             Refusal why);

}  // namespace berth::network
