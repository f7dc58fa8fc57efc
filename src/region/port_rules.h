#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/resources.h"

namespace berth {

/// A port of a public address that security rules and endpoints leave open.
struct OpenPort {
  std::string protocol;  ///< "tcp", "udp"
  std::uint16_t public_port = 0;
  std::uint16_t guest_port = 0;
  std::vector<std::string> sources;  ///< CIDR; empty: everyone
  bool operator==(const OpenPort&) const = default;
};

/// Which ports of an interface's public address are open: what both security groups allow (null: allows
/// everything, as in Azure), and its endpoints. A rule for all or very many ports cannot be met port by port
/// on the host: of such a range only `named` ports (what the VM's extensions serve) and the well-known ones
/// of `common_ports()` are opened.
std::vector<OpenPort> open_ports(const NetworkInterface& nic, const SecurityGroup* of_interface,
                                 const SecurityGroup* of_subnet, const std::vector<std::uint16_t>& named);

const std::vector<std::uint16_t>& common_ports();

/// What a security rule may not say ("Port 70000 is not one."); empty if it is fine. Checks ports, prefixes,
/// priority, protocol, access, direction.
std::string rule_problem(const SecurityRule& rule);

/// IPv4 helpers, host byte order. False when the text is no address or block.
bool parse_ipv4(std::string_view text, std::uint32_t& address);
bool parse_cidr(std::string_view text, std::uint32_t& network, unsigned& bits);
std::string format_ipv4(std::uint32_t address);

}  // namespace berth
