#include "network/machine_link.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "network/unix_socket.h"

namespace berth::network {
namespace {

using std::chrono::milliseconds;

// A machine that is off costs two tries a second; one whose QEMU just lost us is found at once.
constexpr milliseconds first_pause{20}, longest_pause{500};
constexpr int socket_buffer = 1 << 20;

}  // namespace

void MachineLink::fill(PollSet& set, Time now) {
  index_ = -1;
  if (!socket_) {
    if (now >= next_try_) {
      socket_ = connect_unix(path_);
      pause_ = std::clamp(2 * pause_, first_pause, longest_pause);
      next_try_ = now + pause_;
      if (socket_) {
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &socket_buffer, sizeof socket_buffer);
        spdlog::info("connected machine={}", path_.filename().string());
      }
    }
    if (!socket_) {
      set.wake_within(static_cast<int>(std::chrono::ceil<milliseconds>(next_try_ - now).count()));
      return;
    }
  }
  if (reader_.holds_frame()) set.wake_within(0);
  index_ = set.add(socket_.get(), static_cast<short>(queue_.empty() ? POLLIN : POLLIN | POLLOUT));
}

bool MachineLink::receive(const PollSet& set) {
  if ((set.events(index_) & (POLLIN | POLLHUP | POLLERR)) == 0) return false;
  const auto room = reader_.room();
  const ssize_t count = ::read(socket_.get(), room.data(), room.size());
  if (count > 0) {
    reader_.filled(static_cast<std::size_t>(count));
    pause_ = {};
    return true;
  }
  if (count == 0) drop("it closed the connection");
  if (count < 0 && errno != EAGAIN && errno != EINTR) drop("the connection broke");
  return false;
}

void MachineLink::flush() {
  while (socket_ && !queue_.empty()) {
    const auto bytes = queue_.bytes();
    const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count > 0) {
      queue_.sent(static_cast<std::size_t>(count));
    } else {
      if (errno != EAGAIN && errno != EINTR && errno != ENOBUFS) drop("the connection broke");
      return;
    }
  }
}

void MachineLink::drop(const char* why) {
  spdlog::info("disconnected machine={} why=\"{}\"", path_.filename().string(), why);
  socket_.reset();
  index_ = -1;
  reader_.reset();
  queue_.clear();
}

}  // namespace berth::network
