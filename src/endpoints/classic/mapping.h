#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "api/classic/documents.h"
#include "endpoints/classic/service.h"

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
/// The VM of that name in that deployment, compared without case.
const Vm& get_role(const Region& region, const CloudService& service, const std::string& deployment,
                   const std::string& role);

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

/// The key of a certificate of the service, as one OpenSSH line. Throws invalid when it has none of that
/// thumbprint.
std::string service_ssh_key(const Region& region, const CloudService& service,
                            const std::string& fingerprint);

/// Small documents of this dialect; key is "group/name" so that they go with their group.
nlohmann::json read_document(const Region& region, const char* table, const std::string& key);
inline constexpr const char* service_table = "classic-service";
inline constexpr const char* deployment_table = "classic-deployment";
inline constexpr const char* role_table = "classic-role";
inline constexpr const char* disk_table = "classic-disk";
inline constexpr const char* image_table = "classic-image";
inline constexpr const char* certificate_table = "classic-certificate";
inline constexpr const char* pending_table = "classic-pending";
inline constexpr const char* management_table = "management-certificate";

/// Deletes these VMs with their interfaces, and their disks if wanted; what existed before them stays. Goes
/// through all of them, then throws the first trouble.
asio::awaitable<void> remove_roles(Classic& classic, std::vector<Ref> vms, bool disks);
/// Deletes the group when this dialect made it and nothing is left in it.
asio::awaitable<void> drop_group_if_empty(Classic& classic, std::string group);

}  // namespace berth::classic
