#include "region/soundness.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "region/port_rules.h"

namespace berth {
namespace {

bool is_hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return false;
    } else {
      digits += text[i];
    }
  return is_hex(digits);
}

bool is_mac(std::string_view text) {
  if (text.size() != 17) return false;
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (i % 3 != 2)
      digits += text[i];
    else if (text[i] != '-')
      return false;
  return is_hex(digits);
}

bool is_address(std::string_view text) {
  std::uint32_t ignored = 0;
  return parse_ipv4(text, ignored);
}

bool is_block(std::string_view text) {
  std::uint32_t network = 0;
  unsigned bits = 0;
  return parse_cidr(text, network, bits);
}

std::string not_a(const char* what, const std::string& text) {
  return fmt::format("'{}' is no {}", text, what);
}

std::string fault_in_resource(const Resource& resource) {
  if (resource.group.empty() || resource.name.empty()) return "it has no name";
  return is_uuid(resource.guid) ? "" : not_a("UUID", resource.guid);
}

}  // namespace

std::string key_of(const Resource& resource) {
  return resource.ref().key();
}
std::string key_of(const InertResource& resource) {
  return lower(resource.type) + " " + resource.ref().key();
}
std::string key_of(const Operation& operation) {
  return operation.id;
}

std::string fault_in(const ResourceGroup& group) {
  return fault_in_resource(group);
}

std::string fault_in(const VirtualNetwork& network) {
  if (network.prefixes.empty()) return "it has no address prefix";
  for (const std::string& prefix : network.prefixes)
    if (!is_block(prefix)) return not_a("IPv4 block", prefix);
  for (const Subnet& subnet : network.subnets)
    if (!is_block(subnet.prefix)) return not_a("IPv4 block", subnet.prefix);
  return fault_in_resource(network);
}

std::string fault_in(const PublicAddress& address) {
  return is_address(address.address) ? fault_in_resource(address) : not_a("IPv4 address", address.address);
}

std::string fault_in(const SecurityGroup& group) {
  return fault_in_resource(group);
}

std::string fault_in(const NetworkInterface& nic) {
  if (nic.configurations.empty()) return "it has no IP configuration";
  for (const IpConfiguration& configuration : nic.configurations) {
    if (configuration.network.empty()) return "it is in no virtual network";
    if (!is_address(configuration.private_address))
      return not_a("IPv4 address", configuration.private_address);
  }
  return is_mac(nic.mac) ? fault_in_resource(nic) : not_a("MAC address", nic.mac);
}

std::string fault_in(const LoadBalancer& balancer) {
  for (const std::string* text : {&balancer.properties, &balancer.sku})
    if (!text->empty() && !nlohmann::json::accept(*text)) return not_a("JSON", *text);
  if (!balancer.properties.empty() && !nlohmann::json::parse(balancer.properties).is_object())
    return not_a("JSON object", balancer.properties);
  return fault_in_resource(balancer);
}

std::string fault_in(const Disk& disk) {
  // What is deleted with it must be a file of its own.
  if (!disk.file.empty() &&
      (!disk.file.starts_with("disks/") || disk.file.find('/', 6) != std::string::npos ||
       disk.file.size() == 6 || disk.file.substr(6) == ".."))
    return not_a("file of a disk", disk.file);
  return fault_in_resource(disk);
}

std::string fault_in(const Vm& vm) {
  if (vm.id.size() != 12 || !is_hex(vm.id)) return not_a("id of a virtual machine", vm.id);
  if (!is_uuid(vm.vm_id)) return not_a("UUID", vm.vm_id);
  if (vm.interfaces.empty()) return "it has no network interface";
  if (vm.os_disk.empty()) return "it has no OS disk";
  return fault_in_resource(vm);
}

std::string fault_in(const InertResource& resource) {
  if (resource.type.empty()) return "it has no type";
  for (const std::string* text : {&resource.properties, &resource.kind, &resource.sku})
    if (!text->empty() && !nlohmann::json::accept(*text)) return not_a("JSON", *text);
  if (!resource.properties.empty() && !nlohmann::json::parse(resource.properties).is_object())
    return not_a("JSON object", resource.properties);
  return fault_in_resource(resource);
}

std::string fault_in(const Operation& operation) {
  return operation.id.empty() ? "it has no id" : "";
}

}  // namespace berth
