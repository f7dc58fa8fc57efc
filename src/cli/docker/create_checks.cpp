#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "cli/docker/certificates.h"
#include "cli/docker/context.h"
#include "cli/docker/create.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/ssh_keys.h"
#include "host/files.h"
#include "model/catalog.h"
#include "model/names.h"

namespace berth {
namespace {

constexpr std::size_t custom_data_limit = 65535;

Error invalid(const std::string& what, const std::string& advice = {}) {
  return Error(ErrorKind::invalid, "InvalidParameter", what, advice);
}

std::uint16_t parse_port(const std::string& text, const char* option) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > 65535)
    throw invalid(fmt::format("{} [port] must be an integer between 1 and 65535, not '{}'", option, text));
  return static_cast<std::uint16_t>(value);
}

/// "tcp://web1.cloudapp.net" and "web1.cloudapp.net" mean web1.
std::string name_of_host(const std::string& dns_name) {
  const std::size_t scheme = dns_name.find("://");
  const std::string name = scheme == std::string::npos ? dns_name : dns_name.substr(scheme + 3);
  return name.substr(0, name.find('.'));
}

void check_ssh_options(const DockerCreateOptions& options) {
  const bool about_keys = options.no_ssh_password || !options.ssh_cert.empty() || options.generate_ssh_keys;
  if (about_keys && options.ssh.empty() && !options.no_ssh_endpoint)
    throw invalid(
        "--no-ssh-password, --ssh-cert and --generate-ssh-keys can only be used with --ssh or "
        "--no-ssh-endpoint parameter",
        "Add '-e 22' to open SSH, or --no-ssh-endpoint to keep it closed.");
  if (options.no_ssh_password && options.ssh_cert.empty() && !options.generate_ssh_keys)
    throw invalid("--no-ssh-password can only be used with the --ssh-cert or --generate-ssh-keys parameter",
                  "Without a password and without a key nobody could sign in.");
  if (!options.ssh_cert.empty() && options.generate_ssh_keys)
    throw invalid("both --ssh-cert and --generate-ssh-keys options are specified", "Choose one of them.");
  if (!options.ssh.empty() && options.no_ssh_endpoint)
    throw invalid("both --ssh and --no-ssh-endpoint options are specified", "Choose one of them.");
}

void check_ports(const DockerHost& host) {
  if (host.ssh_port && *host.ssh_port == host.docker_port)
    throw invalid(fmt::format("--ssh and --docker-port both name port {}", host.docker_port),
                  "Choose another port for Docker: -dp 4243.");
  if (host.docker_port == 22)
    throw invalid("--docker-port 22 cannot be: the virtual machine's own SSH server listens there",
                  "Choose another port for Docker: -dp 4243.");
}

std::string read_custom_data(const std::string& file) {
  if (file.empty()) return {};
  std::string bytes = read_file(file, 16 * 1024 * 1024);
  if (bytes.size() > custom_data_limit)
    throw invalid(
        fmt::format("--custom-data must be less than 64 KB, and {} has {} bytes", file, bytes.size()));
  return bytes;
}

/// Those that all kinds of resources of a network may have; "" for none.
bool is_resource_name(const std::string& name) {
  return name.size() <= 80 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string::npos;
}

bool is_block(const std::string& text) {
  const std::size_t slash = std::min(text.find('/'), text.size());
  in_addr parsed{};
  unsigned bits = 33;
  const auto [end, error] =
      std::from_chars(text.data() + std::min(slash + 1, text.size()), text.data() + text.size(), bits);
  return ::inet_pton(AF_INET, text.substr(0, slash).c_str(), &parsed) == 1 && error == std::errc() &&
         end == text.data() + text.size() && bits <= 32;
}

bool is_fingerprint(const std::string& text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
}

std::chrono::seconds parse_timeout(const std::string& text) {
  if (text.empty()) return std::chrono::seconds(3600);
  long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 1 || value > 86400)
    throw invalid(fmt::format("--timeout must be between 1 and 86400 seconds, not '{}'", text));
  return std::chrono::seconds(value);
}

std::string context_name(const DockerCreateOptions& options, const std::string& host) {
  if (options.no_context) {
    if (!options.context.empty() || options.use)
      throw invalid("--no-context does not go together with --context or --use");
    return {};
  }
  const std::string name = options.context.empty() ? host : options.context;
  const auto problem = context_name_problem(name);
  if (!problem) return name;
  if (options.context.empty()) return host + "-berth";
  throw invalid(fmt::format("'{}' cannot name a docker context: {}", name, *problem));
}

}  // namespace

DockerCreatePlan check_docker_create(const DockerCreateOptions& options) {
  if (!options.unsupported.empty()) {
    const auto& [name, reason] = options.unsupported.front();
    throw Error(ErrorKind::invalid, "NotSupported", fmt::format("{} cannot be used here: {}", name, reason),
                fmt::format("Leave {} away.", name));
  }
  DockerCreatePlan plan;
  DockerHost& host = plan.host;
  host.name = lower(name_of_host(options.dns_name));
  if (const auto problem = host_name_problem(host.name)) throw invalid(*problem);
  host.vm_name = options.vm_name.empty() ? host.name : options.vm_name;
  if (const auto problem = host_name_problem(host.vm_name)) throw invalid(*problem);
  host.user = options.user;
  if (const auto problem = user_name_problem(host.user)) throw invalid(*problem);
  check_ssh_options(options);
  if (!options.ssh.empty()) host.ssh_port = parse_port(options.ssh, "--ssh");
  host.cold = options.cold;
  host.docker_port = parse_port(options.docker_port, "--docker-port");
  check_ports(host);
  host.password_login = !options.no_ssh_password;
  if (!options.password_file.empty() && !options.password.empty())
    throw invalid("both a password and --password-file are given", "Choose one of them.");

  const Location* location = find_location(options.location.empty() ? "West US" : options.location);
  host.location = location != nullptr ? location->name : options.location;
  host.image = options.image;
  host.names = options.names;
  for (const std::string* name : {&host.names.interface, &host.names.address, &host.names.network})
    if (!is_resource_name(*name))
      throw invalid(fmt::format("'{}' cannot name a resource", name->substr(0, 100)),
                    "Letters, digits, '-', '_' and '.', at most 80.");
  for (const std::string* prefix : {&options.network_prefix, &options.subnet_prefix})
    if (!prefix->empty() && !is_block(*prefix))
      throw invalid(fmt::format("'{}' is no block of IPv4 addresses", prefix->substr(0, 50)),
                    "Give it as 10.0.0.0/16.");
  if (!options.network_prefix.empty()) host.network_prefix = options.network_prefix;
  if (!options.subnet_prefix.empty()) host.subnet_prefix = options.subnet_prefix;
  if (!options.names.network.empty() && !options.subnet.empty()) host.subnet = options.subnet;
  if (!options.subnet.empty() && options.virtual_network.empty() && options.names.network.empty())
    throw invalid("--subnet-names can only be used with --virtual-network-name",
                  "Name the virtual network too.");
  plan.host.virtual_network = options.virtual_network;
  if (!options.virtual_network.empty()) plan.host.subnet = options.subnet;
  if (in_addr parsed{};
      !options.static_ip.empty() && ::inet_pton(AF_INET, options.static_ip.c_str(), &parsed) != 1)
    throw invalid(fmt::format("--static-ip must be an IPv4 address, not '{}'", options.static_ip));
  host.private_address = options.static_ip;
  const VmSize* size = find_vm_size(options.vm_size);
  host.size = options.vm_size.empty() ? default_vm_size : size != nullptr ? size->name : options.vm_size;
  host.custom_data = read_custom_data(options.custom_data);
  if (is_fingerprint(options.ssh_cert))
    throw invalid("--ssh-cert with a fingerprint names a certificate that is already in Azure",
                  "Give the file of the certificate or of the public key.");
  if (!options.ssh_cert.empty()) host.ssh_keys.push_back(read_ssh_key(options.ssh_cert));

  plan.own_group = options.group.empty();
  plan.group = plan.own_group ? host.name : options.group;
  plan.certificates = certificate_folder(options.cert_dir);
  plan.certificate_name = options.cert_cn;
  plan.context = context_name(options, host.name);
  plan.limit = parse_timeout(options.timeout);
  DockerCertificates::check(plan.certificates);
  return plan;
}

Secret docker_host_password(const DockerCreateOptions& options) {
  if (options.no_ssh_password) return {};
  Secret password = options.password;
  const std::string advice = "Give it with --password-file FILE (or - for standard input).";
  if (!options.password_file.empty()) {
    password = read_password(options.password_file);
  } else if (password.empty()) {
    password = prompt_secret(fmt::format("The password needs 8 characters or more, with a lower case and an "
                                         "upper case letter, a digit and one of *!@#$%^&+=\n"
                                         "Enter VM '{}' password:",
                                         options.user),
                             advice);
    if (const auto problem = password_problem(password.reveal())) throw invalid(*problem);
    if (!(prompt_secret("Confirm password: ", advice) == password)) throw invalid("Passwords do not match.");
  }
  if (const auto problem = password_problem(password.reveal()))
    throw invalid(*problem, "The period is not one of the special characters.");
  return password;
}

}  // namespace berth
