#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/classic/documents.h"
#include "api/classic/requests.h"
#include "base/utc.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/kept_documents.h"
#include "endpoints/classic/mapping.h"
#include "endpoints/classic/removal.h"
#include "endpoints/classic/storage.h"
#include "model/catalog.h"
#include "model/names.h"

namespace berth::classic {
namespace {

using nlohmann::json;

constexpr std::size_t longest_label = 100, longest_description = 1024;

void check_words(const HostedServiceOrder& order) {
  if (order.label.size() > longest_label)
    throw bad_request(
        fmt::format("The label has {} characters; {} are allowed.", order.label.size(), longest_label));
  if (order.description.size() > longest_description)
    throw bad_request(fmt::format("The description has {} characters; {} are allowed.",
                                  order.description.size(), longest_description));
}

/// "" when the region has room for a service of that name, else why not.
std::string name_problem(const Region& region, const std::string& name) {
  if (!is_dns_label(name))
    return fmt::format(
        "The hosted service name '{}' is not valid. Use letters, digits and hyphens; begin with a "
        "letter, do not end with a hyphen, and stay below 64 characters.",
        name.substr(0, 100));
  if (!region.networks().is_label_free(name)) return "The specified DNS name is already taken.";
  const ResourceGroup* group = region.groups().find(name);
  if (group && !group->tags.contains(service_tag))
    return fmt::format(
        "The region has a resource group named '{}' already; its resources would be mixed up. Choose "
        "another name, or delete that group.",
        group->name);
  return {};
}

void keep_words(Region& region, const Ref& address, const HostedServiceOrder& order,
                const std::string& name) {
  json words = read_document(region, service_table, address.key());
  words["label"] = order.label.empty() ? words.value("label", name) : order.label;
  if (!order.description.empty() || !words.contains("description")) words["description"] = order.description;
  words["changed"] = utc_seconds(utc_now());
  region.documents().keep(service_table, address.key(), words.dump());
}

/// What was made for this service alone: networks and security groups that carry its name.
void remove_own_networks(Region& region, const std::string& group, const std::string& service) {
  const auto is_own = [&](const Resource& resource) {
    const auto has = [&](const char* tag) {
      const auto found = resource.tags.find(tag);
      return found != resource.tags.end() && same_name(found->second, service);
    };
    return has(service_tag) || has(host_tag);
  };
  const auto remove = [&](auto resources, auto&& one) {
    std::vector<Ref> own;
    for (const auto* resource : resources)
      if (is_own(*resource)) own.push_back(resource->ref());
    for (const Ref& ref : own) try {
        one(ref);
      } catch (const Error&) {  // in use by something else: then it is not this service's alone
      }
  };
  remove(region.networks().list<VirtualNetwork>(group),
         [&](const Ref& ref) { region.networks().remove_virtual_network(ref); });
  remove(region.networks().list<SecurityGroup>(group),
         [&](const Ref& ref) { region.networks().remove_security_group(ref); });
}

asio::awaitable<void> remove_service(Classic& classic, Ref address, std::string name) {
  Region& region = classic.region;
  std::vector<Ref> idle;
  for (const NetworkInterface* nic : region.networks().list<NetworkInterface>())
    if (nic->vm.empty() && std::ranges::any_of(nic->configurations, [&](const IpConfiguration& c) {
          return c.public_address == address;
        }))
      idle.push_back(nic->ref());
  region.operations().change([&] {
    for (const Ref& nic : idle) region.networks().remove_interface(nic);
    region.networks().remove_public_address(address);
    region.documents().drop(service_table, address.key());
    region.documents().drop(deployment_table, address.key());
    for (const auto& [key, document] : region.documents().list(certificate_table, address.key() + "/"))
      region.documents().drop(certificate_table, key);
  });
  remove_own_networks(region, address.group, name);
  co_await drop_group_if_empty(classic, address.group);
}

/// A deletion that is under way is waited for: clients delete a service right after its deployment.
asio::awaitable<void> await_deletions(Region& region, std::string service) {
  for (int round = 0; round < 8; ++round) {
    const auto found = find_cloud_service(region, service);
    if (!found) co_return;
    std::string operation;
    for (const Vm* vm : roles_of(region, *found))
      if (vm->provisioning == Provisioning::deleting)
        for (const Operation* running :
             region.operations().of("virtualMachines/" + vm->group + "/" + vm->name))
          if (running->status == OperationStatus::running) operation = running->id;
    if (operation.empty()) co_return;
    co_await region.operations().wait(operation, std::chrono::seconds(60));
  }
}

}  // namespace

asio::awaitable<Response> list_hosted_services(Classic& classic, const Request& request) {
  std::vector<HostedServiceView> views;
  for (const CloudService& service : cloud_services(classic.region))
    views.push_back(view_of(classic, request, service, false));
  co_return xml_response(200, hosted_services_xml(views));
}

asio::awaitable<Response> get_hosted_service(Classic& classic, const Request& request) {
  const bool detail = same_name(request.parameter("embed-detail"), "true");
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  co_return xml_response(200, hosted_service_xml(view_of(classic, request, service, detail), detail));
}

asio::awaitable<Response> is_service_available(Classic& classic, const Request& request) {
  co_return xml_response(200, availability_xml(name_problem(classic.region, param(request, "name"))));
}

asio::awaitable<Response> post_hosted_service(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const HostedServiceOrder order = parse_create_hosted_service(request.body);
  check_words(order);
  if (!order.affinity_group.empty())
    throw not_found(fmt::format("The affinity group '{}' does not exist.", order.affinity_group),
                    "This region has none; give a location.");
  const Location* location = find_location(order.location);
  if (!location)
    throw bad_request(fmt::format("The location '{}' is not available.", order.location.substr(0, 100)),
                      "'azure vm location list' shows those there are.");
  if (const std::string problem = name_problem(region, order.name); !problem.empty())
    throw is_dns_label(order.name) ? conflict(problem) : bad_request(problem);
  const std::string place(location->name);
  PublicAddress address;
  address.group = order.name;
  address.name = lower(order.name) + "-ip";
  address.location = place;
  address.label = order.name;
  address.tags = {{service_tag, order.name}, {host_tag, order.name}};
  region.operations().change([&] {
    const ResourceGroup* left = region.groups().find(order.name);
    region.groups().put(order.name, left ? left->location : place,
                        {{service_tag, order.name}, {host_tag, order.name}});
    keep_words(region, region.networks().put(std::move(address)).resource.ref(), order, order.name);
    ensure_disk_account(classic, place);
  });
  Response response = no_body(201);
  response.headers["Location"] = url_of(classic, request, "services/hostedservices/" + order.name);
  co_return response;
}

asio::awaitable<Response> put_hosted_service(Classic& classic, const Request& request) {
  const CloudService service = get_cloud_service(classic.region, param(request, "service"));
  const HostedServiceOrder order = parse_update_hosted_service(request.body);
  check_words(order);
  keep_words(classic.region, service.address->ref(), order, service.name);
  co_return no_body(200);
}

asio::awaitable<Response> delete_hosted_service(Classic& classic, const Request& request) {
  Region& region = classic.region;
  const std::string name = get_cloud_service(region, param(request, "service")).name;
  if (with_media(request)) {  // with everything in it
    const std::string operation =
        region.operations().begin(OperationKind::cloud_service_delete, "hostedServices/" + name,
                                  [&classic, name](std::string) -> asio::awaitable<void> {
                                    std::vector<Ref> vms;
                                    const auto found = find_cloud_service(classic.region, name);
                                    if (!found) co_return;
                                    for (const Vm* vm : roles_of(classic.region, *found))
                                      vms.push_back(vm->ref());
                                    const Ref address = found->address->ref();
                                    co_await remove_roles(classic, vms, true);
                                    co_await remove_service(classic, address, name);
                                  });
    co_return accepted(operation);
  }
  co_await await_deletions(region, name);
  const auto service = find_cloud_service(region, name);
  if (!service) co_return no_body(200);
  if (const std::vector<const Vm*> roles = roles_of(region, *service); !roles.empty())
    throw conflict(fmt::format("The hosted service '{}' cannot be deleted: it has the deployment '{}'.",
                               service->name, deployment_name(*service, roles)),
                   "Delete its virtual machines first.");
  co_await remove_service(classic, service->address->ref(), service->name);
  co_return no_body(200);
}

}  // namespace berth::classic
