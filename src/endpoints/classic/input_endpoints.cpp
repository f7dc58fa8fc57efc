#include "endpoints/classic/input_endpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>

#include "endpoints/classic/answers.h"
#include "endpoints/classic/kept_documents.h"
#include "model/names.h"
#include "region/port_rules.h"

namespace berth::classic {
namespace {

using nlohmann::json;

constexpr std::size_t most_rules = 50;
constexpr const char* nobody = "255.255.255.255/32";  ///< an address that no client has

struct Span {
  std::uint64_t first = 0, end = std::uint64_t{1} << 32;  ///< IPv4 addresses; `end` is behind the last
};

Span span_of(const AclRule& rule, const std::string& endpoint) {
  std::uint32_t network = 0;
  unsigned bits = 0;
  if (!parse_cidr(rule.subnet, network, bits))
    throw bad_request(fmt::format("The remote subnet '{}' of rule {} of endpoint '{}' is not an IPv4 block.",
                                  rule.subnet.substr(0, 64), rule.order, endpoint),
                      "Write it as 10.0.0.0/8.");
  return {network, network + (std::uint64_t{1} << (32 - bits))};
}

/// What of `left` is in `span` goes to `taken`; the rest stays.
void take(std::vector<Span>& left, const Span& span, std::vector<Span>& taken) {
  std::vector<Span> rest;
  for (const Span& piece : left) {
    const Span common{std::max(piece.first, span.first), std::min(piece.end, span.end)};
    if (common.first >= common.end) {
      rest.push_back(piece);
      continue;
    }
    taken.push_back(common);
    if (piece.first < common.first) rest.push_back({piece.first, common.first});
    if (common.end < piece.end) rest.push_back({common.end, piece.end});
  }
  left = std::move(rest);
}

std::vector<std::string> blocks_of(std::vector<Span> spans) {
  std::ranges::sort(spans, {}, &Span::first);
  std::vector<Span> merged;
  for (const Span& span : spans)
    if (!merged.empty() && merged.back().end == span.first)
      merged.back().end = span.end;
    else
      merged.push_back(span);
  std::vector<std::string> blocks;
  for (Span span : merged)
    while (span.first < span.end) {
      std::uint64_t size =
          span.first ? std::uint64_t{1} << std::countr_zero(span.first) : std::uint64_t{1} << 32;
      while (span.first + size > span.end) size /= 2;
      blocks.push_back(fmt::format("{}/{}", format_ipv4(static_cast<std::uint32_t>(span.first)),
                                   32 - std::countr_zero(size)));
      span.first += size;
    }
  return blocks;
}

std::vector<std::string> sources_of(std::vector<AclRule> rules, const std::string& endpoint) {
  if (rules.size() > most_rules)
    throw bad_request(fmt::format("Endpoint '{}' has {} access rules; {} are allowed.", endpoint,
                                  rules.size(), most_rules));
  std::ranges::stable_sort(rules, {}, &AclRule::order);
  std::vector<Span> left{Span{}}, permitted, denied;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (i > 0 && rules[i].order == rules[i - 1].order)
      throw bad_request(fmt::format("Endpoint '{}' has two rules of order {}.", endpoint, rules[i].order));
    take(left, span_of(rules[i], endpoint), rules[i].permit ? permitted : denied);
  }
  if (std::ranges::none_of(rules, &AclRule::permit)) permitted = left;
  std::vector<std::string> blocks = blocks_of(std::move(permitted));
  if (blocks == std::vector<std::string>{"0.0.0.0/0"}) return {};
  if (blocks.empty()) return {nobody};
  return blocks;
}

json words_of(const AclRule& rule) {
  return {{"order", rule.order},
          {"permit", rule.permit},
          {"subnet", rule.subnet},
          {"description", rule.description}};
}

std::vector<AclRule> rules_in(const json& words) {
  std::vector<AclRule> rules;
  for (const json& rule : words.value("rules", json::array()))
    rules.push_back({.order = rule.value("order", 0),
                     .permit = rule.value("permit", true),
                     .subnet = rule.value("subnet", ""),
                     .description = rule.value("description", "")});
  return rules;
}

}  // namespace

Endpoint model_endpoint(const InputEndpoint& endpoint) {
  Endpoint out = endpoint.endpoint;
  out.sources = sources_of(endpoint.rules, out.name);
  return out;
}

json endpoint_words(const InputEndpoint& endpoint) {
  json words;
  if (!endpoint.load_balanced_set.empty()) words["set"] = endpoint.load_balanced_set;
  if (!endpoint.distribution.empty()) words["distribution"] = endpoint.distribution;
  if (endpoint.direct_server_return) words["direct"] = true;
  if (endpoint.idle_timeout_minutes) words["idle"] = endpoint.idle_timeout_minutes;
  for (const AclRule& rule : endpoint.rules) words["rules"].push_back(words_of(rule));
  if (const auto& probe = endpoint.probe)
    words["probe"] = {{"path", probe->path},
                      {"port", probe->port},
                      {"protocol", probe->protocol},
                      {"interval", probe->interval_seconds},
                      {"timeout", probe->timeout_seconds}};
  return words;
}

EndpointView endpoint_view(const Endpoint& endpoint, const json& words) {
  EndpointView view{.name = endpoint.name,
                    .protocol = endpoint.protocol,
                    .port = endpoint.public_port,
                    .local_port = endpoint.private_port,
                    .rules = rules_in(words)};
  if (!words.is_object()) return view;
  view.load_balanced_set = words.value("set", "");
  view.distribution = words.value("distribution", "");
  view.direct_server_return = words.value("direct", false);
  view.idle_timeout_minutes = words.value("idle", 0);
  if (sources_of(view.rules, view.name) != endpoint.sources) {
    view.rules.clear();
    for (const std::string& source : endpoint.sources)
      view.rules.push_back({.order = static_cast<int>(view.rules.size()),
                            .permit = true,
                            .subnet = source,
                            .description = {}});
  }
  if (const auto probe = words.find("probe"); probe != words.end() && probe->is_object())
    view.probe = EndpointProbe{.path = probe->value("path", ""),
                               .protocol = probe->value("protocol", ""),
                               .port = probe->value("port", 0),
                               .interval_seconds = probe->value("interval", 0),
                               .timeout_seconds = probe->value("timeout", 0)};
  return view;
}

void check_ports(const Region& region, const CloudService& service, const Vm* own,
                 const std::vector<InputEndpoint>& wanted) {
  for (const Vm* other : roles_of(region, service)) {
    if (other == own) continue;
    for (const EndpointView& taken : endpoints_of(region, service, *other))
      for (const InputEndpoint& one : wanted) {
        if (taken.port != one.endpoint.public_port || taken.protocol != one.endpoint.protocol) continue;
        if (!one.load_balanced_set.empty() && same_name(one.load_balanced_set, taken.load_balanced_set))
          throw conflict(
              fmt::format("The load-balanced set '{}' leads to the role '{}' already: this region does not "
                          "spread connections over several virtual machines.",
                          taken.load_balanced_set, other->name),
              "Choose another public port for this one.");
        throw conflict(
            fmt::format("Port {} is already used by endpoint '{}' of the role '{}' in the deployment.",
                        taken.port, taken.name, other->name),
            "Choose another public port.");
      }
  }
}

void change_endpoints(Region& region, const CloudService& service, const Vm& vm,
                      const std::vector<InputEndpoint>& wanted) {
  const NetworkInterface* found = interface_of(region, vm, service);
  if (!found) throw conflict(fmt::format("The role '{}' has no interface at '{}'.", vm.name, service.name));
  check_ports(region, service, &vm, wanted);
  NetworkInterface nic = *found;
  const std::vector<EndpointView> now = endpoints_of(region, service, vm);
  const auto is_there = [&](const InputEndpoint& one) {
    return std::ranges::find_if(now, [&](const EndpointView& view) {
             return same_name(view.name, one.endpoint.name) && view.port == one.endpoint.public_port &&
                    view.local_port == one.endpoint.private_port && view.protocol == one.endpoint.protocol;
           }) != now.end();
  };
  const auto is_wanted = [&](const EndpointView& view) {
    return std::ranges::any_of(wanted, [&](const InputEndpoint& one) {
      return view.port == one.endpoint.public_port && view.protocol == one.endpoint.protocol;
    });
  };
  const auto is_own = [&](const std::string& protocol, std::uint16_t port) {
    return std::ranges::find_if(nic.endpoints, [&](const Endpoint& endpoint) {
             return endpoint.protocol == protocol && endpoint.public_port == port;
           }) != nic.endpoints.end();
  };
  std::optional<SecurityGroup> rules;
  if (!nic.endpoints_only)
    if (const SecurityGroup* group = region.networks().find<SecurityGroup>(nic.security_group))
      rules = *group;
  bool rules_changed = false;
  for (const EndpointView& view : now) {
    if (is_wanted(view) || is_own(view.protocol, view.port)) continue;
    const std::string port = std::to_string(view.port);
    const std::size_t removed = rules ? std::erase_if(rules->rules,
                                                      [&](const SecurityRule& rule) {
                                                        return same_name(rule.direction, "Inbound") &&
                                                               same_name(rule.access, "Allow") &&
                                                               rule.destination_ports == std::vector{port};
                                                      })
                                      : 0;
    if (removed == 0)
      throw conflict(fmt::format("Port {} of '{}' is opened by security rules for more than this port.",
                                 view.port, vm.name),
                     "Change the rules of its network security group.");
    rules_changed = true;
  }
  std::vector<Endpoint> endpoints;
  for (const InputEndpoint& one : wanted)
    if (nic.endpoints_only || is_own(one.endpoint.protocol, one.endpoint.public_port) || !is_there(one))
      endpoints.push_back(model_endpoint(one));
  if (rules_changed) region.networks().put(std::move(*rules));
  nic.endpoints = std::move(endpoints);
  region.networks().put(std::move(nic));
}

asio::awaitable<Response> update_load_balanced_sets(Classic& classic, const Request& request) {
  Region& region = classic.region;
  if (!same_name(request.parameter("comp"), "UpdateLbSet"))
    throw bad_request(
        fmt::format("The operation '{}' on a deployment is not there.", request.parameter("comp")));
  const std::vector<InputEndpoint> wanted = parse_load_balanced_set(request.body);
  const CloudService service = get_cloud_service(region, param(request, "service"));
  std::vector<Ref> changed;
  for (const Vm* vm : get_deployment_roles(region, service, param(request, "deployment"))) {
    json words = read_document(region, role_table, vm->ref().key());
    std::vector<InputEndpoint> endpoints;
    bool touched = false;
    for (const EndpointView& view : endpoints_of(region, service, *vm)) {
      endpoints.push_back(order_of(view));
      for (const InputEndpoint& one : wanted)
        if (!one.load_balanced_set.empty() && same_name(one.load_balanced_set, view.load_balanced_set)) {
          const std::string name = view.name;  // which the set does not speak of
          endpoints.back() = one;
          endpoints.back().endpoint.name = name;
          words["endpoints"][lower(name)] = endpoint_words(endpoints.back());
          touched = true;
        }
    }
    if (!touched) continue;
    change_endpoints(region, service, *vm, endpoints);
    region.documents().keep(role_table, vm->ref().key(), words.dump());
    changed.push_back(vm->ref());
  }
  if (changed.empty()) throw not_found("The deployment has no load-balanced set of that name.");
  co_return accepted(region.operations().begin(OperationKind::endpoint_update,
                                               "hostedServices/" + service.name,
                                               [&region, changed](std::string) -> asio::awaitable<void> {
                                                 for (const Ref& ref : changed)
                                                   co_await region.networks().settle_ports(ref);
                                               }));
}

asio::awaitable<Response> refuse_load_balancers(Classic&, const Request&) {
  throw bad_request("This region has no internal load balancers.",
                    "Virtual machines of one network reach each other at their private addresses.");
  co_return Response();
}

}  // namespace berth::classic
