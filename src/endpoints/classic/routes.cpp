#include <fmt/format.h>

#include <algorithm>

#include "api/classic/documents.h"
#include "crypto/certificate.h"
#include "crypto/random.h"
#include "endpoints/classic/answers.h"
#include "endpoints/classic/certificates.h"
#include "endpoints/classic/classic_endpoints.h"
#include "endpoints/classic/publish_settings.h"
#include "endpoints/classic/rollback.h"
#include "http/answer.h"
#include "model/names.h"

namespace berth {
namespace classic {
namespace {

struct Route {
  const char* method;
  const char* pattern;
  Action action;
};

#define SUBSCRIPTION "/{subscription}"
#define MANAGEMENT_CERTIFICATES SUBSCRIPTION "/certificates"
#define SERVICES SUBSCRIPTION "/services/hostedservices"
#define SERVICE SERVICES "/{service}"
#define CERTIFICATES SERVICE "/certificates"
#define DEPLOYMENT SERVICE "/deployments/{deployment}"
#define ROLE DEPLOYMENT "/roles/{role}"
#define STORAGE SUBSCRIPTION "/services/storageservices"
#define NETWORKING SUBSCRIPTION "/services/networking"

// Source of each: docs/wire/classic.md.
constexpr std::size_t largest_document = std::size_t{8} * 1024 * 1024;

constexpr Route routes[] = {
    {"GET", SUBSCRIPTION, get_subscription},
    {"GET", SUBSCRIPTION "/locations", list_locations},
    {"GET", SUBSCRIPTION "/rolesizes", list_role_sizes},
    {"GET", SUBSCRIPTION "/operatingsystems", list_operating_systems},
    {"GET", SUBSCRIPTION "/operations/{operation}", get_operation},
    {"GET", SUBSCRIPTION "/affinitygroups", list_affinity_groups},
    {"POST", SUBSCRIPTION "/affinitygroups", refuse_affinity_groups},
    {"GET", SUBSCRIPTION "/affinitygroups/{name}", get_affinity_group},
    {"PUT", SUBSCRIPTION "/affinitygroups/{name}", get_affinity_group},
    {"DELETE", SUBSCRIPTION "/affinitygroups/{name}", get_affinity_group},
    {"GET", SUBSCRIPTION "/services/resourceextensions", list_extensions},
    {"GET", SUBSCRIPTION "/services/resourceextensions/{publisher}/{name}", list_extension_versions},

    {"GET", MANAGEMENT_CERTIFICATES, list_management_certificates},
    {"POST", MANAGEMENT_CERTIFICATES, post_management_certificate},
    {"GET", MANAGEMENT_CERTIFICATES "/{thumbprint}", get_management_certificate},
    {"DELETE", MANAGEMENT_CERTIFICATES "/{thumbprint}", delete_management_certificate},

    {"GET", SERVICES, list_hosted_services},
    {"POST", SERVICES, post_hosted_service},
    {"GET", SERVICES "/operations/isavailable/{name}", is_service_available},
    {"GET", SERVICE, get_hosted_service},
    {"PUT", SERVICE, put_hosted_service},
    {"DELETE", SERVICE, delete_hosted_service},
    {"GET", CERTIFICATES, list_service_certificates},
    {"POST", CERTIFICATES, post_service_certificate},
    {"GET", CERTIFICATES "/{thumbprint}", get_service_certificate},
    {"DELETE", CERTIFICATES "/{thumbprint}", delete_service_certificate},
    {"GET", SERVICE "/deploymentslots/{slot}", get_deployment_slot},
    {"POST", SERVICE "/deployments", post_deployment},
    {"GET", DEPLOYMENT, get_deployment},
    {"POST", DEPLOYMENT, update_load_balanced_sets},
    {"DELETE", DEPLOYMENT, delete_deployment},
    {"POST", DEPLOYMENT "/roles", post_role},
    {"POST", DEPLOYMENT "/roles/operations", post_roles_operation},
    {"POST", DEPLOYMENT "/loadbalancers", refuse_load_balancers},
    {"PUT", DEPLOYMENT "/loadbalancers/{name}", refuse_load_balancers},
    {"DELETE", DEPLOYMENT "/loadbalancers/{name}", refuse_load_balancers},
    {"POST", DEPLOYMENT "/migration", refuse_migration},
    {"GET", ROLE, get_role},
    {"PUT", ROLE, put_role},
    {"DELETE", ROLE, delete_role},
    {"POST", DEPLOYMENT "/roleinstances/{role}/operations", post_role_operation},
    {"POST", ROLE "/datadisks", post_data_disk},
    {"GET", ROLE "/datadisks/{lun}", get_data_disk},
    {"PUT", ROLE "/datadisks/{lun}", put_data_disk},
    {"DELETE", ROLE "/datadisks/{lun}", delete_data_disk},

    {"GET", SUBSCRIPTION "/services/images", list_images},
    {"POST", SUBSCRIPTION "/services/images", post_image},
    {"GET", SUBSCRIPTION "/services/images/{image}", get_image},
    {"DELETE", SUBSCRIPTION "/services/images/{image}", delete_image},
    {"GET", SUBSCRIPTION "/services/vmimages", list_vm_images},
    {"DELETE", SUBSCRIPTION "/services/vmimages/{image}", delete_vm_image},
    {"GET", SUBSCRIPTION "/services/disks", list_disks},
    {"POST", SUBSCRIPTION "/services/disks", post_disk},
    {"GET", SUBSCRIPTION "/services/disks/{disk}", get_disk},
    {"DELETE", SUBSCRIPTION "/services/disks/{disk}", delete_disk},

    {"GET", STORAGE, list_storage_services},
    {"POST", STORAGE, post_storage_service},
    {"GET", STORAGE "/operations/isavailable/{name}", is_storage_available},
    {"GET", STORAGE "/{account}", get_storage_service},
    {"PUT", STORAGE "/{account}", put_storage_service},
    {"DELETE", STORAGE "/{account}", delete_storage_service},
    {"GET", STORAGE "/{account}/keys", get_storage_keys},
    {"POST", STORAGE "/{account}/keys", regenerate_storage_key},
    {"POST", STORAGE "/{account}/migration", refuse_migration},

    {"GET", NETWORKING "/virtualnetwork", list_virtual_networks},
    {"GET", NETWORKING "/media", get_network_configuration},
    {"PUT", NETWORKING "/media", refuse_network_configuration},
    {"GET", NETWORKING "/reservedips", list_reserved_addresses},
    {"POST", NETWORKING "/reservedips", refuse_reserved_addresses},
    {"GET", NETWORKING "/reservedips/{name}", get_reserved_address},
    {"DELETE", NETWORKING "/reservedips/{name}", get_reserved_address},
};

void check_access(const Classic& classic, const Request& request) {
  const bool ours = same_name(param(request, "subscription"), classic.region.settings().subscription);
  if (ours && is_management_certificate(classic, request.client_certificate)) return;
  throw Error(ErrorKind::unauthorized, "ForbiddenError",
              "The server failed to authenticate the request. Verify that the certificate is valid and is "
              "associated with this subscription.",
              "Import this region's publish-settings file ('azure region status' names it).");
}

struct Refusal {
  int status;
  const char* code;
};

/// The service's own words: clients compare some of them exactly.
Refusal refusal_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::invalid:
      return {400, "BadRequest"};
    case ErrorKind::unauthorized:
      return {403, "ForbiddenError"};
    case ErrorKind::not_found:
      return {404, "ResourceNotFound"};
    case ErrorKind::conflict:
    case ErrorKind::unavailable:
      return {409, "ConflictError"};
    case ErrorKind::internal:
      break;
  }
  return {500, "InternalError"};
}

Response refused(const Error& error) {
  const Refusal refusal = refusal_of(error.kind);
  const std::string message =
      error.advice.empty() ? error.what() : std::string(error.what()) + " " + error.advice;
  return xml_response(refusal.status, error_xml(refusal.code, message));
}

void add_headers(Response& response) {
  if (!response.headers.contains("x-ms-request-id")) response.headers["x-ms-request-id"] = random_hex(32);
  response.headers["Cache-Control"] = "no-cache";
}

asio::awaitable<Response> answer(Classic& classic, const Route& route, Request request) {
  Response response = co_await answered(request, route.action(classic, request), refused);
  add_headers(response);
  co_return response;
}

Admission admit(Classic& classic, const Route& route, const Request& head) {
  Admission admission;
  try {
    check_access(classic, head);
  } catch (const Error& error) {
    admission.refusal = refused(error);
    add_headers(admission.refusal);
    return admission;
  }
  admission.known = true;
  admission.largest_body = largest_document;
  admission.handler = [&classic, &route](Request request) {
    return answer(classic, route, std::move(request));
  };
  return admission;
}

}  // namespace
}  // namespace classic

struct ClassicEndpoints::Impl {
  classic::Classic classic;
};

ClassicEndpoints::ClassicEndpoints(Region& region, const RegionAccess& access, std::filesystem::path home)
    : impl_(new Impl{.classic = {.region = region, .access = access, .home = std::move(home)}}) {}

ClassicEndpoints::~ClassicEndpoints() = default;

void ClassicEndpoints::recover() {
  classic::roll_back_pending(impl_->classic);
}

void ClassicEndpoints::add_to(Router& router) {
  for (const classic::Route& route : classic::routes)
    router.add({route.method, route.pattern,
                [this, &route](Request& head) { return classic::admit(impl_->classic, route, head); }});
}

bool ClassicEndpoints::speaks(const Request& request) {
  const std::string_view path = request.path;
  if (path.size() < 37 || path[0] != '/' || (path.size() > 37 && path[37] != '/')) return false;
  for (std::size_t i = 0; i < 36; ++i) {
    const char c = path[i + 1];
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    if (dash ? c != '-' : !digit) return false;
  }
  return true;
}

Response ClassicEndpoints::no_route(const Request& request, bool method_mismatch) {
  Response response =
      method_mismatch
          ? classic::xml_response(405,
                                  classic::error_xml("MethodNotAllowed",
                                                     fmt::format("{} is not allowed here.", request.method)))
          : classic::refused(classic::not_found(fmt::format("This region has nothing at {} {}.",
                                                            request.method, request.path.substr(0, 200))));
  response.headers["x-ms-request-id"] = random_hex(32);
  return response;
}

std::filesystem::path ClassicEndpoints::write_publish_settings(const std::string& url) {
  return classic::write_publish_settings(impl_->classic, url);
}

}  // namespace berth
