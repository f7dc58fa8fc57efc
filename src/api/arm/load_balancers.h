#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "api/arm/network.h"
#include "model/resources.h"

/// Load balancers, as far as the local region has them: a public address whose inbound NAT rules lead to
/// ports of single VMs.
namespace berth::arm {

/// The `properties` of a load balancer to keep: checked, with ids and states filled in. Throws Error(invalid)
/// naming the field; rules that would spread connections are refused by name.
nlohmann::json parse_load_balancer(const nlohmann::json& body, const Place& place);

std::vector<LoadBalancer::NatRule> nat_rules_of(const nlohmann::json& properties, const Place& place);
std::vector<LoadBalancer::Frontend> frontends_of(const nlohmann::json& properties, const Place& place);

}  // namespace berth::arm
