#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>

#include "http/message.h"
#include "region/access.h"
#include "region/region.h"

/// The handlers that routes.cpp names, by the file that they are in.
namespace berth::classic {

namespace asio = boost::asio;

struct Classic {
  Region& region;
  const RegionAccess& access;
  std::filesystem::path home;
};

/// The request outlives the coroutine.
using Action = asio::awaitable<Response> (*)(Classic&, const Request&);

// catalog.cpp
asio::awaitable<Response> get_subscription(Classic&, const Request&);
asio::awaitable<Response> list_locations(Classic&, const Request&);
asio::awaitable<Response> list_role_sizes(Classic&, const Request&);
asio::awaitable<Response> list_affinity_groups(Classic&, const Request&);
asio::awaitable<Response> get_affinity_group(Classic&, const Request&);
asio::awaitable<Response> refuse_affinity_groups(Classic&, const Request&);
asio::awaitable<Response> get_operation(Classic&, const Request&);
asio::awaitable<Response> list_extensions(Classic&, const Request&);
asio::awaitable<Response> list_extension_versions(Classic&, const Request&);
asio::awaitable<Response> list_operating_systems(Classic&, const Request&);

// certificates.cpp
asio::awaitable<Response> list_management_certificates(Classic&, const Request&);
asio::awaitable<Response> post_management_certificate(Classic&, const Request&);
asio::awaitable<Response> get_management_certificate(Classic&, const Request&);
asio::awaitable<Response> delete_management_certificate(Classic&, const Request&);
asio::awaitable<Response> list_service_certificates(Classic&, const Request&);
asio::awaitable<Response> post_service_certificate(Classic&, const Request&);
asio::awaitable<Response> get_service_certificate(Classic&, const Request&);
asio::awaitable<Response> delete_service_certificate(Classic&, const Request&);

// hosted_services.cpp
asio::awaitable<Response> list_hosted_services(Classic&, const Request&);
asio::awaitable<Response> post_hosted_service(Classic&, const Request&);
asio::awaitable<Response> get_hosted_service(Classic&, const Request&);
asio::awaitable<Response> put_hosted_service(Classic&, const Request&);
asio::awaitable<Response> delete_hosted_service(Classic&, const Request&);
asio::awaitable<Response> is_service_available(Classic&, const Request&);

// deployments.cpp
asio::awaitable<Response> get_deployment_slot(Classic&, const Request&);
asio::awaitable<Response> get_deployment(Classic&, const Request&);
asio::awaitable<Response> post_deployment(Classic&, const Request&);
asio::awaitable<Response> delete_deployment(Classic&, const Request&);

// input_endpoints.cpp
asio::awaitable<Response> update_load_balanced_sets(Classic&, const Request&);
asio::awaitable<Response> refuse_load_balancers(Classic&, const Request&);

// roles.cpp
asio::awaitable<Response> post_role(Classic&, const Request&);
asio::awaitable<Response> get_role(Classic&, const Request&);
asio::awaitable<Response> put_role(Classic&, const Request&);
asio::awaitable<Response> delete_role(Classic&, const Request&);
asio::awaitable<Response> post_role_operation(Classic&, const Request&);
asio::awaitable<Response> post_roles_operation(Classic&, const Request&);
asio::awaitable<Response> refuse_migration(Classic&, const Request&);

// disks.cpp
asio::awaitable<Response> list_disks(Classic&, const Request&);
asio::awaitable<Response> get_disk(Classic&, const Request&);
asio::awaitable<Response> post_disk(Classic&, const Request&);
asio::awaitable<Response> delete_disk(Classic&, const Request&);
asio::awaitable<Response> post_data_disk(Classic&, const Request&);
asio::awaitable<Response> get_data_disk(Classic&, const Request&);
asio::awaitable<Response> put_data_disk(Classic&, const Request&);
asio::awaitable<Response> delete_data_disk(Classic&, const Request&);

// images.cpp
asio::awaitable<Response> list_images(Classic&, const Request&);
asio::awaitable<Response> get_image(Classic&, const Request&);
asio::awaitable<Response> post_image(Classic&, const Request&);
asio::awaitable<Response> delete_image(Classic&, const Request&);
asio::awaitable<Response> list_vm_images(Classic&, const Request&);
asio::awaitable<Response> delete_vm_image(Classic&, const Request&);

// networks.cpp
asio::awaitable<Response> list_virtual_networks(Classic&, const Request&);
asio::awaitable<Response> get_network_configuration(Classic&, const Request&);
asio::awaitable<Response> refuse_network_configuration(Classic&, const Request&);
asio::awaitable<Response> list_reserved_addresses(Classic&, const Request&);
asio::awaitable<Response> get_reserved_address(Classic&, const Request&);
asio::awaitable<Response> refuse_reserved_addresses(Classic&, const Request&);

// storage.cpp
asio::awaitable<Response> list_storage_services(Classic&, const Request&);
asio::awaitable<Response> post_storage_service(Classic&, const Request&);
asio::awaitable<Response> get_storage_service(Classic&, const Request&);
asio::awaitable<Response> put_storage_service(Classic&, const Request&);
asio::awaitable<Response> delete_storage_service(Classic&, const Request&);
asio::awaitable<Response> get_storage_keys(Classic&, const Request&);
asio::awaitable<Response> regenerate_storage_key(Classic&, const Request&);
asio::awaitable<Response> is_storage_available(Classic&, const Request&);

}  // namespace berth::classic
