#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "network/packet.h"
#include "network/rate.h"

namespace berth::network {

/// Stands between one machine and its libslirp, which is old code that trusts its guest in places. What gets
/// past it is whole, its lengths, options and checksums are right, and it is TCP in order, UDP or a ping. It
/// follows each TCP connection, so that libslirp never has to queue a segment: that queue has no bound, and
/// reads past its end. It counts connections from their first SYN on, and lets so many a second begin: one costs
/// the switch, which its neighbours share, far more than a packet does.
class NatGuard {
 public:
  using Time = std::chrono::steady_clock::time_point;

  struct Limits {
    std::size_t connections = 1024;        ///< that the machine opened, to the outside
    std::size_t half_open = 512;           ///< of them, those that are not established yet
    std::size_t datagrams = 512;           ///< UDP ports of the machine, and pings, that wait for answers
    std::size_t more_for_endpoints = 128;  ///< connections beyond the limit, to the guest endpoints
  };

  explicit NatGuard(Ipv4 hidden) : hidden_(hidden) {}
  void set_limits(const Limits& limits) { limits_ = limits; }

  enum class Verdict {
    pass,
    drop,
    refuse,   ///< belongs to no connection: tell the machine by a reset
    too_many  ///< dropped because of a limit
  };
  /// What libslirp must be given before `packet`: a reset in the machine's name for a connection that gives
  /// way, because its ports are used again or because it has been silent longest and there are too many.
  std::optional<Bytes> before(const Ipv4Packet& packet, Time now);
  /// Judges a packet for libslirp. May change it, or shorten it.
  Verdict from_machine(Ipv4Packet& packet, Time now);
  /// Sees each packet that libslirp makes for the machine.
  void from_nat(const Ipv4Packet& packet, Time now);

  /// libslirp has taken the packet, or the reset.
  void done() { current_.reset(); }
  /// libslirp opened or closed a socket; -1: it closes what never had one.
  void opened(int fd);
  void closed(int fd);

  std::size_t connections() const { return connections_.size(); }  ///< forwarded ones included
  std::size_t half_open() const { return half_open_; }
  std::size_t datagrams() const { return datagrams_.size(); }

 private:
  struct Key {
    Ipv4 local, remote;
    std::uint16_t local_port = 0, remote_port = 0;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const;
  };
  struct Connection {
    std::uint32_t first = 0;  ///< the machine's first sequence number
    std::uint32_t next = 0;   ///< of the machine's: what libslirp expects next
    std::uint32_t edge = 0;   ///< of the machine's: what libslirp has room for, in the window it told
    std::uint32_t sent = 0;   ///< of libslirp's: all that it sent
    int fd = -1;
    bool forwarded = false;  ///< comes from outside
    bool answered = false;   ///< the first SYN has its answer
    bool established = false;
    bool machine_ended = false, nat_ended = false;
    Time last{};
    Mac mac{};
  };
  using Connections = std::unordered_map<Key, Connection, Hash>;

  Verdict tcp(Ipv4Packet& packet, Time now);
  Verdict open(const Key& key, Ipv4Packet& packet, const TcpSegment& segment, Time now);
  Verdict content(Connection& connection, Ipv4Packet& packet, const TcpSegment& segment);
  Connections::iterator silent_longest(bool half_open);
  bool at_limit(const Key& key) const;
  void erase(Connections::iterator connection);

  Ipv4 hidden_;
  Limits limits_;
  Connections connections_;
  std::unordered_map<int, Key> by_fd_;
  std::unordered_set<int> datagrams_;
  std::size_t own_ = 0, half_open_ = 0;
  std::optional<Key> current_;  ///< whose packet libslirp is looking at
  int accepted_ = -1;           ///< a socket whose first packet has not been seen
  Time next_eviction_{};
  Rate opens_{1000}, opens_to_endpoints_{1000};  ///< connections that the machine may begin
};

}  // namespace berth::network
