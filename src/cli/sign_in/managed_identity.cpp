#include "cli/sign_in/managed_identity.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/error.h"
#include "cli/terminal/terminal.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : value;
}

struct IdentityService {
  std::string url;  ///< with its API version
  std::string header, secret;
  std::string resource_id_key;  ///< what a resource id is called there
  bool is_metadata = false;
};

IdentityService find_identity_service() {
  if (const std::string url = variable("IDENTITY_ENDPOINT"), secret = variable("IDENTITY_HEADER");
      !url.empty() && !secret.empty())
    return {url + "?api-version=2019-08-01", "X-IDENTITY-HEADER", secret, "mi_res_id"};
  if (const std::string url = variable("MSI_ENDPOINT"), secret = variable("MSI_SECRET");
      !url.empty() && !secret.empty())
    return {url + "?api-version=2017-09-01", "secret", secret, "mi_res_id"};
  std::string host = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
  while (host.ends_with('/')) host.pop_back();
  if (host.empty()) host = "http://169.254.169.254";
  return {host + "/metadata/identity/oauth2/token?api-version=2018-02-01", "Metadata", "true", "msi_res_id",
          true};
}

}  // namespace

TokenAnswer ask_managed_identity(const std::string& resource, const std::string& which,
                                 const std::filesystem::path& ca_file, const Listener& listener,
                                 const Authority::Sleep& sleep) {
  const IdentityService service = find_identity_service();
  ClientRequest request{.url = service.url + "&resource=" + percent_encode(resource)};
  if (const std::size_t equals = which.find('='); equals != std::string::npos) {
    std::string key = which.substr(0, equals);
    if (key == "mi_res_id") key = service.resource_id_key;
    if (key == "client_id" && service.header == "secret")
      key = "clientid";  // its name in the version of 2017
    request.url += "&" + key + "=" + percent_encode(which.substr(equals + 1));
  }
  request.headers[service.header] = service.secret;
  request.headers["Accept"] = "application/json";
  // 404: the machine's identity is not there yet; 410: the service is being replaced, which takes up to 70 s.
  Exchange exchange({.client = {.ca_file = ca_file,
                                .connect_limit = service.is_metadata ? 3s : 10s,
                                .limit = 60s,
                                .largest_answer = std::size_t{1} << 20,
                                .direct = true,
                                .cancelled = &interrupt::requested},
                     .also_passing = {404, 410},
                     .tries = 6,
                     .sleep = sleep});
  exchange.listener = listener;
  const std::string host = host_of_url(service.url);
  try {
    const Response response = exchange.send(request);
    return parse_token_answer(response.status, response.body, "The identity service at " + host);
  } catch (const Error& error) {
    if (error.code != "ConnectionRefused" && error.code != "ConnectionFailed" && error.code != "TimedOut")
      throw;
    throw Error(ErrorKind::unavailable, "NoIdentityService",
                fmt::format("There is no identity service at {} ({}).", host, error.what()),
                "Managed identities sign in on a virtual machine of Azure, or of a region, that has one.");
  }
}

std::string managed_identity_selector(const std::string& client_id, const std::string& object_id,
                                      const std::string& resource_id) {
  const int given = (client_id.empty() ? 0 : 1) + (object_id.empty() ? 0 : 1) + (resource_id.empty() ? 0 : 1);
  if (given > 1)
    throw Error(ErrorKind::invalid, "InvalidParameter",
                "--client-id, --object-id and --resource-id name the same thing: give one of them");
  if (!client_id.empty()) return "client_id=" + client_id;
  if (!object_id.empty()) return "object_id=" + object_id;
  if (!resource_id.empty()) return "mi_res_id=" + resource_id;
  return {};
}

}  // namespace berth
