#include "endpoints/classic/mapping.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "endpoints/classic/answers.h"
#include "endpoints/classic/input_endpoints.h"
#include "endpoints/classic/kept_documents.h"
#include "model/catalog.h"
#include "model/docker_extension.h"
#include "model/names.h"

namespace berth::classic {
namespace {

using nlohmann::json;

std::string no_dashes(std::string text) {
  std::erase(text, '-');
  return text;
}

bool uses(const NetworkInterface& nic, const Ref& address) {
  return std::ranges::any_of(nic.configurations,
                             [&](const IpConfiguration& c) { return c.public_address == address; });
}

std::string service_name(const PublicAddress& address) {
  const auto tag = address.tags.find(service_tag);
  return tag != address.tags.end() && same_name(tag->second, address.label) ? tag->second : address.label;
}

/// What is happening to it, in the service's words.
std::string instance_status(const Vm& vm) {
  if (vm.provisioning == Provisioning::deleting) return "DeletingVM";
  if (vm.provisioning == Provisioning::failed && !vm.provisioned) return "ProvisioningFailed";
  switch (vm.power) {
    case PowerState::starting:
    case PowerState::waking:
      return vm.provisioned ? "StartingVM" : "Provisioning";
    case PowerState::running:
      if (!vm.provisioned) return "Provisioning";
      return vm.agent && vm.agent->status == "Ready" ? "ReadyRole" : "StartingVM";
    case PowerState::stopping:
    case PowerState::deallocating:
    case PowerState::hibernating:
      return "StoppingVM";
    case PowerState::stopped:
      return "StoppedVM";
    case PowerState::deallocated:
    case PowerState::hibernated:
      break;
  }
  return vm.provisioning == Provisioning::creating ? "CreatingVM" : "StoppedDeallocated";
}

std::string power_word(PowerState power) {
  switch (power) {
    case PowerState::starting:
    case PowerState::waking:
      return "Starting";
    case PowerState::running:
      return "Started";
    case PowerState::stopping:
    case PowerState::deallocating:
    case PowerState::hibernating:
      return "Stopping";
    case PowerState::stopped:
    case PowerState::deallocated:
    case PowerState::hibernated:
      break;
  }
  return "Stopped";
}

std::string deployment_status(const std::vector<const Vm*>& roles) {
  const auto all = [&](auto&& is) { return std::ranges::all_of(roles, is); };
  if (all([](const Vm* vm) { return vm->provisioning == Provisioning::deleting; })) return "Deleting";
  if (all([](const Vm* vm) { return vm->provisioning == Provisioning::creating; })) return "Deploying";
  if (all([](const Vm* vm) {
        return vm->power == PowerState::stopped || vm->power == PowerState::deallocated;
      }))
    return "Suspended";
  return "Running";
}

std::optional<std::uint16_t> docker_port_of(const Vm& vm) {
  for (const Extension& extension : vm.extensions)
    if (is_docker_extension(extension.handler())) return docker_port(extension.settings);
  return std::nullopt;
}

ExtensionView extension_view(const Extension& extension, const json& words) {
  ExtensionView view{
      .reference = extension.name,
      .publisher = extension.publisher,
      .name = extension.type,
      .version = extension.version_wanted.empty() ? extension.version : extension.version_wanted,
      .state = extension.state == "enabled"    ? "Enable"
               : extension.state == "disabled" ? "Disable"
                                               : "Uninstall",
      .key = extension.type + "PublicConfigParameter",
      .settings = extension.settings};
  const json own = words.value(lower(extension.name), json::object());
  view.key = own.value("publicKey", view.key);
  if (const std::string state = own.value("state", ""); same_name(state, view.state)) view.state = state;
  return view;
}

}  // namespace

std::vector<CloudService> cloud_services(const Region& region) {
  std::vector<CloudService> found;
  for (const PublicAddress* address : region.networks().list<PublicAddress>())
    if (!address->label.empty()) found.push_back({address, service_name(*address)});
  std::ranges::sort(
      found, [](const CloudService& a, const CloudService& b) { return lower(a.name) < lower(b.name); });
  return found;
}

std::optional<CloudService> find_cloud_service(const Region& region, const std::string& name) {
  if (name.empty()) return std::nullopt;
  for (const PublicAddress* address : region.networks().list<PublicAddress>())
    if (same_name(address->label, name)) return CloudService{address, service_name(*address)};
  return std::nullopt;
}

CloudService get_cloud_service(const Region& region, const std::string& name) {
  auto found = find_cloud_service(region, name);
  if (!found) throw not_found(fmt::format("The hosted service '{}' does not exist.", name));
  return *found;
}

std::vector<const Vm*> roles_of(const Region& region, const CloudService& service) {
  std::vector<const Vm*> roles;
  for (const NetworkInterface* nic : region.networks().list<NetworkInterface>())
    if (!nic->vm.empty() && uses(*nic, service.address->ref()))
      if (const Vm* vm = region.machines().find(nic->vm); vm && std::ranges::find(roles, vm) == roles.end())
        roles.push_back(vm);
  std::ranges::stable_sort(roles, [](const Vm* a, const Vm* b) { return a->created < b->created; });
  return roles;
}

const NetworkInterface* interface_of(const Region& region, const Vm& vm, const CloudService& service) {
  for (const Ref& ref : vm.interfaces)
    if (const NetworkInterface* nic = region.networks().find<NetworkInterface>(ref);
        nic && uses(*nic, service.address->ref()))
      return nic;
  return nullptr;
}

std::optional<CloudService> service_of(const Region& region, const Vm& vm) {
  for (const Ref& ref : vm.interfaces)
    if (const NetworkInterface* nic = region.networks().find<NetworkInterface>(ref))
      for (const IpConfiguration& configuration : nic->configurations)
        if (const PublicAddress* address =
                region.networks().find<PublicAddress>(configuration.public_address);
            address && !address->label.empty())
          return CloudService{address, service_name(*address)};
  return std::nullopt;
}

std::string deployment_name(const CloudService& service, const std::vector<const Vm*>& roles) {
  for (const Vm* vm : roles)
    if (!vm->classic_deployment.empty()) return vm->classic_deployment;
  return service.name;
}

std::vector<const Vm*> get_deployment_roles(const Region& region, const CloudService& service,
                                            const std::string& deployment) {
  std::vector<const Vm*> roles = roles_of(region, service);
  if (roles.empty() || !same_name(deployment_name(service, roles), deployment))
    throw not_found(fmt::format("The deployment name '{}' does not exist.", deployment));
  return roles;
}

Role role_at(const Region& region, const Request& request) {
  const CloudService service = get_cloud_service(region, param(request, "service"));
  const std::string deployment = param(request, "deployment"), name = param(request, "role");
  const std::vector<const Vm*> roles = get_deployment_roles(region, service, deployment);
  for (const Vm* vm : roles)
    if (same_name(vm->name, name)) return {service, deployment_name(service, roles), *vm};
  throw not_found(fmt::format("The deployment '{}' has no role '{}'.", deployment, name));
}

Error several_of_one_name(const char* what, const std::string& name, const std::vector<std::string>& groups) {
  return conflict(
      fmt::format(
          "There is more than one {} named '{}', in the resource groups {}: this API knows no groups.", what,
          name, fmt::join(groups, " and ")),
      "Use Resource Manager ('az'), where each has its group.");
}

std::string classic_size(const std::string& size) {
  const VmSize* known = find_vm_size(size);
  return known && !known->classic_name.empty() ? std::string(known->classic_name) : size;
}

std::string display_location(const std::string& name) {
  const Location* location = find_location(name);
  return location ? std::string(location->display_name) : name;
}

std::string media_link_of(const Region& region, const Disk& disk) {
  const std::string told = read_document(region, disk_table, disk.ref().key()).value("mediaLink", "");
  return told.empty()
             ? fmt::format("https://portalvhds{}.blob.region.invalid/vhds/{}.vhd", disk.location, disk.name)
             : told;
}

std::vector<EndpointView> endpoints_of(const Region& region, const CloudService& service, const Vm& vm) {
  std::vector<EndpointView> all;
  const NetworkInterface* nic = interface_of(region, vm, service);
  if (!nic) return all;
  const auto& ports = service.address->ports;
  const auto open_at = [&](const std::string& protocol, std::uint16_t port) -> std::uint16_t {
    const auto found = std::ranges::find_if(
        ports, [&](const PublicAddress::Port& p) { return p.protocol == protocol && p.port == port; });
    return found == ports.end() ? std::uint16_t{0} : found->host_port;
  };
  const json words = read_document(region, role_table, vm.ref().key()).value("endpoints", json::object());
  for (const Endpoint& endpoint : nic->endpoints) {
    EndpointView view = endpoint_view(endpoint, words.value(lower(endpoint.name), json::object()));
    view.host_port = open_at(endpoint.protocol, endpoint.public_port);
    view.address = service.address->address;
    all.push_back(std::move(view));
  }
  if (nic->endpoints_only) return all;
  // Opened by security rules: what is open is an endpoint.
  const std::optional<std::uint16_t> docker = docker_port_of(vm);
  for (const PublicAddress::Port& port : ports) {
    if (port.host_port == 0 || std::ranges::any_of(all, [&](const EndpointView& e) {
          return e.protocol == port.protocol && e.port == port.port;
        }))
      continue;
    std::string name = port.guest_port == 22 ? "ssh"
                       : port.guest_port == docker
                           ? "docker"
                           : fmt::format("{}-{}-{}", port.protocol, port.port, port.guest_port);
    all.push_back({.name = std::move(name),
                   .protocol = port.protocol,
                   .port = port.port,
                   .host_port = port.host_port,
                   .local_port = port.guest_port,
                   .address = service.address->address});
  }
  return all;
}

RoleView role_view(const Region& region, const CloudService& service, const Vm& vm) {
  const json words = read_document(region, role_table, vm.ref().key());
  RoleView view;
  view.name = vm.name;
  view.size = words.value("size", classic_size(vm.size));
  if (const VmSize* told = find_vm_size(view.size); !told || !same_name(told->name, vm.size))
    view.size = classic_size(vm.size);
  view.host_name = vm.computer_name;
  view.instance_status = instance_status(vm);
  view.power = power_word(vm.power);
  if (vm.problem && vm.provisioning == Provisioning::failed) view.state_details = vm.problem->message;
  const NetworkInterface* nic = interface_of(region, vm, service);
  if (nic && !nic->configurations.empty() && vm.power != PowerState::deallocated)
    view.private_address = nic->configurations.front().private_address;
  if (nic && !nic->configurations.empty() && same_name(nic->configurations.front().allocation, "Static"))
    view.static_address = nic->configurations.front().private_address;
  for (const json& subnet : words.value("subnets", json::array()))
    if (subnet.is_string()) view.subnets.push_back(subnet.get<std::string>());
  view.endpoints = endpoints_of(region, service, vm);
  const json extension_words = words.value("extensions", json::object());
  for (const Extension& extension : vm.extensions)
    if (!extension.of_platform()) view.extensions.push_back(extension_view(extension, extension_words));
  view.availability_set = words.value("availabilitySet", vm.availability_set.name);
  view.os_disk = vm.os_disk.name;
  view.os_disk_caching = vm.os_disk_caching;
  view.image = vm.image;
  view.os = "Linux";
  if (const Disk* disk = region.disks().find(vm.os_disk))
    view.os_disk_media_link = media_link_of(region, *disk);
  for (const DataDisk& data : vm.data_disks) {
    DataDiskView out{.lun = data.lun,
                     .name = data.name,
                     .label = {},
                     .caching = data.caching,
                     .media_link = {},
                     .size_gib = data.size_gib};
    if (const Disk* disk = region.disks().find(data.disk)) {
      out.name = disk->name;
      out.media_link = media_link_of(region, *disk);
      out.label = read_document(region, disk_table, disk->ref().key()).value("label", "");
    }
    view.data_disks.push_back(std::move(out));
  }
  view.boot_diagnostics = vm.boot_diagnostics;
  view.agent = vm.agent;
  return view;
}

DeploymentView deployment_view(const Region& region, const CloudService& service,
                               const std::vector<const Vm*>& roles) {
  const Vm& first = *roles.front();
  DeploymentView view;
  view.name = deployment_name(service, roles);
  view.label =
      read_document(region, deployment_table, service.address->ref().key()).value("label", view.name);
  view.private_id = no_dashes(first.deployment_id);
  view.status = deployment_status(roles);
  view.url = "http://" + lower(service.address->fqdn) + "/";
  view.address = service.address->address;
  view.created = utc_seconds(first.created);
  view.changed = view.created;
  if (const NetworkInterface* nic = interface_of(region, first, service))
    if (read_document(region, deployment_table, service.address->ref().key()).value("ownNetwork", true) ==
        false)
      view.virtual_network = nic->configurations.front().network.name;
  for (const Vm* vm : roles) view.roles.push_back(role_view(region, service, *vm));
  return view;
}

HostedServiceView view_of(const Classic& classic, const Request& request, const CloudService& service,
                          bool detail) {
  const PublicAddress& address = *service.address;
  const json words = read_document(classic.region, service_table, address.ref().key());
  HostedServiceView view;
  view.url = url_of(classic, request, "services/hostedservices/" + service.name);
  view.name = service.name;
  view.description = words.value("description", "");
  view.location = display_location(address.location);
  view.label = words.value("label", service.name);
  view.status = "Created";
  view.created = utc_seconds(address.created);
  view.changed = words.value("changed", view.created);
  if (!detail) return view;
  const std::vector<const Vm*> roles = roles_of(classic.region, service);
  if (!roles.empty()) view.deployments.push_back(deployment_view(classic.region, service, roles));
  return view;
}

}  // namespace berth::classic
