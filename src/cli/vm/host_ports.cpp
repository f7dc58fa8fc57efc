#include "cli/vm/host_ports.h"

#include <fmt/format.h>

#include "cli/docker/certificates.h"
#include "cli/docker/context.h"

namespace berth {

void follow_ports(Session& session, const HostView& host) {
  if (const std::string moved = host.public_address.moved_ports(); !moved.empty()) session.out.warn(moved);
  const std::string endpoint =
      host.docker_endpoint(hosts_file_knows(host.public_address.fqdn, host.public_address.address));
  if (endpoint.empty()) return;
  for (const std::string& context :
       DockerContexts(docker_config_folder()).lead(host.tag(), session.subscription(), endpoint))
    session.out.info(fmt::format("Docker context '{}' leads to {} now", context, endpoint));
}

void follow_all_ports(Session& session) {
  try {
    for (const HostView& host : list_hosts(session.arm()))
      if (host.can_be_reached()) follow_ports(session, host);
  } catch (const Error& error) {
    if (error.code == "OperationCanceled") throw;
    session.out.verbose(fmt::format("Where the hosts' ports are is not known: {}", error.what()));
  }
}

}  // namespace berth
