#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "api/classic/requests.h"
#include "crypto/random.h"
#include "endpoints/classic/mapping.h"
#include "endpoints/classic/role_changes.h"
#include "images/gallery.h"
#include "model/catalog.h"
#include "model/names.h"

/// Deployments: virtual machines of a cloud service, made and removed.
namespace berth::classic {
namespace {

using nlohmann::json;

constexpr const char* own_prefix = "10.0.0.0/16";
constexpr const char* own_subnet = "10.0.0.0/24";

struct Place {
  Ref network;
  std::string subnet;
  bool own = true;
};

/// Where the deployment's interfaces go: the network that was asked for, that of the roles that are there, or
/// one of the service's own.
Place find_place(Region& region, const CloudService& service, const std::string& wanted,
                 const std::vector<std::string>& subnets) {
  const auto subnet_of = [&](const VirtualNetwork& network) {
    if (subnets.empty()) {
      if (network.subnets.empty())
        throw bad_request(fmt::format("The virtual network '{}' has no subnet.", network.name));
      return network.subnets.front().name;
    }
    for (const Subnet& subnet : network.subnets)
      if (same_name(subnet.name, subnets.front())) return subnet.name;
    throw bad_request(
        fmt::format("The virtual network '{}' has no subnet '{}'.", network.name, subnets.front()));
  };
  if (!wanted.empty()) {
    for (const VirtualNetwork* network : region.virtual_networks())
      if (same_name(network->name, wanted)) return {network->ref(), subnet_of(*network), false};
    throw bad_request(fmt::format("The virtual network '{}' does not exist.", wanted));
  }
  const std::vector<const Vm*> roles = roles_of(region, service);
  if (!roles.empty())
    if (const NetworkInterface* nic = interface_of(region, *roles.front(), service))
      if (const VirtualNetwork* network = region.find_virtual_network(nic->configurations.front().network))
        return {network->ref(), subnets.empty() ? nic->configurations.front().subnet : subnet_of(*network),
                true};
  if (!subnets.empty())
    throw bad_request(fmt::format("The subnet '{}' was named without a virtual network.", subnets.front()));
  VirtualNetwork network;
  network.group = service.address->group;
  network.name = service.address->label + "-vnet";
  network.location = service.address->location;
  network.prefixes = {own_prefix};
  network.subnets = {{.name = "default", .prefix = own_subnet, .security_group = {}}};
  network.tags = {{service_tag, service.name}};
  if (const VirtualNetwork* there = region.find_virtual_network(network.ref()))
    return {there->ref(), subnet_of(*there), true};
  return {region.put_virtual_network(std::move(network)).resource.ref(), "default", true};
}

void check_ports(const Region& region, const CloudService& service, const RoleOrder& role) {
  for (const Vm* other : roles_of(region, service))
    for (const EndpointView& taken : endpoints_of(region, service, *other))
      for (const InputEndpoint& wanted : role.endpoints)
        if (taken.port == wanted.endpoint.public_port && taken.protocol == wanted.endpoint.protocol)
          throw conflict(
              fmt::format("Port {} is already used by endpoint '{}' of the role '{}' in the deployment.",
                          taken.port, taken.name, other->name),
              "Choose another public port.");
}

const Disk& find_free_disk(const Region& region, const std::string& name) {
  for (const Disk* disk : region.disks()) {
    if (!same_name(disk->name, name)) continue;
    if (!disk->vm.empty())
      throw conflict(
          fmt::format("The disk '{}' is in use by the virtual machine '{}'.", disk->name, disk->vm.name));
    return *disk;
  }
  throw bad_request(fmt::format("The disk '{}' does not exist.", name),
                    "'azure vm disk list' shows those there are.");
}

VmOrder vm_order(const Classic& classic, const CloudService& service, const std::string& deployment,
                 const RoleOrder& role) {
  const Region& region = classic.region;
  check_role(role);
  VmOrder order;
  Vm& vm = order.vm;
  vm.group = service.address->group;
  vm.name = role.name;
  vm.location = service.address->location;
  vm.size = role.size.empty() ? "Small" : role.size;
  vm.classic_deployment = deployment;
  vm.boot_diagnostics = role.boot_diagnostics.value_or(false);
  vm.computer_name = role.name;
  if (!role.caching.empty()) vm.os_disk_caching = role.caching;
  if (!role.disk_name.empty() && role.image.empty() && role.vm_image.empty()) {
    const Disk& disk = find_free_disk(region, role.disk_name);
    if (disk.os.empty())
      throw bad_request(fmt::format("The disk '{}' holds no operating system.", disk.name));
    order.attach_os_disk = true;
    order.os_disk_group = disk.group;
    order.os_disk_name = disk.name;
    vm.image = disk.image;
    return order;
  }
  vm.image = !role.vm_image.empty() ? role.vm_image : role.image;
  if (vm.image.empty())
    throw bad_request(fmt::format("The role '{}' names neither an image nor a disk.", role.name));
  std::string stamp = utc_now();
  std::erase_if(stamp, [](char c) { return c < '0' || c > '9'; });
  order.os_disk_name = fmt::format("{}-{}-0-{}", service.name, role.name, stamp);
  const json image = read_document(region, image_table, lower(vm.image));
  order.specialized = image.value("state", "") == "Specialized";
  if (order.specialized) return order;
  if (!role.provisioning)
    throw bad_request(fmt::format(
        "The role '{}' has no provisioning configuration, which the image '{}' needs.", role.name, vm.image));
  const ProvisioningOrder& who = *role.provisioning;
  if (!who.host_name.empty()) vm.computer_name = who.host_name;
  vm.admin_user = who.user;
  vm.password_login = !who.disable_password_login.value_or(who.password.empty());
  for (const PublicKey& key : who.keys)
    vm.ssh_keys.push_back({key.path.empty() ? "/home/" + who.user + "/.ssh/authorized_keys" : key.path,
                           service_ssh_key(region, service, key.fingerprint)});
  if (!who.password.empty())
    if (const auto problem = password_problem(who.password.reveal())) throw bad_request(*problem);
  order.password = who.password;
  order.custom_data = who.custom_data;
  return order;
}

NetworkInterface interface_order(const Region& region, const CloudService& service, const RoleOrder& role,
                                 const Place& place, bool first) {
  NetworkInterface nic;
  nic.group = service.address->group;
  nic.name = (first ? service.address->label : lower(role.name)) + "-nic";
  for (int i = 2; region.find_interface(nic.ref()); ++i)
    nic.name = fmt::format("{}-nic-{}", lower(role.name), i);
  nic.location = service.address->location;
  nic.tags = {{service_tag, service.name}};
  nic.endpoints_only = true;
  for (const InputEndpoint& endpoint : role.endpoints) nic.endpoints.push_back(endpoint.endpoint);
  nic.configurations = {{.name = "primary",
                         .network = place.network,
                         .subnet = place.subnet,
                         .public_address = service.address->ref(),
                         .allocation = role.static_address.empty() ? "Dynamic" : "Static",
                         .private_address = role.static_address,
                         .primary = true}};
  return nic;
}

/// What is under way, so that a new process can take it back.
json pending_document(const std::vector<Ref>& vms) {
  json document = json::array();
  for (const Ref& ref : vms) document.push_back({{"group", ref.group}, {"name", ref.name}});
  return document;
}

/// The tags by which the command line deletes a host with everything made for it: right only while there is
/// one.
void set_host_tags(Region& region, const CloudService& service) {
  const std::vector<const Vm*> roles = roles_of(region, service);
  const ResourceGroup* group = region.find_group(service.address->group);
  if (!group) return;
  const auto own = group->tags.find(service_tag);
  if (own == group->tags.end() || !same_name(own->second, service.name)) return;
  Tags group_tags = group->tags;
  if (roles.size() == 1)
    group_tags[host_tag] = service.name;
  else
    group_tags.erase(host_tag);
  if (group_tags != group->tags) region.put_group(group->name, group->location, group_tags);
  std::vector<std::pair<Ref, Tags>> changes;
  for (const Vm* vm : roles) {
    Tags tags = vm->tags;
    if (roles.size() == 1)
      tags[host_tag] = service.name;
    else
      tags.erase(host_tag);
    if (tags != vm->tags) changes.emplace_back(vm->ref(), std::move(tags));
  }
  for (auto& [ref, tags] : changes) region.retag_vm(ref, std::move(tags));
}

struct Made {
  std::vector<Ref> vms;
  std::vector<std::string> operations;
  std::vector<Ref> interfaces;
};

void make_role(Classic& classic, const std::string& service_name, const std::string& deployment,
               const RoleOrder& role, const Place& place, Made& made) {
  Region& region = classic.region;
  const CloudService service = get_cloud_service(region, service_name);
  const Ref ref{service.address->group, role.name};
  if (region.find_vm(ref))
    throw conflict(
        fmt::format("The role '{}' exists already in the resource group '{}'.", role.name, ref.group),
        "Choose another name ('--vm-name').");
  check_ports(region, service, role);
  VmOrder order = vm_order(classic, service, deployment, role);
  const std::vector<ExtensionOrder> extensions = extension_orders(role);
  const bool first = roles_of(region, service).empty();
  const Ref nic = region.put_interface(interface_order(region, service, role, place, first)).resource.ref();
  made.interfaces.push_back(nic);
  order.vm.interfaces = {nic};
  const std::string media_link = role.media_link;
  made.operations.push_back(region.put_vm(std::move(order)).operation);
  made.vms.push_back(ref);
  keep_role_words(region, ref, role);
  if (!media_link.empty())
    if (const Vm* vm = region.find_vm(ref))
      region.keep_document(disk_table, vm->os_disk.key(), json{{"mediaLink", media_link}}.dump());
  for (const ExtensionOrder& extension : extensions)
    made.operations.push_back(region.put_extension(ref, extension).operation);
}

asio::awaitable<void> take_back(Classic& classic, Made made) {
  std::vector<Ref> with_disks, without;
  for (const Ref& ref : made.vms)
    if (const Vm* vm = classic.region.find_vm(ref))
      (vm->os_disk_attached ? without : with_disks).push_back(ref);
  try {
    co_await remove_roles(classic, with_disks, true);
    co_await remove_roles(classic, without, false);
    for (const Ref& nic : made.interfaces) classic.region.delete_interface(nic);
  } catch (const Error& error) {
    spdlog::error("could not roll back: {}", error.what());
  }
}

/// Makes the roles of an order. What is wrong with it is said at once; the operation that it returns ends
/// when every role's agent and extensions have reported, and when it fails, nothing of them is left.
asio::awaitable<std::string> deploy(Classic& classic, std::string service_name, std::string deployment,
                                    std::string network, std::vector<RoleOrder> roles, const char* kind) {
  Region& region = classic.region;
  Made made;
  std::optional<Error> trouble;
  try {
    for (const RoleOrder& role : roles) {
      const CloudService service = get_cloud_service(region, service_name);
      const Place place = find_place(region, service, network, role.subnets);
      make_role(classic, service_name, deployment, role, place, made);
      json words = read_document(region, deployment_table, service.address->ref().key());
      words["ownNetwork"] = place.own;
      region.keep_document(deployment_table, service.address->ref().key(), words.dump());
    }
    set_host_tags(region, get_cloud_service(region, service_name));
  } catch (const Error& error) {
    trouble = error;
  }
  if (trouble) {
    co_await take_back(classic, std::move(made));
    throw *trouble;
  }
  const CloudService service = get_cloud_service(region, service_name);
  const std::string pending = service.address->group + "/" + random_hex(16);
  region.keep_document(pending_table, pending, pending_document(made.vms).dump());
  co_return region.begin(kind, "hostedServices/" + service.name + "/deployments/" + deployment,
                         [&classic, made, pending, service_name](std::string) -> asio::awaitable<void> {
                           std::optional<Error> failed;
                           for (const std::string& operation : made.operations) try {
                               co_await classic.region.finish(operation);
                             } catch (const Error& error) {
                               failed = error;
                               break;
                             }
                           if (failed) {
                             co_await take_back(classic, made);
                             if (const auto left = find_cloud_service(classic.region, service_name))
                               set_host_tags(classic.region, *left);
                           }
                           classic.region.drop_document(pending_table, pending);
                           if (failed) throw *failed;
                         });
}

std::vector<Ref> refs_of(const std::vector<const Vm*>& vms) {
  std::vector<Ref> refs;
  for (const Vm* vm : vms) refs.push_back(vm->ref());
  return refs;
}

}  // namespace

void roll_back_pending(Classic& classic) {
  for (const auto& [key, text] : classic.region.documents(pending_table)) {
    Made made;
    const json document = json::parse(text, nullptr, false);
    if (document.is_array())
      for (const json& vm : document) made.vms.push_back({vm.value("group", ""), vm.value("name", "")});
    spdlog::warn("rolling back deployment={}", key);
    classic.region.begin("deployment roll back", "deployments/" + key,
                         [&classic, made, key = key](std::string) -> asio::awaitable<void> {
                           co_await take_back(classic, made);
                           classic.region.drop_document(pending_table, key);
                         });
  }
}

asio::awaitable<Response> get_deployment_slot(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const std::vector<const Vm*> roles = roles_of(classic.region, service);
  if (roles.empty() || !same_name(param(request, "slot"), "production"))
    throw not_found("No deployments were found.");
  co_return xml_response(200, deployment_xml(deployment_view(classic.region, service, roles)));
}

asio::awaitable<Response> get_deployment(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const auto roles = get_deployment_roles(classic.region, service, param(request, "deployment"));
  co_return xml_response(200, deployment_xml(deployment_view(classic.region, service, roles)));
}

asio::awaitable<Response> post_deployment(Classic& classic, const Request& request) {
  Region& region = classic.region;
  DeploymentOrder order = parse_deployment(request.body);
  const CloudService service = get_cloud_service(region, param(request, "service"));
  if (!roles_of(region, service).empty())
    throw conflict(fmt::format("The deployment slot Production of '{}' is occupied.", service.name),
                   "Add the virtual machine to that deployment ('--connect').");
  if (!order.reserved_address.empty())
    throw bad_request(fmt::format("The reserved address '{}' does not exist.", order.reserved_address));
  const json words{{"label", order.label.empty() ? order.name : order.label}};
  const std::string key = service.address->ref().key();
  region.keep_document(deployment_table, key, words.dump());
  const std::string operation = co_await deploy(classic, service.name, order.name, order.virtual_network,
                                                std::move(order.roles), "deployment create");
  co_return accepted(operation);
}

asio::awaitable<Response> post_role(Classic& classic, const Request& request) {
  Region& region = classic.region;
  RoleOrder role = parse_role(request.body);
  const CloudService service = get_cloud_service(region, param(request, "service"));
  const auto roles = get_deployment_roles(region, service, param(request, "deployment"));
  const std::string deployment = deployment_name(service, roles);
  const std::string operation =
      co_await deploy(classic, service.name, deployment, {}, std::vector{std::move(role)}, "role add");
  co_return accepted(operation);
}

asio::awaitable<Response> delete_deployment(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const auto roles = get_deployment_roles(classic.region, service, param(request, "deployment"));
  const std::vector<Ref> vms = refs_of(roles);
  const bool disks = with_media(request);
  co_return accepted(classic.region.begin(
      "deployment delete",
      "hostedServices/" + service.name + "/deployments/" + deployment_name(service, roles),
      [&classic, vms, disks, key = service.address->ref().key()](std::string) -> asio::awaitable<void> {
        co_await remove_roles(classic, vms, disks);
        classic.region.drop_document(deployment_table, key);
      }));
}

asio::awaitable<Response> delete_role(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const std::string deployment = param(request, "deployment");
  const Vm& vm = get_role(classic.region, service, deployment, param(request, "role"));
  if (get_deployment_roles(classic.region, service, deployment).size() == 1)
    throw bad_request(
        fmt::format("The role '{}' is the last one of the deployment '{}'.", vm.name, deployment),
        "Delete the deployment.");
  const std::vector<Ref> vms{vm.ref()};
  const bool disks = with_media(request);
  co_return accepted(
      classic.region.begin("role delete", "hostedServices/" + service.name + "/roles/" + vm.name,
                           [&classic, vms, disks, name = service.name](std::string) -> asio::awaitable<void> {
                             co_await remove_roles(classic, vms, disks);
                             if (const auto left = find_cloud_service(classic.region, name))
                               set_host_tags(classic.region, *left);
                           }));
}

asio::awaitable<Response> update_deployment(Classic& classic, const Request& request) {
  if (!same_name(request.parameter("comp"), "UpdateLbSet"))
    throw bad_request(
        fmt::format("The operation '{}' on a deployment is not there.", request.parameter("comp")));
  co_return co_await update_load_balanced_sets(classic, request);
}

}  // namespace berth::classic
