#include "endpoints/classic/role_changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "endpoints/classic/answers.h"
#include "endpoints/classic/disks.h"
#include "endpoints/classic/input_endpoints.h"
#include "endpoints/classic/kept_documents.h"
#include "model/catalog.h"
#include "model/docker_extension.h"
#include "model/names.h"

namespace berth::classic {
namespace {

using nlohmann::json;

std::string state_word(const std::string& state) {
  return state.empty() || same_name(state, "enable") ? "enabled" : "disabled";
}

void check_settings(const ExtensionReference& reference, const std::string& text, const char* which) {
  if (!json::parse(text, nullptr, false).is_object())
    throw bad_request(
        fmt::format("The {} settings of extension '{}' are not a JSON object.", which, reference.reference));
  const auto port = docker_port_text(text);
  if (is_docker_extension(reference.publisher + "." + reference.name) && port && !docker_port(text))
    throw bad_request(
        fmt::format("The docker port '{}' is not a number from 1 to 65535.", port->substr(0, 32)));
}

/// As Resource Manager has them, where the same extensions are seen.
void check_reference_name(const std::string& name) {
  const bool fits = !name.empty() && name.size() <= 80 && name.front() != '.' &&
                    std::ranges::all_of(name, [](unsigned char c) {
                      return std::isalnum(c) || c == '_' || c == '-' || c == '.';
                    });
  if (!fits)
    throw bad_request(
        fmt::format("The reference name '{}' of an extension is not valid.", name.substr(0, 80)),
        "Use letters, digits, '_', '-' and '.', at most 80.");
}

ExtensionOrder extension_order(const ExtensionReference& reference) {
  check_reference_name(reference.reference);
  ExtensionOrder order;
  order.name = reference.reference;
  order.publisher = reference.publisher;
  order.type = reference.name;
  order.version = reference.version;
  order.state = state_word(reference.state);
  if (reference.settings && !reference.settings->empty()) {
    check_settings(reference, *reference.settings, "public");
    order.settings = *reference.settings;
  }
  if (reference.protected_settings) {
    if (!reference.protected_settings->empty())
      check_settings(reference, reference.protected_settings->reveal(), "private");
    order.protected_settings = *reference.protected_settings;
    order.has_protected_settings = true;
  }
  return order;
}

const Extension* find_extension(const Vm& vm, const std::string& reference) {
  const auto found =
      std::ranges::find_if(vm.extensions, [&](const Extension& e) { return same_name(e.name, reference); });
  return found == vm.extensions.end() ? nullptr : &*found;
}

bool says_the_same(const Extension& known, const ExtensionReference& wanted) {
  return !wanted.protected_settings && same_name(known.publisher, wanted.publisher) &&
         same_name(known.type, wanted.name) && known.state == state_word(wanted.state) &&
         (wanted.version.empty() || wanted.version == known.version_wanted ||
          wanted.version == known.version) &&
         (!wanted.settings || *wanted.settings == known.settings);
}

}  // namespace

std::vector<ExtensionOrder> extension_orders(const RoleOrder& role) {
  std::vector<ExtensionOrder> orders;
  if (role.extensions)
    for (const ExtensionReference& reference : *role.extensions)
      if (!same_name(reference.state, "uninstall")) orders.push_back(extension_order(reference));
  return orders;
}

void check_role(const RoleOrder& role) {
  if (role.windows)
    throw bad_request("This region runs Linux virtual machines only.",
                      "Choose an image of 'azure vm image list'.");
  if (role.public_addresses > 0)
    throw bad_request(fmt::format("The role '{}' cannot have a public address of its own.", role.name),
                      "It is reached through that of its cloud service.");
  if (role.more_interfaces > 0)
    throw bad_request(fmt::format("The role '{}' cannot have more than one network interface.", role.name));
  for (const InputEndpoint& endpoint : role.endpoints) {
    if (!endpoint.load_balancer.empty())
      throw bad_request(
          fmt::format("Endpoint '{}' names the internal load balancer '{}'; this region has none.",
                      endpoint.endpoint.name, endpoint.load_balancer));
    model_endpoint(endpoint);  // what is wrong with its rules is said before anything changes
  }
}

void keep_role_words(Region& region, const Ref& vm, const RoleOrder& role) {
  json words = read_document(region, role_table, vm.key());
  if (!role.size.empty()) words["size"] = role.size;
  if (!role.availability_set.empty()) words["availabilitySet"] = role.availability_set;
  if (!role.subnets.empty()) words["subnets"] = role.subnets;
  if (role.has_network) {
    json endpoints = json::object();
    for (const InputEndpoint& endpoint : role.endpoints) {
      json own = endpoint_words(endpoint);
      if (!own.is_null()) endpoints[lower(endpoint.endpoint.name)] = std::move(own);
    }
    words["endpoints"] = endpoints;
  }
  if (role.extensions)
    for (const ExtensionReference& reference : *role.extensions) {
      json& own = words["extensions"][lower(reference.reference)];
      if (!reference.public_key.empty()) own["publicKey"] = reference.public_key;
      if (!reference.state.empty()) own["state"] = reference.state;
    }
  region.documents().keep(role_table, vm.key(), words.dump());
}

void change_address(Region& region, const CloudService& service, const Vm& vm, const std::string& wanted) {
  const NetworkInterface* found = interface_of(region, vm, service);
  if (!found) return;
  NetworkInterface nic = *found;
  IpConfiguration& configuration = nic.configurations.front();
  const bool moves = !wanted.empty() && wanted != configuration.private_address;
  if (moves && vm.power != PowerState::stopped && vm.power != PowerState::deallocated)
    throw conflict(
        fmt::format("{} is {} with the private address {}; it changes while the virtual machine is "
                    "off.",
                    vm.name, to_string(vm.power), configuration.private_address),
        "Shut it down first ('azure vm shutdown').");
  const std::string allocation = wanted.empty() ? "Dynamic" : "Static";
  if (!moves && same_name(allocation, configuration.allocation)) return;
  configuration.allocation = allocation;
  if (moves) configuration.private_address = wanted;
  region.networks().put(std::move(nic));
}

std::vector<std::string> change_extensions(Region& region, const Ref& vm,
                                           const std::vector<ExtensionReference>& references) {
  std::vector<std::string> operations;
  for (const ExtensionReference& reference : references) {
    const Extension* known = find_extension(region.machines().get(vm), reference.reference);
    if (same_name(reference.state, "uninstall")) {
      if (known) operations.push_back(region.extensions().remove(vm, reference.reference).operation);
      continue;
    }
    if (known && says_the_same(*known, reference)) continue;
    ExtensionOrder order = extension_order(reference);
    if (known && !reference.settings) order.settings = known->settings;
    operations.push_back(region.extensions().put(vm, std::move(order)).operation);
  }
  return operations;
}

MachineChange machine_change(const Region& region, const Vm& vm, const RoleOrder& wanted) {
  const VmSize* size = wanted.size.empty() ? nullptr : find_vm_size(wanted.size);
  if (!wanted.size.empty() && !size)
    throw bad_request(fmt::format("There is no VM size '{}'.", wanted.size.substr(0, 64)));
  MachineChange change;
  change.order.vm = vm;
  Vm& changed = change.order.vm;
  if (size && !same_name(size->name, vm.size)) changed.size = size->name;
  changed.boot_diagnostics = vm.boot_diagnostics || wanted.boot_diagnostics.value_or(false);
  for (const DataDiskOrder& disk : wanted.data_disks) {
    const DataDisk* known = change_data_disk(changed, disk);
    change.disks.push_back(known ? *known : add_data_disk(region, changed, disk));
  }
  const auto same_disk = [](const DataDisk& a, const DataDisk& b) {
    return a.lun == b.lun && a.caching == b.caching;
  };
  change.needed = changed.size != vm.size || changed.boot_diagnostics != vm.boot_diagnostics ||
                  !std::ranges::equal(changed.data_disks, vm.data_disks, same_disk);
  return change;
}

}  // namespace berth::classic
