#include "endpoints/guest/routes.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "api/wire/goal_state.h"
#include "api/wire/metadata.h"
#include "api/wire/reports.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "host/files.h"
#include "http/target.h"
#include "model/names.h"

namespace berth {
namespace {

constexpr std::size_t cache_limit = std::size_t{128} * 1024 * 1024;

Response status(int code) {
  Response response;
  response.status = code;
  return response;
}

Response with_body(std::string_view type, std::string body) {
  Response response;
  response.headers["Content-Type"] = type;
  response.body = std::move(body);
  return response;
}

Response xml(std::string body) {
  return with_body("text/xml; charset=utf-8", std::move(body));
}

/// One line of at most 500 bytes, for the log.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.substr(0, 500);
}

std::string thumbprint(const GuestView& view) {
  return view.certificate.empty()
             ? ""
             : Certificate::parse_pem(view.certificate, "the VM's certificate").thumbprint();
}

// --- wire server: what the guest fetches

Response get_versions(Guest&, const GuestView&, const Request&) {
  return xml(wire::versions_xml());
}

/// The agent keeps the certificates on its disk, so later goal states need not make it fetch them again.
Response get_goal_state(Guest&, const GuestView& view, const Request&) {
  return xml(wire::goal_state_xml(view, !view.certificate.empty() && !view.has_certificate));
}

Response get_config(Guest&, const GuestView& view, const Request& request) {
  const std::string type = request.parameter("type");
  if (same_name(type, "hostingEnvironmentConfig"))
    return xml(wire::hosting_environment_xml(view, thumbprint(view)));
  if (same_name(type, "sharedConfig")) return xml(wire::shared_config_xml(view));
  if (same_name(type, "extensionsConfig")) return xml(wire::extensions_config_xml(view, thumbprint(view)));
  return status(404);
}

/// The agent makes a new transport certificate at each of its starts: the answer can neither be prepared nor
/// kept.
Response get_certificates(Guest& guest, const GuestView& view, const Request& request) {
  const auto der = base64_decode(request.header("x-ms-guest-agent-public-x509-cert"));
  if (!der || der->empty() || view.certificate.empty()) return status(400);
  const Certificate transport = Certificate::parse_der(*der, "the agent's transport certificate");
  const std::string cipher = request.header("x-ms-cipher-name");
  const std::string cms =
      cms_encrypt(guest.host.guest_pfx(guest.vm_id, transport.thumbprint()).reveal(), transport,
                  cipher.empty() || same_name(cipher, "DES_EDE3_CBC") ? ContentCipher::des_ede3_cbc
                                                                      : ContentCipher::aes_256_cbc);
  return xml(wire::certificates_xml(view, cms));
}

/// The agent takes the highest version that begins with the one it is told. It shall be that one.
bool would_mislead(const std::string& version, const GuestView& view, const std::string& handler) {
  return std::ranges::any_of(view.plugins, [&](const GuestPlugin& plugin) {
    return same_name(plugin.handler, handler) && version.starts_with(plugin.version + ".");
  });
}

Response package_at(Guest& guest, const GuestView& view, std::string_view path) {
  const wire::PackageQuery query = wire::parse_package_path(path);
  if (query.handler.empty()) return status(404);
  if (query.version.empty()) {
    std::vector<std::string> versions;
    for (const ExtensionPackage& package : guest.host.guest_packages(query.handler))
      if (!would_mislead(package.version, view, query.handler)) versions.push_back(package.version);
    return versions.empty() ? status(404) : xml(wire::manifest_xml(query.handler, versions));
  }
  const auto package = guest.host.guest_package(query.handler, query.version);
  if (!package) return status(404);
  return with_body("application/octet-stream", guest.packages->get(*package));
}

Response get_package(Guest& guest, const GuestView& view, const Request& request) {
  return package_at(guest, view, request.path);
}

// --- wire server: what the guest reports

Response post_health(Guest& guest, const GuestView&, const Request& request) {
  guest.host.take_health(guest.vm_id, wire::parse_health(request.body));
  return status(200);
}

Response post_role_properties(Guest&, const GuestView&, const Request&) {
  return status(202);
}

Response post_telemetry(Guest& guest, const GuestView&, const Request& request) {
  if (spdlog::should_log(spdlog::level::debug))
    for (wire::TelemetryEvent& event : wire::parse_telemetry(request.body))
      spdlog::debug("event vm={} of={} operation={} succeeded={} message=\"{}\"", guest.vm_id,
                    one_line(std::move(event.name)), one_line(std::move(event.operation)), event.succeeded,
                    one_line(std::move(event.message)));
  return status(200);
}

Response post_health_service(Guest& guest, const GuestView&, const Request& request) {
  if (spdlog::should_log(spdlog::level::debug))
    for (std::string& name : wire::unhealthy_observations(request.body))
      spdlog::debug("unhealthy vm={} observation={}", guest.vm_id, one_line(std::move(name)));
  return status(200);
}

/// The way past the host plugin. A page blob is made first, without a body, and written then.
Response put_status_blob(Guest& guest, const GuestView&, const Request& request) {
  if (!request.body.empty()) guest.host.take_status(guest.vm_id, wire::parse_status(request.body));
  Response response = status(201);
  response.headers["ETag"] = "\"0x1\"";
  response.headers["Last-Modified"] = http_date();
  return response;
}

Response get_metadata(Guest&, const GuestView& view, const Request& request) {
  return wire::metadata_response(view, request);
}

/// Programs ask here for a token of the VM's managed identity.
Response get_identity_token(Guest& guest, const GuestView& view, const Request& request) {
  if (!same_name(request.header("Metadata"), "true") || !request.header("X-Forwarded-For").empty())
    return wire::metadata_response(view, request);  // says why not
  const IdentityQuestion question{.resource = request.parameter("resource"),
                                  .client_id = request.parameter("client_id"),
                                  .object_id = request.parameter("object_id"),
                                  .identity_id = request.parameter("msi_res_id").empty()
                                                     ? request.parameter("mi_res_id")
                                                     : request.parameter("msi_res_id")};
  try {
    Response response = with_body("application/json; charset=utf-8",
                                  guest.host.identity_token(guest.vm_id, question).reveal());
    response.headers["Cache-Control"] = "no-store";
    return response;
  } catch (const Error& error) {
    if (error.kind != ErrorKind::invalid) throw;
    Response response = wire::identity_refusal(error.what());
    return response;
  }
}

// --- host plugin

Response get_plugin_versions(Guest&, const GuestView&, const Request&) {
  return with_body("application/json; charset=utf-8", R"(["2015-09-01"])");
}

Response get_plugin_health(Guest&, const GuestView&, const Request&) {
  return status(200);
}

/// Fetches for the guest; here only what we offer ourselves: a guest chooses the URL.
Response get_artifact(Guest& guest, const GuestView& view, const Request& request) {
  const auto location = parse_target(request.header("x-ms-artifact-location"));
  return location ? package_at(guest, view, location->path) : status(404);
}

Response put_status(Guest& guest, const GuestView&, const Request& request) {
  if (const auto content = wire::parse_status_upload(request.body))
    guest.host.take_status(guest.vm_id, wire::parse_status(*content));
  return status(200);
}

/// Taken and dropped: the logs are in the VM.
Response put_agent_log(Guest&, const GuestView&, const Request&) {
  return status(200);
}

struct Route {
  GuestService service;
  std::string_view method;
  std::string_view path;  ///< "*" at the end: and all below
  std::string_view comp;  ///< value of the query key; "" for any
  Response (*handler)(Guest&, const GuestView&, const Request&);
  int cost = 1;  ///< of its guest's allowance, besides that of the body: 1 is about a millisecond at most
};
using enum GuestService;
constexpr Route routes[] = {
    {wire_server, "GET", "/", "versions", &get_versions},
    {wire_server, "GET", "/machine", "goalstate", &get_goal_state},
    {wire_server, "GET", "/machine/*", "config", &get_config},
    {wire_server, "GET", "/machine/*", "certificates", &get_certificates, 20},
    {wire_server, "GET", "/pkg/*", "", &get_package, 10},
    {wire_server, "GET", "/metadata/*", "", &get_metadata},  // where the agent asks when metadata is silent
    {wire_server, "POST", "/machine", "health", &post_health},
    {wire_server, "POST", "/machine", "roleProperties", &post_role_properties},
    {wire_server, "POST", "/machine", "telemetrydata", &post_telemetry},
    {wire_server, "POST", "/HealthService", "", &post_health_service},
    {wire_server, "PUT", "/status/*", "", &put_status_blob},
    {host_plugin, "GET", "/versions", "", &get_plugin_versions},
    {host_plugin, "GET", "/health", "", &get_plugin_health},
    {host_plugin, "GET", "/extensionArtifact", "", &get_artifact, 10},
    {host_plugin, "PUT", "/status", "", &put_status},
    {host_plugin, "PUT", "/vmAgentLog", "", &put_agent_log},
    {metadata, "GET", "/metadata/identity/oauth2/token", "", &get_identity_token, 5},
    // /vmSettings is not there on purpose: 404 tells the agent to rely on goal states alone.
    {metadata, "GET", "/*", "", &get_metadata},
    {metadata, "PUT", "/*", "", &get_metadata},
    {metadata, "POST", "/*", "", &get_metadata},
};

/// What a request costs of the guest's allowance: reports are read in proportion to their size.
double cost_of(const Route& route, const Request& request) {
  constexpr double bytes_of_one = 16.0 * 1024;
  const bool is_read = route.handler != &put_agent_log;
  return route.cost + (is_read ? static_cast<double>(request.body.size()) / bytes_of_one : 0);
}

Response too_many(Guest& guest) {
  if (!std::exchange(guest.is_flooding, true)) spdlog::warn("guest asks too much vm={}", guest.vm_id);
  Response response = status(429);
  response.headers["Retry-After"] = "5";
  return response;
}

bool matches(const Route& route, GuestService service, const Request& request) {
  if (route.service != service || route.method != request.method) return false;
  if (!route.comp.empty() && !same_name(route.comp, request.parameter("comp"))) return false;
  std::string_view path = request.path;
  if (route.path.ends_with('*')) {
    const std::string_view folder = route.path.substr(0, route.path.size() - 1);
    return path.size() >= folder.size() && same_name(path.substr(0, folder.size()), folder);
  }
  if (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return same_name(path, route.path);
}

}  // namespace

const std::string& PackageCache::get(const ExtensionPackage& package) {
  const std::string key = package.sha256.empty() ? package.zip.string() : package.sha256;
  if (const auto found = by_hash_.find(key); found != by_hash_.end()) return found->second;
  std::string bytes = read_file(package.zip);
  if (size_ + bytes.size() > cache_limit) {
    by_hash_.clear();
    size_ = 0;
  }
  size_ += bytes.size();
  return by_hash_[key] = std::move(bytes);
}

Response answer_guest(Guest& guest, GuestService service, const Request& request) {
  try {
    const auto* route = std::find_if(std::begin(routes), std::end(routes), [&](const Route& candidate) {
      return matches(candidate, service, request);
    });
    if (route == std::end(routes)) return status(404);
    if (!guest.allowance.take(cost_of(*route, request), guest.now())) return too_many(guest);
    guest.is_flooding = false;
    const std::optional<GuestView> view = guest.host.guest_view(guest.vm_id);
    if (!view) return status(404);
    return route->handler(guest, *view, request);
  } catch (const Error& error) {
    spdlog::debug("guest refused vm={} path={} reason=\"{}\"", guest.vm_id, request.path, error.what());
    return status(error.kind == ErrorKind::invalid ? 400 : error.kind == ErrorKind::conflict ? 409 : 404);
  } catch (const std::exception& error) {
    spdlog::error("guest endpoint threw vm={} path={} reason=\"{}\"", guest.vm_id, request.path,
                  error.what());
    return status(404);
  }
}

}  // namespace berth
