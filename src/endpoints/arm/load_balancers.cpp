#include "api/arm/load_balancers.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/groups.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "endpoints/arm/service.h"

namespace berth::arm {
namespace {

using nlohmann::json;

const std::string type(load_balancer_type);

Place place_of(const Arm& arm, const Ref& ref) {
  return {arm.subscription(), ref.group, ref.name};
}

json properties_of(const InertResource& balancer) {
  return json::parse(balancer.properties, nullptr, false);
}

std::vector<NatRule> rules_of(const Arm& arm, const InertResource& balancer) {
  return nat_rules_of(properties_of(balancer), place_of(arm, balancer.ref()));
}

const InertResource& balancer_of(const Arm& arm, const ResourceId& id) {
  const InertResource* balancer = arm.region.inert().find(type, id.ref());
  if (!balancer) throw parent_not_found(id.type(), id.full_name(), id.segments[0].second);
  return *balancer;
}

void write_balancer(Arm& arm, JsonText& out, const Resource& resource, const View&) {
  const auto& balancer = static_cast<const InertResource&>(resource);
  open_resource(out, balancer, type, arm.subscription());
  out.put("etag", "W/\"" + balancer.etag + "\"");
  out.raw("sku",
          balancer.sku.empty() ? R"({"name":"Basic","tier":"Regional"})" : std::string_view(balancer.sku));
  out.raw("properties", balancer.properties).close();
}

/// Interfaces learn of the rules of one load balancer when these change.
void balance_users(Arm& arm, const Ref& balancer) {
  const std::string prefix = lower(make_id(arm.subscription(), balancer.group, type, balancer.name)) + "/";
  std::vector<NetworkInterface> users;
  for (const NetworkInterface* nic : arm.region.networks().list<NetworkInterface>())
    for (const IpConfiguration& configuration : nic->configurations)
      if (std::ranges::any_of(configuration.nat_rules,
                              [&](const std::string& id) { return lower(id).starts_with(prefix); })) {
        users.push_back(*nic);
        break;
      }
  for (NetworkInterface& nic : users) {
    const NetworkInterface before = nic;
    balance(arm, nic, &before);
    arm.region.networks().put(std::move(nic));
  }
}

/// Throws Error(conflict) when a rule that an interface uses would be gone.
void check_rules_stay(const Arm& arm, const Ref& balancer, const std::vector<NatRule>& rules) {
  const std::string prefix = lower(make_id(arm.subscription(), balancer.group, type, balancer.name)) + "/";
  for (const NetworkInterface* nic : arm.region.networks().list<NetworkInterface>())
    for (const IpConfiguration& configuration : nic->configurations)
      for (const std::string& id : configuration.nat_rules)
        if (lower(id).starts_with(prefix) &&
            std::ranges::none_of(rules, [&](const NatRule& rule) { return same_name(rule.id, id); }))
          throw Error(ErrorKind::conflict, "InboundNatRuleInUse",
                      fmt::format("The inbound NAT rule {} is used by interface '{}'.", id, nic->name),
                      "Take the rule away from the interface first.");
}

Applied keep(Arm& arm, InertResource wanted) {
  const Ref ref = wanted.ref();
  check_rules_stay(arm, ref, rules_of(arm, wanted));
  for (const Frontend& frontend : frontends_of(properties_of(wanted), place_of(arm, ref))) {
    const PublicAddress* address = arm.region.networks().find<PublicAddress>(frontend.address);
    if (!address)
      throw resource_not_found(public_address_type, frontend.address.name, frontend.address.group);
    if (const std::string user = address_user(arm, frontend.address);
        !user.empty() && !same_name(user, frontend.id))
      throw Error(ErrorKind::conflict, "PublicIPAddressInUse",
                  fmt::format("Public address '{}' is used by {}.", frontend.address.name, user));
  }
  const auto put = arm.region.inert().put(std::move(wanted));
  balance_users(arm, ref);
  JsonText out;
  write_balancer(arm, out, put.resource, {});
  return {.document = out.take(), .created = put.created, .operation = {}};
}

Applied put_balancer(Arm& arm, const ResourceId& id, const json& body) {
  const InertResource* before = arm.region.inert().find(type, id.ref());
  InertResource wanted;
  wanted.group = id.group;
  wanted.name = id.name();
  wanted.type = type;
  wanted.location = location_of(body, type, before ? std::string_view(before->location) : std::string_view());
  wanted.tags = Field(body)["tags"].tags();
  wanted.sku = Field(body)["sku"].as_json();
  wanted.properties = dump(parse_load_balancer(body, place_of(arm, id.ref())));
  return keep(arm, std::move(wanted));
}

std::optional<std::string> remove_balancer(Arm& arm, const ResourceId& id, const Request*) {
  if (!arm.region.inert().find(type, id.ref())) return std::nullopt;
  check_rules_stay(arm, id.ref(), {});
  arm.region.inert().remove(type, id.ref());
  return "";
}

// --- what stands inside: rules, pools, frontends

std::optional<std::string> show_part(Arm& arm, const ResourceId& id, const View&) {
  const InertResource* balancer = arm.region.inert().find(type, id.ref());
  if (!balancer) return std::nullopt;
  const json properties = properties_of(*balancer);
  for (const json& item : properties.value(id.segments[1].first, json::array()))
    if (same_name(item.value("name", ""), id.name())) return dump(item);
  return std::nullopt;
}

std::vector<std::string> parts_of(Arm& arm, const ResourceId& parent, const std::string& part) {
  std::vector<std::string> documents;
  for (const json& item : properties_of(balancer_of(arm, parent)).value(part, json::array()))
    documents.push_back(dump(item));
  return documents;
}

/// Puts (or, without a body, removes) one of the parts.
Applied change_part(Arm& arm, const ResourceId& id, const std::string& part, const json* body) {
  InertResource balancer = balancer_of(arm, id);
  json properties = properties_of(balancer);
  json& list = properties[part];
  const auto known = std::ranges::find_if(
      list, [&](const json& item) { return same_name(item.value("name", ""), id.name()); });
  const bool created = known == list.end();
  if (!created) list.erase(known);
  if (body) {
    json item = *body;
    Field(item).require_object();
    item["name"] = id.name();
    list.push_back(std::move(item));
  }
  balancer.properties =
      dump(parse_load_balancer({{"properties", properties}}, place_of(arm, balancer.ref())));
  keep(arm, std::move(balancer));
  return {.document = body ? show_part(arm, id, {}).value_or("") : "", .created = created, .operation = {}};
}

Kind part_kind(const std::string& part, bool changes) {
  Kind kind;
  kind.type = type + "/" + part;
  kind.show = [part](Arm& arm, const ResourceId& id, const View& view) {
    ResourceId canonical = id;
    canonical.segments[1].first = part;
    return show_part(arm, canonical, view);
  };
  kind.children = [part](Arm& arm, const ResourceId& parent) { return parts_of(arm, parent, part); };
  kind.remove = [](Arm&, const ResourceId&, const Request*) -> std::optional<std::string> {
    throw Error(ErrorKind::invalid, "MethodNotAllowed", "It is part of its load balancer: change that.");
  };
  if (!changes) return kind;
  kind.put = [part](Arm& arm, const ResourceId& id, const json& body) {
    ResourceId canonical = id;
    canonical.segments[1].first = part;
    return change_part(arm, canonical, part, &body);
  };
  kind.remove = [part](Arm& arm, const ResourceId& id, const Request*) -> std::optional<std::string> {
    ResourceId canonical = id;
    canonical.segments[1].first = part;
    if (!show_part(arm, canonical, {})) return std::nullopt;
    change_part(arm, canonical, part, nullptr);
    return "";
  };
  return kind;
}

}  // namespace

void balance(Arm& arm, NetworkInterface& nic, const NetworkInterface* before) {
  const bool was_balanced = before && std::ranges::any_of(before->configurations, &IpConfiguration::balanced);
  nic.endpoints_only = before && !was_balanced && before->endpoints_only;
  nic.endpoints = before && !was_balanced ? before->endpoints : std::vector<Endpoint>{};
  for (IpConfiguration& configuration : nic.configurations) {
    if (configuration.balanced) configuration.public_address = {};
    configuration.balanced = false;
    for (const std::string& text : configuration.nat_rules) {
      const auto id = ResourceId::parse(text);
      const InertResource* balancer = id ? arm.region.inert().find(type, id->ref()) : nullptr;
      if (!balancer) throw resource_not_found(type, id ? id->segments[0].second : text, id ? id->group : "");
      const auto rules = rules_of(arm, *balancer);
      const auto rule = std::ranges::find_if(rules, [&](const NatRule& r) { return same_name(r.id, text); });
      if (rule == rules.end()) throw resource_not_found(id->type(), id->full_name(), id->group);
      for (const NetworkInterface* other : arm.region.networks().list<NetworkInterface>())
        for (const IpConfiguration& theirs : other->configurations)
          if (!(other->ref() == nic.ref()) &&
              std::ranges::any_of(theirs.nat_rules,
                                  [&](const std::string& used) { return same_name(used, text); }))
            throw Error(ErrorKind::conflict, "InboundNatRuleInUse",
                        fmt::format("The inbound NAT rule {} is used by interface '{}'.", text, other->name));
      const bool has_another =
          !configuration.public_address.empty() && !(configuration.public_address == rule->address);
      if ((has_another || (!configuration.public_address.empty() && !configuration.balanced)))
        throw Error(
            ErrorKind::conflict, "OperationNotAllowed",
            fmt::format(
                "IP configuration '{}' cannot have both a public address and inbound NAT rules of another "
                "in the local region.",
                configuration.name),
            "Leave out one of them.");
      configuration.public_address = rule->address;
      configuration.balanced = true;
      nic.endpoints.push_back({.name = rule->name,
                               .protocol = rule->protocol,
                               .public_port = rule->frontend_port,
                               .private_port = rule->backend_port,
                               .sources = {}});
    }
  }
}

std::map<std::string, std::string> address_users(const Arm& arm) {
  std::map<std::string, std::string> users;
  for (const NetworkInterface* nic : arm.region.networks().list<NetworkInterface>())
    for (const IpConfiguration& configuration : nic->configurations)
      if (!configuration.public_address.empty() && !configuration.balanced)
        users[configuration.public_address.key()] =
            ip_configuration_id(*nic, configuration, arm.subscription());
  for (const InertResource* balancer : arm.region.inert().list(type))
    for (const Frontend& frontend : frontends_of(properties_of(*balancer), place_of(arm, balancer->ref())))
      users[frontend.address.key()] = frontend.id;
  return users;
}

std::string address_user(const Arm& arm, const Ref& address) {
  for (const InertResource* balancer : arm.region.inert().list(type))
    for (const Frontend& frontend : frontends_of(properties_of(*balancer), place_of(arm, balancer->ref())))
      if (frontend.address == address) return frontend.id;
  for (const NetworkInterface* nic : arm.region.networks().list<NetworkInterface>())
    for (const IpConfiguration& configuration : nic->configurations)
      if (configuration.public_address == address && !configuration.balanced)
        return ip_configuration_id(*nic, configuration, arm.subscription());
  return {};
}

std::vector<Kind> load_balancer_kinds() {
  Kind balancer;
  balancer.type = type;
  balancer.find = [](const Region& region, const Ref& ref) -> const Resource* {
    return region.inert().find(type, ref);
  };
  balancer.all = [](const Region& region, const std::string& group) {
    const auto found = region.inert().list(type, group);
    return std::vector<const Resource*>(found.begin(), found.end());
  };
  balancer.write = write_balancer;
  balancer.put = put_balancer;
  balancer.remove = remove_balancer;
  return {balancer, part_kind("inboundNatRules", true), part_kind("backendAddressPools", true),
          part_kind("frontendIPConfigurations", false)};
}

}  // namespace berth::arm
