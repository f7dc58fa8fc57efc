#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "network/gateway.h"
#include "network/host_networks.h"
#include "network/host_resolver.h"
#include "network/poll_set.h"
#include "network/relays.h"
#include "network/virtual_network.h"

namespace berth::network {

/// One virtual network at work: carries frames between its machines, and between each and its NAT, by the
/// rules of Gateway. One thread; each round is fill(), PollSet::wait(), poll().
class VirtualSwitch {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `folder` gets sockets that are ours alone. A machine has at most `most_sockets` connections through its
  /// NAT and as many through its forwarded ports; fewer when there are many machines, or this process gets
  /// few descriptors.
  explicit VirtualSwitch(std::filesystem::path folder, std::size_t most_sockets = 1024);
  ~VirtualSwitch();

  /// Becomes what `config` says; ports that stay the same keep their connections. Throws Error(invalid), and
  /// then changes nothing, or Error(unavailable) when this host lacks something: the next call does the rest.
  void apply(const SwitchConfig& config);
  /// Tries to open the forwarded ports that were refused: whoever had them may be gone.
  void retry();
  SwitchReport report() const;
  /// Frames by port and by what became of them, for people.
  nlohmann::json counters() const;

  void fill(PollSet& set);
  void poll(const PollSet& set);

 private:
  struct Port;

  static void fill_asleep(Port& port, PollSet& set, Time now);
  void poll_asleep(Port& port, const PollSet& set, Time now);
  void take(Port& port, std::span<std::uint8_t> frame, Time now);
  void pass(Port& to, std::span<std::uint8_t> frame, Time now);
  void give(Port& port, std::span<const std::uint8_t> frame);
  void give_whole(Port& port, std::span<const std::uint8_t> frame);  ///< in pieces if need be
  void into_nat(Port& port, std::span<std::uint8_t> frame, Time now);
  void from_nat(Port& port, std::span<std::uint8_t> frame, Time now);
  std::size_t share_of_each() const;
  Port* find(const Mac& mac) const;

  std::filesystem::path folder_;
  SwitchConfig config_;
  Gateway gateway_;
  HostResolver resolver_;
  HostNetworksWatch host_networks_;
  std::vector<std::unique_ptr<Port>> ports_;
  std::size_t all_sockets_, most_sockets_;
};

}  // namespace berth::network
