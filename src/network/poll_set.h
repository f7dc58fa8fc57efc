#pragma once

#include <poll.h>

#include <algorithm>
#include <vector>

namespace berth::network {

/// What one round of the switch waits for. Made anew in each round, since libslirp wants it so.
class PollSet {
 public:
  void clear(int timeout_ms) {
    waiting_.clear();
    timeout_ = timeout_ms;
  }
  /// Returns what events() wants.
  int add(int fd, short events) {
    waiting_.push_back({fd, events, 0});
    return static_cast<int>(waiting_.size()) - 1;
  }
  void wake_within(int ms) { timeout_ = std::min(timeout_, std::max(ms, 0)); }

  void wait() {
    if (::poll(waiting_.data(), waiting_.size(), timeout_) < 0)
      for (pollfd& w : waiting_) w.revents = 0;  // interrupted
  }
  /// What happened; nothing for -1.
  short events(int index) const {
    return index < 0 ? short{0} : waiting_[static_cast<std::size_t>(index)].revents;
  }

 private:
  std::vector<pollfd> waiting_;
  int timeout_ = 0;
};

}  // namespace berth::network
