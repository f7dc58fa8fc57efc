#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/arm/network.h"

/// Load balancers, as far as the local region has them: a public address whose inbound NAT rules lead to
/// ports of single VMs. Kept as their own JSON.
namespace berth::arm {

/// A public port that leads to a port of whichever interface names the rule.
struct NatRule {
  std::string id, name;
  Ref address;  ///< of the frontend
  std::string protocol = "tcp";
  std::uint16_t frontend_port = 0, backend_port = 0;
};

struct Frontend {
  std::string id, name;
  Ref address;
};

/// The `properties` of a load balancer to keep: checked, with ids and states filled in. Throws Error(invalid)
/// naming the field; rules that would spread connections are refused by name.
nlohmann::json parse_load_balancer(const nlohmann::json& body, const Place& place);

std::vector<NatRule> nat_rules_of(const nlohmann::json& properties, const Place& place);
std::vector<Frontend> frontends_of(const nlohmann::json& properties, const Place& place);

}  // namespace berth::arm
