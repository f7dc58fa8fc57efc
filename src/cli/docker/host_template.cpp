#include "cli/docker/host_template.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "crypto/encoding.h"

namespace berth {
namespace {

using nlohmann::ordered_json;

constexpr const char* network_version = "2022-07-01";
constexpr const char* compute_version = "2021-07-01";

ordered_json resource(const DockerHost& host, const char* type, const std::string& name,
                      const char* version) {
  return {{"type", type},
          {"apiVersion", version},
          {"name", name},
          {"location", host.location},
          {"tags", {{host_tag, host.name}}}};
}

std::string resource_id(const char* type, const std::string& name) {
  return fmt::format("[resourceId('{}', '{}')]", type, name);
}

ordered_json reference(const char* type, const std::string& name) {
  return {{"id", resource_id(type, name)}};
}

constexpr const char* vnet_type = "Microsoft.Network/virtualNetworks";
constexpr const char* address_type = "Microsoft.Network/publicIPAddresses";
constexpr const char* group_type = "Microsoft.Network/networkSecurityGroups";
constexpr const char* nic_type = "Microsoft.Network/networkInterfaces";
constexpr const char* balancer_type = "Microsoft.Network/loadBalancers";
constexpr const char* vm_type = "Microsoft.Compute/virtualMachines";

constexpr std::uint16_t ssh_server_port = 22;
constexpr const char* azure_disk_type = "StandardSSD_LRS";

/// Only a load balancer leads a public port to another one: SSH that is wanted elsewhere than at 22 needs it,
/// and an address stands either in front of a load balancer or at an interface.
bool has_balancer(const DockerHost& host) {
  return host.ssh_port && *host.ssh_port != ssh_server_port;
}

/// Beside the ranges that the engine takes its own networks from (172.17 to 172.31, 192.168, and 10 for a swarm's):
/// a service's network over the hosts' own would hide them from its containers.
ordered_json virtual_network(const DockerHost& host) {
  ordered_json network = resource(host, vnet_type, names_of(host).network, network_version);
  network["properties"] = {
      {"addressSpace", {{"addressPrefixes", ordered_json::array({host.network_prefix})}}},
      {"subnets", ordered_json::array(
                      {{{"name", host.subnet}, {"properties", {{"addressPrefix", host.subnet_prefix}}}}})}};
  return network;
}

ordered_json allow_rule(const DockerHost& host, const char* name, int priority, std::uint16_t port,
                        const char* description) {
  ordered_json rule = {{"name", name},
                       {"properties",
                        {{"description", description},
                         {"protocol", "Tcp"},
                         {"sourceAddressPrefix", "*"},
                         {"sourcePortRange", "*"},
                         {"destinationAddressPrefix", "*"},
                         {"destinationPortRange", std::to_string(port)},
                         {"access", "Allow"},
                         {"priority", priority},
                         {"direction", "Inbound"}}}};
  if (host.allow_from.size() == 1) rule["properties"]["sourceAddressPrefix"] = host.allow_from.front();
  if (host.allow_from.size() > 1) {
    rule["properties"].erase("sourceAddressPrefix");
    rule["properties"]["sourceAddressPrefixes"] = host.allow_from;
  }
  return rule;
}

ordered_json security_group(const DockerHost& host) {
  ordered_json rules = ordered_json::array();
  if (host.ssh_port) rules.push_back(allow_rule(host, "ssh", 1000, ssh_server_port, "Secure shell"));
  rules.push_back(allow_rule(host, "docker", 1010, host.docker_port,
                             "Docker Engine: TLS, with client certificates only"));
  ordered_json group = resource(host, group_type, names_of(host).security_group, network_version);
  group["properties"] = {{"securityRules", std::move(rules)}};
  return group;
}

std::string balancer_part(const DockerHost& host, const char* part, const char* name) {
  return fmt::format("[resourceId('{}/{}', '{}', '{}')]", balancer_type, part, names_of(host).balancer, name);
}

ordered_json nat_rule(const DockerHost& host, const char* name, std::uint16_t from, std::uint16_t to) {
  return {{"name", name},
          {"properties",
           {{"frontendIPConfiguration", {{"id", balancer_part(host, "frontendIPConfigurations", "public")}}},
            {"protocol", "Tcp"},
            {"frontendPort", from},
            {"backendPort", to}}}};
}

ordered_json load_balancer(const DockerHost& host) {
  ordered_json balancer = resource(host, balancer_type, names_of(host).balancer, network_version);
  balancer["dependsOn"] = ordered_json::array({resource_id(address_type, names_of(host).address)});
  const ordered_json address = reference(address_type, names_of(host).address);
  balancer["properties"] = {
      {"frontendIPConfigurations",
       ordered_json::array({{{"name", "public"}, {"properties", {{"publicIPAddress", address}}}}})},
      {"inboundNatRules",
       ordered_json::array({nat_rule(host, "ssh", *host.ssh_port, ssh_server_port),
                            nat_rule(host, "docker", host.docker_port, host.docker_port)})}};
  return balancer;
}

ordered_json interface(const DockerHost& host) {
  ordered_json nic = resource(host, nic_type, names_of(host).interface, network_version);
  const bool own_network = host.virtual_network.empty();
  nic["dependsOn"] = ordered_json::array();
  if (own_network) nic["dependsOn"].push_back(resource_id(vnet_type, names_of(host).network));
  nic["dependsOn"].push_back(has_balancer(host) ? resource_id(balancer_type, names_of(host).balancer)
                                                : resource_id(address_type, names_of(host).address));
  nic["dependsOn"].push_back(resource_id(group_type, names_of(host).security_group));
  const std::string subnet = own_network ? fmt::format("[resourceId('{}/subnets', '{}', '{}')]", vnet_type,
                                                       names_of(host).network, host.subnet)
                                         : host.virtual_network + "/subnets/" + host.subnet;
  ordered_json configuration = {
      {"name", "primary"},
      {"properties", {{"privateIPAllocationMethod", "Dynamic"}, {"subnet", {{"id", subnet}}}}}};
  ordered_json& properties = configuration["properties"];
  if (!host.private_address.empty()) {
    properties["privateIPAllocationMethod"] = "Static";
    properties["privateIPAddress"] = host.private_address;
  }
  if (has_balancer(host))
    for (const char* rule : {"ssh", "docker"})
      properties["loadBalancerInboundNatRules"].push_back(
          {{"id", balancer_part(host, "inboundNatRules", rule)}});
  else
    properties["publicIPAddress"] = reference(address_type, names_of(host).address);
  nic["properties"] = {{"ipConfigurations", ordered_json::array({std::move(configuration)})},
                       {"networkSecurityGroup", reference(group_type, names_of(host).security_group)}};
  return nic;
}

/// A gallery name of the local region; a marketplace address; or a managed image.
ordered_json image_reference(const std::string& image) {
  if (image.starts_with('/')) return {{"id", image}};
  std::vector<std::string> parts(1);
  for (const char c : image) {
    if (c == ':')
      parts.emplace_back();
    else
      parts.back() += c;
  }
  if (parts.size() != 4) return {{"osImage", image}};
  return {{"publisher", parts[0]}, {"offer", parts[1]}, {"sku", parts[2]}, {"version", parts[3]}};
}

ordered_json os_profile(const DockerHost& host) {
  ordered_json profile = {{"computerName", host.vm_name}, {"adminUsername", host.user}};
  if (host.password_login) profile["adminPassword"] = "[parameters('adminPassword')]";
  if (host.on_azure)
    profile["customData"] = "[parameters('cloudInit')]";
  else if (!host.custom_data.empty())
    profile["customData"] = base64_encode(host.custom_data);
  profile["linuxConfiguration"] = {{"disablePasswordAuthentication", !host.password_login},
                                   {"provisionVMAgent", true}};
  ordered_json keys = ordered_json::array();
  for (const std::string& key : host.ssh_keys)
    keys.push_back({{"path", fmt::format("/home/{}/.ssh/authorized_keys", host.user)}, {"keyData", key}});
  if (!keys.empty()) profile["linuxConfiguration"]["ssh"] = {{"publicKeys", std::move(keys)}};
  return profile;
}

ordered_json virtual_machine(const DockerHost& host) {
  ordered_json vm = resource(host, vm_type, host.vm_name, compute_version);
  vm["dependsOn"] = ordered_json::array({resource_id(nic_type, names_of(host).interface)});
  if (host.cold) vm["tags"]["berth:boot"] = "cold";
  ordered_json nic = reference(nic_type, names_of(host).interface);
  nic["properties"] = {{"primary", true}};
  vm["properties"] = {{"hardwareProfile", {{"vmSize", host.size}}},
                      {"storageProfile",
                       {{"imageReference", image_reference(host.image)},
                        {"osDisk",
                         {{"name", names_of(host).disk},
                          {"createOption", "FromImage"},
                          {"caching", "ReadWrite"},
                          {"deleteOption", "Delete"}}}}},
                      {"osProfile", os_profile(host)},
                      {"networkProfile", {{"networkInterfaces", ordered_json::array({std::move(nic)})}}}};
  if (host.on_azure) {
    vm["tags"][docker_port_tag] = std::to_string(host.docker_port);
    vm["properties"]["storageProfile"]["osDisk"]["managedDisk"] = {{"storageAccountType", azure_disk_type}};
  }
  return vm;
}

ordered_json docker_extension(const DockerHost& host) {
  ordered_json extension = resource(host, "Microsoft.Compute/virtualMachines/extensions",
                                    host.vm_name + "/DockerExtension", compute_version);
  extension["dependsOn"] = ordered_json::array({resource_id(vm_type, host.vm_name)});
  extension["properties"] = {{"publisher", "Microsoft.Azure.Extensions"},
                             {"type", "DockerExtension"},
                             {"typeHandlerVersion", "1.3"},
                             {"autoUpgradeMinorVersion", true},
                             {"settings", {{"docker", {{"port", std::to_string(host.docker_port)}}}}},
                             {"protectedSettings", "[parameters('dockerCertificates')]"}};
  return extension;
}

}  // namespace

ResourceNames ResourceNames::usual(const std::string& host) {
  return {host + "-nic", host + "-ip", host + "-vnet", host + "-nsg", host + "-lb", host + "-os"};
}

ResourceNames names_of(const DockerHost& host) {
  ResourceNames names = ResourceNames::usual(host.name);
  const auto choose = [](std::string& name, const std::string& chosen) {
    if (!chosen.empty()) name = chosen;
  };
  choose(names.interface, host.names.interface);
  choose(names.address, host.names.address);
  choose(names.network, host.names.network);
  choose(names.security_group, host.names.security_group);
  choose(names.balancer, host.names.balancer);
  choose(names.disk, host.names.disk);
  return names;
}

ordered_json public_address_resource(const DockerHost& host) {
  ordered_json address = resource(host, address_type, names_of(host).address, network_version);
  address["properties"] = {{"publicIPAllocationMethod", "Dynamic"},
                           {"dnsSettings", {{"domainNameLabel", host.name}}}};
  if (host.on_azure) {  // Basic addresses, whose address came late, are no longer made there
    address["sku"] = {{"name", "Standard"}};
    address["properties"]["publicIPAllocationMethod"] = "Static";
  }
  return address;
}

ordered_json docker_host_template(const DockerHost& host) {
  ordered_json parameters = ordered_json::object();
  if (host.password_login)
    parameters["adminPassword"] = {{"type", "securestring"},
                                   {"metadata", {{"description", "Password of " + host.user}}}};
  if (host.on_azure)
    parameters["cloudInit"] = {
        {"type", "securestring"},
        {"metadata", {{"description", "Base64 of the user data for cloud-init that makes the Docker host"}}}};
  else
    parameters["dockerCertificates"] = {
        {"type", "secureObject"},
        {"metadata",
         {{"description",
           R"({"certs": {"ca": …, "cert": …, "key": …}}: base64 of the PEM files for the Docker Engine)"}}}};
  ordered_json resources = {public_address_resource(host), security_group(host), interface(host),
                            virtual_machine(host)};
  if (!host.on_azure) resources.push_back(docker_extension(host));
  if (has_balancer(host)) resources.insert(resources.begin() + 1, load_balancer(host));
  if (host.virtual_network.empty()) resources.insert(resources.begin(), virtual_network(host));
  return {{"$schema", "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"},
          {"contentVersion", "1.0.0.0"},
          {"parameters", std::move(parameters)},
          {"resources", std::move(resources)}};
}

ordered_json docker_certificates_value(const std::string& ca_pem, const std::string& certificate_pem,
                                       const Secret& key_pem) {
  return {{"certs",
           {{"ca", base64_encode(ca_pem)},
            {"cert", base64_encode(certificate_pem)},
            {"key", base64_encode(key_pem.reveal())}}}};
}

ordered_json deployment_body(const DockerHost& host, const Secret& password, const ordered_json& docker) {
  ordered_json parameters;
  if (host.password_login) parameters["adminPassword"] = {{"value", password.reveal()}};
  parameters[host.on_azure ? "cloudInit" : "dockerCertificates"] = {{"value", docker}};
  return {{"properties",
           {{"mode", "Incremental"},
            {"parameters", std::move(parameters)},
            {"template", docker_host_template(host)}}}};
}

}  // namespace berth
