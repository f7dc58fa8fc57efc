#include "network/nat.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <slirp/libslirp.h>
#include <spdlog/spdlog.h>
#include <sys/un.h>
#include <unistd.h>

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

struct Round {
  PollSet* set;
  bool read;
  std::size_t sockets;
};

}  // namespace

struct Nat::Callbacks {
  static ssize_t send_packet(const void* bytes, std::size_t length, void* self) {
    static_cast<Nat*>(self)->deliver_({static_cast<const std::uint8_t*>(bytes), length});
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
  static void ignore_fd(int, void*) {}
  static void notify(void*) {}

  static int add_poll(int fd, int events, void* opaque) {
    auto& round = *static_cast<Round*>(opaque);
    ++round.sockets;
    if (!round.read) events &= ~(SLIRP_POLL_IN | SLIRP_POLL_PRI | SLIRP_POLL_HUP);
    short wanted = 0;
    if (events & SLIRP_POLL_IN) wanted |= POLLIN;
    if (events & SLIRP_POLL_OUT) wanted |= POLLOUT;
    if (events & SLIRP_POLL_PRI) wanted |= POLLPRI;
    return wanted == 0 ? -1 : round.set->add(fd, wanted);
  }
  static int events(int index, void* opaque) {
    const short happened = static_cast<const PollSet*>(opaque)->events(index);
    int result = 0;
    if (happened & POLLIN) result |= SLIRP_POLL_IN;
    if (happened & POLLOUT) result |= SLIRP_POLL_OUT;
    if (happened & POLLPRI) result |= SLIRP_POLL_PRI;
    if (happened & POLLERR) result |= SLIRP_POLL_ERR;
    if (happened & POLLHUP) result |= SLIRP_POLL_HUP;
    return result;
  }
};

Nat::Nat(const DhcpLease& lease, std::function<void(std::span<const std::uint8_t>)> deliver)
    : deliver_(std::move(deliver)),
      callbacks_(std::make_unique<SlirpCb>()),
      subnet_(lease.subnet),
      machine_(lease.address) {
  callbacks_->send_packet = Callbacks::send_packet;
  callbacks_->guest_error = Callbacks::guest_error;
  callbacks_->clock_get_ns = Callbacks::clock;
  callbacks_->timer_new = Callbacks::timer_new;
  callbacks_->timer_free = Callbacks::timer_free;
  callbacks_->timer_mod = Callbacks::timer_mod;
  callbacks_->register_poll_fd = Callbacks::ignore_fd;
  callbacks_->unregister_poll_fd = Callbacks::ignore_fd;
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
  for (const Ipv4 face : {machine_, subnet_.hidden()}) input(arp_announcement(lease.mac, face));
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
  return slirp_add_hostxfwd(slirp_, reinterpret_cast<const sockaddr*>(&host), sizeof(sockaddr_un),
                            reinterpret_cast<const sockaddr*>(&guest), sizeof guest, 0) == 0;
}

void Nat::stop_listening(const std::filesystem::path& socket) {
  const sockaddr_storage host = unix_address(socket);
  slirp_remove_hostxfwd(slirp_, reinterpret_cast<const sockaddr*>(&host), sizeof(sockaddr_un), 0);
  ::unlink(socket.c_str());
}

void Nat::input(std::span<const std::uint8_t> frame) {
  slirp_input(slirp_, frame.data(), static_cast<int>(frame.size()));
}

void Nat::fill(PollSet& set, bool read) {
  Round round{&set, read, 0};
  std::uint32_t timeout = 60'000;
  slirp_pollfds_fill(slirp_, &timeout, Callbacks::add_poll, &round);
  set.wake_within(static_cast<int>(timeout));
  sockets_ = round.sockets;
}

void Nat::poll(const PollSet& set) {
  slirp_pollfds_poll(slirp_, 0, Callbacks::events, const_cast<PollSet*>(&set));
}

}  // namespace berth::network
