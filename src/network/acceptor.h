#pragma once

#include <sys/socket.h>

#include <chrono>

#include "host/fd.h"
#include "network/poll_set.h"

namespace berth::network {

/// A listening socket in the switch's rounds. When the process is out of descriptors the connections that
/// wait keep it readable: then it looks away for a moment, so that the switch does not spin.
class Acceptor {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Acceptor() = default;
  explicit Acceptor(Fd socket) : socket_(std::move(socket)) {}

  int socket() const { return socket_.get(); }
  /// `wanted` false: whoever connects waits in the system's queue.
  void fill(PollSet& set, Time now, bool wanted = true);
  bool ready(const PollSet& set) const { return (set.events(index_) & POLLIN) != 0; }
  /// The next connection, non-blocking; empty when there is none or no descriptor for it. `from` may be
  /// nullptr.
  Fd accept(Time now, sockaddr* from = nullptr, socklen_t* length = nullptr);

 private:
  Fd socket_;
  int index_ = -1;
  Time next_try_{};
};

}  // namespace berth::network
