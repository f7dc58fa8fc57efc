#include "cli/docker/cloud_init.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "model/engine_configuration.h"

namespace berth {
namespace {

using nlohmann::ordered_json;

constexpr const char* script_file = "/usr/local/lib/docker-host/first-boot";

/// The port opens with the restart, when the TLS files and daemon.json are there. It is safe to run again.
constexpr const char* first_boot_script = R"sh(#!/bin/sh
# Made with this machine: turns it into a Docker host. What it prints is in /var/log/cloud-init-output.log.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
say() {{ echo "docker-host: $*"; }}
packages() {{ apt-get --quiet -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold "$@"; }}
if ! command -v dockerd >/dev/null; then
  command -v apt-get >/dev/null || {{ say "there is no engine, and no apt-get to install one with"; exit 1; }}
  wanted="docker.io ca-certificates"
  if [ -e /sys/module/apparmor ]; then wanted="$wanted apparmor"; fi
  for pause in 5 15 30 60 60 0; do
    if packages update && packages install --yes --no-install-recommends $wanted; then break; fi
    say "the engine could not be installed; again in $pause s"
    sleep "$pause"
  done
fi
command -v docker >/dev/null || packages install --yes --no-install-recommends docker-cli || say "without the docker command"
command -v dockerd >/dev/null || {{ say "there is no engine"; exit 1; }}
unit=$(systemctl show --property FragmentPath --value docker.service)
start=$(sed -n 's/^ExecStart=\(..*\)$/\1/p' "$unit" | tail -n 1)
[ -n "$start" ] || {{ say "$unit starts no engine"; exit 1; }}
mkdir -p "$(dirname {drop_in})"
printf '[Service]\nExecStart=\nExecStart=%s -H tcp://0.0.0.0:{port}\n' "$start" >{drop_in}
usermod --append --groups docker {user} || say "{user} is not in the group docker"
systemctl daemon-reload
systemctl enable docker.service
systemctl restart docker.service
say "the engine listens at port {port}"
)sh";

ordered_json file(std::string_view path, const char* mode, std::string_view content) {
  return {{"path", path}, {"owner", "root:root"}, {"permissions", mode}, {"content", content}};
}

}  // namespace

std::string cloud_init_daemon_file() {
  ordered_json daemon = ordered_json::object();
  for (const auto& keys : {engine_tls_keys(), engine_default_keys()})
    for (const EngineKey& key : keys) daemon[std::string(key.name)] = ordered_json::parse(key.value);
  return daemon.dump(2) + "\n";
}

Secret docker_cloud_init(const CloudInitOrder& order) {
  const std::string first_boot =
      fmt::format(fmt::runtime(first_boot_script), fmt::arg("drop_in", engine_drop_in_file),
                  fmt::arg("port", order.docker_port), fmt::arg("user", order.user));
  const ordered_json config = {
      {"write_files",
       {file(engine_ca_file, "0444", order.authority_pem),
        file(engine_certificate_file, "0444", order.certificate_pem),
        file(engine_key_file, "0400", order.key_pem.reveal()),
        file(engine_daemon_file, "0644", cloud_init_daemon_file()), file(script_file, "0755", first_boot)}},
      {"ssh_keys", {{"rsa_private", order.host_key_pem.reveal()}, {"rsa_public", order.host_key_line}}},
      {"runcmd", ordered_json::array({ordered_json::array({script_file})})}};
  return Secret("#cloud-config\n" + config.dump(2) + "\n");
}

}  // namespace berth
