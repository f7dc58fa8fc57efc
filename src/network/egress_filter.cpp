#include "network/egress_filter.h"

#include <algorithm>

namespace berth::network {
namespace {

constexpr std::chrono::hours kept{1};
constexpr std::size_t most_learnt = 65'536;

constexpr Cidr nowhere[] = {
    {ipv4(0, 0, 0, 0), 8},       // "this host": connecting to 0.0.0.0 reaches loopback
    {ipv4(127, 0, 0, 0), 8},     // loopback
    {ipv4(169, 254, 0, 0), 16},  // link-local: a cloud host's own metadata service is there
    {wire_server_address, 32},   // on a cloud host it would be the host's own
    {ipv4(224, 0, 0, 0), 4},     // multicast
    {ipv4(240, 0, 0, 0), 4},     // reserved, and broadcast
};

// What nobody on the internet has: whatever answers there belongs to who runs this host.
constexpr Cidr private_blocks[] = {
    {ipv4(10, 0, 0, 0), 8},     {ipv4(172, 16, 0, 0), 12},
    {ipv4(192, 168, 0, 0), 16}, {ipv4(100, 64, 0, 0), 10},  // between a provider and its customers; VPNs, too
    {ipv4(192, 0, 0, 0), 24},                               // protocol assignments
    {ipv4(198, 18, 0, 0), 15},                              // laboratories
};

bool any_contains(std::span<const Cidr> blocks, Ipv4 address) {
  return std::ranges::any_of(blocks, [&](const Cidr& block) { return block.contains(address); });
}

}  // namespace

EgressFilter::EgressFilter(const Egress& egress) : policy_(egress.policy) {
  if (policy_ != Egress::Policy::hosts && policy_ != Egress::Policy::internet) return;
  for (const std::string& host : egress.hosts) {
    if (const auto block = parse_cidr(host)) {
      blocks_.push_back(*block);
      continue;
    }
    std::string name = host;
    std::ranges::transform(name, name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (name.ends_with('.')) name.pop_back();
    if (!name.empty()) names_.insert(name);
  }
}

bool EgressFilter::allows(Ipv4 address, Time now) const {
  if (any_contains(nowhere, address)) return false;
  switch (policy_) {
    case Egress::Policy::internet: {
      if (std::ranges::find(host_.addresses, address) != host_.addresses.end()) return false;
      const bool is_near = any_contains(private_blocks, address) || any_contains(host_.networks, address);
      return !is_near || is_listed(address, now);
    }
    case Egress::Policy::full:
      return true;
    case Egress::Policy::none:
      return false;
    case Egress::Policy::hosts:
      break;
  }
  return is_listed(address, now);
}

bool EgressFilter::is_listed(Ipv4 address, Time now) const {
  if (any_contains(blocks_, address)) return true;
  const auto found = learnt_.find(address.bits);
  return found != learnt_.end() && now < found->second;
}

void EgressFilter::learn(std::string_view name, std::span<const Ipv4> addresses, Time now) {
  if (!names_.contains(name)) return;
  if (learnt_.size() + addresses.size() > most_learnt)
    std::erase_if(learnt_, [&](const auto& entry) { return entry.second <= now; });
  for (const Ipv4 address : addresses)
    if (learnt_.size() < most_learnt || learnt_.contains(address.bits)) learnt_[address.bits] = now + kept;
}

}  // namespace berth::network
