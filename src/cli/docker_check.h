#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "cli/hosts.h"

namespace berth {

/// What a Docker Engine said of itself.
struct DockerAnswer {
  std::string version, api_version, os, kernel, storage_driver;
};

/// Calls the Docker API as the docker client would: over TLS, with the client certificate of `certificates`,
/// checking the server's certificate against `name` (an address or a DNS name), connected to
/// `address`:`port`. Tries until `limit` is over. Throws Error(unavailable) saying what stood in the way
/// last.
DockerAnswer ask_docker(const std::string& name, const std::string& address, std::uint16_t port,
                        const std::filesystem::path& certificates, std::chrono::milliseconds limit);

}  // namespace berth
