#include "cli/docker_check.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/json_view.h"
#include "cli/terminal.h"
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
  if (response.status != 200 || !document.is_object())
    throw Error(ErrorKind::unavailable, "DockerNotReady",
                fmt::format("GET {} was answered with HTTP {}: {}", url, response.status,
                            response.body.substr(0, 200)));
  return document;
}

}  // namespace

DockerAnswer ask_docker(const std::string& name, const std::string& address, std::uint16_t port,
                        const std::filesystem::path& certificates, std::chrono::milliseconds limit,
                        const std::function<void()>& on_try) {
  const std::string url = fmt::format("https://{}:{}", name, port);
  const auto end = std::chrono::steady_clock::now() + limit;
  while (true) {
    on_try();
    try {
      Client client(ClientOptions{.ca_file = certificates / "ca.pem",
                                  .certificate_file = certificates / "cert.pem",
                                  .key_file = certificates / "key.pem",
                                  .connect_to = address,
                                  .limit = 30s,
                                  .cancelled = &interrupt::requested});
      const json version = ask(client, url + "/version"), info = ask(client, url + "/info");
      return {.version = text(version, {"Version"}),
              .api_version = text(version, {"ApiVersion"}),
              .os = text(info, {"OperatingSystem"}),
              .kernel = text(version, {"KernelVersion"}),
              .storage_driver = text(info, {"Driver"}),
              .containers = count_at(info, "Containers"),
              .running = count_at(info, "ContainersRunning")};
    } catch (const Error& error) {
      if (error.code == "OperationCanceled") throw;
      if (std::chrono::steady_clock::now() >= end)
        throw Error(ErrorKind::unavailable, "DockerNotReachable",
                    fmt::format("Docker does not answer at {} ({}): {}", url, address, error.what()));
    }
    if (interrupt::sleep(500ms)) interrupt::check();
  }
}

}  // namespace berth
