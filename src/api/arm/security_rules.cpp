#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/groups.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "api/arm/members.h"
#include "api/arm/network_parts.h"
#include "base/error.h"

/// Security groups and their rules.
namespace berth::arm {
namespace {

using nlohmann::json;

/// A list that may be given in the singular, the plural, or both.
std::vector<std::string> singular_or_plural(const Field& item, std::string_view singular,
                                            std::string_view plural) {
  std::vector<std::string> values = item[plural].texts();
  if (const std::string value = item[singular].text(); !value.empty()) values.push_back(value);
  if (values.empty()) values.emplace_back("*");
  return values;
}

void write_singular_or_plural(JsonText& out, std::string_view singular, std::string_view plural,
                              const std::vector<std::string>& values) {
  if (values.size() == 1) out.put(singular, values.front());
  out.open_list(plural);
  if (values.size() > 1)
    for (const std::string& value : values) out.item(value);
  out.close_list();
}

struct DefaultRule {
  std::string_view name, description, access, direction, source, destination;
  int priority;
};
constexpr DefaultRule default_rules[] = {
    {"AllowVnetInBound", "Allow inbound traffic from all VMs in VNET", "Allow", "Inbound", "VirtualNetwork",
     "VirtualNetwork", 65000},
    {"AllowAzureLoadBalancerInBound", "Allow inbound traffic from azure load balancer", "Allow", "Inbound",
     "AzureLoadBalancer", "*", 65001},
    {"DenyAllInBound", "Deny all inbound traffic", "Deny", "Inbound", "*", "*", 65500},
    {"AllowVnetOutBound", "Allow outbound traffic from all VMs to all VMs in VNET", "Allow", "Outbound",
     "VirtualNetwork", "VirtualNetwork", 65000},
    {"AllowInternetOutBound", "Allow outbound traffic from all VMs to Internet", "Allow", "Outbound", "*",
     "Internet", 65001},
    {"DenyAllOutBound", "Deny all outbound traffic", "Deny", "Outbound", "*", "*", 65500},
};

void write_default_rule(JsonText& out, const SecurityGroup& group, const DefaultRule& rule,
                        std::string_view subscription) {
  out.open()
      .put("name", rule.name)
      .put("id",
           make_id(subscription, group.group, "Microsoft.Network/networkSecurityGroups/defaultSecurityRules",
                   fmt::format("{}/{}", group.name, rule.name)))
      .put("etag", weak_etag(group))
      .open("properties")
      .put("provisioningState", "Succeeded")
      .put("description", rule.description)
      .put("protocol", "*")
      .put("sourcePortRange", "*")
      .put("destinationPortRange", "*")
      .put("sourceAddressPrefix", rule.source)
      .put("destinationAddressPrefix", rule.destination)
      .put("access", rule.access)
      .put("priority", rule.priority)
      .put("direction", rule.direction)
      .close()
      .close();
}

}  // namespace

SecurityRule parse_security_rule(const Field& item, const std::string& name) {
  check_resource_name(name, "Microsoft.Network/networkSecurityGroups/securityRules");
  SecurityRule rule;
  rule.name = name;
  kept_members("Microsoft.Network/networkSecurityGroups/securityRules", item.value(), item.path());
  const Field properties = item["properties"];
  properties.require_object();
  rule.description = properties["description"].text();
  rule.protocol = choice(properties["protocol"], {"Tcp", "Udp", "Icmp", "Esp", "Ah", "*"}, "*");
  rule.access = choice(properties["access"], {"Allow", "Deny"}, "Allow");
  rule.direction = choice(properties["direction"], {"Inbound", "Outbound"}, "Inbound");
  if (properties["priority"].missing()) properties["priority"].refuse("a number from 100 to 4096");
  const std::int64_t priority = properties["priority"].number(0);
  if (priority < 100 || priority > 4096)
    throw Error(ErrorKind::invalid, "SecurityRuleInvalidPriority",
                fmt::format("Security rule has invalid Priority. Value provided: {} Allowed range 100-4096.",
                            priority));
  rule.priority = static_cast<int>(priority);
  rule.source_prefixes = singular_or_plural(properties, "sourceAddressPrefix", "sourceAddressPrefixes");
  rule.source_ports = singular_or_plural(properties, "sourcePortRange", "sourcePortRanges");
  rule.destination_prefixes =
      singular_or_plural(properties, "destinationAddressPrefix", "destinationAddressPrefixes");
  rule.destination_ports = singular_or_plural(properties, "destinationPortRange", "destinationPortRanges");
  return rule;
}

SecurityGroup parse_security_group(const json& body, const Place& place, const SecurityGroup* before) {
  SecurityGroup group;
  take_common(group, body, place, security_group_type);
  const Field rules = Field(body)["properties"]["securityRules"];
  if (rules.missing() && before) group.rules = before->rules;
  for (const Field& item : rules.items())
    group.rules.push_back(parse_security_rule(item, item["name"].required_text()));
  return group;
}

void write_security_rule(JsonText& out, const SecurityGroup& group, const SecurityRule& rule,
                         std::string_view subscription) {
  out.open()
      .put("name", rule.name)
      .put("id", make_id(subscription, group.group, "Microsoft.Network/networkSecurityGroups/securityRules",
                         group.name + "/" + rule.name))
      .put("type", "Microsoft.Network/networkSecurityGroups/securityRules")
      .put("etag", weak_etag(group))
      .open("properties")
      .put("provisioningState", "Succeeded");
  out.put_if("description", rule.description).put("protocol", rule.protocol);
  write_singular_or_plural(out, "sourcePortRange", "sourcePortRanges", rule.source_ports);
  write_singular_or_plural(out, "destinationPortRange", "destinationPortRanges", rule.destination_ports);
  write_singular_or_plural(out, "sourceAddressPrefix", "sourceAddressPrefixes", rule.source_prefixes);
  write_singular_or_plural(out, "destinationAddressPrefix", "destinationAddressPrefixes",
                           rule.destination_prefixes);
  out.put("access", rule.access)
      .put("priority", rule.priority)
      .put("direction", rule.direction)
      .close()
      .close();
}

namespace {

void write_own_security_group(JsonText& out, const SecurityGroup& group, std::string_view subscription) {
  open_resource(out, group, security_group_type, subscription);
  out.put("etag", weak_etag(group))
      .open("properties")
      .put("provisioningState", "Succeeded")
      .put("resourceGuid", group.guid)
      .open_list("securityRules");
  for (const SecurityRule& rule : group.rules) write_security_rule(out, group, rule, subscription);
  out.close_list().open_list("defaultSecurityRules");
  for (const DefaultRule& rule : default_rules) write_default_rule(out, group, rule, subscription);
  out.close_list().close().close();
}

}  // namespace

void write_security_group(JsonText& out, const SecurityGroup& group, std::string_view subscription) {
  write_with_kept(out, group.kept,
                  [&](JsonText& own) { write_own_security_group(own, group, subscription); });
}

}  // namespace berth::arm
