#include "cli/docker/engine.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/command_line.h"
#include "cli/docker/certificates.h"

namespace berth {

void add_docker_host_options(CommandLine& app, DockerHostOptions& options) {
  app.add_option("name", options.name, "Name of the Docker host")->required();
  app.add_group(options.group);
  app.add_option("-dc,-C,--docker-cert-dir", options.cert_dir,
                 "Directory containing docker certs [~/.docker]")
      ->type_name("<dir>");
}

HostView get_docker_host(Session& session, const DockerHostOptions& options) {
  session.out.info("Getting virtual machines");
  HostView host = get_host(session.arm(), options.name, options.group);
  if (!host.is_docker_host())
    throw Error(ErrorKind::not_found, "NoDockerExtension",
                fmt::format("{} is no Docker host: it has no Docker extension", host.name),
                fmt::format("'azure vm show {}' shows what it has.", host.name));
  return host;
}

EngineAddress engine_address(const HostView& host, const std::string& cert_dir) {
  const auto refuse = [](const std::string& what, const std::string& advice) {
    throw Error(ErrorKind::conflict, "DockerNotReachable", what, advice);
  };
  const auto port = host.docker_port();
  if (!port)
    refuse(fmt::format("The engine of {} listens on no port.", host.name),
           "Its extension's settings name none.");
  if (!host.can_be_reached())
    refuse(fmt::format("{} is {}.", host.name, host.power),
           fmt::format("Start it: azure vm start {} --wait", host.name));
  const PublicAddressView& where = host.public_address;
  if (where.address.empty()) refuse(fmt::format("{} has no public address.", host.name), "");
  return {.name = where.fqdn.empty() ? where.address : where.fqdn,
          .address = where.address,
          .port = where.host_port(*port),
          .certificates = certificate_folder(cert_dir)};
}

nlohmann::json ask_engine(const EngineAddress& where, const std::string& path,
                          std::chrono::milliseconds limit) {
  return ask_docker_api(where.name, where.address, where.port, where.certificates, path, limit);
}

std::string docker_url(const HostView& host) {
  return host.docker_endpoint(hosts_file_knows(host.public_address.fqdn, host.public_address.address));
}

std::string server_certificate_end(const HostView& host) {
  const HostView::Extension* extension = host.docker_extension();
  if (!extension) return {};
  for (const auto& part : extension->parts) {
    if (part.name != "tls") continue;
    const std::size_t until = part.message.find("until ");
    if (until != std::string::npos) return part.message.substr(until + 6, 10);
  }
  return {};
}

}  // namespace berth
