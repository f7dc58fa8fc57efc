#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "network/dhcp.h"
#include "network/packet.h"

namespace berth::network {

/// Finds out which TCP ports of one machine somebody listens at, so that a forwarded port can be refused
/// while nobody does. It begins a connection in the gateway's name and breaks it off at the machine's answer,
/// which no program in the machine sees. No I/O and no clock.
class PortProbes {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit PortProbes(const DhcpLease& lease) : lease_(lease) {}

  /// Watches these ports. New ones are closed until the machine says otherwise.
  void watch(const std::set<std::uint16_t>& ports);
  bool open(std::uint16_t port) const;
  /// The machine has gone: all are closed, and asked again as soon as it is there.
  void machine_left();
  /// The machine stops for as long as it likes: the ports that it was never asked about count as open.
  void machine_pauses();
  /// It goes on: it is asked about all of them at once, and has the usual time to answer.
  void machine_goes_on(Time now);
  /// Asks about this port as soon as may be.
  void doubt(std::uint16_t port, Time now);

  std::optional<Time> next() const;  ///< when due() has something; none: never
  std::vector<Bytes> due(Time now);  ///< frames for the machine
  /// A packet from the machine to the gateway. When it answers a probe: the frame for the machine that ends
  /// it, which may be empty.
  std::optional<Bytes> take(const Ipv4Packet& packet, Time now);

  /// The gateway's ports that probes come from.
  static bool is_probe_port(std::uint16_t port) { return port >= first_port && port < first_port + ports; }

 private:
  static constexpr std::uint16_t first_port = 512, ports = 256;

  struct Probe {
    bool open = false;
    Time next{};      ///< ask then
    Time changed{};   ///< when it was found open or closed
    Time answered{};  ///< last
  };

  static void set_open(Probe& probe, bool open, Time now);

  DhcpLease lease_;
  std::map<std::uint16_t, Probe> probes_;
  std::uint16_t questions_ = 0;
};

}  // namespace berth::network
