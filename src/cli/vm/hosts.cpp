#include "cli/vm/hosts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/arm/json_view.h"
#include "cli/docker/host_template.h"
#include "host/files.h"
#include "model/docker_extension.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;

std::uint16_t number(const json& object, const char* key) {
  const json& value = at(object, {key});
  return value.is_number_unsigned() && value.get<unsigned long>() <= 65535
             ? static_cast<std::uint16_t>(value.get<unsigned long>())
             : std::uint16_t{0};
}

PublicPort parse_port(const json& item) {
  PublicPort port{.port = number(item, "port"),
                  .host_port = number(item, "hostPort"),
                  .moved_because = text(item, {"movedBecause"}),
                  .protocol = lower(text(item, {"protocol"})),
                  .guest_port = number(item, "guestPort")};
  if (port.protocol.empty()) port.protocol = "tcp";
  if (port.guest_port == 0) port.guest_port = port.port;
  return port;
}

std::string image_text(const json& reference) {
  if (const std::string name = text(reference, {"osImage"}); !name.empty()) return name;
  if (const std::string id = text(reference, {"id"}); !id.empty()) return id;
  const std::string publisher = text(reference, {"publisher"});
  if (publisher.empty()) return {};
  return fmt::format("{}:{}:{}:{}", publisher, text(reference, {"offer"}), text(reference, {"sku"}),
                     text(reference, {"version"}));
}

HostView::Extension parse_extension(const json& document) {
  HostView::Extension extension;
  extension.name = text(document, {"name"});
  if (const std::size_t slash = extension.name.find('/'); slash != std::string::npos)
    extension.name.erase(0, slash + 1);
  extension.handler =
      text(document, {"properties", "publisher"}) + "." + text(document, {"properties", "type"});
  extension.version = text(document, {"properties", "typeHandlerVersion"});
  extension.provisioning = text(document, {"properties", "provisioningState"});
  if (is_docker_extension(extension.handler))
    extension.docker_port = berth::docker_port(at(document, {"properties", "settings"}).dump());
  return extension;
}

/// "ComponentStatus/tls/succeeded" with its message.
HostView::Extension::Part parse_part(const json& document) {
  const std::string code = text(document, {"code"});
  const std::size_t first = code.find('/'), last = code.rfind('/');
  HostView::Extension::Part part{.name = code, .status = {}, .message = text(document, {"message"})};
  if (first == last) return part;
  part.name = code.substr(first + 1, last - first - 1);
  part.status = code.substr(last + 1);
  return part;
}

/// What the instance view adds: the version that runs, and what the handler said last.
void add_extension_status(const json& view, std::vector<HostView::Extension>& extensions) {
  const json& list = at(view, {"extensions"});
  if (!list.is_array()) return;
  for (const json& item : list) {
    const std::string name = text(item, {"name"});
    const auto found = std::find_if(extensions.begin(), extensions.end(),
                                    [&](const auto& extension) { return same_name(extension.name, name); });
    if (found == extensions.end()) continue;
    if (const std::string version = text(item, {"typeHandlerVersion"}); !version.empty())
      found->version = version;
    const json& statuses = at(item, {"statuses"});
    if (statuses.is_array() && !statuses.empty()) found->message = text(statuses.front(), {"message"});
    if (const json& parts = at(item, {"substatuses"}); parts.is_array())
      for (const json& part : parts) found->parts.push_back(parse_part(part));
  }
}

void add_statuses(const json& view, HostView& host) {
  const json& statuses = at(view, {"statuses"});
  if (!statuses.is_array()) return;
  for (const json& status : statuses) {
    const std::string code = text(status, {"code"});
    if (code.starts_with("PowerState/")) host.power = code.substr(std::string("PowerState/").size());
    if (code == "HibernationState/Hibernated") host.power = "asleep";
    if (code == "HostState/noSpace") host.halted = text(status, {"message"});
    if (code == "HostState/networkRestarted") host.network_news = text(status, {"message"});
  }
}

HostView parse_vm(const json& document) {
  HostView host;
  host.id = text(document, {"id"});
  host.name = text(document, {"name"});
  host.group = part_of_id(host.id, "resourceGroups");
  host.location = text(document, {"location"});
  host.size = text(document, {"properties", "hardwareProfile", "vmSize"});
  host.image = image_text(at(document, {"properties", "storageProfile", "imageReference"}));
  host.user = text(document, {"properties", "osProfile", "adminUsername"});
  host.provisioning = text(document, {"properties", "provisioningState"});
  host.host_tag = text(document, {"tags", host_tag});
  if (const std::string port = text(document, {"tags", docker_port_tag}); !port.empty())
    host.tagged_docker_port = berth::docker_port(json{{"dockerport", port}}.dump());
  const json& view = at(document, {"properties", "instanceView"});
  add_statuses(view, host);
  host.agent_version = text(view, {"vmAgent", "vmAgentVersion"});
  host.serial_log = text(view, {"bootDiagnostics", "localSerialLog"});
  const json& agent = at(view, {"vmAgent", "statuses"});
  if (agent.is_array() && !agent.empty()) host.agent_status = text(agent.front(), {"displayStatus"});
  const json& resources = at(document, {"resources"});
  if (resources.is_array())
    for (const json& resource : resources) host.extensions.push_back(parse_extension(resource));
  add_extension_status(view, host.extensions);
  return host;
}

/// The first element of an array below `object`; null without one.
const json& first(const json& object, std::initializer_list<const char*> path) {
  static const json nothing;
  const json& list = at(object, path);
  return list.is_array() && !list.empty() ? list.front() : nothing;
}

std::uint16_t number_in_text(std::string_view text) {
  std::uint16_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : std::uint16_t{0};
}

/// What rules of a security group let in, port by port. One that opens more than a thousand at once opens no service in particular.
std::vector<PublicPort> ports_of_rules(const json& rules) {
  constexpr int most = 1000;
  std::vector<PublicPort> ports;
  if (!rules.is_array()) return ports;
  for (const json& rule : rules) {
    const json& properties = at(rule, {"properties"});
    const std::string range = text(properties, {"destinationPortRange"});
    const std::size_t dash = std::min(range.find('-'), range.size());
    const std::uint16_t from = number_in_text(std::string_view(range).substr(0, dash));
    const std::uint16_t to =
        dash < range.size() ? number_in_text(std::string_view(range).substr(dash + 1)) : from;
    if (!same_name(text(properties, {"access"}), "Allow") ||
        !same_name(text(properties, {"direction"}), "Inbound") || from == 0 || to < from ||
        to - from > most || ports.size() > most)
      continue;
    const std::string protocol = lower(text(properties, {"protocol"}));
    for (unsigned port = from; port <= to; ++port) {
      const auto number = static_cast<std::uint16_t>(port);
      ports.push_back({.port = number,
                       .host_port = number,
                       .moved_because = {},
                       .protocol = protocol == "udp" ? "udp" : "tcp",
                       .guest_port = number});
    }
  }
  return ports;
}

/// All addresses of a subscription at once: three or four requests, not as many per host.
class Addresses {
 public:
  explicit Addresses(ArmClient& arm) {
    for (json& item : arm.list("providers/Microsoft.Network/publicIPAddresses"))
      addresses_[lower(text(item, {"id"}))] = parse_public_address(item);
    for (json& item : arm.list("providers/Microsoft.Network/networkInterfaces")) {
      std::string key = lower(text(item, {"id"}));
      interfaces_.emplace(std::move(key), std::move(item));
    }
    const auto says_nothing = [](const auto& item) { return !item.second.tells_ports; };
    if (std::ranges::any_of(addresses_, says_nothing))
      for (const json& item : arm.list("providers/Microsoft.Network/networkSecurityGroups"))
        opened_[lower(text(item, {"id"}))] = ports_of_rules(at(item, {"properties", "securityRules"}));
    for (const json& item : arm.list("providers/Microsoft.Network/loadBalancers"))
      balanced_[lower(text(item, {"id"}))] = lower(text(
          first(item, {"properties", "frontendIPConfigurations"}), {"properties", "publicIPAddress", "id"}));
  }

  void add_to(HostView& host, const json& vm) const {
    const auto nic = interfaces_.find(
        lower(text(first(vm, {"properties", "networkProfile", "networkInterfaces"}), {"id"})));
    if (nic == interfaces_.end()) return;
    host.interface_id = text(nic->second, {"id"});
    host.security_group_id = text(nic->second, {"properties", "networkSecurityGroup", "id"});
    const json& configuration = first(nic->second, {"properties", "ipConfigurations"});
    host.private_address = text(configuration, {"properties", "privateIPAddress"});
    host.subnet_id = text(configuration, {"properties", "subnet", "id"});
    std::string id = lower(text(configuration, {"properties", "publicIPAddress", "id"}));
    if (id.empty()) {
      const std::string rule =
          lower(text(first(configuration, {"properties", "loadBalancerInboundNatRules"}), {"id"}));
      const auto balancer = balanced_.find(rule.substr(0, rule.find("/inboundnatrules/")));
      if (balancer != balanced_.end()) id = balancer->second;
    }
    const auto address = addresses_.find(id);
    if (address == addresses_.end()) return;
    host.public_address = address->second;
    const auto opened = opened_.find(lower(host.security_group_id));
    if (address->second.tells_ports || opened == opened_.end()) return;
    host.public_address.ports = opened->second;
    if (host.power != "running")
      for (PublicPort& port : host.public_address.ports) port.host_port = 0;
  }

 private:
  std::map<std::string, PublicAddressView> addresses_;
  std::map<std::string, std::vector<PublicPort>> opened_;  ///< by security group
  std::map<std::string, json> interfaces_;
  std::map<std::string, std::string> balanced_;  ///< load balancer -> its public address; ids in lower case
};

}  // namespace

std::uint16_t PublicAddressView::host_port(std::uint16_t port) const {
  for (const PublicPort& candidate : ports)
    if (candidate.port == port && candidate.host_port != 0 && candidate.protocol != "udp")
      return candidate.host_port;
  return port;
}

std::string PublicAddressView::moved_ports() const {
  std::string moved;
  for (const PublicPort& port : ports)
    if (port.host_port != 0 && port.host_port != port.port)
      moved +=
          fmt::format("{}Port {} of {} is open as port {}{}.", moved.empty() ? "" : "\n", port.port, address,
                      port.host_port, port.moved_because.empty() ? "" : " (" + port.moved_because + ")");
  return moved;
}

PublicAddressView parse_public_address(const json& document) {
  PublicAddressView view{.address = text(document, {"properties", "ipAddress"}),
                         .fqdn = text(document, {"properties", "dnsSettings", "fqdn"}),
                         .label = text(document, {"properties", "dnsSettings", "domainNameLabel"}),
                         .id = text(document, {"id"}),
                         .ports = {}};
  view.tells_ports = at(document, {"properties"}).contains("localPorts");
  const json& ports = at(document, {"properties", "localPorts"});
  if (ports.is_array())
    for (const json& item : ports) view.ports.push_back(parse_port(item));
  return view;
}

const HostView::Extension* HostView::docker_extension() const {
  const auto found = std::ranges::find_if(
      extensions, [](const Extension& extension) { return is_docker_extension(extension.handler); });
  return found == extensions.end() ? nullptr : &*found;
}

std::optional<std::uint16_t> HostView::docker_port() const {
  for (const Extension& extension : extensions)
    if (extension.docker_port) return extension.docker_port;
  return tagged_docker_port;
}

std::string HostView::docker_endpoint(bool name_resolves) const {
  const auto port = docker_port();
  const std::string& where =
      name_resolves && !public_address.fqdn.empty() ? public_address.fqdn : public_address.address;
  if (!port || where.empty()) return {};
  return fmt::format("tcp://{}:{}", where, public_address.host_port(*port));
}

std::string HostView::status() const {
  if (same_name(provisioning, "Failed")) return "Failed";
  if (same_name(provisioning, "Creating") || same_name(provisioning, "Deleting")) return provisioning;
  if (!halted.empty()) return "halted";
  return power.empty() ? provisioning : power;
}

bool HostView::can_be_reached() const {
  return power.empty() || power == "running" || (power == "asleep" && public_address.tells_ports);
}

std::string HostView::path() const {
  return fmt::format("resourcegroups/{}/providers/Microsoft.Compute/virtualMachines/{}", group, name);
}

std::vector<HostView> list_hosts(ArmClient& arm) {
  std::vector<HostView> hosts;
  // Azure has no instance views in the lists of a subscription.
  const std::vector<json> vms = arm.list(std::string("providers/Microsoft.Compute/virtualMachines") +
                                         (arm.endpoint().is_public_cloud ? "" : "?$expand=instanceView"));
  if (vms.empty()) return hosts;
  const Addresses addresses(arm);
  for (const json& item : vms) {
    if (!at(item, {"properties", "instanceView"}).is_null()) {
      hosts.push_back(parse_vm(item));
      addresses.add_to(hosts.back(), item);
      continue;
    }
    // Not every cloud has it in lists.
    const auto vm = arm.find(parse_vm(item).path() + "?$expand=instanceView");
    if (!vm) continue;  // deleted since
    hosts.push_back(parse_vm(*vm));
    addresses.add_to(hosts.back(), *vm);
  }
  return hosts;
}

std::optional<HostView> find_host(ArmClient& arm, const std::string& name, const std::string& group) {
  std::vector<HostView> found;
  const std::string label = name.substr(0, name.find('.'));
  for (HostView& host : list_hosts(arm)) {
    const bool named = same_name(host.name, name) || same_name(host.host_tag, label) ||
                       same_name(host.public_address.label, label);
    if (named && (group.empty() || same_name(host.group, group))) found.push_back(std::move(host));
  }
  if (found.empty()) return std::nullopt;
  if (found.size() > 1)
    throw Error(ErrorKind::conflict, "AmbiguousName",
                fmt::format("There are {} VMs named \"{}\"", found.size(), name),
                "Say which one with --resource-group.");
  return std::move(found.front());
}

HostView get_host(ArmClient& arm, const std::string& name, const std::string& group) {
  if (auto host = find_host(arm, name, group)) return *std::move(host);
  throw Error(ErrorKind::not_found, "ResourceNotFound", fmt::format("No VM named \"{}\" was found", name),
              "'azure vm list' shows those that there are.");
}

std::string part_of_id(const std::string& id, const std::string& kind) {
  const std::string low = lower(id), key = "/" + lower(kind) + "/";
  const std::size_t start = low.find(key);
  if (start == std::string::npos) return {};
  const std::size_t from = start + key.size();
  return id.substr(from, id.find('/', from) - from);
}

std::vector<std::string> host_resources(const std::string& group, const ResourceNames& names,
                                        const std::string& vm_name) {
  const std::pair<const char*, const std::string&> all[] = {
      {"Microsoft.Compute/virtualMachines", vm_name},
      {"Microsoft.Network/networkInterfaces", names.interface},
      {"Microsoft.Network/loadBalancers", names.balancer},
      {"Microsoft.Network/publicIPAddresses", names.address},
      {"Microsoft.Network/networkSecurityGroups", names.security_group},
      {"Microsoft.Network/virtualNetworks", names.network},
      {"Microsoft.Compute/disks", names.disk}};
  std::vector<std::string> paths;
  for (const auto& [type, name] : all)
    if (!name.empty()) paths.push_back(fmt::format("resourcegroups/{}/providers/{}/{}", group, type, name));
  return paths;
}

bool hosts_file_knows(const std::string& name, const std::string& address) {
  const auto file = read_file_if_there("/etc/hosts");
  if (!file || name.empty()) return false;
  std::istringstream lines(*file);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string first, word;
    if (!(words >> first)) continue;
    while (words >> word)
      if (same_name(word, name)) return first == address;  // the resolver takes the first line, too
  }
  return false;
}

}  // namespace berth
