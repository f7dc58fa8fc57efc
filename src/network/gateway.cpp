#include "network/gateway.h"

#include <algorithm>

namespace berth::network {
namespace {

constexpr std::uint16_t dhcp_server = 67, dhcp_client = 68, dns_port = 53;
constexpr std::size_t arp_length = 28;

bool is_multicast(Ipv4 address) {
  return address.bits >> 28 == 0xe;
}

bool is_ping(const Ipv4Packet& packet) {
  return packet.is(IpProtocol::icmp) && !packet.payload.empty() && packet.payload[0] == 8;
}

}  // namespace

EndpointAddress public_address(Endpoint endpoint) {
  switch (endpoint) {
    case Endpoint::wire_server:
      return {wire_server_address, 80};
    case Endpoint::host_plugin:
      return {wire_server_address, 32526};
    case Endpoint::metadata:
      break;
  }
  return {metadata_address, 80};
}

std::optional<Ipv4Packet> Gateway::piece_for_gateway(const Member& member,
                                                     std::span<std::uint8_t> frame) const {
  if (frame.size() < ethernet_header || source_mac(frame) != member.lease.mac ||
      destination_mac(frame) != subnet_.gateway_mac())
    return std::nullopt;
  const auto packet = parse_ipv4_packet(frame);
  if (!packet || !packet->fragment || packet->source != member.lease.address) return std::nullopt;
  return packet;
}

Gateway::Decision Gateway::from_machine(const Member& member, std::span<std::uint8_t> frame, Time now) const {
  if (frame.size() < ethernet_header || source_mac(frame) != member.lease.mac) return {};
  if (ethertype(frame) == ethertype_arp) return arp(member, frame);
  auto packet = parse_ipv4_packet(frame);
  if (!packet) return {};

  const bool to_dhcp = packet->is(IpProtocol::udp) && packet->destination_port == dhcp_server &&
                       (packet->destination == everybody || packet->destination == subnet_.gateway());
  if (to_dhcp) {
    const bool own_source = packet->source.bits == 0 || packet->source == member.lease.address;
    if (!own_source || packet->source_port != dhcp_client) return {};
    return {Path::nowhere, answer_dhcp(member.lease, packet->udp_data()).value_or(Bytes{})};
  }
  if (packet->source != member.lease.address) return {};
  if (destination_mac(frame) == subnet_.gateway_mac()) return routed(member, frame, *packet, now);
  return to_neighbour(frame, *packet);
}

Gateway::Decision Gateway::arp(const Member& member, std::span<std::uint8_t> frame) const {
  constexpr std::uint8_t ethernet_and_ipv4[] = {0, 1, 8, 0, 6, 4};
  if (frame.size() < ethernet_header + arp_length) return {};
  const auto body = frame.subspan(ethernet_header);
  if (!std::ranges::equal(ethernet_and_ipv4, body.first(sizeof ethernet_and_ipv4))) return {};
  const Ipv4 sender{load32(body.data() + 14)}, target{load32(body.data() + 24)};
  const bool own_sender = std::ranges::equal(member.lease.mac, body.subspan(8, 6)) &&
                          (sender == member.lease.address || sender.bits == 0);
  if (!own_sender) return {};
  const bool asks = load16(body.data() + 6) == 1;
  const bool ours = target == subnet_.gateway() || target == subnet_.name_server() ||
                    target == wire_server_address || target == metadata_address;
  if (ours)
    return asks ? Decision{Path::nowhere, arp_reply(frame, subnet_.gateway_mac(), target)} : Decision{};
  if (!subnet_.block.contains(target)) return {};
  return {is_group(destination_mac(frame)) ? Path::machines : Path::machine, {}};
}

Gateway::Decision Gateway::to_neighbour(std::span<const std::uint8_t> frame, const Ipv4Packet& packet) const {
  // Only the gateway speaks DHCP to machines. A later piece cannot change the ports in the first.
  if (packet.is(IpProtocol::udp) && (load16(packet.header + 6) & 0x1fff) == 0) {
    if (packet.payload.size() < 8) return {};
    const std::uint16_t from_port = load16(packet.payload.data()),
                        to_port = load16(packet.payload.data() + 2);
    if (from_port == dhcp_server || to_port == dhcp_client) return {};
  }
  const Ipv4 to = packet.destination;
  if (!is_group(destination_mac(frame)))
    return {subnet_.block.contains(to) && to != subnet_.broadcast() ? Path::machine : Path::nowhere, {}};
  const bool for_all = to == everybody || to == subnet_.broadcast() || is_multicast(to);
  return {for_all ? Path::machines : Path::nowhere, {}};
}

Gateway::Decision Gateway::routed(const Member& member, std::span<std::uint8_t> frame, Ipv4Packet& packet,
                                  Time now) const {
  const Ipv4 to = packet.destination;
  if (packet.header_length != 20 || packet.fragment)
    return {};  // nobody needs IP options; libslirp strips them clumsily
  if (to == wire_server_address || to == metadata_address) return to_endpoint(member, frame, packet);
  if (to == subnet_.name_server()) return to_name_server(member, frame, packet);
  if (to == subnet_.gateway()) {
    if (is_ping(packet)) return answer_ping(frame, packet);
    if (packet.is(IpProtocol::udp)) return {packet.has_ports() ? Path::forwarded_udp : Path::nowhere, {}};
    // Connections through forwarded ports come from the gateway; nothing can be opened towards it.
    if (packet.is(IpProtocol::tcp) && packet.has_ports() && !packet.opens_tcp()) return {Path::nat, {}};
    return refuse(frame, packet, Refusal::port_unreachable);
  }
  if (subnet_.block.contains(to) || is_link_local(to)) return {};
  if (egress_.allows(to, now)) return {Path::nat, {}};
  return refuse(frame, packet, Refusal::prohibited);
}

Gateway::Decision Gateway::to_endpoint(const Member& member, std::span<std::uint8_t> frame,
                                       Ipv4Packet& packet) const {
  if (!packet.has_ports()) return {};
  if (packet.destination == wire_server_address && packet.destination_port == dns_port)
    return to_name_server(member, frame, packet);
  if (packet.is(IpProtocol::tcp)) {
    for (const Endpoint endpoint : endpoints) {
      const auto [address, port] = public_address(endpoint);
      if (packet.destination != address || packet.destination_port != port) continue;
      if (!member.serves[static_cast<int>(endpoint)]) break;
      set_destination(packet, subnet_.hidden());
      set_destination_port(packet, hidden_port(endpoint));
      return {Path::nat, {}};
    }
  }
  return refuse(frame, packet, Refusal::port_unreachable);
}

Gateway::Decision Gateway::to_name_server(const Member& member, std::span<std::uint8_t> frame,
                                          Ipv4Packet& packet) const {
  if (is_ping(packet)) return answer_ping(frame, packet);
  if (!packet.has_ports() || packet.destination_port != dns_port)
    return refuse(frame, packet, Refusal::port_unreachable);
  if (packet.is(IpProtocol::udp)) {
    auto answer = names_.answer(packet.udp_data());
    if (!answer && !egress_.allows_names()) answer = refuse_dns(packet.udp_data());
    if (answer) {
      const End from{subnet_.gateway_mac(), packet.destination, dns_port};
      const End to{member.lease.mac, packet.source, packet.source_port};
      return {Path::nowhere, udp_frames(from, to, *answer).front()};
    }
  }
  if (!egress_.allows_names()) return refuse(frame, packet, Refusal::prohibited);
  if (packet.destination == wire_server_address) {
    // Azure's own name server. The question is put to ours by another face of this machine, so that the
    // answer tells by its destination which server it must seem to come from.
    set_destination(packet, subnet_.name_server());
    set_source(packet, subnet_.hidden());
  }
  return {Path::nat, {}};
}

Gateway::Decision Gateway::answer_ping(std::span<const std::uint8_t> frame, const Ipv4Packet& packet) const {
  if (packet.payload.size() < 8 || !checksums_hold(packet)) return {};
  return {Path::nowhere, echo_reply(frame, packet, subnet_.gateway_mac())};
}

Gateway::Decision Gateway::refuse(std::span<const std::uint8_t> frame, const Ipv4Packet& packet,
                                  Refusal why) const {
  return {Path::nowhere, network::refuse(frame, packet, subnet_.gateway_mac(), subnet_.gateway(), why)};
}

bool Gateway::from_nat(const Member& member, std::span<std::uint8_t> frame, Time now) {
  auto packet = parse_ipv4_packet(frame);
  if (!packet) return false;
  if (packet->is(IpProtocol::udp) && packet->source == subnet_.name_server() &&
      packet->source_port == dns_port) {
    if (!egress_.names().empty())
      if (const auto told = read_dns_answer(packet->udp_data()))
        egress_.learn(told->name, told->addresses, now);
  }
  if (packet->destination == subnet_.hidden()) {
    if (packet->source != subnet_.name_server() || !packet->has_ports()) return false;
    set_source(*packet, wire_server_address);
    set_destination(*packet, member.lease.address);
    return true;
  }
  if (packet->destination != member.lease.address) return false;
  if (packet->source == subnet_.hidden()) {
    for (const Endpoint endpoint : endpoints) {
      if (!packet->is(IpProtocol::tcp) || packet->source_port != hidden_port(endpoint)) continue;
      const auto [address, port] = public_address(endpoint);
      set_source(*packet, address);
      set_source_port(*packet, port);
      return true;
    }
    return false;
  }
  return packet->source == subnet_.gateway() || packet->source == subnet_.name_server() ||
         egress_.allows(packet->source, now);
}

}  // namespace berth::network
