#pragma once

#include <chrono>
#include <filesystem>

#include "host/fd.h"
#include "network/frame_stream.h"
#include "network/poll_set.h"

namespace berth::network {

/// The cable to one machine: connects to the socket where its QEMU listens, again and again, and carries
/// frames.
class MachineLink {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit MachineLink(std::filesystem::path socket) : path_(std::move(socket)) {}

  const std::filesystem::path& path() const { return path_; }
  bool connected() const { return static_cast<bool>(socket_); }
  bool congested() const { return queue_.congested(); }

  /// Queues a frame; false: there is no machine, or it is too slow.
  bool send(std::span<const std::uint8_t> frame) { return connected() && queue_.put(frame); }
  void flush();

  /// It is there now, for certain: the next round connects.
  void expect() { next_try_ = {}; }

  void fill(PollSet& set, Time now);
  /// Hands frames that came to `on_frame(std::span<std::uint8_t>)` for as long as a turn; the others have to
  /// wait for the next round, so that no machine holds up its neighbours.
  template <class OnFrame>
  void poll(const PollSet& set, OnFrame&& on_frame) {
    if (!reader_.holds_frame() && !receive(set)) return;
    const Time end = std::chrono::steady_clock::now() + turn;
    for (unsigned count = 1; const auto frame = reader_.next(); ++count) {
      on_frame(*frame);
      if (count % frames_between_looks == 0 && std::chrono::steady_clock::now() > end) break;
    }
    if (reader_.broken()) drop("it sent a frame of impossible length");
  }

 private:
  static constexpr std::chrono::microseconds turn{100};
  static constexpr unsigned frames_between_looks = 8;

  bool receive(const PollSet& set);
  void drop(const char* why);

  std::filesystem::path path_;
  Fd socket_;
  int index_ = -1;
  FrameReader reader_;
  FrameQueue queue_;
  Time next_try_{};
  std::chrono::milliseconds pause_{};
};

}  // namespace berth::network
