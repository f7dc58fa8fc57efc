#pragma once

#include <optional>
#include <span>
#include <string>

#include "network/packet.h"

namespace berth::network {

/// What one port's machine is told; the same for ever.
struct DhcpLease {
  Mac mac{};
  Ipv4 address;
  std::string host_name;
  Subnet subnet;
};

/// Answers the data of a UDP datagram to port 67: DISCOVER with OFFER, REQUEST with ACK or NAK, INFORM with
/// ACK (RFC 2131). nullopt when there is nothing to answer: not a request, another hardware address, meant
/// for another server. The result is a whole Ethernet frame.
///
/// Options: 53, 54, 51 (for ever), 1, 3, 6, 12; 121 and 249 with the default route and host routes to the
/// guest endpoints; 245, by which Azure's agents find the wire server (docs/wire/wireserver.md).
std::optional<Bytes> answer_dhcp(const DhcpLease& lease, std::span<const std::uint8_t> request);

}  // namespace berth::network
