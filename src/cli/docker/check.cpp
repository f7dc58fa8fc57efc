#include "cli/docker/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/arm/json_view.h"
#include "cli/terminal/terminal.h"
#include "http/client.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

std::optional<long> count_at(const json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_number_integer() ? std::optional(found->get<long>())
                                                               : std::nullopt;
}

json ask(Client& client, const std::string& url) {
  const Response response = client.send({.url = url});
  json document = json::parse(response.body, nullptr, false);
  if (response.status != 200 || !document.is_structured())
    throw Error(ErrorKind::unavailable, "DockerNotReady",
                fmt::format("GET {} was answered with HTTP {}: {}", url, response.status,
                            response.body.substr(0, 200)));
  return document;
}

constexpr const char* name_the_folder =
    "Name the folder of this host's certificates with --docker-cert-dir (-dc).";

/// What the words of libcurl and OpenSSL mean here.
Error in_plain_words(const Error& error, const std::filesystem::path& certificates) {
  const std::string text = error.what();
  const auto says = [&](const char* part) { return text.find(part) != std::string::npos; };
  const auto with = [&](const std::string& what, const char* advice) {
    return Error(ErrorKind::unavailable, error.code, what, advice);
  };
  if (error.code == "ConnectionRefused")
    return with("nothing listens at its port in the virtual machine: the Docker engine does not run there",
                "");
  if (error.code != "TlsFailed") return error;
  if (says("alert") && !says("alert protocol"))
    return with(fmt::format("it does not accept the client certificate in {}", certificates.string()),
                name_the_folder);
  if (says("does not match") || says("no alternative certificate"))
    return with("its certificate is for another name or address", "");
  if (says("expired"))
    return with("its certificate has expired", "Renew it: azure vm docker certs rotate NAME");
  if (says("issuer") || says("self-signed") || says("self signed") || says("verify failed"))
    return with(fmt::format("its certificate was not issued by {}", (certificates / "ca.pem").string()),
                name_the_folder);
  return error;
}

[[noreturn]] void throw_not_reachable(const std::string& url, const std::string& address,
                                      const Error& error) {
  std::string reason = error.what();
  if (reason.ends_with('.')) reason.pop_back();
  throw Error(ErrorKind::unavailable, error.code,
              fmt::format("Docker does not answer at {} ({}): {}.", url, address, reason), error.advice);
}

ClientOptions client_options(const std::string& address, const std::filesystem::path& certificates,
                             std::chrono::milliseconds limit) {
  return {.ca_file = certificates / "ca.pem",
          .certificate_file = certificates / "cert.pem",
          .key_file = certificates / "key.pem",
          .connect_to = address,
          .connect_limit = std::min<std::chrono::milliseconds>(10s, limit),
          .limit = limit,
          .cancelled = &interrupt::requested};
}

void check_files(const std::filesystem::path& certificates) {
  std::error_code none;
  for (const char* name : {"ca.pem", "cert.pem", "key.pem"})
    if (!std::filesystem::exists(certificates / name, none))
      throw Error(
          ErrorKind::unavailable, "NoCertificates",
          fmt::format("there is no client certificate in {} ({} is missing)", certificates.string(), name),
          name_the_folder);
}

}  // namespace

namespace {

DockerAnswer ask_once(const std::string& url, const ClientOptions& options) {
  Client client(options);
  const json version = ask(client, url + "/version"), info = ask(client, url + "/info");
  return {.version = text(version, {"Version"}),
          .api_version = text(version, {"ApiVersion"}),
          .least_api_version = text(version, {"MinAPIVersion"}),
          .os = text(info, {"OperatingSystem"}),
          .kernel = text(version, {"KernelVersion"}),
          .storage_driver = text(info, {"Driver"}),
          .containers = count_at(info, "Containers"),
          .running = count_at(info, "ContainersRunning")};
}

}  // namespace

std::optional<DockerAnswer> try_docker(const std::string& name, const std::string& address,
                                       std::uint16_t port, const std::filesystem::path& certificates,
                                       std::chrono::milliseconds limit) {
  check_files(certificates);
  try {
    return ask_once(fmt::format("https://{}:{}", name, port), client_options(address, certificates, limit));
  } catch (const Error& error) {
    if (error.code == "OperationCanceled") throw;
    return std::nullopt;
  }
}

DockerAnswer ask_docker(const std::string& name, const std::string& address, std::uint16_t port,
                        const std::filesystem::path& certificates, std::chrono::milliseconds limit,
                        const std::function<void()>& on_try) {
  const std::string url = fmt::format("https://{}:{}", name, port);
  check_files(certificates);
  const auto end = std::chrono::steady_clock::now() + limit;
  while (true) {
    on_try();
    try {
      return ask_once(url, client_options(address, certificates, 30s));
    } catch (const Error& error) {
      if (error.code == "OperationCanceled") throw;
      if (std::chrono::steady_clock::now() >= end)
        throw_not_reachable(url, address, in_plain_words(error, certificates));
    }
    if (interrupt::sleep(500ms)) interrupt::check();
  }
}

json ask_docker_api(const std::string& name, const std::string& address, std::uint16_t port,
                    const std::filesystem::path& certificates, const std::string& path,
                    std::chrono::milliseconds limit) {
  const std::string url = fmt::format("https://{}:{}", name, port);
  check_files(certificates);
  try {
    Client client(client_options(address, certificates, limit));
    return ask(client, url + path);
  } catch (const Error& error) {
    if (error.code == "OperationCanceled") throw;
    throw_not_reachable(url, address, in_plain_words(error, certificates));
  }
}

}  // namespace berth
