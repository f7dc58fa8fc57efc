#include "cli/account/environments.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "cli/json_file.h"
#include "cli/settings.h"
#include "cli/terminal/terminal.h"
#include "host/files.h"
#include "http/client.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

Environment known_cloud(const char* name, const char* manager, const char* login, const char* audience) {
  Environment environment;
  environment.name = name;
  environment.resource_manager = manager;
  environment.login = login;
  environment.audience = audience;
  return environment;
}

std::vector<Environment> known_clouds() {
  return {
      known_cloud("AzureCloud", "https://management.azure.com", "https://login.microsoftonline.com",
                  "https://management.core.windows.net/"),
      known_cloud("AzureChinaCloud", "https://management.chinacloudapi.cn",
                  "https://login.partner.microsoftonline.cn", "https://management.core.chinacloudapi.cn/"),
      known_cloud("AzureUSGovernment", "https://management.usgovcloudapi.net",
                  "https://login.microsoftonline.us", "https://management.core.usgovcloudapi.net/")};
}

constexpr const char* system_store = "system";

fs::path environments_file() {
  return config_folder() / "environments.json";
}

std::string without_slash(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  return url;
}

/// Only over TLS: tokens and secrets go there.
std::string https_url(const std::string& url, const char* what) {
  if (!url.starts_with("https://") || url.size() < 10)
    throw Error(ErrorKind::invalid, "EnvironmentInvalid",
                fmt::format("{} is no https URL: '{}'", what, url.substr(0, 200)));
  return without_slash(url);
}

/// An absolute path that can be read; "" for the system's store.
fs::path authority_file(const std::string& ca_file) {
  if (ca_file.empty() || ca_file == system_store) return {};
  fs::path file = fs::absolute(ca_file);
  read_file(file, 4u << 20);
  return file;
}

Environment ask_environment(const std::string& name, const std::string& metadata_url,
                            const std::string& ca_file) {
  const std::string url = https_url(metadata_url, "--metadata");
  const fs::path ca = authority_file(ca_file);
  Client client({.ca_file = ca,
                 .limit = 30s,
                 .largest_answer = std::size_t{1} << 20,
                 .cancelled = &interrupt::requested});
  const Response response = client.send({.url = url});
  if (response.status != 200)
    throw Error(ErrorKind::unavailable, "EnvironmentInvalid",
                fmt::format("{} was answered with HTTP {}.", url.substr(0, url.find('?')), response.status));
  Environment environment = parse_environment(response.body);
  const std::size_t path = url.find('/', 8);
  if (environment.resource_manager.empty())
    environment.resource_manager = url.substr(0, path);  // the form of 2015 is asked there
  environment.name = name;
  environment.metadata = url;
  environment.ca_file = ca.string();
  environment.is_own = true;
  return environment;
}

Environment keep_environment(const Environment& environment) {
  change_json_file(environments_file(), [&](json& all) {
    all[environment.name] = {{"resourceManager", environment.resource_manager},
                             {"login", environment.login},
                             {"audience", environment.audience},
                             {"metadata", environment.metadata},
                             {"caFile", environment.ca_file}};
  });
  return environment;
}

}  // namespace

Environment parse_environment(std::string_view document) {
  json metadata = json::parse(document, nullptr, false);
  if (metadata.is_array() && !metadata.empty()) {
    json first = metadata.front();
    metadata = std::move(first);
  }
  const json& authentication = at(metadata, {"authentication"});
  Environment environment;
  const json& audiences = at(authentication, {"audiences"});
  if (audiences.is_array() && !audiences.empty() && audiences.front().is_string())
    environment.audience = audiences.front().get<std::string>();
  environment.login = text(authentication, {"loginEndpoint"});
  environment.resource_manager = text(metadata, {"resourceManager"});
  if (environment.login.empty() || environment.audience.empty())
    throw Error(ErrorKind::invalid, "EnvironmentInvalid",
                "The answer describes no cloud: authentication is missing.",
                "Give the URL of its metadata: https://HOST/metadata/endpoints?api-version=2022-09-01");
  environment.login = https_url(environment.login, "loginEndpoint");
  if (!environment.resource_manager.empty())
    environment.resource_manager = https_url(environment.resource_manager, "resourceManager");
  return environment;
}

std::vector<Environment> list_environments() {
  std::vector<Environment> all = known_clouds();
  const json own = read_json_file(environments_file());
  for (const auto& [name, item] : own.items()) {
    const auto known = std::ranges::find(all, name, &Environment::name);
    if (known != all.end()) {
      known->ca_file = text(item, {"caFile"});
      continue;
    }
    Environment environment;
    environment.name = name;
    environment.resource_manager = text(item, {"resourceManager"});
    environment.login = text(item, {"login"});
    environment.audience = text(item, {"audience"});
    environment.metadata = text(item, {"metadata"});
    environment.ca_file = text(item, {"caFile"});
    environment.is_own = true;
    all.push_back(std::move(environment));
  }
  return all;
}

Environment get_environment(const std::string& name) {
  for (Environment& environment : list_environments())
    if (same_name(environment.name, name)) return std::move(environment);
  throw Error(ErrorKind::not_found, "EnvironmentNotFound", fmt::format("There is no environment '{}'.", name),
              "'azure account env list' shows those that there are; 'azure account env add' makes one.");
}

Environment add_environment(const std::string& name, const std::string& metadata_url,
                            const std::string& ca_file) {
  for (const Environment& environment : list_environments())
    if (same_name(environment.name, name) || same_name(name, "Local"))
      throw Error(ErrorKind::conflict, "EnvironmentExists",
                  fmt::format("There is an environment '{}' already.", name),
                  "Choose another name, or delete that one: azure account env delete");
  if (name.empty() || name.size() > 64 || name.find_first_of("/\\\n\t ") != std::string::npos)
    throw Error(ErrorKind::invalid, "InvalidParameter", fmt::format("'{}' cannot name an environment", name));
  return keep_environment(ask_environment(name, metadata_url, ca_file));
}

Environment change_environment(const std::string& name, const std::string& metadata_url,
                               const std::string& ca_file) {
  Environment before = get_environment(name);
  if (!before.is_own) {
    if (!metadata_url.empty() || ca_file.empty())
      throw Error(ErrorKind::conflict, "EnvironmentKnown",
                  fmt::format("{} is a public cloud, whose addresses stay as they are.", before.name),
                  "The authority that its certificates are checked by can be chosen: --ca-file FILE.");
    before.ca_file = authority_file(ca_file).string();
    change_json_file(environments_file(), [&](json& all) {
      if (before.ca_file.empty())
        all.erase(before.name);
      else
        all[before.name] = {{"caFile", before.ca_file}};
    });
    return before;
  }
  const Environment after =
      ask_environment(before.name, metadata_url.empty() ? before.metadata : metadata_url,
                      ca_file.empty() ? before.ca_file : ca_file);
  if (after.login != before.login) forget_grants(token_cache_file(), before.name);
  return keep_environment(after);
}

void delete_environment(const std::string& name) {
  const Environment environment = get_environment(name);
  if (!environment.is_own)
    throw Error(ErrorKind::conflict, "EnvironmentKnown",
                fmt::format("{} is a public cloud, which is always there.", environment.name));
  change_json_file(environments_file(), [&](json& all) { all.erase(environment.name); });
  forget_grants(token_cache_file(), environment.name);
}

SignInPlace sign_in_place(const Environment& environment) {
  return {.login = environment.login,
          .audience = environment.audience,
          .ca_file = environment.ca_file,
          .cache = token_cache_file()};
}

ArmEndpoint account_endpoint(const Environment& environment, std::shared_ptr<TokenSource> tokens) {
  ArmEndpoint endpoint;
  endpoint.url = environment.resource_manager;
  endpoint.ca_file = environment.ca_file;
  endpoint.tokens = std::move(tokens);
  endpoint.far = true;
  endpoint.is_public_cloud = !environment.is_own;
  return endpoint;
}

ArmEndpoint account_endpoint(const Principal& account, const std::string& subscription) {
  const Environment environment = get_environment(account.environment);
  ArmEndpoint endpoint = account_endpoint(environment, principal_tokens(sign_in_place(environment), account));
  endpoint.subscription = subscription;
  return endpoint;
}

fs::path token_cache_file() {
  return config_folder() / "tokens.json";
}

}  // namespace berth
