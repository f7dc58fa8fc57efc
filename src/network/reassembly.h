#pragma once

#include <chrono>
#include <list>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "network/packet.h"

namespace berth::network {

/// Makes whole IPv4 packets of the fragments that one machine sends (RFC 791), so that nothing behind it ever
/// sees a fragment. Whoever sends the fragments may mean harm: what it keeps is bounded in number, bytes and
/// time, and a packet with fragments that overlap is given up (as RFC 5722 has it). No clock.
class Reassembler {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::size_t most_packets = 32;        ///< under way; the oldest gives way
  static constexpr std::size_t most_bytes = 1 << 20;     ///< of all packets under way
  static constexpr std::size_t most_fragments = 128;     ///< of one packet
  static constexpr std::chrono::seconds time_limit{15};  ///< from a packet's first fragment

  /// Takes a frame that holds a fragment. The whole packet's frame when this one made it whole.
  std::optional<Bytes> add(std::span<const std::uint8_t> frame, const Ipv4Packet& packet, Time now);

  std::size_t packets() const { return packets_.size(); }
  std::size_t bytes() const { return bytes_; }

 private:
  struct Key {
    Ipv4 source, destination;
    std::uint16_t id = 0;
    std::uint8_t protocol = 0;
    bool operator==(const Key&) const = default;
  };
  struct Packet {
    Key key;
    Time began;
    Bytes frame;  ///< headers, then as much of the payload as fragments reach
    std::vector<std::pair<std::size_t, std::size_t>> parts;  ///< of the payload that came: [begin, end)
    std::size_t length = 0;  ///< of the payload; 0: the last part has not come
    std::size_t received = 0;
    bool has_first = false;
  };

  void forget(std::list<Packet>::iterator packet);

  std::list<Packet> packets_;  ///< oldest first
  std::size_t bytes_ = 0;
};

}  // namespace berth::network
