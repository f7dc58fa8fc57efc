#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/docker_certificates.h"
#include "cli/docker_context.h"
#include "cli/docker_create.h"
#include "cli/docker_show.h"
#include "cli/hosts.h"
#include "cli/phases.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto delete_limit = 600s;

// --- vm docker create

/// Options of the classic client that speak of things this region does not have.
struct ClassicOption {
  const char* names;
  const char* value;  ///< "" for a flag
  const char* description;
  const char* reason;
};
constexpr ClassicOption classic_only[] = {
    {"-c,--connect", "", "(not here) connect to an existing cloud service",
     "every host of the local region has an address of its own."},
    {"-a,--affinity-group", "<name>", "(not here) affinity group",
     "the local region has no affinity groups."},
    {"-u,--blob-url", "<url>", "(not here) where the disk is kept",
     "the local region keeps disks in its own folder (BERTH_HOME)."},
    {"-R,--reserved-ip", "<name>", "(not here) reserved public address",
     "a host keeps its public address for as long as it exists."},
    {"-A,--availability-set", "<name>", "(not here) availability set",
     "there is one machine, which is this one."},
    {"-o,--community", "", "(not here) image from the community gallery", "that gallery is closed."},
};

void add_classic_only(CLI::App& app, const std::shared_ptr<DockerCreateOptions>& options) {
  for (const ClassicOption& option : classic_only) {
    const std::string name = std::string(option.names).substr(std::string(option.names).find("--"));
    const auto refuse = [options, name, reason = option.reason] {
      options->unsupported.emplace_back(name, reason);
    };
    if (*option.value == '\0')
      app.add_flag_callback(option.names, refuse, option.description);
    else
      app.add_option_function<std::string>(
             option.names, [refuse](const std::string&) { refuse(); }, option.description)
          ->type_name(option.value);
  }
}

void vm_docker_create(CLI::App& app, Session& session) {
  auto options = std::make_shared<DockerCreateOptions>();
  auto password = std::make_shared<std::string>();
  app.add_option("dns-name", options->dns_name, "Name of the host, and of its DNS entry")->required();
  app.add_option("image", options->image, "An image of 'azure vm image list'")->required();
  app.add_option("user-name", options->user, "The administrator's name")->required();
  app.add_option("password", *password, "Asked for when it is not given");
  const auto text = [&app](const char* names, std::string& value, const char* type, const char* description) {
    app.add_option(names, value, description)->type_name(type);
  };
  text("-e,--ssh", options->ssh, "[port]", "Open the SSH port [22]");
  text("-l,--location", options->location, "<location>", "Location [West US]");
  text("-p,--docker-port", options->docker_port, "<port>", "Port to use for docker [4243]");
  text("-C,--docker-cert-dir", options->cert_dir, "<dir>", "Directory containing docker certs [~/.docker]");
  text("-N,--docker-cert-cn", options->cert_cn, "<name>",
       "Common name of the host's certificate [its DNS name]");
  text("-z,--vm-size", options->vm_size, "<size>", "Size of the virtual machine [Standard_B2s]");
  text("-n,--vm-name", options->vm_name, "<name>", "Name of the virtual machine [dns-name]");
  text("-t,--ssh-cert", options->ssh_cert, "<file>",
       "Public key (OpenSSH) or certificate (PEM) to sign in with");
  app.add_flag("-P,--no-ssh-password", options->no_ssh_password, "No password: sign in with the key only");
  app.add_flag("-E,--no-ssh-endpoint", options->no_ssh_endpoint, "Do not open the SSH port");
  app.add_flag("-G,--generate-ssh-keys", options->generate_ssh_keys, "Make a key pair to sign in with");
  text("-d,--custom-data", options->custom_data, "<file>", "File given to the virtual machine, below 64 KB");
  text("-s,--subscription", options->subscription, "<id>", "Subscription to use");
  text("-g,--resource-group", options->group, "<group>", "Resource group [one of its own]");
  text("-w,--virtual-network-name", options->virtual_network, "<name>",
       "Join this virtual network (its name, or that of a host in it) [one of its own]");
  text("-b,--subnet-names", options->subnet, "<name>", "Subnet of that network [its first]");
  text("-S,--static-ip", options->static_ip, "<address>",
       "Private address in that subnet [the next free one]");
  text("--password-file", options->password_file, "<file>", "File with the password; - for standard input");
  text("--context", options->context, "<name>", "Name of the docker context [dns-name]");
  app.add_flag("--no-context", options->no_context, "Write no docker context");
  app.add_flag("--use", options->use, "Make the docker context the current one");
  app.add_flag("--strict-ports", options->strict_ports, "Fail when a port cannot be had as it was asked for");
  app.add_flag("--keep-failed", options->keep_failed, "Do not remove what was made when it fails");
  text("--template", options->template_file, "<file>", "Write the deployment there and make nothing");
  text("--timeout", options->timeout, "<seconds>", "How long it may take [3600]");
  add_classic_only(app, options);
  app.callback([options, password, &session] {
    wipe_argument(session.argc, session.argv, *password);
    options->password = Secret(std::move(*password));
    create_docker_host(session, *options);
  });
}

// --- vm docker show

void vm_docker_show(CLI::App& app, Session& session) {
  auto options = std::make_shared<DockerShowOptions>();
  app.add_option("name", options->name, "Name of the Docker host")->required();
  app.add_option("-g,--resource-group", options->group, "Resource group, if the name is in several")
      ->type_name("<group>");
  app.add_option("-C,--docker-cert-dir", options->cert_dir, "Directory containing docker certs [~/.docker]")
      ->type_name("<dir>");
  app.callback([options, &session] { show_docker_host(session, *options); });
}

// --- vm list, vm show

std::string endpoint_of(const HostView& host) {
  return host.docker_endpoint(hosts_file_knows(host.public_address.fqdn, host.public_address.address));
}

ordered_json to_json(const HostView& host) {
  ordered_json extensions = ordered_json::array();
  for (const auto& extension : host.extensions)
    extensions.emplace_back(ordered_json{{"name", extension.name},
                                         {"handler", extension.handler},
                                         {"version", extension.version},
                                         {"provisioningState", extension.provisioning},
                                         {"message", extension.message}});
  ordered_json ports = ordered_json::array();
  for (const PublicPort& port : host.public_address.ports)
    ports.emplace_back(ordered_json{
        {"port", port.port}, {"hostPort", port.host_port}, {"movedBecause", port.moved_because}});
  return {{"name", host.name},
          {"id", host.id},
          {"resourceGroup", host.group},
          {"location", host.location},
          {"status", host.status()},
          {"provisioningState", host.provisioning},
          {"powerState", host.power},
          {"halted", host.halted},
          {"networkNews", host.network_news},
          {"vmSize", host.size},
          {"image", host.image},
          {"adminUsername", host.user},
          {"fqdn", host.public_address.fqdn},
          {"ipAddress", host.public_address.address},
          {"privateIpAddress", host.private_address},
          {"ports", std::move(ports)},
          {"dockerHost", endpoint_of(host)},
          {"agent", {{"version", host.agent_version}, {"status", host.agent_status}}},
          {"extensions", std::move(extensions)},
          {"serialLog", host.serial_log}};
}

void list_vms(Session& session) {
  session.out.info("Getting virtual machines");
  const std::vector<HostView> hosts = list_hosts(session.arm());
  if (session.out.json_mode()) {
    ordered_json all = ordered_json::array();
    for (const HostView& host : hosts) all.push_back(to_json(host));
    return session.out.json(all);
  }
  if (hosts.empty()) return session.out.info("No VMs found");
  std::vector<std::vector<std::string>> rows;
  for (const HostView& host : hosts)
    rows.push_back({host.name, host.status(), host.location, host.public_address.fqdn,
                    host.public_address.address, endpoint_of(host)});
  session.out.table({"Name", "Status", "Location", "DNS Name", "IP Address", "Docker"}, rows);
}

void vm_list(CLI::App& app, Session& session) {
  app.callback([&session] { list_vms(session); });
}

std::string port_text(const PublicPort& port) {
  if (port.host_port == 0 || port.host_port == port.port) return fmt::format("{} open", port.port);
  return fmt::format("{} open as {}{}", port.port, port.host_port,
                     port.moved_because.empty() ? "" : " (" + port.moved_because + ")");
}

void show_vm(Session& session, const std::string& name, const std::string& group) {
  session.out.info("Getting virtual machines");
  const HostView host = get_host(session.arm(), name, group);
  if (session.out.json_mode()) return session.out.json(to_json(host));
  std::vector<std::pair<std::string, std::string>> rows;
  const auto row = [&rows](const char* key, const std::string& value) {
    if (!value.empty()) rows.emplace_back(key, value);
  };
  row("Name", host.name);
  row("Status", host.status());
  row("Halted", host.halted);
  row("Network", host.network_news);
  row("Resource group", host.group);
  row("Location", host.location);
  row("Size", host.size);
  row("Image", host.image);
  row("User", host.user);
  row("DNS name", host.public_address.fqdn);
  row("IP address", host.public_address.address);
  row("Private address", host.private_address);
  for (const PublicPort& port : host.public_address.ports) row("Port", port_text(port));
  row("Docker", endpoint_of(host));
  row("Agent", host.agent_version + (host.agent_status.empty() ? "" : " (" + host.agent_status + ")"));
  for (const auto& extension : host.extensions) {
    row("Extension", fmt::format("{} {}: {}", extension.handler, extension.version, extension.provisioning));
    row("  says", extension.message);
  }
  row("Serial log", host.serial_log);
  row("Id", host.id);
  session.out.pairs(rows);
}

void vm_show(CLI::App& app, Session& session) {
  struct Options {
    std::string name, group;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the virtual machine")->required();
  app.add_option("-g,--resource-group", options->group, "Resource group, if the name is in several")
      ->type_name("<group>");
  app.callback([options, &session] { show_vm(session, options->name, options->group); });
}

// --- vm delete

/// Removes the host with all that was made for it: the whole group if docker create made that for it alone.
void remove_host(Session& session, const HostView& host) {
  ArmClient& arm = session.arm();
  const auto remove = [&arm](const std::string& path) { arm.wait(arm.remove(path), path, delete_limit); };
  const std::string group_path = "resourcegroups/" + host.group;
  const auto group = arm.find(group_path);
  const json tags = group ? group->value("tags", json::object()) : json::object();
  if (!host.host_tag.empty() && tags.value(host_tag, "") == host.host_tag) return remove(group_path);
  if (!host.host_tag.empty()) {
    for (const std::string& path : host_resources(host.group, host.host_tag, host.name)) remove(path);
    return;
  }
  remove(host.path());
  session.out.warn(
      fmt::format("{} was made by another client: its network and disks in the resource group {} stay.",
                  host.name, host.group));
}

void delete_vm(Session& session, const std::string& name, const std::string& group, bool quiet) {
  session.out.info("Getting virtual machines");
  const HostView host = get_host(session.arm(), name, group);
  if (!quiet && !prompt_yes(fmt::format("Delete the virtual machine {} with its disk?", host.name),
                            "Add --quiet to delete without being asked."))
    throw Error(ErrorKind::invalid, "NotConfirmed", "Nothing was deleted.");
  PhaseDisplay phases(session.out);
  phases.begin(fmt::format("Deleting {}", host.name));
  session.persist([&] { remove_host(session, host); });
  phases.end();
  const std::string& tag = host.host_tag.empty() ? host.name : host.host_tag;
  for (const std::string& context :
       DockerContexts(docker_config_folder()).remove(tag, session.region().subscription))
    session.out.info(fmt::format("Docker context '{}' removed", context));
  if (session.out.json_mode()) session.out.json({{"deleted", host.name}});
}

void vm_delete(CLI::App& app, Session& session) {
  struct Options {
    std::string name, group;
    bool quiet = false, blob = false;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the virtual machine")->required();
  app.add_option("-g,--resource-group", options->group, "Resource group, if the name is in several")
      ->type_name("<group>");
  app.add_flag("-q,--quiet", options->quiet, "Do not ask");
  app.add_flag("-b,--blob-delete", options->blob, "The disk goes, too (it always does)");
  app.callback([options, &session] { delete_vm(session, options->name, options->group, options->quiet); });
}

constexpr TwoLetterOption two_letters[] = {{"-dp", "--docker-port"}, {"-dc", "--docker-cert-dir"}};

constexpr Command vm_table[] = {
    {"vm docker create", "Create a virtual machine that runs a Docker host", &vm_docker_create},
    {"vm docker show", "Show a Docker host: its engine, TLS, containers and security report",
     &vm_docker_show},
    {"vm list", "List the virtual machines", &vm_list},
    {"vm show", "Show one virtual machine", &vm_show},
    {"vm delete", "Delete a virtual machine with everything made for it", &vm_delete},
};

}  // namespace

std::span<const Command> vm_commands() {
  return vm_table;
}
std::span<const TwoLetterOption> two_letter_options() {
  return two_letters;
}

}  // namespace berth
