#include "model/docker_extension.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "model/names.h"

namespace berth {

using nlohmann::json;

bool is_docker_extension(std::string_view handler) {
  return same_name(handler, "Microsoft.Azure.Extensions.DockerExtension") ||
         same_name(handler, "MSOpenTech.Extensions.DockerExtension");
}

std::optional<std::string> docker_port_text(std::string_view settings) {
  const json document = json::parse(settings, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  const auto docker = document.find("docker");
  const bool is_newer = docker != document.end() && docker->is_object() && docker->contains("port");
  const json port = is_newer ? docker->at("port") : document.value("dockerport", json());
  if (port.is_null()) return std::nullopt;
  return port.is_string() ? port.get<std::string>() : port.dump();
}

std::optional<std::uint16_t> docker_port(std::string_view settings) {
  const std::string digits = docker_port_text(settings).value_or("");
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool is_port = error == std::errc() && end == digits.data() + digits.size() && port != 0;
  return is_port ? std::optional(port) : std::nullopt;
}

}  // namespace berth
