#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "http/message.h"
#include "region/access.h"
#include "region/region.h"

/// What endpoints/classic's own files share: the handlers that routes.cpp names.
namespace berth::classic {

namespace asio = boost::asio;

struct Classic {
  Region& region;
  const RegionAccess& access;
  std::filesystem::path home;
};

/// The request outlives the coroutine.
using Action = asio::awaitable<Response> (*)(Classic&, const Request&);

Response xml_response(int status, std::string body);
Response no_body(int status);
/// 202; the client polls this operation.
Response accepted(const std::string& operation);
std::string param(const Request& request, const char* name);
/// comp=media: the disks go, too.
bool with_media(const Request& request);
Error bad_request(const std::string& what, const std::string& advice = {});
Error conflict(const std::string& what, const std::string& advice = {});
Error not_found(const std::string& what, const std::string& advice = {});
std::string utc_seconds(const std::string& time);  ///< "2026-11-23T21:16:02Z" of one with fractions
std::string utc_now();
/// "https://HOST/SUBSCRIPTION/services/…".
std::string url_of(const Classic& classic, const Request& request, const std::string& path);

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
void register_management_certificate(Classic&, const std::string& der);
bool is_management_certificate(const Classic& classic, const std::string& der);

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
asio::awaitable<Response> update_deployment(Classic&, const Request&);
asio::awaitable<Response> post_role(Classic&, const Request&);
void roll_back_pending(Classic&);

// roles.cpp
asio::awaitable<Response> get_role(Classic&, const Request&);
asio::awaitable<Response> put_role(Classic&, const Request&);
asio::awaitable<Response> delete_role(Classic&, const Request&);
asio::awaitable<Response> post_role_operation(Classic&, const Request&);
asio::awaitable<Response> post_roles_operation(Classic&, const Request&);

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
/// The account that the disks of a location are said to be in; made when there is none.
void ensure_disk_account(Classic&, const std::string& location);
std::size_t count_storage_accounts(const Classic&);

// publish_settings.cpp
std::filesystem::path write_publish_settings(Classic&, const std::string& url);

}  // namespace berth::classic
