#include "network/switch_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "network/forwards.h"
#include "network/unix_socket.h"

namespace berth::network {
namespace {

using nlohmann::json;

constexpr int longest_prefix = 29;
constexpr std::size_t longest_id = 32;

std::string_view name_of(Forward::Protocol protocol) {
  return protocol == Forward::Protocol::udp ? "udp" : "tcp";
}

json to_json(const Forward& forward) {
  return {{"protocol", name_of(forward.protocol)},
          {"hostAddress", forward.host_address},
          {"hostPort", forward.host_port},
          {"guestPort", forward.guest_port},
          {"sources", forward.sources}};
}

Forward parse_forward(const json& document) {
  Forward forward;
  forward.protocol =
      document.at("protocol").get<std::string>() == "udp" ? Forward::Protocol::udp : Forward::Protocol::tcp;
  document.at("hostAddress").get_to(forward.host_address);
  document.at("hostPort").get_to(forward.host_port);
  document.at("guestPort").get_to(forward.guest_port);
  document.at("sources").get_to(forward.sources);
  return forward;
}

SwitchPort parse_port(const json& document) {
  SwitchPort port;
  document.at("id").get_to(port.id);
  document.at("mac").get_to(port.mac);
  document.at("address").get_to(port.address);
  document.at("hostName").get_to(port.host_name);
  port.machine_socket = document.at("machineSocket").get<std::string>();
  port.wire_server = document.at("wireServer").get<std::string>();
  port.host_plugin = document.at("hostPlugin").get<std::string>();
  port.metadata = document.at("metadata").get<std::string>();
  port.wake = document.value("wake", "");
  for (const json& forward : document.at("forwards")) port.forwards.push_back(parse_forward(forward));
  return port;
}

std::string_view name_of(Egress::Policy policy) {
  switch (policy) {
    case Egress::Policy::none:
      return "none";
    case Egress::Policy::hosts:
      return "hosts";
    case Egress::Policy::full:
      return "full";
    case Egress::Policy::internet:
      break;
  }
  return "internet";
}

Error wrong(const std::string& happened) {
  return {ErrorKind::invalid, "InvalidNetworkConfiguration", happened};
}

Egress::Policy parse_policy(const std::string& text) {
  for (const auto policy :
       {Egress::Policy::internet, Egress::Policy::full, Egress::Policy::none, Egress::Policy::hosts})
    if (text == name_of(policy)) return policy;
  throw wrong(fmt::format("'{}' is no egress policy.", text));
}

template <class Parse>
auto parse_or_explain(const char* what, Parse&& parse) {
  try {
    return parse();
  } catch (const json::exception& e) {
    throw wrong(fmt::format("The {} of a virtual network cannot be read: {}.", what, e.what()));
  }
}

void check_port(const SwitchPort& port, const Subnet& subnet) {
  const bool plain =
      !port.id.empty() && port.id.size() <= longest_id && std::ranges::all_of(port.id, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
      });
  if (!plain) throw wrong(fmt::format("'{}' is no id of a network port.", port.id));
  const auto mac = parse_mac(port.mac);
  if (!mac || is_group(*mac) || *mac == subnet.gateway_mac() || *mac == Mac{})
    throw wrong(fmt::format("'{}' is no hardware address for port {}.", port.mac, port.id));
  const auto address = parse_ipv4(port.address);
  if (!address || !subnet.block.contains(*address) || *address <= subnet.name_server() ||
      *address == subnet.broadcast())
    throw wrong(
        fmt::format("'{}' is no address for a machine in {}/{}; the first four and the last are taken.",
                    port.address, to_string(subnet.block.first), subnet.block.prefix));
  for (const auto* path :
       {&port.machine_socket, &port.wire_server, &port.host_plugin, &port.metadata, &port.wake})
    if (path->native().size() > longest_socket_path)
      throw wrong(fmt::format("The socket path {} has {} bytes; at most {} are possible.", path->string(),
                              path->native().size(), longest_socket_path));
  if (port.machine_socket.empty()) throw wrong(fmt::format("Port {} has no machine socket.", port.id));
  for (const Forward& forward : port.forwards) {
    if (!parse_ipv4(forward.host_address))
      throw wrong(fmt::format("'{}' is no IPv4 address to forward from.", forward.host_address));
    if (forward.host_port == 0 || forward.guest_port == 0)
      throw wrong(fmt::format("Port {} forwards port 0; ports go from 1 to 65535.", port.id));
    parse_sources(forward);
  }
}

}  // namespace

json to_json(const SwitchConfig& config) {
  json ports = json::array();
  for (const SwitchPort& port : config.ports) {
    json forwards = json::array();
    for (const Forward& forward : port.forwards) forwards.push_back(to_json(forward));
    ports.push_back({{"id", port.id},
                     {"mac", port.mac},
                     {"address", port.address},
                     {"hostName", port.host_name},
                     {"machineSocket", port.machine_socket.string()},
                     {"wireServer", port.wire_server.string()},
                     {"hostPlugin", port.host_plugin.string()},
                     {"metadata", port.metadata.string()},
                     {"wake", port.wake.string()},
                     {"forwards", std::move(forwards)}});
  }
  return {{"subnet", config.subnet},
          {"egress", {{"policy", name_of(config.egress.policy)}, {"hosts", config.egress.hosts}}},
          {"ports", std::move(ports)}};
}

json to_json(const SwitchReport& report) {
  json refused = json::array();
  for (const auto& one : report.refused)
    refused.push_back({{"port", one.port}, {"forward", to_json(one.forward)}, {"why", one.why}});
  return {{"refused", std::move(refused)}, {"connected", report.connected}};
}

SwitchConfig parse_config(const json& document) {
  return parse_or_explain("configuration", [&] {
    SwitchConfig config;
    document.at("subnet").get_to(config.subnet);
    config.egress.policy = parse_policy(document.at("egress").at("policy").get<std::string>());
    document.at("egress").at("hosts").get_to(config.egress.hosts);
    for (const json& port : document.at("ports")) config.ports.push_back(parse_port(port));
    return config;
  });
}

SwitchReport parse_report(const json& document) {
  return parse_or_explain("report", [&] {
    SwitchReport report;
    for (const json& one : document.at("refused"))
      report.refused.push_back({one.at("port").get<std::string>(), parse_forward(one.at("forward")),
                                one.at("why").get<std::string>()});
    document.at("connected").get_to(report.connected);
    return report;
  });
}

void check(const SwitchConfig& config) {
  const auto block = parse_cidr(config.subnet);
  if (!block || block->prefix > longest_prefix || block->prefix < 8)
    throw wrong(
        fmt::format("'{}' is no address block for a virtual network; it takes an IPv4 block from /8 to /{}.",
                    config.subnet, longest_prefix));
  std::set<std::string> ids;
  std::set<Mac> macs;
  std::set<Ipv4> addresses;
  for (const SwitchPort& port : config.ports) {
    check_port(port, {*block});
    if (!ids.insert(port.id).second) throw wrong(fmt::format("Two ports have the id {}.", port.id));
    if (!macs.insert(*parse_mac(port.mac)).second)
      throw wrong(fmt::format("Two ports have the hardware address {}.", port.mac));
    if (!addresses.insert(*parse_ipv4(port.address)).second)
      throw wrong(fmt::format("Two ports have the address {}.", port.address));
  }
}

Subnet subnet_of(const SwitchConfig& config) {
  return {parse_cidr(config.subnet).value_or(Cidr{})};
}

}  // namespace berth::network
