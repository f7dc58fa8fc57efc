#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/arm/arm_client.h"
#include "cli/vm/hosts.h"

namespace berth {

/// A port, or a range of them, that is reachable from outside: an Allow rule of the host's security group; and, where the host stands behind
/// a load balancer, a rule of that which leads a public port to one of the machine.
struct OpenPort {
  std::string name;
  std::string protocol = "tcp";    ///< or "udp"
  std::uint16_t from = 0, to = 0;  ///< public
  std::uint16_t guest_port = 0;    ///< where `from` leads in the machine
  std::string source = "*";        ///< who may connect: "*", an address or a block
};

/// "8080", "8000-8010", "53/udp", "80:8080" (public:machine). Throws Error(invalid).
OpenPort parse_port_text(const std::string& text);

/// Those that rules open, by port.
std::vector<OpenPort> list_open_ports(ArmClient& arm, const HostView& host);

/// Opens it and returns once the region has. Throws Error: conflict when one of that name, or one that holds a part of it, is there;
/// invalid when it cannot be: a public port other than the machine's without a load balancer.
void open_port(ArmClient& arm, const HostView& host, const OpenPort& port);

/// Closes what has that name. Throws Error(not_found).
void close_port(ArmClient& arm, const HostView& host, const std::string& name);

}  // namespace berth
