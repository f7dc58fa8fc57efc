#include "cli/docker/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "base/error.h"
#include "host/process.h"

namespace berth {
namespace {

using ApiVersion = std::pair<unsigned, unsigned>;

/// "1.44", or the first two numbers of "29.1.3".
std::optional<ApiVersion> two_numbers(std::string_view text) {
  ApiVersion version;
  const char* const end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, version.first);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
  const auto minor = std::from_chars(major.ptr + 1, end, version.second);
  if (minor.ec != std::errc() || (minor.ptr != end && *minor.ptr != '.')) return std::nullopt;
  return version;
}

/// No client tells it. 29.0 raised it beyond what engines before 25.0 speak, 29.3 lowered it again.
std::string least_api_of(const ApiVersion& client) {
  if (client.first < 29) return {};
  return client < ApiVersion{29, 3} ? "1.44" : "1.40";
}

}  // namespace

std::optional<DockerClient> parse_docker_client(std::string_view said, std::string_view pinned_api) {
  said = said.substr(0, said.find_first_of("\r\n"));
  const std::size_t space = said.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  const std::string_view version = said.substr(0, space), api = said.substr(space + 1);
  const auto numbers = two_numbers(version);
  if (!numbers || !two_numbers(api) || version.size() > 64) return std::nullopt;
  if (two_numbers(pinned_api))
    return DockerClient{std::string(version), std::string(pinned_api), std::string(pinned_api), true};
  return DockerClient{std::string(version), least_api_of(*numbers), std::string(api), false};
}

std::optional<DockerClient> installed_docker_client() {
  const auto program = find_program("docker");
  if (!program) return std::nullopt;
  try {
    // There is no engine behind this address: only the client answers, at once.
    const RunResult result = run(
        {*program, "-H", "unix:///dev/null", "version", "--format",
         "{{.Client.Version}} {{.Client.DefaultAPIVersion}}"},
        {.environment = {{"DOCKER_TLS_VERIFY", ""}, {"DOCKER_TLS", ""}}, .limit = std::chrono::seconds(20)});
    const char* const pinned = std::getenv("DOCKER_API_VERSION");
    return parse_docker_client(result.out, pinned ? pinned : "");
  } catch (const Error&) {
    return std::nullopt;  // it cannot be run: whoever tries to use it is told why
  }
}

DockerMisfit docker_misfit(const DockerClient& client, const DockerAnswer& engine, const std::string& host) {
  const auto most = two_numbers(client.most_api), engine_most = two_numbers(engine.api_version);
  const auto least = two_numbers(client.least_api), engine_least = two_numbers(engine.least_api_version);
  const std::string unpin =
      fmt::format("Change the client: unset DOCKER_API_VERSION (it is {}).", client.most_api);
  if (most && engine_least && *most < *engine_least)
    return {
        fmt::format(
            "The docker client {} of this machine speaks the Docker API up to {}, and the engine {} of {} "
            "answers from {} on",
            client.version, client.most_api, engine.version, host, engine.least_api_version),
        client.pinned ? unpin
                      : fmt::format("Change the client: install one that speaks API {} or later.",
                                    engine.least_api_version)};
  if (least && engine_most && *engine_most < *least)
    return {
        fmt::format(
            "The docker client {} of this machine speaks the Docker API from {} on, and the engine {} of {} "
            "up to {}",
            client.version, client.least_api, engine.version, host, engine.api_version),
        client.pinned
            ? unpin
            : fmt::format(
                  "Change the host: make it from an image with a newer engine ('azure vm image list' shows "
                  "all); or use a docker client before 29.0{}.",
                  *engine_most < ApiVersion{1, 40} ? "" : " or from 29.3 on")};
  return {};
}

}  // namespace berth
