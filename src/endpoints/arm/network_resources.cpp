#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/errors.h"
#include "api/arm/json_text.h"
#include "api/arm/members.h"
#include "api/arm/network.h"
#include "base/error.h"
#include "endpoints/arm/service.h"

/// Microsoft.Network's types over the region.
namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::string_view subnet_type = "Microsoft.Network/virtualNetworks/subnets";
constexpr std::string_view rule_type = "Microsoft.Network/networkSecurityGroups/securityRules";

void write_network(Arm& arm, JsonText& out, const VirtualNetwork& network, const View&) {
  write_virtual_network(out, network, arm.subscription());
}
void write_group_of_rules(Arm& arm, JsonText& out, const SecurityGroup& group, const View&) {
  write_security_group(out, group, arm.subscription());
}
void write_nic(Arm& arm, JsonText& out, const NetworkInterface& nic, const View&) {
  write_interface(out, nic, arm.subscription());
}

void write_address(Arm& arm, JsonText& out, const PublicAddress& address, const View& view) {
  if (!view.address_users) {
    write_public_address(out, address, arm.subscription(), address_user(arm, address.ref()));
    return;
  }
  const auto user = view.address_users->find(address.ref().key());
  write_public_address(out, address, arm.subscription(),
                       user == view.address_users->end() ? "" : user->second);
}

template <class T>
Applied applied(Arm& arm, const Put<T>& put, void (*write)(Arm&, JsonText&, const T&, const View&)) {
  JsonText out;
  write(arm, out, put.resource, {});
  return {.document = out.take(), .created = put.created, .operation = {}};
}

Applied put_network(Arm& arm, const ResourceId& id, const json& body) {
  VirtualNetwork network =
      parse_virtual_network(body, place_of(arm, id), arm.region.networks().find<VirtualNetwork>(id.ref()));
  check_kept_references(arm, network.kept, id);
  for (const Subnet& subnet : network.subnets) check_kept_references(arm, subnet.kept, id);
  return applied(arm, arm.region.networks().put(std::move(network)), write_network);
}
Applied put_rules(Arm& arm, const ResourceId& id, const json& body) {
  return applied(arm,
                 arm.region.networks().put(parse_security_group(
                     body, place_of(arm, id), arm.region.networks().find<SecurityGroup>(id.ref()))),
                 write_group_of_rules);
}
Applied put_address(Arm& arm, const ResourceId& id, const json& body) {
  return applied(arm, arm.region.networks().put(parse_public_address(body, place_of(arm, id))),
                 write_address);
}
Applied put_nic(Arm& arm, const ResourceId& id, const json& body) {
  NetworkInterface nic = parse_interface(body, place_of(arm, id));
  check_kept_references(arm, nic.kept, id);
  for (const IpConfiguration& configuration : nic.configurations)
    check_kept_references(arm, configuration.kept, id);
  check_rules_are_there(arm, nic);
  if (const NetworkInterface* before = arm.region.networks().find<NetworkInterface>(id.ref())) {
    nic.endpoints = before->endpoints;  // of the classic dialect; documents of this one have none
    nic.endpoints_only = before->endpoints_only;
  }
  return applied(arm, arm.region.networks().put(std::move(nic)), write_nic);
}

std::optional<std::string> remove_address(Arm& arm, const ResourceId& id, const Request*) {
  if (!arm.region.networks().find<PublicAddress>(id.ref())) return std::nullopt;
  if (const std::string user = address_user(arm, id.ref()); !user.empty())
    throw Error(
        ErrorKind::conflict, "PublicIPAddressCannotBeDeleted",
        fmt::format("Public IP address {} can not be deleted since it is still allocated to resource {}.",
                    id.name(), user),
        "Delete that first, or take the address away from it.");
  arm.region.networks().remove_public_address(id.ref());
  return "";
}

template <class T>
std::function<std::optional<std::string>(Arm&, const ResourceId&, const Request*)> remover(
    void (Networks::*remove)(const Ref&)) {
  return [remove](Arm& arm, const ResourceId& id, const Request*) -> std::optional<std::string> {
    if (!arm.region.networks().template find<T>(id.ref())) return std::nullopt;
    (arm.region.networks().*remove)(id.ref());
    return "";
  };
}

// --- subnets

const VirtualNetwork& network_of(const Arm& arm, const ResourceId& id) {
  const VirtualNetwork* network = arm.region.networks().find<VirtualNetwork>(id.ref());
  if (!network) throw parent_not_found(subnet_type, id.full_name(), id.segments[0].second);
  return *network;
}

const Subnet* find_subnet(const VirtualNetwork& network, const std::string& name) {
  const auto found = std::ranges::find_if(network.subnets,
                                          [&](const Subnet& subnet) { return same_name(subnet.name, name); });
  return found == network.subnets.end() ? nullptr : &*found;
}

std::string subnet_document(const Arm& arm, const VirtualNetwork& network, const Subnet& subnet) {
  JsonText out;
  write_subnet(out, network, subnet, arm.subscription());
  return out.take();
}

std::optional<std::string> show_subnet(Arm& arm, const ResourceId& id, const View&) {
  const VirtualNetwork* network = arm.region.networks().find<VirtualNetwork>(id.ref());
  const Subnet* subnet = network ? find_subnet(*network, id.name()) : nullptr;
  if (!subnet) return std::nullopt;
  json users = json::array();
  for (const NetworkInterface* nic : arm.region.networks().list<NetworkInterface>())
    for (const IpConfiguration& configuration : nic->configurations)
      if (configuration.network == network->ref() && same_name(configuration.subnet, subnet->name))
        users.push_back({{"id", ip_configuration_id(*nic, configuration, arm.subscription())}});
  std::string document = subnet_document(arm, *network, *subnet);
  if (users.empty()) return document;
  return with_kept(document, dump({{"properties", {{"ipConfigurations", users}}}}));
}

Applied put_subnet(Arm& arm, const ResourceId& id, const json& body) {
  VirtualNetwork network = network_of(arm, id);
  Subnet wanted = parse_subnet(Field(body), id.name(), arm.subscription());
  check_kept_references(arm, wanted.kept, id);
  const auto known = std::ranges::find_if(
      network.subnets, [&](const Subnet& subnet) { return same_name(subnet.name, id.name()); });
  const bool created = known == network.subnets.end();
  if (created)
    network.subnets.push_back(wanted);
  else
    *known = wanted;
  const VirtualNetwork kept = arm.region.networks().put(std::move(network)).resource;
  return {.document = subnet_document(arm, kept, wanted), .created = created, .operation = {}};
}

std::optional<std::string> remove_subnet(Arm& arm, const ResourceId& id, const Request*) {
  const VirtualNetwork* found = arm.region.networks().find<VirtualNetwork>(id.ref());
  if (!found || !find_subnet(*found, id.name())) return std::nullopt;
  VirtualNetwork network = *found;
  std::erase_if(network.subnets, [&](const Subnet& subnet) { return same_name(subnet.name, id.name()); });
  arm.region.networks().put(std::move(network));
  return "";
}

std::vector<std::string> subnets_of(Arm& arm, const ResourceId& parent) {
  std::vector<std::string> documents;
  const VirtualNetwork& network = network_of(arm, parent);
  for (const Subnet& subnet : network.subnets) documents.push_back(subnet_document(arm, network, subnet));
  return documents;
}

// --- security rules

const SecurityGroup& group_of(const Arm& arm, const ResourceId& id) {
  const SecurityGroup* group = arm.region.networks().find<SecurityGroup>(id.ref());
  if (!group) throw parent_not_found(rule_type, id.full_name(), id.segments[0].second);
  return *group;
}

std::string rule_document(const Arm& arm, const SecurityGroup& group, const SecurityRule& rule) {
  JsonText out;
  write_security_rule(out, group, rule, arm.subscription());
  return out.take();
}

std::optional<std::string> show_rule(Arm& arm, const ResourceId& id, const View&) {
  const SecurityGroup* group = arm.region.networks().find<SecurityGroup>(id.ref());
  if (!group) return std::nullopt;
  for (const SecurityRule& rule : group->rules)
    if (same_name(rule.name, id.name())) return rule_document(arm, *group, rule);
  return std::nullopt;
}

Applied put_rule(Arm& arm, const ResourceId& id, const json& body) {
  SecurityGroup group = group_of(arm, id);
  const SecurityRule wanted = parse_security_rule(Field(body), id.name());
  const auto known = std::ranges::find_if(
      group.rules, [&](const SecurityRule& rule) { return same_name(rule.name, id.name()); });
  const bool created = known == group.rules.end();
  if (created)
    group.rules.push_back(wanted);
  else
    *known = wanted;
  const SecurityGroup kept = arm.region.networks().put(std::move(group)).resource;
  return {.document = rule_document(arm, kept, wanted), .created = created, .operation = {}};
}

std::optional<std::string> remove_rule(Arm& arm, const ResourceId& id, const Request*) {
  const SecurityGroup* found = arm.region.networks().find<SecurityGroup>(id.ref());
  if (!found) return std::nullopt;
  SecurityGroup group = *found;
  if (std::erase_if(group.rules, [&](const SecurityRule& rule) { return same_name(rule.name, id.name()); }) ==
      0)
    return std::nullopt;
  arm.region.networks().put(std::move(group));
  return "";
}

std::vector<std::string> security_rules_of(Arm& arm, const ResourceId& parent) {
  std::vector<std::string> documents;
  const SecurityGroup& group = group_of(arm, parent);
  for (const SecurityRule& rule : group.rules) documents.push_back(rule_document(arm, group, rule));
  return documents;
}

}  // namespace

asio::awaitable<Response> check_dns_name(Arm& arm, Request request) {
  const std::string label = request.parameter("domainNameLabel");
  if (!is_dns_label(label))
    throw Error(
        ErrorKind::invalid, "InvalidDomainNameLabel",
        fmt::format("The domain name label '{}' is invalid: it has 3 to 63 lower case letters, digits and "
                    "hyphens, begins with a letter and does not end with a hyphen.",
                    label.substr(0, 100)));
  JsonText out;
  out.open().put("available", arm.region.networks().is_label_free(label)).close();
  co_return json_response(200, out.take());
}

std::vector<Kind> network_kinds() {
  Kind network = top_level<VirtualNetwork>(virtual_network_type, &Region::networks, write_network);
  network.put = put_network;
  network.check = [](Arm& arm, const ResourceId& id, const json& body) {
    parse_virtual_network(body, place_of(arm, id), arm.region.networks().find<VirtualNetwork>(id.ref()));
  };
  network.remove = remover<VirtualNetwork>(&Networks::remove_virtual_network);
  Kind group = top_level<SecurityGroup>(security_group_type, &Region::networks, write_group_of_rules);
  group.put = put_rules;
  group.check = [](Arm& arm, const ResourceId& id, const json& body) {
    parse_security_group(body, place_of(arm, id), arm.region.networks().find<SecurityGroup>(id.ref()));
  };
  group.remove = remover<SecurityGroup>(&Networks::remove_security_group);
  Kind address = top_level<PublicAddress>(public_address_type, &Region::networks, write_address);
  address.put = put_address;
  address.check = [](Arm& arm, const ResourceId& id, const json& body) {
    parse_public_address(body, place_of(arm, id));
  };
  address.remove = remove_address;
  Kind nic = top_level<NetworkInterface>(interface_type, &Region::networks, write_nic);
  nic.put = put_nic;
  nic.check = [](Arm& arm, const ResourceId& id, const json& body) {
    parse_interface(body, place_of(arm, id));
  };
  nic.remove = remover<NetworkInterface>(&Networks::remove_interface);
  Kind subnet{.type = std::string(subnet_type),
              .has_effect = true,
              .show = show_subnet,
              .put = put_subnet,
              .patch = {},
              .remove = remove_subnet,
              .check = {},
              .find = {},
              .all = {},
              .write = {},
              .children = subnets_of};
  Kind rule{.type = std::string(rule_type),
            .has_effect = true,
            .show = show_rule,
            .put = put_rule,
            .patch = {},
            .remove = remove_rule,
            .check = {},
            .find = {},
            .all = {},
            .write = {},
            .children = security_rules_of};
  std::vector<Kind> all = {group, rule, network, subnet, address};
  for (Kind& balancer : load_balancer_kinds()) all.push_back(std::move(balancer));
  all.push_back(nic);
  return all;
}

}  // namespace berth::arm
