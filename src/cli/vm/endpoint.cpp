#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/terminal/phases.h"
#include "cli/vm/hosts.h"
#include "cli/vm/open_ports.h"
#include "cli/vm/own_address.h"
#include "cli/vm/port_lines.h"
#include "model/names.h"

/// `azure vm endpoint …` in the classic client's words, and `azure vm docker port …`: ports that are open to the outside.
namespace berth {
namespace {

using nlohmann::ordered_json;

struct EndpointOptions {
  std::string vm, group, name, protocol = "tcp", source, public_port, local_port;
  std::vector<std::string> ports;
};

std::string port_range(const OpenPort& port) {
  return port.from == port.to ? std::to_string(port.from) : fmt::format("{}-{}", port.from, port.to);
}

std::string guest_range(const OpenPort& port) {
  const int last = port.guest_port + (port.to - port.from);
  return port.from == port.to ? std::to_string(port.guest_port) : fmt::format("{}-{}", port.guest_port, last);
}

/// Where a public port really is on this machine: "127.3.0.1:10080"; "" while the host has no address.
std::string place_of(const HostView& host, const OpenPort& port) {
  const PublicAddressView& where = host.public_address;
  if (where.address.empty()) return {};
  std::uint16_t first = 0;
  for (const PublicPort& one : where.ports)
    if (one.port == port.from && (one.protocol == port.protocol || port.protocol == "any"))
      first = one.host_port;
  if (first == 0) return {};
  return port.from == port.to ? fmt::format("{}:{}", where.address, first)
                              : fmt::format("{}:{}-{}", where.address, first, first + (port.to - port.from));
}

ordered_json port_json(const HostView& host, const OpenPort& port) {
  return {{"name", port.name},
          {"protocol", port.protocol},
          {"publicPort", port_range(port)},
          {"localPort", guest_range(port)},
          {"source", port.source},
          {"reachableAt", place_of(host, port)}};
}

HostView host_named(Session& session, const EndpointOptions& options) {
  session.out.info("Getting virtual machines");
  return get_host(session.arm(), options.vm, options.group);
}

void list_ports(Session& session, const EndpointOptions& options) {
  const HostView host = host_named(session, options);
  const std::vector<OpenPort> ports = list_open_ports(session.arm(), host);
  if (session.out.json_mode()) {
    ordered_json all = ordered_json::array();
    for (const OpenPort& port : ports) all.push_back(port_json(host, port));
    return session.out.json(all);
  }
  if (ports.empty()) return session.out.info("No endpoints found");
  std::vector<std::vector<std::string>> rows;
  for (const OpenPort& port : ports)
    rows.push_back(
        {port.name, port.protocol, port_range(port), guest_range(port), port.source, place_of(host, port)});
  session.out.table({"Name", "Protocol", "Public Port", "Local Port", "Source", "Reachable at"}, rows);
}

void create_ports(Session& session, const EndpointOptions& options, std::vector<OpenPort> ports) {
  const HostView host = host_named(session, options);
  std::string source = options.source;
  if (source.empty()) source = session.is_azure() ? own_address(session, "--source ADDRESS or '*'") : "*";
  for (OpenPort& port : ports) port.source = source;
  PhaseDisplay phases(session.out);
  ordered_json all = ordered_json::array();
  for (const OpenPort& port : ports) {
    phases.begin(fmt::format("Opening {}/{} of {}", port_range(port), port.protocol, host.name));
    session.persist([&] { open_port(session.arm(), get_host(session.arm(), host.name, host.group), port); });
    phases.end();
  }
  const HostView now = get_host(session.arm(), host.name, host.group);
  if (const std::string moved = now.public_address.moved_ports(); !moved.empty()) session.out.warn(moved);
  for (const OpenPort& port : ports) {
    all.push_back(port_json(now, port));
    const std::string place = place_of(now, port);
    session.out.info(
        place.empty()
            ? fmt::format("{}/{} is open as soon as {} runs", port_range(port), port.protocol, now.name)
            : fmt::format("{}/{} is open at {}", port_range(port), port.protocol, place));
  }
  if (session.out.json_mode()) session.out.json(all);
}

void delete_port(Session& session, const EndpointOptions& options, const std::vector<std::string>& names) {
  const HostView host = host_named(session, options);
  for (const std::string& name : names) {
    session.persist([&] { close_port(session.arm(), host, name); });
    session.out.info(fmt::format("{} of {} is closed", name, host.name));
  }
  if (session.out.json_mode()) session.out.json({{"deleted", names}});
}

// --- vm endpoint

void vm_endpoint_list(CommandLine& app, Session& session) {
  auto options = std::make_shared<EndpointOptions>();
  app.add_option("vm-name", options->vm, "Name of the virtual machine")->required();
  app.add_group(options->group);
  app.callback([options, &session] { list_ports(session, *options); });
}

void vm_endpoint_create(CommandLine& app, Session& session) {
  auto options = std::make_shared<EndpointOptions>();
  app.add_option("vm-name", options->vm, "Name of the virtual machine")->required();
  app.add_option("public-port", options->public_port, "Port that others connect to")->required();
  app.add_option("local-port", options->local_port, "Port in the virtual machine [public-port]");
  app.add_option("-n,--endpoint-name,--name", options->name, "Its name [port-PORT-PROTOCOL]")
      ->type_name("<name>");
  app.add_option("-t,--endpoint-protocol,--protocol", options->protocol, "tcp or udp [tcp]")
      ->type_name("<protocol>");
  app.add_option("--source", options->source,
                 "Who may connect: an address, a block or * [*; on Azure you alone]")
      ->type_name("<cidr>");
  app.add_group(options->group);
  app.callback([options, &session] {
    const std::string local = options->local_port.empty() ? "" : ":" + options->local_port;
    OpenPort port = parse_port_text(options->public_port + local + "/" + options->protocol);
    if (!options->name.empty()) port.name = options->name;
    create_ports(session, *options, {port});
  });
}

void vm_endpoint_delete(CommandLine& app, Session& session) {
  auto options = std::make_shared<EndpointOptions>();
  app.add_option("vm-name", options->vm, "Name of the virtual machine")->required();
  app.add_option("endpoint-name", options->name, "Name of the endpoint")->required();
  app.add_group(options->group);
  app.callback([options, &session] { delete_port(session, *options, {options->name}); });
}

void vm_endpoint_show(CommandLine& app, Session& session) {
  auto options = std::make_shared<EndpointOptions>();
  app.add_option("vm-name", options->vm, "Name of the virtual machine")->required();
  app.add_option("endpoint-name", options->name, "Name of the endpoint")->required();
  app.add_group(options->group);
  app.callback([options, &session] {
    const HostView host = host_named(session, *options);
    for (const OpenPort& port : list_open_ports(session.arm(), host)) {
      if (!same_name(port.name, options->name)) continue;
      if (session.out.json_mode()) return session.out.json(port_json(host, port));
      return session.out.pairs(
          {{"Name", port.name},
           {"Protocol", port.protocol},
           {"Public port", port_range(port)},
           {"Local port", guest_range(port)},
           {"Source", port.source},
           {"Reachable at", place_of(host, port).empty() ? "nowhere now" : place_of(host, port)}});
    }
    throw Error(ErrorKind::not_found, "EndpointNotFound",
                fmt::format("{} has no endpoint {}.", host.name, options->name),
                fmt::format("'azure vm endpoint list {}' shows those that it has.", host.name));
  });
}

// --- vm docker port

void vm_docker_port_publish(CommandLine& app, Session& session) {
  auto options = std::make_shared<EndpointOptions>();
  app.add_option("name", options->vm, "Name of the Docker host")->required();
  app.add_option("ports", options->ports, "What 'docker run -p' published: 8080, 8000-8010, 53/udp")
      ->required();
  app.add_option("--source", options->source,
                 "Who may connect: an address, a block or * [*; on Azure you alone]")
      ->type_name("<cidr>");
  app.add_group(options->group);
  app.callback([options, &session] {
    std::vector<OpenPort> ports;
    for (const std::string& text : options->ports) ports.push_back(parse_port_text(text));
    create_ports(session, *options, ports);
  });
}

void vm_docker_port_list(CommandLine& app, Session& session) {
  auto options = std::make_shared<EndpointOptions>();
  app.add_option("name", options->vm, "Name of the Docker host")->required();
  app.add_group(options->group);
  app.callback([options, &session] { list_ports(session, *options); });
}

void vm_docker_port_remove(CommandLine& app, Session& session) {
  auto options = std::make_shared<EndpointOptions>();
  app.add_option("name", options->vm, "Name of the Docker host")->required();
  app.add_option("ports", options->ports, "As they were published: 8080, 8000-8010, 53/udp")->required();
  app.add_group(options->group);
  app.callback([options, &session] {
    std::vector<std::string> names;
    for (const std::string& text : options->ports) names.push_back(parse_port_text(text).name);
    delete_port(session, *options, names);
  });
}

constexpr Command endpoint_table[] = {
    {"vm endpoint list", "List the open ports of a virtual machine", &vm_endpoint_list},
    {"vm endpoint create", "Open a port of a virtual machine", &vm_endpoint_create},
    {"vm endpoint delete", "Close a port of a virtual machine", &vm_endpoint_delete},
    {"vm endpoint show", "Show one open port, and where it really is", &vm_endpoint_show},
    {"vm docker port publish", "Make ports of containers reachable at the host's address",
     &vm_docker_port_publish},
    {"vm docker port list", "List the open ports of a host, and where they really are", &vm_docker_port_list},
    {"vm docker port remove", "Close ports of a host", &vm_docker_port_remove},
};

}  // namespace

std::span<const Command> endpoint_commands() {
  return endpoint_table;
}

}  // namespace berth
