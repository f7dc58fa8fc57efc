#pragma once

#include <vector>

#include "host/fd.h"
#include "network/addresses.h"
#include "network/poll_set.h"

namespace berth::network {

/// Where this host stands in IPv4.
struct HostNetworks {
  std::vector<Ipv4> addresses;  ///< its own, of all interfaces
  std::vector<Cidr> networks;   ///< those that its interfaces are in: its LAN, the bridges of containers
  bool operator==(const HostNetworks&) const = default;
};

/// Follows HostNetworks as interfaces come and go (rtnetlink(7)). Its socket is opened once: it goes on
/// working where no other can be opened any more.
class HostNetworksWatch {
 public:
  /// Throws Error(unavailable) when the kernel does not tell.
  HostNetworksWatch();

  const HostNetworks& now() const { return now_; }

  void fill(PollSet& set);
  /// True when now() has changed.
  bool poll(const PollSet& set);

 private:
  HostNetworks ask();
  /// Reads what the kernel sent; with `answer`, up to the end of the answer to ask(). False when that failed.
  bool drain(HostNetworks* answer);

  Fd socket_;
  unsigned asked_ = 0;
  int index_ = -1;
  HostNetworks now_;
};

}  // namespace berth::network
