#include "region/port_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "model/names.h"

namespace berth {
namespace {

constexpr std::size_t most_ports_of_a_rule = 256;
constexpr std::uint32_t loopback = 0x7f000001;

struct Range {
  int first = 0, last = 65535;
  bool has(int port) const { return port >= first && port <= last; }
  std::size_t size() const { return static_cast<std::size_t>(last - first + 1); }
};

bool parse_number(std::string_view text, int& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

bool parse_range(std::string_view text, Range& range) {
  if (text == "*") return true;
  const auto dash = text.find('-');
  if (!parse_number(text.substr(0, dash), range.first)) return false;
  range.last = range.first;
  if (dash != std::string_view::npos && !parse_number(text.substr(dash + 1), range.last)) return false;
  return range.first >= 0 && range.first <= range.last && range.last <= 65535;
}

bool is_everyone(std::string_view prefix) {
  return prefix == "*" || same_name(prefix, "Internet") || prefix == "0.0.0.0/0" || prefix == "Any";
}

bool speaks_of(const SecurityRule& rule, std::string_view protocol, int port) {
  if (!same_name(rule.direction, "Inbound")) return false;
  if (rule.protocol != "*" && !same_name(rule.protocol, protocol)) return false;
  return std::ranges::any_of(rule.destination_ports, [&](const std::string& text) {
    Range range;
    return parse_range(text, range) && range.has(port);
  });
}

/// Who may come in on one port: false for nobody; sources empty for everyone.
bool admitted(const SecurityGroup* group, std::string_view protocol, int port,
              std::vector<std::string>& sources) {
  if (!group) return true;
  std::vector<const SecurityRule*> rules;
  for (const SecurityRule& rule : group->rules)
    if (speaks_of(rule, protocol, port)) rules.push_back(&rule);
  std::ranges::sort(rules, {}, &SecurityRule::priority);
  std::vector<std::string> some;
  for (const SecurityRule* rule : rules) {
    const bool everyone = std::ranges::any_of(rule->source_prefixes, is_everyone);
    if (same_name(rule->access, "Allow")) {
      if (everyone) return sources.clear(), true;
      for (const std::string& prefix : rule->source_prefixes) {
        std::uint32_t network = 0;
        unsigned bits = 0;
        if (parse_cidr(prefix, network, bits)) some.push_back(prefix);
      }
    } else {
      // Every client of this host's address is the host itself: a refusal of others changes nothing here.
      const bool of_us =
          everyone || std::ranges::any_of(rule->source_prefixes, [](const std::string& prefix) {
            std::uint32_t network = 0;
            unsigned bits = 0;
            return parse_cidr(prefix, network, bits) &&
                   (bits == 0 || ((loopback ^ network) >> (32 - bits)) == 0);
          });
      if (of_us) break;
    }
  }
  sources = some;
  return !some.empty();
}

/// The single ports and small ranges that a group's rules speak of.
void add_candidates(const SecurityGroup* group, std::set<std::uint16_t>& candidates, bool& wide) {
  if (!group) {
    wide = true;
    return;
  }
  for (const SecurityRule& rule : group->rules) {
    if (!same_name(rule.direction, "Inbound") || !same_name(rule.access, "Allow")) continue;
    for (const std::string& text : rule.destination_ports) {
      Range range;
      if (!parse_range(text, range)) continue;
      if (range.size() > most_ports_of_a_rule) {
        wide = true;
        continue;
      }
      for (int port = std::max(range.first, 1); port <= range.last; ++port)
        candidates.insert(static_cast<std::uint16_t>(port));
    }
  }
}

bool serves_udp(const SecurityGroup* group, int port) {
  // Where no rule names UDP itself, forwarding it for every TCP port would only cost sockets.
  return group && std::ranges::any_of(group->rules, [&](const SecurityRule& rule) {
           return same_name(rule.protocol, "Udp") && same_name(rule.access, "Allow") &&
                  speaks_of(rule, "udp", port);
         });
}

std::vector<std::string> both(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  std::vector<std::string> common;
  std::ranges::copy_if(a, std::back_inserter(common),
                       [&](const std::string& prefix) { return std::ranges::find(b, prefix) != b.end(); });
  return common;
}

}  // namespace

const std::vector<std::uint16_t>& common_ports() {
  static const std::vector<std::uint16_t> ports{
      22,   25,   53,   80,   110,  143,  443,  465,  587,  993,  995,  1433, 2375, 2376, 2377, 3000,
      3306, 3389, 4243, 5000, 5432, 5672, 6379, 6443, 8000, 8080, 8081, 8443, 9000, 9090, 27017};
  return ports;
}

std::vector<OpenPort> open_ports(const NetworkInterface& nic, const SecurityGroup* of_interface,
                                 const SecurityGroup* of_subnet, const std::vector<std::uint16_t>& named) {
  std::vector<OpenPort> open;
  const bool balanced = std::ranges::any_of(nic.configurations, &IpConfiguration::balanced);
  for (const Endpoint& endpoint : nic.endpoints) {
    OpenPort port{lower(endpoint.protocol), endpoint.public_port, endpoint.private_port, endpoint.sources};
    std::vector<std::string> outer, inner;
    // A load balancer's rule leads to the VM's own port, and its security groups have a say there.
    if (balanced && (!admitted(of_interface, port.protocol, port.guest_port, outer) ||
                     !admitted(of_subnet, port.protocol, port.guest_port, inner)))
      continue;
    if (balanced) port.sources = both(outer, inner);
    open.push_back(std::move(port));
  }
  if (balanced || nic.endpoints_only || (!nic.endpoints.empty() && !of_interface && !of_subnet)) return open;

  std::set<std::uint16_t> candidates;
  bool wide = false;
  add_candidates(of_interface, candidates, wide);
  add_candidates(of_subnet, candidates, wide);
  if (wide) {
    candidates.insert(common_ports().begin(), common_ports().end());
    candidates.insert(named.begin(), named.end());
  }
  for (const std::uint16_t port : candidates)
    for (const char* protocol : {"tcp", "udp"}) {
      if (std::string_view(protocol) == "udp" && !serves_udp(of_interface, port) &&
          !serves_udp(of_subnet, port))
        continue;
      if (std::ranges::any_of(
              open, [&](const OpenPort& p) { return p.protocol == protocol && p.public_port == port; }))
        continue;
      std::vector<std::string> outer, inner;
      if (!admitted(of_interface, protocol, port, outer) || !admitted(of_subnet, protocol, port, inner))
        continue;
      std::vector<std::string> sources = both(outer, inner);
      if (sources.empty() && !outer.empty() && !inner.empty())
        continue;  // the two groups admit nobody in common
      open.push_back({protocol, port, port, std::move(sources)});
    }
  return open;
}

std::string rule_problem(const SecurityRule& rule) {
  if (rule.priority < 100 || rule.priority > 4096)
    return fmt::format("The priority {} of rule '{}' is not between 100 and 4096.", rule.priority, rule.name);
  const auto one_of = [](std::string_view text, std::initializer_list<std::string_view> all) {
    return std::ranges::any_of(all, [&](std::string_view known) { return same_name(text, known); });
  };
  if (!one_of(rule.protocol, {"*", "Tcp", "Udp", "Icmp", "Esp", "Ah"}))
    return fmt::format("The protocol '{}' of rule '{}' is not one of Tcp, Udp, Icmp, Esp, Ah and *.",
                       rule.protocol, rule.name);
  if (!one_of(rule.access, {"Allow", "Deny"}))
    return fmt::format("The access '{}' of rule '{}' is neither Allow nor Deny.", rule.access, rule.name);
  if (!one_of(rule.direction, {"Inbound", "Outbound"}))
    return fmt::format("The direction '{}' of rule '{}' is neither Inbound nor Outbound.", rule.direction,
                       rule.name);
  for (const auto* ports : {&rule.source_ports, &rule.destination_ports}) {
    if (ports->empty()) return fmt::format("Rule '{}' names no ports.", rule.name);
    for (const std::string& text : *ports) {
      Range range;
      if (!parse_range(text, range))
        return fmt::format("The port range '{}' of rule '{}' is not a port, a range of ports, or *.", text,
                           rule.name);
    }
  }
  for (const auto* prefixes : {&rule.source_prefixes, &rule.destination_prefixes})
    for (const std::string& text : *prefixes) {
      std::uint32_t network = 0;
      unsigned bits = 0;
      const bool tag =
          !text.empty() && ((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z'));
      if (text != "*" && !tag && !parse_cidr(text, network, bits))
        return fmt::format("The address prefix '{}' of rule '{}' is not an address, a block, a tag, or *.",
                           text, rule.name);
    }
  return {};
}

bool parse_ipv4(std::string_view text, std::uint32_t& address) {
  address = 0;
  for (int part = 0; part < 4; ++part) {
    const auto dot = text.find('.');
    if ((part < 3) == (dot == std::string_view::npos)) return false;
    int value = 0;
    const std::string_view digits = text.substr(0, dot);
    if (digits.empty() || digits.size() > 3 || !parse_number(digits, value) || value < 0 || value > 255)
      return false;
    address = address << 8 | static_cast<std::uint32_t>(value);
    text = dot == std::string_view::npos ? std::string_view() : text.substr(dot + 1);
  }
  return true;
}

bool parse_cidr(std::string_view text, std::uint32_t& network, unsigned& bits) {
  const auto slash = text.find('/');
  int length = 32;
  if (slash != std::string_view::npos && !parse_number(text.substr(slash + 1), length)) return false;
  if (length < 0 || length > 32 || !parse_ipv4(text.substr(0, slash), network)) return false;
  bits = static_cast<unsigned>(length);
  if (bits < 32) network &= bits == 0 ? 0 : ~std::uint32_t{0} << (32 - bits);
  return true;
}

std::string format_ipv4(std::uint32_t address) {
  return fmt::format("{}.{}.{}.{}", address >> 24, address >> 16 & 255, address >> 8 & 255, address & 255);
}

}  // namespace berth
