#include "network/nat.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <slirp/libslirp.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"

namespace berth::network {
namespace {

in_addr to_in_addr(Ipv4 address) {
  return {htonl(address.bits)};
}

/// libslirp compares whole sockaddr_storage objects.
sockaddr_storage unix_address(const std::filesystem::path& path) {
  sockaddr_storage storage{};
  auto* address = reinterpret_cast<sockaddr_un*>(&storage);
  address->sun_family = AF_UNIX;
  std::strncpy(address->sun_path, path.c_str(), sizeof address->sun_path - 1);
  return storage;
}

// So many sockets of one machine are served before the others have their turn.
constexpr int most_ready = 4;

}  // namespace

struct Nat::Callbacks {
  static Nat& self(void* opaque) { return *static_cast<Nat*>(opaque); }

  static ssize_t send_packet(const void* bytes, std::size_t length, void* opaque) {
    Nat& nat = self(opaque);
    const auto* at = static_cast<const std::uint8_t*>(bytes);
    nat.frame_.assign(at, at + length);
    if (const auto packet = parse_ipv4_packet(nat.frame_)) nat.guard_.from_nat(*packet, nat.now_);
    nat.deliver_(nat.frame_);
    return static_cast<ssize_t>(length);
  }
  static void guest_error(const char* what, void*) { spdlog::debug("guest error: {}", what); }
  static std::int64_t clock(void*) {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  // Timers serve IPv6 router advertisements only, which are off.
  static void* timer_new(SlirpTimerCb, void*, void* self) { return self; }
  static void timer_free(void*, void*) {}
  static void timer_mod(void*, std::int64_t, void*) {}
  static void notify(void*) {}
  static void opened(int fd, void* opaque) {
    if (fd < 0) return;
    // Its UDP sockets block otherwise, and with them the whole switch.
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    self(opaque).guard_.opened(fd);
  }
  static void closed(int fd, void* opaque) {
    Nat& nat = self(opaque);
    if (fd >= 0 && static_cast<std::size_t>(fd) < nat.watched_.size()) {
      if (nat.watched_[static_cast<std::size_t>(fd)].events != 0) {
        ::epoll_ctl(nat.epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
        std::erase(nat.in_set_, fd);
      }
      nat.watched_[static_cast<std::size_t>(fd)] = {};
    }
    nat.guard_.closed(fd);
  }

  static int add_poll(int fd, int events, void* opaque) {
    Nat& nat = self(opaque);
    if (!nat.read_) events &= ~(SLIRP_POLL_IN | SLIRP_POLL_PRI | SLIRP_POLL_HUP);
    if ((events & (SLIRP_POLL_IN | SLIRP_POLL_OUT)) == 0) return -1;
    nat.watch(fd, events);
    return fd;
  }
  /// libslirp reads whenever it is told of an error or a hang-up, even where it asked for neither and has no
  /// room, and then does not write. So it is told only what it asked for: whoever waits to read finds the end
  /// by reading, whoever waits to write by writing. Urgent data is read like any other.
  static int events(int fd, void* opaque) {
    Nat& nat = self(opaque);
    const Watched& watched = nat.watched_[static_cast<std::size_t>(fd)];
    constexpr std::uint32_t ended = EPOLLERR | EPOLLHUP;
    int result = 0;
    if ((watched.wanted & SLIRP_POLL_IN) && (watched.happened & (EPOLLIN | ended))) result |= SLIRP_POLL_IN;
    if ((watched.wanted & SLIRP_POLL_OUT) && (watched.happened & (EPOLLOUT | ended)))
      result |= SLIRP_POLL_OUT;
    return result;
  }
};

Nat::Nat(const DhcpLease& lease, std::function<void(std::span<std::uint8_t>)> deliver)
    : deliver_(std::move(deliver)),
      callbacks_(std::make_unique<SlirpCb>()),
      subnet_(lease.subnet),
      machine_(lease.address),
      guard_(subnet_.hidden()),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_)
    throw Error(
        ErrorKind::unavailable, "NatUnavailable",
        fmt::format("No epoll descriptor for the NAT of {}: {}.", to_string(machine_), std::strerror(errno)),
        "Raise the limit of open files (ulimit -n).");
  callbacks_->send_packet = Callbacks::send_packet;
  callbacks_->guest_error = Callbacks::guest_error;
  callbacks_->clock_get_ns = Callbacks::clock;
  callbacks_->timer_new = Callbacks::timer_new;
  callbacks_->timer_free = Callbacks::timer_free;
  callbacks_->timer_mod = Callbacks::timer_mod;
  callbacks_->register_poll_fd = Callbacks::opened;
  callbacks_->unregister_poll_fd = Callbacks::closed;
  callbacks_->notify = Callbacks::notify;

  SlirpConfig config{};
  config.version = 4;
  config.in_enabled = true;
  config.vnetwork = to_in_addr(subnet_.block.first);
  config.vnetmask = {htonl(subnet_.block.mask())};
  config.vhost = to_in_addr(subnet_.gateway());
  config.vnameserver = to_in_addr(subnet_.name_server());
  config.vdhcp_start = to_in_addr(machine_);
  config.disable_host_loopback = true;
  config.disable_dhcp = true;
  slirp_ = slirp_new(&config, callbacks_.get(), this);
  if (!slirp_) throw Error(ErrorKind::internal, "NatUnavailable", "libslirp refused its configuration.");

  // It never needs to ask the machine for its hardware address.
  for (const Ipv4 face : {machine_, subnet_.hidden()}) give_to_libslirp(arp_announcement(lease.mac, face));
}

Nat::~Nat() {
  slirp_cleanup(slirp_);
}

void Nat::serve(Endpoint endpoint, const std::filesystem::path& socket) {
  in_addr address = to_in_addr(subnet_.hidden());
  if (slirp_add_unix(slirp_, socket.c_str(), &address, hidden_port(endpoint)) != 0)
    throw Error(ErrorKind::internal, "NatUnavailable",
                fmt::format("libslirp refused the guest endpoint {}.", socket.string()));
}

bool Nat::listen(const std::filesystem::path& socket, std::uint16_t guest_port) {
  ::unlink(socket.c_str());
  const sockaddr_storage host = unix_address(socket);
  sockaddr_in guest{};
  guest.sin_family = AF_INET;
  guest.sin_addr = to_in_addr(machine_);
  guest.sin_port = htons(guest_port);
  changed_ = true;
  return slirp_add_hostxfwd(slirp_, reinterpret_cast<const sockaddr*>(&host), sizeof(sockaddr_un),
                            reinterpret_cast<const sockaddr*>(&guest), sizeof guest, 0) == 0;
}

void Nat::stop_listening(const std::filesystem::path& socket) {
  const sockaddr_storage host = unix_address(socket);
  changed_ = true;
  slirp_remove_hostxfwd(slirp_, reinterpret_cast<const sockaddr*>(&host), sizeof(sockaddr_un), 0);
  ::unlink(socket.c_str());
}

void Nat::give_to_libslirp(std::span<const std::uint8_t> frame) {
  changed_ = true;
  slirp_input(slirp_, frame.data(), static_cast<int>(frame.size()));
  guard_.done();
}

bool Nat::input(std::span<std::uint8_t> frame, Time now) {
  now_ = now;
  auto packet = parse_ipv4_packet(frame);
  if (!packet) return false;
  if (const auto reset = guard_.before(*packet, now)) give_to_libslirp(*reset);
  switch (guard_.from_machine(*packet, now)) {
    case NatGuard::Verdict::pass:
      break;
    case NatGuard::Verdict::refuse:
      frame_ = refuse(frame, *packet, subnet_.gateway_mac(), subnet_.gateway(), Refusal::port_unreachable);
      if (!frame_.empty()) deliver_(frame_);
      return false;
    default:
      return false;
  }
  give_to_libslirp(frame.first(ethernet_header + packet->header_length + packet->payload.size()));
  return true;
}

void Nat::watch(int fd, int wanted) {
  const auto at = static_cast<std::size_t>(fd);
  if (at >= watched_.size()) watched_.resize(at + 1);
  watched_[at].wanted = wanted;
  if (watched_[at].events == 0) in_set_.push_back(fd);
}

/// Makes the epoll set what libslirp asked for.
void Nat::update_watches() {
  std::erase_if(in_set_, [&](int fd) {
    Watched& watched = watched_[static_cast<std::size_t>(fd)];
    const std::uint32_t events = ((watched.wanted & SLIRP_POLL_IN) ? EPOLLIN : 0u) |
                                 ((watched.wanted & SLIRP_POLL_OUT) ? EPOLLOUT : 0u);
    if (events != watched.events) {
      epoll_event event{.events = events, .data = {.fd = fd}};
      ::epoll_ctl(epoll_.get(),
                  events == 0           ? EPOLL_CTL_DEL
                  : watched.events == 0 ? EPOLL_CTL_ADD
                                        : EPOLL_CTL_MOD,
                  fd, &event);
      watched.events = events;
    }
    return events == 0;
  });
}

void Nat::fill(PollSet& set, bool read, Time now) {
  if (changed_ || read != read_ || now >= deadline_) {
    read_ = read;
    due_ = due_ || now >= deadline_;
    if (due_) deadline_ = now + std::chrono::minutes(1);
    for (const int fd : in_set_) watched_[static_cast<std::size_t>(fd)].wanted = 0;
    std::uint32_t timeout = 60'000;
    slirp_pollfds_fill(slirp_, &timeout, Callbacks::add_poll, this);
    update_watches();
    deadline_ = std::min(deadline_, now + std::chrono::milliseconds(timeout));
    changed_ = false;
  }
  set.wake_within(static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(deadline_ - now).count()));
  index_ = in_set_.empty() ? -1 : set.add(epoll_.get(), POLLIN);
}

void Nat::poll(const PollSet& set, Time now) {
  now_ = now;
  const bool ready = (set.events(index_) & POLLIN) != 0;
  if (!ready && !due_) return;
  due_ = false;
  // Not all at once, so that the machines beside it have their turn: who waits is asked first the next time.
  epoll_event happened[most_ready];
  const int count = ready ? ::epoll_wait(epoll_.get(), happened, most_ready, 0) : 0;
  for (int i = 0; i < count; ++i)
    watched_[static_cast<std::size_t>(happened[i].data.fd)].happened = happened[i].events;
  changed_ = true;
  slirp_pollfds_poll(slirp_, 0, Callbacks::events, this);
  for (int i = 0; i < count; ++i) watched_[static_cast<std::size_t>(happened[i].data.fd)].happened = 0;
}

}  // namespace berth::network
