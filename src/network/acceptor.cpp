#include "network/acceptor.h"

#include <cerrno>

namespace berth::network {
namespace {

constexpr std::chrono::milliseconds accept_pause{100};

}  // namespace

void Acceptor::fill(PollSet& set, Time now, bool wanted) {
  index_ = -1;
  if (!wanted) return;
  if (now >= next_try_)
    index_ = set.add(socket_.get(), POLLIN);
  else
    set.wake_within(static_cast<int>(accept_pause.count()));
}

Fd Acceptor::accept(Time now, sockaddr* from, socklen_t* length) {
  for (;;) {
    Fd client(::accept4(socket_.get(), from, length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!client && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (!client && errno != EAGAIN) next_try_ = now + accept_pause;
    return client;
  }
}

}  // namespace berth::network
