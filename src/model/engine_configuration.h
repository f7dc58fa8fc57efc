#pragma once

#include <span>
#include <string_view>

/// How the Docker Engine of a host is set up, wherever it runs: the Docker VM extension merges it into what a machine has, and cloud-init
/// writes it on clouds that have no such extension.
namespace berth {

/// Where the engine finds its TLS files and its configuration.
inline constexpr std::string_view engine_ca_file = "/etc/docker/ca.pem";
inline constexpr std::string_view engine_certificate_file = "/etc/docker/cert.pem";
inline constexpr std::string_view engine_key_file = "/etc/docker/key.pem";
inline constexpr std::string_view engine_daemon_file = "/etc/docker/daemon.json";
/// Of systemd: adds the listener to the engine's own command line.
inline constexpr std::string_view engine_drop_in_file =
    "/etc/systemd/system/docker.service.d/10-docker-ext.conf";

/// A key of daemon.json, with its value as JSON text.
struct EngineKey {
  std::string_view name, value;
};

/// With them a TCP listener takes clients of the authority alone.
std::span<const EngineKey> engine_tls_keys();
/// Containers outlive the engine, logs end, published ports have no proxy process, and open files a limit.
std::span<const EngineKey> engine_default_keys();

}  // namespace berth
