#include "endpoints/classic/deploy.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/as_error.h"
#include "crypto/random.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/certificates.h"
#include "endpoints/classic/disks.h"
#include "endpoints/classic/input_endpoints.h"
#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/removal.h"
#include "endpoints/classic/role_changes.h"
#include "endpoints/classic/rollback.h"
#include "images/gallery.h"
#include "model/catalog.h"
#include "model/names.h"

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
    const VirtualNetwork* network =
        find_only(region.networks().list<VirtualNetwork>(), wanted, "virtual network");
    if (!network) throw bad_request(fmt::format("The virtual network '{}' does not exist.", wanted));
    return {network->ref(), subnet_of(*network), false};
  }
  const std::vector<const Vm*> roles = roles_of(region, service);
  if (!roles.empty())
    if (const NetworkInterface* nic = interface_of(region, *roles.front(), service))
      if (const VirtualNetwork* network =
              region.networks().find<VirtualNetwork>(nic->configurations.front().network))
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
  if (const VirtualNetwork* there = region.networks().find<VirtualNetwork>(network.ref()))
    return {there->ref(), subnet_of(*there), true};
  return {region.networks().put(std::move(network)).resource.ref(), "default", true};
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
  for (const DataDiskOrder& disk : role.data_disks) add_data_disk(region, vm, disk);
  if (!role.disk_name.empty() && role.image.empty() && role.vm_image.empty()) {
    const Disk& disk = get_free_disk(region, role.disk_name);
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
  order.os_disk_name = new_disk_name(region, vm.group, fmt::format("{}-{}-0", service.name, role.name));
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
  for (int i = 2; region.networks().find<NetworkInterface>(nic.ref()); ++i)
    nic.name = fmt::format("{}-nic-{}", lower(role.name), i);
  nic.location = service.address->location;
  nic.tags = {{service_tag, service.name}};
  nic.endpoints_only = true;
  for (const InputEndpoint& endpoint : role.endpoints) nic.endpoints.push_back(model_endpoint(endpoint));
  nic.configurations = {{.name = "primary",
                         .network = place.network,
                         .subnet = place.subnet,
                         .public_address = service.address->ref(),
                         .allocation = role.static_address.empty() ? "Dynamic" : "Static",
                         .private_address = role.static_address,
                         .primary = true}};
  return nic;
}

/// What is under way: what was made, under which key that is written down, and what is waited for.
struct Deploying {
  Made made;
  std::string pending;
  std::vector<std::string> operations;
  std::vector<std::pair<Ref, ExtensionOrder>> extensions;  ///< for when their VMs have keys
};

void make_role(Classic& classic, const std::string& service_name, const std::string& deployment,
               const RoleOrder& role, const Place& place, Deploying& deploying) {
  Region& region = classic.region;
  const CloudService service = get_cloud_service(region, service_name);
  const Ref ref{service.address->group, role.name};
  if (region.machines().find(ref))
    throw conflict(
        fmt::format("The role '{}' exists already in the resource group '{}'.", role.name, ref.group),
        "Choose another name ('--vm-name').");
  check_ports(region, service, nullptr, role.endpoints);
  VmOrder order = vm_order(classic, service, deployment, role);
  const std::vector<ExtensionOrder> extensions = extension_orders(role);
  NetworkInterface nic = interface_order(region, service, role, place, roles_of(region, service).empty());
  order.vm.interfaces = {nic.ref()};

  Made& made = deploying.made;
  made.vms.push_back(ref);
  made.interfaces.push_back(nic.ref());
  if (!order.attach_os_disk) made.disks.push_back({ref.group, order.os_disk_name});
  for (const DataDisk& disk : order.vm.data_disks)
    if (disk.disk.empty()) made.disks.push_back({ref.group, disk.name});

  std::vector<std::string> operations;
  region.operations().change([&] {
    keep_pending(region, deploying.pending, made);
    if (!order.attach_os_disk && !role.media_link.empty())
      region.documents().keep(disk_table, Ref{ref.group, order.os_disk_name}.key(),
                              json{{"mediaLink", role.media_link}}.dump());
    for (std::size_t i = 0; i < role.data_disks.size(); ++i)
      keep_disk_words(region, ref.group, order.vm.data_disks[i], role.data_disks[i]);
    region.networks().put(std::move(nic));
    operations.push_back(region.machines().put(std::move(order)).operation);
    keep_role_words(region, ref, role);
  });
  deploying.operations.insert(deploying.operations.end(), operations.begin(), operations.end());
  for (const ExtensionOrder& extension : extensions) deploying.extensions.emplace_back(ref, extension);
}

/// Waits for all that was begun, and takes everything back when a part of it fails.
asio::awaitable<void> see_through(Classic& classic, Deploying deploying) {
  std::optional<Error> failed;
  for (const std::string& operation : deploying.operations) try {
      co_await classic.region.operations().finish(operation);
    } catch (const std::exception& caught) {
      failed = as_error(caught);
      break;
    }
  if (!failed) co_return co_await keep_made(classic, deploying.pending);
  co_await take_back(classic, deploying.made, deploying.pending);
  throw *failed;
}

}  // namespace

asio::awaitable<std::string> deploy(Classic& classic, std::string service_name, std::string deployment,
                                    std::string network, std::vector<RoleOrder> roles, OperationKind kind) {
  Region& region = classic.region;
  Deploying deploying;
  deploying.pending = get_cloud_service(region, service_name).address->group + "/" + random_hex(16);
  std::optional<Error> trouble;
  try {
    for (const RoleOrder& role : roles) {
      const CloudService service = get_cloud_service(region, service_name);
      const Place place = find_place(region, service, network, role.subnets);
      make_role(classic, service_name, deployment, role, place, deploying);
      json words = read_document(region, deployment_table, service.address->ref().key());
      words["ownNetwork"] = place.own;
      region.documents().keep(deployment_table, service.address->ref().key(), words.dump());
    }
    set_host_tags(region, get_cloud_service(region, service_name));
    for (auto& [vm, extension] : std::exchange(deploying.extensions, {})) {
      co_await region.extensions().prepare(vm);
      deploying.operations.push_back(region.extensions().put(vm, std::move(extension)).operation);
    }
    co_return region.operations().begin(
        kind, "hostedServices/" + service_name + "/deployments/" + deployment,
        [&classic, deploying](std::string) { return see_through(classic, deploying); });
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  if (!co_await take_back_now(classic, deploying.made, deploying.pending))
    asio::co_spawn(co_await asio::this_coro::executor, take_back(classic, deploying.made, deploying.pending),
                   asio::detached);
  throw *trouble;
}

}  // namespace berth::classic
