#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "endpoints/classic/answers.h"
#include "endpoints/classic/deploy.h"
#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/mapping.h"
#include "endpoints/classic/removal.h"
#include "model/names.h"

/// Deployments: the virtual machines of a cloud service together.
namespace berth::classic {
namespace {

using nlohmann::json;

std::vector<Ref> refs_of(const std::vector<const Vm*>& vms) {
  std::vector<Ref> refs;
  for (const Vm* vm : vms) refs.push_back(vm->ref());
  return refs;
}

}  // namespace

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
  region.documents().keep(deployment_table, key, words.dump());
  const std::string operation = co_await deploy(classic, service.name, order.name, order.virtual_network,
                                                std::move(order.roles), OperationKind::deployment_create);
  co_return accepted(operation);
}

asio::awaitable<Response> delete_deployment(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const auto roles = get_deployment_roles(classic.region, service, param(request, "deployment"));
  const std::vector<Ref> vms = refs_of(roles);
  const bool disks = with_media(request);
  co_return accepted(classic.region.operations().begin(
      OperationKind::deployment_delete,
      "hostedServices/" + service.name + "/deployments/" + deployment_name(service, roles),
      [&classic, vms, disks, key = service.address->ref().key()](std::string) -> asio::awaitable<void> {
        co_await remove_roles(classic, vms, disks);
        classic.region.documents().drop(deployment_table, key);
      }));
}

}  // namespace berth::classic
