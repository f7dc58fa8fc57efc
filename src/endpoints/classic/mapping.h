#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/classic/documents.h"
#include "base/error.h"
#include "endpoints/classic/handlers.h"
#include "model/names.h"

/// How the classic model lies over the region's: docs/decisions/0007-classic-mapping.md.
namespace berth::classic {

/// Tags of what belongs to one host alone (the command line's own), and of what a cloud service made.
inline constexpr const char* host_tag = "berth:host";
inline constexpr const char* service_tag = "berth:cloud-service";

/// A labelled public address, seen as a cloud service. Does not outlive a co_await.
struct CloudService {
  const PublicAddress* address = nullptr;
  std::string name;
};
std::vector<CloudService> cloud_services(const Region& region);
std::optional<CloudService> find_cloud_service(const Region& region, const std::string& name);
/// Throws not_found "ResourceNotFound".
CloudService get_cloud_service(const Region& region, const std::string& name);

/// The VMs behind the address, the oldest first. None: there is no deployment.
std::vector<const Vm*> roles_of(const Region& region, const CloudService& service);
const NetworkInterface* interface_of(const Region& region, const Vm& vm, const CloudService& service);
/// The service that a VM is reached through; nullopt for a VM without a labelled address.
std::optional<CloudService> service_of(const Region& region, const Vm& vm);
std::string deployment_name(const CloudService& service, const std::vector<const Vm*>& roles);
/// Throws not_found when the service has no deployment of that name.
std::vector<const Vm*> get_deployment_roles(const Region& region, const CloudService& service,
                                            const std::string& deployment);
/// What a request's path names. Does not outlive a co_await.
struct Role {
  CloudService service;
  std::string deployment;
  const Vm& vm;
};
/// Throws not_found naming the first part of the path that is not there.
Role role_at(const Region& region, const Request& request);

/// Names are unique within a resource group only, which this dialect does not know. Null when there is no
/// resource of that name; throws conflict naming the groups when there are several. `what` is its kind, for
/// the message.
template <class Resource>
const Resource* find_only(const std::vector<const Resource*>& all, const std::string& name, const char* what);

HostedServiceView view_of(const Classic& classic, const Request& request, const CloudService& service,
                          bool detail);
DeploymentView deployment_view(const Region& region, const CloudService& service,
                               const std::vector<const Vm*>& roles);
RoleView role_view(const Region& region, const CloudService& service, const Vm& vm);
/// Endpoints as they are, whoever opened them.
std::vector<EndpointView> endpoints_of(const Region& region, const CloudService& service, const Vm& vm);
std::string classic_size(const std::string& size);
std::string media_link_of(const Region& region, const Disk& disk);
std::string display_location(const std::string& name);

// --- the rest is find_only

Error several_of_one_name(const char* what, const std::string& name, const std::vector<std::string>& groups);

template <class Resource>
const Resource* find_only(const std::vector<const Resource*>& all, const std::string& name,
                          const char* what) {
  const Resource* found = nullptr;
  std::vector<std::string> groups;
  for (const Resource* one : all)
    if (same_name(one->name, name)) {
      found = one;
      groups.push_back(one->group);
    }
  if (groups.size() > 1) throw several_of_one_name(what, name, groups);
  return found;
}

}  // namespace berth::classic
