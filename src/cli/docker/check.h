#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

namespace berth {

/// What a Docker Engine said of itself.
struct DockerAnswer {
  std::string version, api_version, least_api_version, os, kernel, storage_driver;
  std::optional<long> containers, running;  ///< how many there are, and how many of them run
};

/// Calls the Docker API as the docker client would: over TLS, with the client certificate of `certificates`,
/// checking the server's certificate against `name` (an address or a DNS name), connected to
/// `address`:`port`. Tries until `limit` is over, and calls `on_try` before each. Throws Error(unavailable)
/// saying in plain words what stood in the way last; its code is the HTTP client's, "DockerNotReady", or "NoCertificates".
DockerAnswer ask_docker(const std::string& name, const std::string& address, std::uint16_t port,
                        const std::filesystem::path& certificates, std::chrono::milliseconds limit,
                        const std::function<void()>& on_try);

/// The same, once, and nullopt when it does not answer within `limit`.
std::optional<DockerAnswer> try_docker(const std::string& name, const std::string& address,
                                       std::uint16_t port, const std::filesystem::path& certificates,
                                       std::chrono::milliseconds limit);

/// One GET of the Docker API, in the same way, once; the answer as JSON. Throws as above.
nlohmann::json ask_docker_api(const std::string& name, const std::string& address, std::uint16_t port,
                              const std::filesystem::path& certificates, const std::string& path,
                              std::chrono::milliseconds limit);

}  // namespace berth
