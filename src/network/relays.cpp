#include "network/relays.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <span>

#include "network/unix_socket.h"

namespace berth::network {
namespace {

constexpr std::chrono::seconds connect_limit{5};
constexpr std::chrono::milliseconds first_retry{2}, longest_retry{200};

bool is_failure(ssize_t count) {
  return count < 0 && errno != EAGAIN && errno != EINTR;
}

}  // namespace

namespace {

/// Whether closing the socket tells its peer of a reset, also when the kernel does it since this process
/// died.
void set_reset_at_close(const Fd& socket, bool reset) {
  const linger now{.l_onoff = reset ? 1 : 0, .l_linger = 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

}  // namespace

void reset_connection(Fd socket) {
  set_reset_at_close(socket, true);
}

void Relays::add(Fd client, std::filesystem::path target, Time now) {
  Relay& relay = relays_.emplace_back();
  relay.client.socket = std::move(client);
  set_reset_at_close(relay.client.socket, true);  // an end that nobody sent is none
  relay.path = std::move(target);
  int family = AF_UNIX;
  socklen_t length = sizeof family;
  ::getsockopt(relay.client.socket.get(), SOL_SOCKET, SO_DOMAIN, &family, &length);
  relay.of_this_host = family == AF_INET;
  relay.give_up = now + connect_limit;
  if (!connect(relay, now)) {
    reset_connection(std::move(relay.client.socket));
    relays_.pop_back();
  }
}

/// Connects when it is time. False when it is hopeless.
bool Relays::connect(Relay& relay, Time now) {
  if (now < relay.next_try) return true;
  relay.target.socket = connect_unix(relay.path);
  if (relay.target.socket) return true;
  relay.pause = std::clamp(2 * relay.pause, first_retry, longest_retry);
  relay.next_try = now + relay.pause;
  return errno == EAGAIN && now < relay.give_up;
}

void Relays::fill(PollSet& set, Time now) {
  const auto add_side = [&set](Side& side, const Side& other) {
    short events = 0;
    if (side.waiting.empty() && !side.read_all) events |= POLLIN;
    if (!other.waiting.empty()) events |= POLLOUT;
    const bool may_leave = side.read_all && side.waiting.empty();  // poll tells even who asks for nothing
    side.index = events == 0 && !may_leave ? -1 : set.add(side.socket.get(), events);
  };
  for (Relay& relay : relays_) {
    relay.client.index = relay.target.index = -1;
    if (!relay.target.socket) {
      set.wake_within(
          static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(relay.next_try - now).count()));
      continue;
    }
    add_side(relay.client, relay.target);
    add_side(relay.target, relay.client);
  }
}

void Relays::watch(PollSet& set) {
  for (Relay& relay : relays_) {
    relay.target.index = -1;
    const bool asks = relay.of_this_host && !relay.client.read_all;
    relay.client.index = asks ? set.add(relay.client.socket.get(), POLLIN) : -1;
  }
}

bool Relays::called(const PollSet& set) const {
  return std::ranges::any_of(relays_, [&](const Relay& relay) {
    char byte = 0;
    return (set.events(relay.client.index) & POLLIN) != 0 &&
           ::recv(relay.client.socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
  });
}

void Relays::poll(const PollSet& set, Time now) {
  for (auto at = relays_.begin(); at != relays_.end();) {
    Relay& relay = *at;
    bool healthy = relay.target.socket ? carry(set, relay.client, relay.target, buffer_) &&
                                             carry(set, relay.target, relay.client, buffer_)
                                       : connect(relay, now);
    if (!healthy) {
      reset_connection(std::move(relay.client.socket));
      if (relay.target.socket) reset_connection(std::move(relay.target.socket));
    }
    const bool done = relay.client.read_all && relay.target.read_all && relay.client.waiting.empty() &&
                      relay.target.waiting.empty();
    const bool pointless = has_left(set, relay.client) || has_left(set, relay.target);
    if (healthy && (done || pointless)) set_reset_at_close(relay.client.socket, false);
    at = !healthy || done || pointless ? relays_.erase(at) : std::next(at);
  }
}

/// It sent its end, which was passed on, and takes nothing any more either: it is not half closed, but gone.
bool Relays::has_left(const PollSet& set, const Side& side) {
  return side.read_all && side.waiting.empty() && (set.events(side.index) & (POLLHUP | POLLERR)) != 0;
}

/// What `from` sent goes to `to`. False when either connection broke.
bool Relays::carry(const PollSet& set, Side& from, Side& to, std::span<std::uint8_t> buffer) {
  std::span<const std::uint8_t> bytes;
  if (!from.waiting.empty()) {
    if ((set.events(to.index) & (POLLOUT | POLLERR | POLLHUP)) == 0) return true;
    bytes = std::span<const std::uint8_t>(from.waiting).subspan(from.written);
  } else {
    if (from.read_all || (set.events(from.index) & (POLLIN | POLLERR | POLLHUP)) == 0) return true;
    const ssize_t count = ::read(from.socket.get(), buffer.data(), buffer.size());
    if (is_failure(count)) return false;
    if (count == 0) {
      from.read_all = true;
      ::shutdown(to.socket.get(), SHUT_WR);
    }
    if (count <= 0) return true;
    bytes = buffer.first(static_cast<std::size_t>(count));
  }
  const ssize_t count = ::send(to.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (is_failure(count)) return false;
  const std::size_t sent = count > 0 ? static_cast<std::size_t>(count) : 0;
  if (!from.waiting.empty()) {
    from.written += sent;
    if (from.written == from.waiting.size()) {
      from.waiting = {};
      from.written = 0;
    }
  } else if (sent < bytes.size()) {
    const auto rest = bytes.subspan(sent);
    from.waiting.assign(rest.begin(), rest.end());
    from.written = 0;
  }
  return true;
}

}  // namespace berth::network
