#pragma once

#include <map>
#include <optional>
#include <string>

#include "network/dhcp.h"
#include "network/dns.h"
#include "network/egress_filter.h"
#include "network/packet.h"

namespace berth::network {

/// The guest endpoints, in the order of the ports that stand for them behind Subnet::hidden().
enum class Endpoint { wire_server, host_plugin, metadata };
constexpr Endpoint endpoints[] = {Endpoint::wire_server, Endpoint::host_plugin, Endpoint::metadata};
struct EndpointAddress {
  Ipv4 address;
  std::uint16_t port;
};
/// Where guests find it.
EndpointAddress public_address(Endpoint endpoint);
/// The port of Subnet::hidden() where the NAT finds it: each connection is rewritten on its way.
constexpr std::uint16_t hidden_port(Endpoint endpoint) {
  return static_cast<std::uint16_t>(1 + static_cast<int>(endpoint));
}

/// One port's machine, as the rules see it.
struct Member {
  DhcpLease lease;
  bool serves[std::size(endpoints)] = {};  ///< false: the endpoint refuses connections
};

/// The rules of one virtual network: what happens to each frame of a machine, and to each frame of the NAT
/// (libslirp) for it. No I/O and no clock, so that every rule can be tried byte by byte.
///
/// A machine sends from its own MAC and IPv4 address only, since the guest endpoints know it by its port.
/// Only ARP and IPv4 pass, and no DHCP between machines. The gateway answers ARP for itself, the name server
/// and the guest endpoints, and DHCP, pings to itself, and questions for the network's own names.
class Gateway {
 public:
  using Time = EgressFilter::Time;

  explicit Gateway(Subnet subnet, Egress egress = {})
      : subnet_(subnet), names_(subnet.block), egress_(egress) {}

  enum class Path {
    nowhere,       ///< dropped, or answered
    machine,       ///< to the port with the frame's destination MAC
    machines,      ///< to all other ports
    nat,           ///< to the sender's NAT, rewritten in place
    forwarded_udp  ///< a machine's answer through a forwarded UDP port
  };
  struct Decision {
    Path path = Path::nowhere;
    Bytes answer;  ///< to the sender; empty: none
  };

  /// The packet in a frame of `member` when it is a piece of one that the gateway can only judge whole.
  std::optional<Ipv4Packet> piece_for_gateway(const Member& member, std::span<std::uint8_t> frame) const;
  /// What to do with a frame that `member` sent. May change it. Pieces for the gateway are dropped: they must
  /// be made whole before (see Reassembler).
  Decision from_machine(const Member& member, std::span<std::uint8_t> frame, Time now) const;

  /// Makes a frame of `member`'s NAT fit for it, in place; false: drop it. Learns what allowed names lead to
  /// from answers of the name server.
  bool from_nat(const Member& member, std::span<std::uint8_t> frame, Time now);

  const Subnet& subnet() const { return subnet_; }
  HostNames& names() { return names_; }
  void set_names(HostNames names) { names_ = std::move(names); }
  EgressFilter& egress() { return egress_; }
  void set_egress(const Egress& egress) { egress_ = EgressFilter(egress); }

 private:
  Decision arp(const Member& member, std::span<std::uint8_t> frame) const;
  Decision to_neighbour(std::span<const std::uint8_t> frame, const Ipv4Packet& packet) const;
  Decision routed(const Member& member, std::span<std::uint8_t> frame, Ipv4Packet& packet, Time now) const;
  Decision to_endpoint(const Member& member, std::span<std::uint8_t> frame, Ipv4Packet& packet) const;
  Decision to_name_server(const Member& member, std::span<std::uint8_t> frame, Ipv4Packet& packet) const;
  Decision answer_ping(std::span<const std::uint8_t> frame, const Ipv4Packet& packet) const;
  Decision refuse(std::span<const std::uint8_t> frame, const Ipv4Packet& packet, Refusal why) const;

  Subnet subnet_;
  HostNames names_;
  EgressFilter egress_;
};

}  // namespace berth::network
