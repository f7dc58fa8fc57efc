#pragma once

#include <cstdint>
#include <string>

#include "base/secret.h"

namespace berth {

/// A Docker host on a cloud that has no Docker extension: what its first boot makes of it.
struct CloudInitOrder {
  std::string authority_pem, certificate_pem;
  Secret key_pem;
  std::uint16_t docker_port = 4243;
  std::string user;  ///< who may use the engine's own socket
  Secret
      host_key_pem;  ///< of the ssh server, RSA; with its public half, so that nobody has to trust the first connection
  std::string host_key_line;  ///< OpenSSH
};

/// User data for cloud-init ("#cloud-config", its YAML written as JSON): the certificates, the engine's configuration as the extension
/// writes it (model/engine_configuration.h), and a script that installs the distribution's engine where there is none, and lets it listen
/// once all of that is there. Source: cloud-init's documentation, modules write_files and runcmd.
Secret docker_cloud_init(const CloudInitOrder& order);

/// daemon.json, whole.
std::string cloud_init_daemon_file();

}  // namespace berth
