#pragma once

#include <chrono>
#include <filesystem>
#include <list>
#include <span>
#include <vector>

#include "host/fd.h"
#include "network/poll_set.h"

namespace berth::network {

/// Byte streams carried from one socket to another in both directions, each half closed on its own.
class Relays {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Is full with `most` connections; who adds decides what that means.
  explicit Relays(std::size_t most) : most_(most) {}

  /// Carries `client` to the unix socket `target`, and never blocks: waits a while when its queue is full,
  /// resets the client when nobody listens there.
  void add(Fd client, std::filesystem::path target, Time now);

  void fill(PollSet& set, Time now);
  void poll(const PollSet& set, Time now);

  /// Instead of these two, while nothing is to be carried: whether one of this host's clients has something to say.
  void watch(PollSet& set);
  bool called(const PollSet& set) const;
  void set_most(std::size_t most) { most_ = most; }
  std::size_t size() const { return relays_.size(); }
  bool full() const { return size() >= most_; }

 private:
  struct Side {
    Fd socket;
    int index = -1;
    std::vector<std::uint8_t> waiting;  ///< read here, not yet written at the other side
    std::size_t written = 0;
    bool read_all = false;  ///< it sent its end
  };
  struct Relay {
    Side client, target;
    std::filesystem::path path;
    bool of_this_host = false;  ///< its client is, and not the machine
    Time next_try{}, give_up{};
    std::chrono::milliseconds pause{};
  };

  static bool connect(Relay& relay, Time now);
  static bool has_left(const PollSet& set, const Side& side);
  static bool carry(const PollSet& set, Side& from, Side& to, std::span<std::uint8_t> buffer);

  std::size_t most_;
  std::list<Relay> relays_;
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(64 * 1024);
};

/// Closes a TCP or unix connection so that its peer sees a reset, not an end.
void reset_connection(Fd socket);

}  // namespace berth::network
