#include <fmt/format.h>

#include <chrono>

#include "api/arm/errors.h"
#include "crypto/random.h"
#include "endpoints/arm/arm_endpoints.h"
#include "endpoints/arm/service.h"
#include "http/answer.h"

namespace berth {
namespace arm {
namespace {

enum class Access {
  open,     ///< sign-in and what is public
  token,    ///< a valid token
  version,  ///< and api-version
};

struct Route {
  const char* method;
  const char* pattern;
  Access access;
  Action action;
};

#define SUBSCRIPTION "/subscriptions/{subscription}"
#define GROUP SUBSCRIPTION "/resourceGroups/{group}"
#define LOCATION SUBSCRIPTION "/providers/Microsoft.Compute/locations/{location}"
#define PUBLISHER LOCATION "/publishers/{publisher}"
#define IMAGE PUBLISHER "/artifacttypes/vmimage/offers"
#define EXTENSION PUBLISHER "/artifacttypes/vmextension/types"
#define VM GROUP "/providers/Microsoft.Compute/virtualMachines/{vm}"
#define DEPLOYMENTS GROUP "/providers/Microsoft.Resources/deployments"

constexpr std::size_t largest_form = std::size_t{16} * 1024;  ///< of those whom anybody may send
/// More than a document may have (4 MiB), so that who sends too much is told so in words.
constexpr std::size_t largest_document = std::size_t{8} * 1024 * 1024;
constexpr std::size_t largest_package = std::size_t{64} * 1024 * 1024;

constexpr Route routes[] = {
    // Sign-in
    {"GET", "/metadata/endpoints", Access::open, get_metadata},
    {"GET", "/{authority}/.well-known/openid-configuration", Access::open, get_discovery},
    {"GET", "/{authority}/v2.0/.well-known/openid-configuration", Access::open, get_discovery},
    {"GET", "/adfs/{tenant}/.well-known/openid-configuration", Access::open, get_discovery},
    {"GET", "/common/discovery/instance", Access::open, get_instance_discovery},
    {"POST", "/{authority}/oauth2/token", Access::open, post_token},
    {"POST", "/{authority}/oauth2/v2.0/token", Access::open, post_token},
    {"GET", "/identity", Access::open, get_identity_token},
    {"POST", "/{authority}/oauth2/devicecode", Access::open, post_device_code},
    {"POST", "/{authority}/oauth2/v2.0/devicecode", Access::open, post_device_code},
    {"GET", "/devicelogin", Access::open, get_device_page},
    {"POST", "/devicelogin", Access::open, post_device_page},
    {"GET", "/aliases.json", Access::open, get_aliases},

    // Who we are, what there is
    {"GET", "/tenants", Access::version, list_tenants},
    {"GET", "/subscriptions", Access::version, list_subscriptions},
    {"GET", SUBSCRIPTION, Access::version, get_subscription},
    {"GET", SUBSCRIPTION "/locations", Access::version, list_locations},
    {"GET", SUBSCRIPTION "/providers", Access::version, list_providers},
    {"GET", SUBSCRIPTION "/providers/{namespace}", Access::version, get_provider},
    {"POST", SUBSCRIPTION "/providers/{namespace}/register", Access::version, get_provider},
    {"GET", SUBSCRIPTION "/providers/Microsoft.Compute/skus", Access::version, list_skus},
    {"GET", LOCATION "/vmSizes", Access::version, list_sizes},
    {"GET", LOCATION "/runCommands", Access::version, list_run_commands},
    {"GET", LOCATION "/runCommands/{command}", Access::version, get_run_command},
    {"GET", LOCATION "/usages", Access::version, list_usages},
    {"GET", LOCATION "/osImages", Access::version, list_os_images},
    {"GET", LOCATION "/publishers", Access::version, list_publishers},
    {"GET", IMAGE, Access::version, list_offers},
    {"GET", IMAGE "/{offer}/skus", Access::version, list_image_skus},
    {"GET", IMAGE "/{offer}/skus/{sku}/versions", Access::version, list_image_versions},
    {"GET", IMAGE "/{offer}/skus/{sku}/versions/{version}", Access::version, get_image_version},
    {"GET", EXTENSION, Access::version, list_extension_types},
    {"GET", EXTENSION "/{type}/versions", Access::version, list_extension_versions},
    {"GET", EXTENSION "/{type}/versions/{version}", Access::version, get_extension_version},

    {"POST", SUBSCRIPTION "/providers/Microsoft.Storage/checkNameAvailability", Access::version,
     check_storage_name},
    {"POST", GROUP "/providers/Microsoft.Storage/storageAccounts/{account}/listKeys", Access::version,
     list_storage_keys},
    {"POST", GROUP "/providers/Microsoft.Compute/sshPublicKeys/{key}/generateKeyPair", Access::version,
     generate_key_pair},
    {"GET", SUBSCRIPTION "/providers/Microsoft.Network/locations/{location}/CheckDnsNameAvailability",
     Access::version, check_dns_name},

    // Our own
    {"GET", SUBSCRIPTION "/providers/Berth.Local/osImages", Access::version, list_os_images},
    {"PUT", SUBSCRIPTION "/providers/Berth.Local/osImages/{image}", Access::version, put_os_image},
    {"DELETE", SUBSCRIPTION "/providers/Berth.Local/osImages/{image}", Access::version, delete_os_image},
    {"POST", SUBSCRIPTION "/providers/Berth.Local/osImages/{image}/warm", Access::version, warm_os_image},
    {"GET", SUBSCRIPTION "/providers/Berth.Local/imageAliases", Access::version, list_image_aliases},
    {"PUT", SUBSCRIPTION "/providers/Berth.Local/imageAliases/{pattern}", Access::version, put_image_alias},
    {"DELETE", SUBSCRIPTION "/providers/Berth.Local/imageAliases/{pattern}", Access::version,
     delete_image_alias},
    {"GET", SUBSCRIPTION "/providers/Berth.Local/extensions", Access::version, list_packages},
    {"PUT", SUBSCRIPTION "/providers/Berth.Local/extensions/{publisher}/{type}/{version}", Access::version,
     put_package},
    {"DELETE", SUBSCRIPTION "/providers/Berth.Local/extensions/{publisher}/{type}/{version}", Access::version,
     delete_package},

    {"GET", SUBSCRIPTION "/providers/Berth.Local/templateFolders", Access::version, list_template_folders},
    {"PUT", SUBSCRIPTION "/providers/Berth.Local/templateFolders/{folder}", Access::version,
     put_template_folder},
    {"DELETE", SUBSCRIPTION "/providers/Berth.Local/templateFolders/{folder}", Access::version,
     delete_template_folder},
    {"GET", "/templates/{key}/{file...}", Access::open, get_served_template},

    // About the subscription: locks, role assignments, diagnostic settings
    {"GET", SUBSCRIPTION "/providers/Microsoft.Authorization/{type}/{name}", Access::version,
     get_in_subscription},
    {"PUT", SUBSCRIPTION "/providers/Microsoft.Authorization/{type}/{name}", Access::version,
     put_in_subscription},
    {"DELETE", SUBSCRIPTION "/providers/Microsoft.Authorization/{type}/{name}", Access::version,
     delete_in_subscription},

    // Resource groups
    {"GET", SUBSCRIPTION "/resourceGroups", Access::version, list_groups},
    {"GET", GROUP, Access::version, get_group},
    {"HEAD", GROUP, Access::version, head_group},
    {"PUT", GROUP, Access::version, put_group},
    {"PATCH", GROUP, Access::version, patch_group},
    {"DELETE", GROUP, Access::version, delete_group},
    {"GET", SUBSCRIPTION "/resources", Access::version, list_resources},
    {"GET", GROUP "/resources", Access::version, list_resources},
    {"GET", SUBSCRIPTION "/tagNames", Access::version, list_tag_names},

    {"POST", GROUP "/exportTemplate", Access::version, export_group_template},

    // Deployments
    {"GET", SUBSCRIPTION "/providers/Microsoft.Resources/deployments", Access::version,
     list_subscription_deployments},
    {"PUT", SUBSCRIPTION "/providers/Microsoft.Resources/deployments/{deployment}", Access::version,
     refuse_subscription_deployment},
    {"POST", SUBSCRIPTION "/providers/Microsoft.Resources/deployments/{deployment}/validate", Access::version,
     refuse_subscription_deployment},
    {"GET", DEPLOYMENTS, Access::version, list_deployments},
    {"GET", DEPLOYMENTS "/{deployment}", Access::version, get_deployment},
    {"HEAD", DEPLOYMENTS "/{deployment}", Access::version, head_deployment},
    {"PUT", DEPLOYMENTS "/{deployment}", Access::version, put_deployment},
    {"DELETE", DEPLOYMENTS "/{deployment}", Access::version, delete_deployment},
    {"POST", DEPLOYMENTS "/{deployment}/cancel", Access::version, cancel_deployment},
    {"POST", DEPLOYMENTS "/{deployment}/validate", Access::version, validate_deployment},
    {"POST", DEPLOYMENTS "/{deployment}/whatIf", Access::version, what_if_deployment},
    {"POST", DEPLOYMENTS "/{deployment}/exportTemplate", Access::version, export_deployment_template},
    {"GET", DEPLOYMENTS "/{deployment}/operations", Access::version, list_deployment_operations},
    {"GET", DEPLOYMENTS "/{deployment}/operations/{operation}", Access::version, get_deployment_operation},
    {"GET", DEPLOYMENTS "/{deployment}/operationStatuses/{operation}", Access::version, get_operation},
    {"GET", GROUP "/deployments", Access::version, list_deployments},
    {"GET", GROUP "/deployments/{deployment}", Access::version, get_deployment},
    {"GET", GROUP "/deployments/{deployment}/operations", Access::version, list_deployment_operations},

    // Operations
    {"GET", LOCATION "/operations/{operation}", Access::token, get_operation},
    {"GET", SUBSCRIPTION "/operationresults/{operation}", Access::token, get_operation_result},

    // Virtual machines
    {"GET", VM "/instanceView", Access::version, get_instance_view},
    {"GET", VM "/vmSizes", Access::version, list_vm_sizes},
    {"POST", VM "/start", Access::version, start_vm},
    {"POST", VM "/restart", Access::version, restart_vm},
    {"POST", VM "/powerOff", Access::version, power_off_vm},
    {"POST", VM "/deallocate", Access::version, deallocate_vm},
    {"POST", VM "/redeploy", Access::version, redeploy_vm},
    {"POST", VM "/generalize", Access::version, generalize_vm},
    {"POST", VM "/capture", Access::version, capture_vm},
    {"POST", VM "/runCommand", Access::version, run_command},
    {"POST", VM "/retrieveBootDiagnosticsData", Access::version, retrieve_boot_diagnostics},
    {"GET", "/diagnostics/{signature}/{group}/{vm}/serial.log", Access::open, get_serial_log},
    {"GET", "/diagnostics/{signature}/{group}/{vm}/screen.png", Access::open, get_screenshot},

    // Any resource type of kinds.cpp
    {"GET", GROUP "/providers/{provider}/{resource...}", Access::version, get_resource},
    {"HEAD", GROUP "/providers/{provider}/{resource...}", Access::version, head_resource},
    {"PUT", GROUP "/providers/{provider}/{resource...}", Access::version, put_resource},
    {"PATCH", GROUP "/providers/{provider}/{resource...}", Access::version, patch_resource},
    {"DELETE", GROUP "/providers/{provider}/{resource...}", Access::version, delete_resource},
    {"GET", SUBSCRIPTION "/providers/{provider}/{type}", Access::version, list_in_subscription},
};

void check_access(const Arm& arm, const Request& request, Access access) {
  if (access == Access::open) return;
  authenticate(arm, request);
  if (access == Access::version && request.parameter("api-version").empty())
    throw Error(ErrorKind::invalid, "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.");
  const auto subscription = request.params.find("subscription");
  if (subscription != request.params.end() && !same_name(subscription->second, arm.subscription()))
    throw Error(ErrorKind::not_found, "SubscriptionNotFound",
                fmt::format("The subscription '{}' could not be found.", subscription->second.substr(0, 64)),
                "This region's subscription is shown by 'azure region status'.");
}

void add_headers(Response& response, const Request& request) {
  const std::string id = new_uuid();
  response.headers["x-ms-request-id"] = id;
  const std::string correlation = request.header("x-ms-correlation-request-id");
  response.headers["x-ms-correlation-request-id"] = correlation.empty() ? id : correlation.substr(0, 64);
  response.headers["Cache-Control"] = "no-cache";
}

Response refused(const Error& error) {
  Response response = json_response(status_of(error), error_body(error));
  if (response.status == 401)
    response.headers["WWW-Authenticate"] =
        fmt::format(R"(Bearer error="invalid_token", error_description="{}")", error.code);
  return response;
}

/// Looks or decides only, though it is a POST.
bool only_looks(const Route& route) {
  return route.action == validate_deployment || route.action == what_if_deployment ||
         route.action == retrieve_boot_diagnostics || route.action == export_deployment_template ||
         route.action == export_group_template;
}

/// Locks forbid changes, but for those of locks themselves.
void check_locked(Arm& arm, const Route& route, const Request& request) {
  const bool looks = request.method == "GET" || request.method == "HEAD";
  if (looks || route.access != Access::version || !request.params.contains("group") || only_looks(route) ||
      lower(request.path).find("/providers/microsoft.authorization/") != std::string::npos)
    return;
  check_locks(arm, request.path, request.method == "DELETE");
}

/// A coroutine, for some actions are none: what those throw comes out of it like the rest.
asio::awaitable<Response> act(Arm& arm, const Route& route, const Request& request) {
  check_locked(arm, route, request);
  co_return co_await route.action(arm, request);
}

asio::awaitable<Response> answer(Arm& arm, const Route& route, Request request) {
  const Request& original = request;
  Response response = co_await answered(original, act(arm, route, original), refused);
  if (original.method == "HEAD") response.body.clear();
  add_headers(response, original);
  co_return response;
}

std::size_t largest_body(const Route& route) {
  if (route.access == Access::open) return largest_form;
  return route.action == put_package ? largest_package : largest_document;
}

Admission admit(Arm& arm, const Route& route, const Request& head) {
  Admission admission;
  try {
    check_access(arm, head, route.access);
  } catch (const Error& error) {
    admission.refusal = refused(error);
    add_headers(admission.refusal, head);
    return admission;
  }
  admission.known = route.access != Access::open;
  admission.largest_body = largest_body(route);
  admission.handler = [&arm, &route](Request request) { return answer(arm, route, std::move(request)); };
  return admission;
}

}  // namespace
}  // namespace arm

struct ArmEndpoints::Impl {
  arm::Arm arm;
};

ArmEndpoints::ArmEndpoints(Region& region, const RegionAccess& access, std::function<std::int64_t()> clock)
    : impl_(new Impl{.arm = {.region = region, .access = access, .clock = std::move(clock)}}) {
  if (!impl_->arm.clock)
    impl_->arm.clock = [] {
      return std::chrono::duration_cast<std::chrono::seconds>(
                 std::chrono::system_clock::now().time_since_epoch())
          .count();
    };
}

ArmEndpoints::~ArmEndpoints() = default;

void ArmEndpoints::recover() {
  arm::take_over_load_balancers(impl_->arm);
  arm::remove_unfinished_images(impl_->arm);
}

void ArmEndpoints::add_to(Router& router) {
  for (const arm::Route& route : arm::routes)
    router.add({route.method, route.pattern,
                [this, &route](Request& head) { return arm::admit(impl_->arm, route, head); }});
}

void ArmEndpoints::serve_at(std::vector<std::string> origins) {
  impl_->arm.origins = std::move(origins);
}

Response ArmEndpoints::no_route(const Request& request, bool method_mismatch) {
  Response response =
      method_mismatch
          ? arm::refused(Error(ErrorKind::invalid, "MethodNotAllowed",
                               fmt::format("{} is not allowed here.", request.method)))
          : arm::refused(Error(ErrorKind::not_found, "NotFound", "There is nothing at this address.",
                               "Resources begin with /subscriptions/{subscription}/."));
  arm::add_headers(response, request);
  return response;
}

}  // namespace berth
