#include "api/arm/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/groups.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "api/arm/members.h"
#include "api/arm/network_parts.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::string_view nat_rule_type = "Microsoft.Network/loadBalancers/inboundNatRules";
constexpr std::string_view pool_type = "Microsoft.Network/loadBalancers/backendAddressPools";

Ref reference(const Field& object, std::string_view type, const std::string& subscription) {
  if (object.missing()) return {};
  const Field id = object["id"];
  return parse_reference(id.required_text(), type, subscription, id.path()).ref();
}

IpConfiguration parse_ip_configuration(const Field& item, const std::string& subscription) {
  IpConfiguration configuration;
  configuration.name = item["name"].required_text();
  check_resource_name(configuration.name, "ipConfigurations");
  configuration.kept =
      kept_members("Microsoft.Network/networkInterfaces/ipConfigurations", item.value(), item.path());
  const Field properties = item["properties"];
  const Field subnet_id = properties["subnet"]["id"];
  const ResourceId subnet = parse_reference(
      subnet_id.required_text(), "Microsoft.Network/virtualNetworks/subnets", subscription, subnet_id.path());
  configuration.network = subnet.ref();
  configuration.subnet = subnet.name();
  configuration.public_address = reference(properties["publicIPAddress"], public_address_type, subscription);
  configuration.address_deleted_with_vm = same_name(
      choice(properties["publicIPAddress"]["properties"]["deleteOption"], {"Detach", "Delete"}, "Detach"),
      "Delete");
  configuration.allocation =
      choice(properties["privateIPAllocationMethod"], {"Dynamic", "Static"}, "Dynamic");
  if (configuration.allocation == "Static")
    configuration.private_address = properties["privateIPAddress"].required_text();
  const std::string version = properties["privateIPAddressVersion"].text("IPv4");
  if (!same_name(version, "IPv4"))
    properties["privateIPAddressVersion"].refuse("'IPv4': the local region has no other");
  configuration.primary = properties["primary"].flag(false);
  for (const Field& rule : properties["loadBalancerInboundNatRules"].items()) {
    const Field id = rule["id"];
    configuration.nat_rules.push_back(
        parse_reference(id.required_text(), nat_rule_type, subscription, id.path()).text());
  }
  for (const Field& pool : properties["loadBalancerBackendAddressPools"].items()) {
    const Field id = pool["id"];
    configuration.pools.push_back(
        parse_reference(id.required_text(), pool_type, subscription, id.path()).text());
  }
  return configuration;
}

}  // namespace

std::string weak_etag(const Resource& resource) {
  return "W/\"" + resource.etag + "\"";
}

void take_common(Resource& resource, const json& body, const Place& place, std::string_view type) {
  Field(body).require_object();
  check_resource_name(place.name, type);
  resource.group = place.group;
  resource.name = place.name;
  resource.location = location_of(body, type);
  resource.tags = Field(body)["tags"].tags();
  resource.kept = kept_members(type, body);
}

/// One of `allowed`, in its canonical spelling. Blanks around it count for nothing, as in Azure.
std::string choice(const Field& field, std::initializer_list<std::string_view> allowed,
                   std::string_view otherwise) {
  std::string text = field.text(otherwise);
  text.erase(text.find_last_not_of(' ') + 1);
  text.erase(0, text.find_first_not_of(' '));
  for (const std::string_view candidate : allowed)
    if (same_name(candidate, text)) return std::string(candidate);
  std::string names;
  for (const std::string_view candidate : allowed)
    names += (names.empty() ? "'" : ", '") + std::string(candidate) + "'";
  field.refuse(fmt::format("one of {}", names));
}

Subnet parse_subnet(const Field& item, const std::string& name, const std::string& subscription) {
  check_resource_name(name, "Microsoft.Network/virtualNetworks/subnets");
  Subnet subnet;
  subnet.name = name;
  subnet.kept = kept_members("Microsoft.Network/virtualNetworks/subnets", item.value(), item.path());
  const Field properties = item["properties"];
  subnet.prefix = properties["addressPrefix"].text();
  if (const Field prefixes = properties["addressPrefixes"]; subnet.prefix.empty() && !prefixes.missing()) {
    if (prefixes.texts().size() != 1) prefixes.refuse("one prefix: the local region has one to a subnet");
    subnet.prefix = prefixes.texts().front();
  }
  if (subnet.prefix.empty()) subnet.prefix = properties["addressPrefix"].required_text();
  subnet.security_group = reference(properties["networkSecurityGroup"], security_group_type, subscription);
  return subnet;
}

VirtualNetwork parse_virtual_network(const json& body, const Place& place, const VirtualNetwork* before) {
  VirtualNetwork network;
  take_common(network, body, place, virtual_network_type);
  const Field properties = Field(body)["properties"];
  network.prefixes = properties["addressSpace"]["addressPrefixes"].texts();
  if (network.prefixes.empty() && before) network.prefixes = before->prefixes;
  const Field subnets = properties["subnets"];
  if (subnets.missing() && before) network.subnets = before->subnets;
  for (const Field& item : subnets.items())
    network.subnets.push_back(parse_subnet(item, item["name"].required_text(), place.subscription));
  return network;
}

PublicAddress parse_public_address(const json& body, const Place& place) {
  PublicAddress address;
  take_common(address, body, place, public_address_type);
  const Field document(body);
  address.sku = choice(document["sku"]["name"], {"Basic", "Standard"}, "Basic");
  const Field properties = document["properties"];
  address.allocation = choice(properties["publicIPAllocationMethod"], {"Dynamic", "Static"},
                              address.sku == "Standard" ? "Static" : "Dynamic");
  choice(properties["publicIPAddressVersion"], {"IPv4"}, "IPv4");
  const std::int64_t timeout = properties["idleTimeoutInMinutes"].number(4);
  if (timeout < 4 || timeout > 30) properties["idleTimeoutInMinutes"].refuse("a number from 4 to 30");
  address.idle_timeout_minutes = static_cast<int>(timeout);
  const Field label = properties["dnsSettings"]["domainNameLabel"];
  address.label = label.text();
  if (!address.label.empty() && !is_dns_label(address.label))
    throw Error(
        ErrorKind::invalid, "InvalidDomainNameLabel",
        fmt::format("The domain name label '{}' is invalid: it must begin with a letter, hold only letters, "
                    "digits and hyphens, and not end with a hyphen.",
                    address.label));
  return address;
}

NetworkInterface parse_interface(const json& body, const Place& place) {
  NetworkInterface nic;
  take_common(nic, body, place, interface_type);
  const Field properties = Field(body)["properties"];
  for (const Field& item : properties["ipConfigurations"].items())
    nic.configurations.push_back(parse_ip_configuration(item, place.subscription));
  if (nic.configurations.empty())
    throw Error(ErrorKind::invalid, "NetworkInterfaceMustHaveAtleastOneIpConfiguration",
                fmt::format("Network interface '{}' must have at least one IP configuration.", place.name));
  if (std::ranges::none_of(nic.configurations, &IpConfiguration::primary))
    nic.configurations.front().primary = true;
  nic.security_group = reference(properties["networkSecurityGroup"], security_group_type, place.subscription);
  nic.ip_forwarding = properties["enableIPForwarding"].flag(false);
  return nic;
}

namespace {

void write_own_subnet(JsonText& out, const VirtualNetwork& network, const Subnet& subnet,
                      std::string_view subscription) {
  out.open()
      .put("name", subnet.name)
      .put("id", make_id(subscription, network.group, "Microsoft.Network/virtualNetworks/subnets",
                         network.name + "/" + subnet.name))
      .put("type", "Microsoft.Network/virtualNetworks/subnets")
      .put("etag", weak_etag(network))
      .open("properties")
      .put("provisioningState", "Succeeded")
      .put("addressPrefix", subnet.prefix);
  if (!subnet.security_group.empty())
    out.open("networkSecurityGroup")
        .put("id", make_id(subscription, subnet.security_group.group, security_group_type,
                           subnet.security_group.name))
        .close();
  out.close().close();
}

}  // namespace

void write_subnet(JsonText& out, const VirtualNetwork& network, const Subnet& subnet,
                  std::string_view subscription) {
  write_with_kept(out, subnet.kept,
                  [&](JsonText& own) { write_own_subnet(own, network, subnet, subscription); });
}

namespace {

void write_own_virtual_network(JsonText& out, const VirtualNetwork& network, std::string_view subscription) {
  open_resource(out, network, virtual_network_type, subscription);
  out.put("etag", weak_etag(network))
      .open("properties")
      .put("provisioningState", "Succeeded")
      .put("resourceGuid", network.guid)
      .open("addressSpace")
      .open_list("addressPrefixes");
  for (const std::string& prefix : network.prefixes) out.item(prefix);
  out.close_list().close().open_list("subnets");
  for (const Subnet& subnet : network.subnets) write_subnet(out, network, subnet, subscription);
  out.close_list().close().close();
}

}  // namespace

void write_virtual_network(JsonText& out, const VirtualNetwork& network, std::string_view subscription) {
  write_with_kept(out, network.kept,
                  [&](JsonText& own) { write_own_virtual_network(own, network, subscription); });
}

namespace {

void write_own_public_address(JsonText& out, const PublicAddress& address, std::string_view subscription,
                              std::string_view used_by) {
  open_resource(out, address, public_address_type, subscription);
  out.put("etag", weak_etag(address)).open("sku").put("name", address.sku).put("tier", "Regional").close();
  out.open("properties")
      .put("provisioningState", "Succeeded")
      .put("resourceGuid", address.guid)
      .put_if("ipAddress", address.address)
      .put("publicIPAddressVersion", "IPv4")
      .put("publicIPAllocationMethod", address.allocation)
      .put("idleTimeoutInMinutes", address.idle_timeout_minutes);
  if (!address.label.empty())
    out.open("dnsSettings").put("domainNameLabel", address.label).put("fqdn", address.fqdn).close();
  if (!used_by.empty()) out.open("ipConfiguration").put("id", used_by).close();
  out.open_list("localPorts");
  for (const PublicAddress::Port& port : address.ports)
    out.open()
        .put("protocol", port.protocol)
        .put("port", port.port)
        .put("hostPort", port.host_port)
        .put("guestPort", port.guest_port)
        .put("movedBecause", port.moved_because)
        .close();
  out.close_list().close().close();
}

}  // namespace

void write_public_address(JsonText& out, const PublicAddress& address, std::string_view subscription,
                          std::string_view used_by) {
  write_with_kept(out, address.kept,
                  [&](JsonText& own) { write_own_public_address(own, address, subscription, used_by); });
}

std::string ip_configuration_id(const NetworkInterface& nic, const IpConfiguration& configuration,
                                std::string_view subscription) {
  return make_id(subscription, nic.group, "Microsoft.Network/networkInterfaces/ipConfigurations",
                 nic.name + "/" + configuration.name);
}

namespace {

void write_ip_configuration(JsonText& out, const NetworkInterface& nic, const IpConfiguration& configuration,
                            std::string_view subscription) {
  out.open()
      .put("name", configuration.name)
      .put("id", ip_configuration_id(nic, configuration, subscription))
      .put("type", "Microsoft.Network/networkInterfaces/ipConfigurations")
      .put("etag", weak_etag(nic))
      .open("properties")
      .put("provisioningState", "Succeeded")
      .put_if("privateIPAddress", configuration.private_address)
      .put("privateIPAllocationMethod", configuration.allocation)
      .put("privateIPAddressVersion", "IPv4")
      .put("primary", configuration.primary)
      .open("subnet")
      .put("id",
           make_id(subscription, configuration.network.group, "Microsoft.Network/virtualNetworks/subnets",
                   configuration.network.name + "/" + configuration.subnet))
      .close();
  if (!configuration.nat_rules.empty()) {
    out.open_list("loadBalancerInboundNatRules");
    for (const std::string& id : configuration.nat_rules) out.open().put("id", id).close();
    out.close_list();
  }
  if (!configuration.pools.empty()) {
    out.open_list("loadBalancerBackendAddressPools");
    for (const std::string& id : configuration.pools) out.open().put("id", id).close();
    out.close_list();
  }
  if (!configuration.public_address.empty() && !configuration.balanced) {
    out.open("publicIPAddress")
        .put("id", make_id(subscription, configuration.public_address.group, public_address_type,
                           configuration.public_address.name));
    if (configuration.address_deleted_with_vm) out.open("properties").put("deleteOption", "Delete").close();
    out.close();
  }
  out.close().close();
}

void write_own_interface(JsonText& out, const NetworkInterface& nic, std::string_view subscription) {
  open_resource(out, nic, interface_type, subscription);
  out.put("etag", weak_etag(nic))
      .open("properties")
      .put("provisioningState", "Succeeded")
      .put("resourceGuid", nic.guid)
      .put("macAddress", nic.mac)
      .put("primary", true)
      .put("enableAcceleratedNetworking", false)
      .put("enableIPForwarding", nic.ip_forwarding)
      .open("dnsSettings")
      .open_list("dnsServers")
      .close_list()
      .open_list("appliedDnsServers")
      .close_list()
      .close();
  if (!nic.security_group.empty())
    out.open("networkSecurityGroup")
        .put("id",
             make_id(subscription, nic.security_group.group, security_group_type, nic.security_group.name))
        .close();
  if (!nic.vm.empty())
    out.open("virtualMachine")
        .put("id", make_id(subscription, nic.vm.group, "Microsoft.Compute/virtualMachines", nic.vm.name))
        .close();
  out.open_list("ipConfigurations");
  for (const IpConfiguration& configuration : nic.configurations)
    write_with_kept(out, configuration.kept,
                    [&](JsonText& own) { write_ip_configuration(own, nic, configuration, subscription); });
  out.close_list().close().close();
}

}  // namespace

void write_interface(JsonText& out, const NetworkInterface& nic, std::string_view subscription) {
  write_with_kept(out, nic.kept, [&](JsonText& own) { write_own_interface(own, nic, subscription); });
}

}  // namespace berth::arm
