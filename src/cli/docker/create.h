#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "base/secret.h"
#include "cli/docker/host_template.h"
#include "cli/session.h"

namespace berth {

/// What `azure vm docker create` was told, as it was typed. Empty: not given.
struct DockerCreateOptions {
  std::string dns_name, image, user;
  Secret password;
  std::string password_file;  ///< "-": standard input
  std::string ssh, location, docker_port = "4243", cert_dir, cert_cn, vm_size, vm_name, ssh_cert, custom_data;
  std::string group, context, subscription, template_file, timeout, virtual_network, subnet, static_ip;
  ResourceNames
      names;  ///< of its resources, where they are not the usual ones; `network` may be there already
  std::string network_prefix, subnet_prefix;  ///< of a network that is made for it
  std::string allow_from;                     ///< on Azure: who reaches its ports
  bool yes = false;                           ///< on Azure: the costs are known
  bool no_ssh_password = false, no_ssh_endpoint = false, generate_ssh_keys = false;
  unsigned count = 1;
  bool strict_ports = false, keep_failed = false, cold = false, wait = false, no_context = false, use = false;
  /// Options of the classic client that need a thing which this region does not have: name and reason.
  std::vector<std::pair<std::string, std::string>> unsupported;
};

/// What can be said without asking anyone. Throws Error(invalid) about the first thing that cannot be right.
struct DockerCreatePlan {
  DockerHost host;  ///< location, size and image as typed
  std::string group;
  bool own_group = true;  ///< made for this host
  std::filesystem::path certificates;
  std::string certificate_name;  ///< common name of the server's certificate
  std::string context;           ///< "": none
  std::chrono::seconds limit{3600};
};
DockerCreatePlan check_docker_create(const DockerCreateOptions& options);

/// The password that the options lead to: given, from the file, or asked for (twice). Throws Error(invalid)
/// when it is too weak; empty when the host has none.
Secret docker_host_password(const DockerCreateOptions& options);

/// `azure vm docker create`: ends when Docker has answered us over mutual TLS at the host's address, which can be
/// before the guest's agent has reported (not with --wait), or throws, and then has removed what it made (but for
/// --keep-failed).
void create_docker_host(Session& session, const DockerCreateOptions& options);

/// `--count N`: NAME-1 … NAME-N at once. Those that could be made stay when others could not, whose own remains are removed; then throws the
/// first Error, naming all of them.
void create_docker_hosts(Session& session, DockerCreateOptions options);

}  // namespace berth
