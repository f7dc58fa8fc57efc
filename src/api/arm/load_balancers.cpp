#include "api/arm/load_balancers.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::string_view parts[] = {"frontendIPConfigurations", "backendAddressPools", "inboundNatRules",
                                      "probes"};

std::string part_id(const Place& place, std::string_view part, const std::string& name) {
  return make_id(place.subscription, place.group, fmt::format("{}/{}", load_balancer_type, part),
                 place.name + "/" + name);
}

std::uint16_t port_of(const Field& field) {
  const std::int64_t port = field.number(0);
  if (port < 1 || port > 65'535) field.refuse("a port from 1 to 65535");
  return static_cast<std::uint16_t>(port);
}

}  // namespace

std::vector<LoadBalancer::Frontend> frontends_of(const json& properties, const Place& place) {
  std::vector<LoadBalancer::Frontend> found;
  for (const Field& item : Field(properties, "properties")["frontendIPConfigurations"].items()) {
    LoadBalancer::Frontend frontend;
    frontend.id = part_id(place, "frontendIPConfigurations", item["name"].required_text());
    const Field id = item["properties"]["publicIPAddress"]["id"];
    frontend.address =
        parse_reference(id.required_text(), public_address_type, place.subscription, id.path()).ref();
    found.push_back(std::move(frontend));
  }
  return found;
}

std::vector<LoadBalancer::NatRule> nat_rules_of(const json& properties, const Place& place) {
  std::vector<LoadBalancer::NatRule> found;
  const std::vector<LoadBalancer::Frontend> frontends = frontends_of(properties, place);
  std::set<std::pair<std::string, std::uint16_t>> taken;
  for (const Field& item : Field(properties, "properties")["inboundNatRules"].items()) {
    LoadBalancer::NatRule rule;
    rule.name = item["name"].required_text();
    rule.id = part_id(place, "inboundNatRules", rule.name);
    const Field inner = item["properties"];
    rule.protocol = lower(inner["protocol"].text("Tcp"));
    if (rule.protocol != "tcp" && rule.protocol != "udp") inner["protocol"].refuse("'Tcp' or 'Udp'");
    rule.frontend_port = port_of(inner["frontendPort"]);
    rule.backend_port = port_of(inner["backendPort"]);
    const std::string frontend = inner["frontendIPConfiguration"]["id"].required_text();
    const auto known = std::ranges::find_if(
        frontends, [&](const LoadBalancer::Frontend& f) { return same_name(f.id, frontend); });
    if (known == frontends.end())
      throw Error(
          ErrorKind::invalid, "InvalidResourceReference",
          fmt::format(
              "Resource {} referenced by rule '{}' was not found. Please make sure that the referenced "
              "resource exists.",
              frontend, rule.name));
    rule.address = known->address;
    if (!taken.emplace(rule.protocol + rule.address.key(), rule.frontend_port).second)
      throw Error(ErrorKind::invalid, "RulesUseSameFrontendPortProtocolAndIPConfig",
                  fmt::format("Two rules of load balancer '{}' use the frontend port {}.", place.name,
                              rule.frontend_port));
    found.push_back(std::move(rule));
  }
  return found;
}

json parse_load_balancer(const json& body, const Place& place) {
  Field(body).require_object();
  check_resource_name(place.name, load_balancer_type);
  const Field given = Field(body)["properties"];
  for (const char* part : {"loadBalancingRules", "inboundNatPools", "outboundRules"})
    if (!given[part].items().empty())
      throw Error(ErrorKind::invalid, "OperationNotAllowed",
                  fmt::format("'{}' is not supported by the local region: it does not spread connections.",
                              given[part].path()),
                  "Use inbound NAT rules, or a public address for each virtual machine.");
  json properties = {{"provisioningState", "Succeeded"}, {"loadBalancingRules", json::array()}};
  for (const std::string_view part : parts) {
    json& list = properties[part] = json::array();
    for (const Field& item : given[part].items()) {
      item.require_object();
      if (const Field inner = item["properties"]; !inner.missing()) inner.require_object();
      json kept = item.value();
      const std::string name = item["name"].required_text();
      check_resource_name(name, part);
      kept["name"] = name;
      kept["id"] = part_id(place, part, name);
      kept["type"] = fmt::format("{}/{}", load_balancer_type, part);
      kept["properties"]["provisioningState"] = "Succeeded";
      list.push_back(std::move(kept));
    }
  }
  nat_rules_of(properties, place);  // checks
  return properties;
}

}  // namespace berth::arm
