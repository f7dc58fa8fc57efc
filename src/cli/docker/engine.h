#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/docker/check.h"
#include "cli/session.h"
#include "cli/vm/hosts.h"

namespace berth {

class CommandLine;

/// What every command about one Docker host is told.
struct DockerHostOptions {
  std::string name, group;
  std::string cert_dir;  ///< "": the docker client's own
};
void add_docker_host_options(CommandLine& app, DockerHostOptions& options);

/// The host. Throws Error(not_found) when there is none of that name, or it has no Docker extension.
HostView get_docker_host(Session& session, const DockerHostOptions& options);

/// Where the engine of a host is, and with what it is called.
struct EngineAddress {
  std::string name;  ///< that its certificate is checked against
  std::string address;
  std::uint16_t port = 0;
  std::filesystem::path certificates;
};
/// Throws Error(conflict) when there is none: the machine does not run, the engine listens on no port.
EngineAddress engine_address(const HostView& host, const std::string& cert_dir);

/// One answer of its API, as JSON. Throws as ask_docker.
nlohmann::json ask_engine(const EngineAddress& where, const std::string& path,
                          std::chrono::milliseconds limit);

/// "tcp://127.3.0.1:4243", by name where this machine's own hosts file knows it.
std::string docker_url(const HostView& host);

/// When the server's certificate expires, as the extension told; "" if it did not. "2027-01-02".
std::string server_certificate_end(const HostView& host);

}  // namespace berth
