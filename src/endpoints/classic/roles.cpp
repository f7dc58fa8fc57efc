#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/utc.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/deploy.h"
#include "endpoints/classic/disks.h"
#include "endpoints/classic/input_endpoints.h"
#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/removal.h"
#include "endpoints/classic/role_changes.h"
#include "images/gallery.h"
#include "model/names.h"

/// One role of a deployment: added, changed, started, stopped, captured, removed.
namespace berth::classic {
namespace {

using nlohmann::json;

std::string capture(Classic& classic, const Role& role, const RoleOperation& wanted) {
  const auto& [service, deployment, vm] = role;
  Region& region = classic.region;
  const bool as_vm_image = wanted.type == "CaptureRoleAsVMImageOperation";
  if (!as_vm_image && !same_name(wanted.post_capture, "Delete"))
    throw bad_request(fmt::format("PostCaptureAction '{}' is not there.", wanted.post_capture.substr(0, 32)),
                      "Only Delete is: the captured virtual machine is removed.");
  if (vm.power != PowerState::stopped && vm.power != PowerState::deallocated)
    throw conflict(fmt::format("{} is {} and cannot be captured now.", vm.name, to_string(vm.power)),
                   "Shut it down first ('azure vm shutdown').");
  const std::string name = wanted.image_name;
  if (region.images().gallery().find(name))
    throw conflict(fmt::format("An image named '{}' exists already.", name), "Choose another name.");
  const std::string label = wanted.image_label.empty() ? name : wanted.image_label;
  json words;
  if (as_vm_image)
    words = {{"kind", "vm"},
             {"state", wanted.os_state},
             {"label", label},
             {"service", service.name},
             {"deployment", deployment},
             {"role", vm.name},
             {"location", vm.location},
             {"created", utc_seconds(utc_now())}};
  const std::string target = "hostedServices/" + service.name + "/roles/" + vm.name;
  std::string begun;
  region.operations().change([&] {
    const Accepted accepted = region.images().capture(vm.ref(), name, label);
    begun =
        region.operations().begin(OperationKind::image_capture, target,
                                  [&classic, name, words, as_vm_image, operation = accepted.operation,
                                   ref = vm.ref()](std::string) -> asio::awaitable<void> {
                                    co_await classic.region.operations().finish(operation);
                                    if (as_vm_image)
                                      classic.region.documents().keep(image_table, lower(name), words.dump());
                                    else
                                      co_await remove_roles(classic, std::vector{ref}, true);
                                  });
  });
  return begun;
}

std::string operate(Classic& classic, const Role& role, const RoleOperation& wanted) {
  Region& region = classic.region;
  const Vm& vm = role.vm;
  if (wanted.type == "StartRoleOperation") return region.machines().start(vm.ref()).operation;
  if (wanted.type == "RestartRoleOperation") return region.machines().restart(vm.ref()).operation;
  if (wanted.type == "ShutdownRoleOperation")
    return wanted.post_shutdown == "StoppedDeallocated" ? region.machines().deallocate(vm.ref()).operation
                                                        : region.machines().stop(vm.ref(), false).operation;
  if (wanted.type == "CaptureRoleOperation" || wanted.type == "CaptureRoleAsVMImageOperation")
    return capture(classic, role, wanted);
  throw bad_request(fmt::format("The operation '{}' is not known.", wanted.type),
                    "There are Start, Restart, Shutdown, Capture and CaptureRoleAsVMImage.");
}

}  // namespace

asio::awaitable<Response> post_role(Classic& classic, const Request& request) {
  Region& region = classic.region;
  RoleOrder role = parse_role(request.body);
  const CloudService service = get_cloud_service(region, param(request, "service"));
  const auto roles = get_deployment_roles(region, service, param(request, "deployment"));
  const std::string deployment = deployment_name(service, roles);
  const std::string operation = co_await deploy(classic, service.name, deployment, {},
                                                std::vector{std::move(role)}, OperationKind::role_add);
  co_return accepted(operation);
}

asio::awaitable<Response> get_role(Classic& classic, const Request& request) {
  const Role role = role_at(classic.region, request);
  co_return xml_response(200, role_xml(role_view(classic.region, role.service, role.vm)));
}

asio::awaitable<Response> put_role(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const RoleOrder wanted = parse_role(request.body);
  if (wanted.extensions) co_await region.extensions().prepare(role_at(region, request).vm.ref());
  const auto [service, deployment, vm] = role_at(region, request);
  if (!same_name(wanted.name, vm.name))
    throw bad_request(
        fmt::format("The role is '{}'; its name cannot be changed to '{}'.", vm.name, wanted.name));
  const Ref ref = vm.ref();
  extension_orders(wanted);  // what is wrong with them is said before anything changes
  check_role(wanted);
  MachineChange change = machine_change(region, vm, wanted);
  std::vector<std::string> operations;
  if (wanted.has_network) {
    change_address(region, service, vm, wanted.static_address);
    change_endpoints(region, service, vm, wanted.endpoints);
  }
  if (change.needed) operations.push_back(region.machines().put(std::move(change.order)).operation);
  for (std::size_t i = 0; i < change.disks.size(); ++i)
    keep_disk_words(region, ref.group, change.disks[i], wanted.data_disks[i]);
  if (wanted.extensions)
    for (std::string& operation : change_extensions(region, ref, *wanted.extensions))
      operations.push_back(std::move(operation));
  keep_role_words(region, ref, wanted);
  co_return accepted(region.operations().begin(
      OperationKind::role_update, "hostedServices/" + service.name + "/roles/" + ref.name,
      [&region, operations, ref](std::string) -> asio::awaitable<void> {
        co_await region.networks().settle_ports(ref);
        for (const std::string& operation : operations) co_await region.operations().finish(operation);
      }));
}

asio::awaitable<Response> delete_role(Classic& classic, const Request& request) {
  const auto [service, deployment, vm] = role_at(classic.region, request);
  if (roles_of(classic.region, service).size() == 1)
    throw bad_request(
        fmt::format("The role '{}' is the last one of the deployment '{}'.", vm.name, deployment),
        "Delete the deployment.");
  const std::vector<Ref> vms{vm.ref()};
  const bool disks = with_media(request);
  co_return accepted(classic.region.operations().begin(
      OperationKind::role_delete, "hostedServices/" + service.name + "/roles/" + vm.name,
      [&classic, vms, disks](std::string) -> asio::awaitable<void> {
        co_await remove_roles(classic, vms, disks);
      }));
}

asio::awaitable<Response> post_role_operation(Classic& classic, const Request& request) {
  const RoleOperation wanted = parse_role_operation(request.body);
  co_return accepted(operate(classic, role_at(classic.region, request), wanted));
}

asio::awaitable<Response> refuse_migration(Classic&, const Request&) {
  throw bad_request("There is nothing to migrate: Resource Manager sees the same resources in this region.",
                    "'azure vm list' and 'az vm list' show them.");
  co_return Response();
}

asio::awaitable<Response> post_roles_operation(Classic&, const Request&) {
  throw bad_request("Operations on several roles at once are not there.", "Send one for each role instance.");
  co_return Response();
}

}  // namespace berth::classic
