#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cli/docker/check.h"

namespace berth {

/// The docker client that the user types, and the Docker API that it speaks.
struct DockerClient {
  std::string version;    ///< "28.2.2"
  std::string least_api;  ///< "1.44"; empty: it follows an engine however old
  std::string most_api;   ///< "1.50"
  bool pinned = false;    ///< DOCKER_API_VERSION holds it to one version
};

/// What the program says of itself as "VERSION API"; nullopt for anything else.
std::optional<DockerClient> parse_docker_client(std::string_view said, std::string_view pinned_api);

/// Asks the docker client of this machine; nullopt when there is none, or one that is not Docker's.
std::optional<DockerClient> installed_docker_client();

/// Why this client cannot talk to this engine, and which side to change; empty when they fit.
struct DockerMisfit {
  std::string problem, advice;
};
DockerMisfit docker_misfit(const DockerClient& client, const DockerAnswer& engine, const std::string& host);

}  // namespace berth
