#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace berth {

/// What a Docker Engine said of itself.
struct DockerAnswer {
  std::string version, api_version, os, kernel, storage_driver;
  std::optional<long> containers, running;  ///< how many there are, and how many of them run
};

/// Calls the Docker API as the docker client would: over TLS, with the client certificate of `certificates`,
/// checking the server's certificate against `name` (an address or a DNS name), connected to
/// `address`:`port`. Tries until `limit` is over, and calls `on_try` before each. Throws Error(unavailable)
/// saying what stood in the way last.
DockerAnswer ask_docker(const std::string& name, const std::string& address, std::uint16_t port,
                        const std::filesystem::path& certificates, std::chrono::milliseconds limit,
                        const std::function<void()>& on_try);

}  // namespace berth
