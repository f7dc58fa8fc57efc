#include "cli/vm/open_ports.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/error.h"
#include "cli/arm/json_view.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr auto change_limit = 120s;
constexpr int first_priority = 1100, last_priority = 4096;

Error wrong_port(const std::string& text) {
  return Error(
      ErrorKind::invalid, "InvalidParameter", fmt::format("'{}' is no port", text),
      "A port is 1 to 65535, a range of them, or PUBLIC:MACHINE; with /udp or /tcp: 8080, 8000-8010/udp.");
}

std::uint16_t read_port(const std::string& part, const std::string& text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
  if (error != std::errc() || end != part.data() + part.size() || value < 1 || value > 65535)
    throw wrong_port(text);
  return static_cast<std::uint16_t>(value);
}

/// Where a resource is below its subscription: what ArmClient takes.
std::string path_below(const std::string& id) {
  const std::size_t group = lower(id).find("/resourcegroups/");
  return group == std::string::npos ? id : id.substr(group + 1);
}

std::string range_text(std::uint16_t from, std::uint16_t to) {
  return from == to ? std::to_string(from) : fmt::format("{}-{}", from, to);
}

void change(ArmClient& arm, const std::string& path, const json& body) {
  arm.wait(arm.put(path, body), path, change_limit);
}

std::string security_group_path(const HostView& host) {
  if (host.security_group_id.empty())
    throw Error(
        ErrorKind::conflict, "NoSecurityGroup",
        fmt::format("The interface of {} has no security group, whose rules would open ports.", host.name),
        "Give it one: az network nic update --network-security-group");
  return path_below(host.security_group_id);
}

/// The load balancer that the host stands behind; a null document without one.
json balancer_of(ArmClient& arm, const json& nic) {
  const json& configurations = at(nic, {"properties", "ipConfigurations"});
  if (!configurations.is_array() || configurations.empty()) return nullptr;
  const json& rules = at(configurations.front(), {"properties", "loadBalancerInboundNatRules"});
  if (!rules.is_array() || rules.empty()) return nullptr;
  const std::string id = text(rules.front(), {"id"});
  const std::size_t end = lower(id).find("/inboundnatrules/");
  return end == std::string::npos ? json(nullptr) : arm.get(path_below(id.substr(0, end)));
}

json nic_of(ArmClient& arm, const HostView& host) {
  return host.interface_id.empty() ? json(nullptr) : arm.get(path_below(host.interface_id));
}

/// What a rule of a security group opens; none if it closes, is for what leaves, or names no ports of its own.
std::vector<OpenPort> ports_of_rule(const json& rule) {
  std::vector<OpenPort> ports;
  const json& properties = at(rule, {"properties"});
  if (!same_name(text(properties, {"access"}), "Allow") ||
      !same_name(text(properties, {"direction"}), "Inbound"))
    return ports;
  std::vector<std::string> ranges;
  if (const std::string one = text(properties, {"destinationPortRange"}); !one.empty()) ranges.push_back(one);
  if (const json& several = at(properties, {"destinationPortRanges"}); several.is_array())
    for (const json& range : several)
      if (range.is_string()) ranges.push_back(range.get<std::string>());
  const std::string protocol = lower(text(properties, {"protocol"}));
  std::string source = text(properties, {"sourceAddressPrefix"});
  if (source.empty()) source = "several";
  for (const std::string& range : ranges) {
    OpenPort port{
        .name = text(rule, {"name"}), .protocol = protocol == "*" ? "any" : protocol, .source = source};
    if (range == "*") {
      port.from = port.guest_port = 1;
      port.to = 65535;
    } else {
      const std::size_t dash = range.find('-');
      port.from = port.guest_port = read_port(range.substr(0, dash), range);
      port.to = dash == std::string::npos ? port.from : read_port(range.substr(dash + 1), range);
    }
    ports.push_back(std::move(port));
  }
  return ports;
}

json make_rule(const OpenPort& port, int priority) {
  const std::uint16_t last = static_cast<std::uint16_t>(port.guest_port + (port.to - port.from));
  return {{"properties",
           {{"description", "Opened by azure"},
            {"protocol", port.protocol == "udp" ? "Udp" : "Tcp"},
            {"sourceAddressPrefix", port.source},
            {"sourcePortRange", "*"},
            {"destinationAddressPrefix", "*"},
            {"destinationPortRange", range_text(port.guest_port, last)},
            {"access", "Allow"},
            {"priority", priority},
            {"direction", "Inbound"}}}};
}

int free_priority(const json& group) {
  std::set<int> taken;
  for (const json& rule : at(group, {"properties", "securityRules"}))
    taken.insert(at(rule, {"properties", "priority"}).get<int>());
  for (int priority = first_priority; priority <= last_priority; ++priority)
    if (!taken.contains(priority)) return priority;
  throw Error(ErrorKind::conflict, "TooManyRules", "The security group has no free priority left.",
              "Close ports first.");
}

/// One rule of the balancer a port, and the interface is behind each.
void lead_through_balancer(ArmClient& arm, json balancer, json nic, const OpenPort& port) {
  const std::string id = text(balancer, {"id"});
  json& rules = balancer["properties"]["inboundNatRules"];
  json& references = nic["properties"]["ipConfigurations"][0]["properties"]["loadBalancerInboundNatRules"];
  const json front = {{"id", text(balancer["properties"]["frontendIPConfigurations"][0], {"id"})}};
  for (unsigned i = 0; i <= static_cast<unsigned>(port.to - port.from); ++i) {
    const std::string name = i == 0 ? port.name : fmt::format("{}-{}", port.name, i);
    rules.push_back({{"name", name},
                     {"properties",
                      {{"frontendIPConfiguration", front},
                       {"protocol", port.protocol == "udp" ? "Udp" : "Tcp"},
                       {"frontendPort", port.from + i},
                       {"backendPort", port.guest_port + i}}}});
    references.push_back({{"id", id + "/inboundNatRules/" + name}});
  }
  change(arm, path_below(id), balancer);
  change(arm, path_below(text(nic, {"id"})), nic);
}

bool is_rule_of(const std::string& rule, const std::string& name) {
  if (same_name(rule, name)) return true;
  const std::string stem = lower(name) + "-";
  return lower(rule).starts_with(stem) &&
         rule.find_first_not_of("0123456789", stem.size()) == std::string::npos;
}

}  // namespace

OpenPort parse_port_text(const std::string& text) {
  OpenPort port;
  std::string numbers = text.substr(0, text.find('/'));
  if (numbers.size() < text.size()) port.protocol = lower(text.substr(numbers.size() + 1));
  if (port.protocol != "tcp" && port.protocol != "udp") throw wrong_port(text);
  if (const std::size_t colon = numbers.find(':'); colon != std::string::npos) {
    port.from = port.to = read_port(numbers.substr(0, colon), text);
    port.guest_port = read_port(numbers.substr(colon + 1), text);
  } else {
    const std::size_t dash = numbers.find('-');
    port.from = port.guest_port = read_port(numbers.substr(0, dash), text);
    port.to = dash == std::string::npos ? port.from : read_port(numbers.substr(dash + 1), text);
    if (port.to < port.from) throw wrong_port(text);
  }
  port.name = fmt::format("port-{}-{}", range_text(port.from, port.to), port.protocol);
  return port;
}

std::vector<OpenPort> list_open_ports(ArmClient& arm, const HostView& host) {
  std::vector<OpenPort> all;
  const json group = arm.get(security_group_path(host));
  for (const json& rule : at(group, {"properties", "securityRules"}))
    for (OpenPort& port : ports_of_rule(rule)) all.push_back(std::move(port));
  const json balancer = balancer_of(arm, nic_of(arm, host));
  if (!balancer.is_null())
    for (const json& rule : at(balancer, {"properties", "inboundNatRules"})) {
      const std::uint16_t front = static_cast<std::uint16_t>(
                              at(rule, {"properties", "frontendPort"}).get<unsigned>()),
                          back = static_cast<std::uint16_t>(
                              at(rule, {"properties", "backendPort"}).get<unsigned>());
      for (OpenPort& port : all)
        if (port.guest_port == back && port.from == port.to && port.from != front)
          port.from = port.to = front;
    }
  std::ranges::sort(all, {}, [](const OpenPort& port) { return std::tuple(port.from, port.protocol); });
  return all;
}

void open_port(ArmClient& arm, const HostView& host, const OpenPort& port) {
  const std::string group_path = security_group_path(host);
  const json group = arm.get(group_path);
  for (const OpenPort& open : list_open_ports(arm, host)) {
    if (same_name(open.name, port.name))
      throw Error(ErrorKind::conflict, "EndpointExists",
                  fmt::format("{} has an endpoint {} already.", host.name, port.name),
                  "Choose another name, or delete that one.");
    const bool same_protocol = open.protocol == port.protocol || open.protocol == "any";
    if (same_protocol && open.from <= port.to && port.from <= open.to)
      throw Error(ErrorKind::conflict, "PortOpen",
                  fmt::format("{}/{} of {} is open already, by {}.",
                              range_text(std::max(open.from, port.from), std::min(open.to, port.to)),
                              port.protocol, host.name, open.name));
  }
  json nic = nic_of(arm, host);
  json balancer = balancer_of(arm, nic);
  if (balancer.is_null() && port.from != port.guest_port)
    throw Error(
        ErrorKind::invalid, "NotSupported",
        fmt::format("{} cannot lead its port {} to {}: only a load balancer does.", host.name, port.from,
                    port.guest_port),
        fmt::format("Publish the container at that port (docker run -p {0}:…), then open {0}.", port.from));
  if (!balancer.is_null()) lead_through_balancer(arm, std::move(balancer), std::move(nic), port);
  change(arm, group_path + "/securityRules/" + port.name, make_rule(port, free_priority(group)));
}

void close_port(ArmClient& arm, const HostView& host, const std::string& name) {
  const std::string group_path = security_group_path(host);
  const json group = arm.get(group_path);
  std::string found;
  for (const json& rule : at(group, {"properties", "securityRules"}))
    if (same_name(text(rule, {"name"}), name)) found = text(rule, {"name"});
  if (found.empty())
    throw Error(ErrorKind::not_found, "EndpointNotFound",
                fmt::format("{} has no endpoint {}.", host.name, name),
                fmt::format("'azure vm endpoint list {}' shows those that it has.", host.name));
  const std::string rule_path = group_path + "/securityRules/" + found;
  arm.wait(arm.remove(rule_path), rule_path, change_limit);
  json nic = nic_of(arm, host);
  json balancer = balancer_of(arm, nic);
  if (balancer.is_null()) return;
  const std::string id = text(balancer, {"id"});
  json kept = json::array(), references = json::array();
  for (const json& rule : balancer["properties"]["inboundNatRules"])
    if (!is_rule_of(text(rule, {"name"}), found)) kept.push_back(rule);
  if (kept.size() == balancer["properties"]["inboundNatRules"].size()) return;
  json& own = nic["properties"]["ipConfigurations"][0]["properties"]["loadBalancerInboundNatRules"];
  for (const json& reference : own)
    if (!is_rule_of(part_of_id(text(reference, {"id"}), "inboundNatRules"), found))
      references.push_back(reference);
  own = std::move(references);
  balancer["properties"]["inboundNatRules"] = std::move(kept);
  change(arm, path_below(text(nic, {"id"})), nic);
  change(arm, path_below(id), balancer);
}

}  // namespace berth
