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

}  // namespace

EgressFilter::EgressFilter(const Egress& egress) : policy_(egress.policy) {
  if (policy_ != Egress::Policy::hosts) return;
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
  if (std::ranges::any_of(nowhere, [&](const Cidr& block) { return block.contains(address); })) return false;
  switch (policy_) {
    case Egress::Policy::full:
      return true;
    case Egress::Policy::none:
      return false;
    case Egress::Policy::hosts:
      break;
  }
  if (std::ranges::any_of(blocks_, [&](const Cidr& block) { return block.contains(address); })) return true;
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
