#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"

/// Microsoft.Network's documents. Parsers throw Error(invalid) naming the field; what only the region can
/// know (free names, addresses, priorities) they leave to it. Source: docs/wire/arm.md; Network REST
/// 2022-07-01.
namespace berth::arm {

class JsonText;
class Field;

inline constexpr std::string_view virtual_network_type = "Microsoft.Network/virtualNetworks";
inline constexpr std::string_view security_group_type = "Microsoft.Network/networkSecurityGroups";
inline constexpr std::string_view public_address_type = "Microsoft.Network/publicIPAddresses";
inline constexpr std::string_view interface_type = "Microsoft.Network/networkInterfaces";
inline constexpr std::string_view load_balancer_type = "Microsoft.Network/loadBalancers";

/// Where a document is put: its name comes from the URL, not from the body.
struct Place {
  std::string subscription, group, name;
};

/// `before`: what stands there now, or nullptr. Subnets and rules that the body does not speak of stay.
VirtualNetwork parse_virtual_network(const nlohmann::json& body, const Place& place,
                                     const VirtualNetwork* before);
Subnet parse_subnet(const Field& item, const std::string& name, const std::string& subscription);
SecurityGroup parse_security_group(const nlohmann::json& body, const Place& place,
                                   const SecurityGroup* before);
SecurityRule parse_security_rule(const Field& item, const std::string& name);
PublicAddress parse_public_address(const nlohmann::json& body, const Place& place);
NetworkInterface parse_interface(const nlohmann::json& body, const Place& place);

void write_virtual_network(JsonText& out, const VirtualNetwork& network, std::string_view subscription);
void write_subnet(JsonText& out, const VirtualNetwork& network, const Subnet& subnet,
                  std::string_view subscription);
void write_security_group(JsonText& out, const SecurityGroup& group, std::string_view subscription);
void write_security_rule(JsonText& out, const SecurityGroup& group, const SecurityRule& rule,
                         std::string_view subscription);
/// `used_by`: the id of the IP configuration that has it; "" when it is free. `properties.localPorts` is
/// ours: the ports of this address that are open on this host now.
void write_public_address(JsonText& out, const PublicAddress& address, std::string_view subscription,
                          std::string_view used_by);
void write_interface(JsonText& out, const NetworkInterface& nic, std::string_view subscription);

/// The id of an IP configuration, for used_by.
std::string ip_configuration_id(const NetworkInterface& nic, const IpConfiguration& configuration,
                                std::string_view subscription);

}  // namespace berth::arm
