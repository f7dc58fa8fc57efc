#pragma once

#include <chrono>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "network/addresses.h"
#include "network/host_networks.h"
#include "network/virtual_network.h"

namespace berth::network {

/// Decides what machines may reach beyond their network (Egress), by address. No I/O: who resolves the names
/// tells it what they are now.
class EgressFilter {
 public:
  using Time = std::chrono::steady_clock::time_point;

  EgressFilter() = default;
  explicit EgressFilter(const Egress& egress);

  /// Where this host stands: what the policy `internet` closes besides private addresses.
  void set_host(HostNetworks host) { host_ = std::move(host); }

  /// True for addresses of the outside world that the policy lets through. Never for what is not the outside
  /// world at all: loopback, link-local, multicast, reserved blocks, the wire server.
  bool allows(Ipv4 address, Time now) const;
  /// True when machines may ask the name server about names that are not their own.
  bool allows_names() const { return policy_ != Egress::Policy::none; }

  /// The allowed names, in lower case; empty unless the policy is `hosts` or `internet`.
  const std::set<std::string, std::less<>>& names() const { return names_; }
  /// `name` leads to these addresses now. Ignored for names that are not allowed. Addresses stay allowed for
  /// an hour after they were last told: connections outlive a name's rotation.
  void learn(std::string_view name, std::span<const Ipv4> addresses, Time now);

 private:
  bool is_listed(Ipv4 address, Time now) const;

  Egress::Policy policy_ = Egress::Policy::none;
  HostNetworks host_;
  std::set<std::string, std::less<>> names_;
  std::vector<Cidr> blocks_;
  std::unordered_map<std::uint32_t, Time> learnt_;  // address -> allowed until
};

}  // namespace berth::network
