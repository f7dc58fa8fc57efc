#include "api/arm/load_balancers.h"

#include <spdlog/spdlog.h>

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

json properties_of(const LoadBalancer& balancer) {
  return json::parse(balancer.properties, nullptr, false);
}

const LoadBalancer& balancer_of(const Arm& arm, const ResourceId& id) {
  const LoadBalancer* balancer = arm.region.networks().find<LoadBalancer>(id.ref());
  if (!balancer) throw parent_not_found(id.type(), id.full_name(), id.segments[0].second);
  return *balancer;
}

void write_balancer(Arm& arm, JsonText& out, const LoadBalancer& balancer, const View&) {
  open_resource(out, balancer, type, arm.subscription());
  out.put("etag", "W/\"" + balancer.etag + "\"");
  out.raw("sku",
          balancer.sku.empty() ? R"({"name":"Basic","tier":"Regional"})" : std::string_view(balancer.sku));
  out.raw("properties", balancer.properties).close();
}

/// What its properties say goes into the members that the region acts on.
void set_properties(const Arm& arm, LoadBalancer& balancer, const json& properties) {
  const Place place = place_of(arm, balancer.ref());
  balancer.properties = dump(properties);
  balancer.frontends = frontends_of(properties, place);
  balancer.nat_rules = nat_rules_of(properties, place);
}

Applied keep(Arm& arm, LoadBalancer wanted) {
  const auto put = arm.region.networks().put(std::move(wanted));
  JsonText out;
  write_balancer(arm, out, put.resource, {});
  return {.document = out.take(), .created = put.created, .operation = {}};
}

Applied put_balancer(Arm& arm, const ResourceId& id, const json& body) {
  const LoadBalancer* before = arm.region.networks().find<LoadBalancer>(id.ref());
  LoadBalancer wanted;
  wanted.group = id.group;
  wanted.name = id.name();
  wanted.location = location_of(body, type, before ? std::string_view(before->location) : std::string_view());
  wanted.tags = Field(body)["tags"].tags();
  wanted.sku = Field(body)["sku"].as_json();
  set_properties(arm, wanted, parse_load_balancer(body, place_of(arm, id.ref())));
  return keep(arm, std::move(wanted));
}

std::optional<std::string> remove_balancer(Arm& arm, const ResourceId& id, const Request*) {
  if (!arm.region.networks().find<LoadBalancer>(id.ref())) return std::nullopt;
  arm.region.networks().remove_load_balancer(id.ref());
  return "";
}

// --- what stands inside: rules, pools, frontends

std::optional<std::string> show_part(Arm& arm, const ResourceId& id, const View&) {
  const LoadBalancer* balancer = arm.region.networks().find<LoadBalancer>(id.ref());
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
  LoadBalancer balancer = balancer_of(arm, id);
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
  set_properties(arm, balancer,
                 parse_load_balancer({{"properties", properties}}, place_of(arm, balancer.ref())));
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

void check_rules_are_there(const Arm& arm, const NetworkInterface& nic) {
  for (const IpConfiguration& configuration : nic.configurations)
    for (const std::string& text : configuration.nat_rules) {
      const auto id = ResourceId::parse(text);
      const LoadBalancer* balancer = id ? arm.region.networks().find<LoadBalancer>(id->ref()) : nullptr;
      if (!balancer) throw resource_not_found(type, id ? id->segments[0].second : text, id ? id->group : "");
      if (std::ranges::none_of(balancer->nat_rules,
                               [&](const LoadBalancer::NatRule& rule) { return same_name(rule.id, text); }))
        throw resource_not_found(id->type(), id->full_name(), id->group);
    }
}

std::map<std::string, std::string> address_users(const Arm& arm) {
  std::map<std::string, std::string> users;
  for (const NetworkInterface* nic : arm.region.networks().list<NetworkInterface>())
    for (const IpConfiguration& configuration : nic->configurations)
      if (!configuration.public_address.empty() && !configuration.balanced)
        users[configuration.public_address.key()] =
            ip_configuration_id(*nic, configuration, arm.subscription());
  for (const LoadBalancer* balancer : arm.region.networks().list<LoadBalancer>())
    for (const LoadBalancer::Frontend& frontend : balancer->frontends)
      users[frontend.address.key()] = frontend.id;
  return users;
}

std::string address_user(const Arm& arm, const Ref& address) {
  for (const LoadBalancer* balancer : arm.region.networks().list<LoadBalancer>())
    for (const LoadBalancer::Frontend& frontend : balancer->frontends)
      if (frontend.address == address) return frontend.id;
  for (const NetworkInterface* nic : arm.region.networks().list<NetworkInterface>())
    for (const IpConfiguration& configuration : nic->configurations)
      if (configuration.public_address == address && !configuration.balanced)
        return ip_configuration_id(*nic, configuration, arm.subscription());
  return {};
}

void take_over_load_balancers(Arm& arm) {
  for (const InertResource* row : arm.region.inert().list(type)) {
    const Ref ref = row->ref();
    try {
      LoadBalancer balancer;
      static_cast<Resource&>(balancer) = *row;
      balancer.sku = row->sku;
      set_properties(arm, balancer, json::parse(row->properties, nullptr, false));
      arm.region.operations().change([&] {
        arm.region.inert().remove(type, ref);
        arm.region.networks().put(std::move(balancer));
      });
    } catch (const Error& error) {
      spdlog::warn("load balancer {} stays without effect: {}", ref.key(), error.what());
    }
  }
}

std::vector<Kind> load_balancer_kinds() {
  Kind balancer = top_level<LoadBalancer>(type, &Region::networks, write_balancer);
  balancer.put = put_balancer;
  balancer.check = [](Arm& arm, const ResourceId& id, const json& body) {
    parse_load_balancer(body, place_of(arm, id.ref()));
  };
  balancer.remove = remove_balancer;
  return {balancer, part_kind("inboundNatRules", true), part_kind("backendAddressPools", true),
          part_kind("frontendIPConfigurations", false)};
}

}  // namespace berth::arm
