#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/docker/certificates.h"
#include "cli/docker/context.h"
#include "cli/docker/host_template.h"
#include "cli/docker/identities.h"
#include "cli/session.h"
#include "cli/terminal/phases.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/host_removal.h"
#include "cli/vm/hosts.h"
#include "cli/vm/port_lines.h"
#include "cli/vm/ssh.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto delete_limit = 1800s;  ///< a group of Azure takes long

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
    ports.emplace_back(ordered_json{{"port", port.port},
                                    {"hostPort", port.host_port},
                                    {"movedBecause", port.moved_because},
                                    {"protocol", port.protocol},
                                    {"guestPort", port.guest_port}});
  const auto ssh = find_ssh_access(host);
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
          {"sshCommand", ssh ? ssh_command(*ssh) : ""},
          {"sshKey", ssh ? ssh->identity : ""},
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

void vm_list(CommandLine& app, Session& session) {
  app.callback([&session] { list_vms(session); });
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
  for (const std::string& line : port_lines(host.public_address.ports)) row("Port", line);
  row("Docker", endpoint_of(host));
  if (const auto ssh = find_ssh_access(host)) {
    row("SSH", ssh_command(*ssh));
    row("SSH key", ssh->identity);
  }
  row("Agent", host.agent_version + (host.agent_status.empty() ? "" : " (" + host.agent_status + ")"));
  for (const auto& extension : host.extensions) {
    row("Extension", fmt::format("{} {}: {}", extension.handler, extension.version, extension.provisioning));
    row("  says", extension.message);
  }
  row("Serial log", host.serial_log);
  row("Id", host.id);
  session.out.pairs(rows);
}

void vm_show(CommandLine& app, Session& session) {
  struct Options {
    std::string name, group;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the virtual machine")->required();
  app.add_group(options->group);
  app.callback([options, &session] { show_vm(session, options->name, options->group); });
}

// --- vm delete

/// Of what is at the host, by the names that it has; who made it is another question.
ResourceNames names_on_the_spot(const HostView& host) {
  ResourceNames names = ResourceNames::usual(host.host_tag);
  const auto take = [&](std::string& name, const std::string& id, const char* kind) {
    const std::string found = part_of_id(id, kind);
    if (!found.empty() && same_name(part_of_id(id, "resourceGroups"), host.group)) name = found;
  };
  take(names.interface, host.interface_id, "networkInterfaces");
  take(names.address, host.public_address.id, "publicIPAddresses");
  take(names.security_group, host.security_group_id, "networkSecurityGroups");
  take(names.network, host.subnet_id, "virtualNetworks");
  return names;
}

/// Removes the host with all that was made for it: the whole group if docker create made that for it alone.
void remove_host(Session& session, const HostView& host) {
  ArmClient& arm = session.arm();
  const auto remove = [&arm](const std::string& path) { arm.wait(arm.remove(path), path, delete_limit); };
  const std::string group_path = "resourcegroups/" + host.group;
  const auto group = arm.find(group_path);
  const json tags = group ? group->value("tags", json::object()) : json::object();
  if (!host.host_tag.empty() && tags.value(host_tag, "") == host.host_tag) return remove(group_path);
  if (!host.host_tag.empty()) {
    return remove_resources(
        arm, resources_of_host(arm, host.group, names_on_the_spot(host), host.name, host.host_tag),
        delete_limit);
  }
  remove(host.path());
  session.out.warn(
      fmt::format("{} was made by another client: its network and disks in the resource group {} stay.",
                  host.name, host.group));
}

/// What is kept here of a host that is gone.
void forget_host(Session& session, const std::string& tag) {
  forget_host_key(tag);
  Identities(session.subscription(), tag).forget_all();
  for (const std::string& context :
       DockerContexts(docker_config_folder()).remove(tag, session.subscription()))
    session.out.info(fmt::format("Docker context '{}' removed", context));
}

void confirm_deletion(bool quiet, const std::string& question) {
  if (!quiet && !prompt_yes(question, "Add --quiet to delete without being asked."))
    throw Error(ErrorKind::invalid, "NotConfirmed", "Nothing was deleted.");
}

/// A host that could not be made, or whose removal ended halfway, has no machine by which it is found.
void delete_remains(Session& session, const std::string& host, const HostRemains& remains, bool quiet) {
  std::string what;
  for (const std::string& path : remains.paths)
    what += (what.empty() ? "" : ", ") + path.substr(path.rfind('/') + 1);
  what = remains.whole_group ? fmt::format("the resource group {} and what is in it", remains.group)
                             : fmt::format("{} in the resource group {}", what, remains.group);
  session.out.info(fmt::format("The host {} has no virtual machine. What was made for it: {}", host, what));
  confirm_deletion(quiet, fmt::format("Delete {}?", what));
  PhaseDisplay phases(session.out);
  phases.begin(fmt::format("Deleting what is left of {}", host));
  session.persist([&] {
    if (session.is_azure()) end_deployment(session.arm(), remains.group, host);
    remove_remains(session.arm(), remains, delete_limit);
  });
  phases.end();
  forget_host(session, host);
  if (session.out.json_mode()) session.out.json({{"deleted", host}});
}

void delete_vm(Session& session, const std::string& name, const std::string& group, bool quiet) {
  session.out.info("Getting virtual machines");
  const std::string label = name.substr(0, name.find('.'));
  const auto found = find_host(session.arm(), name, group);
  if (!found)
    if (const auto remains = find_remains(session.arm(), label, group))
      return delete_remains(session, label, *remains, quiet);
  const HostView host = found ? *found : get_host(session.arm(), name, group);  // says that there is none
  confirm_deletion(quiet, fmt::format("Delete the virtual machine {} with its disk?", host.name));
  PhaseDisplay phases(session.out);
  phases.begin(fmt::format("Deleting {}", host.name));
  session.persist([&] { remove_host(session, host); });
  phases.end();
  forget_host(session, host.tag());
  if (session.out.json_mode()) session.out.json({{"deleted", host.name}});
}

void vm_delete(CommandLine& app, Session& session) {
  struct Options {
    std::string name, group;
    bool quiet = false, blob = false;
  };
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the virtual machine")->required();
  app.add_group(options->group);
  app.add_flag("-q,--quiet", options->quiet, "Do not ask");
  app.add_flag("-b,--blob-delete", options->blob, "The disk goes, too (it always does)");
  app.callback([options, &session] { delete_vm(session, options->name, options->group, options->quiet); });
}

constexpr Command vm_table[] = {
    {"vm list", "List the virtual machines", &vm_list},
    {"vm show", "Show one virtual machine", &vm_show},
    {"vm delete", "Delete a virtual machine with everything made for it", &vm_delete},
};

}  // namespace

std::span<const Command> vm_commands() {
  return vm_table;
}

}  // namespace berth
