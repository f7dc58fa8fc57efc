#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "host/fd.h"
#include "network/dhcp.h"
#include "network/gateway.h"
#include "network/nat_guard.h"
#include "network/poll_set.h"

struct Slirp;
struct SlirpCb;

namespace berth::network {

/// One machine's way out: a libslirp of its own, a TCP/IP stack in user space whose connections are sockets
/// of this process. Takes frames that the Gateway sends to Path::nat and makes frames for Gateway::from_nat.
/// IPv4 only; its own DHCP server is off; the host's loopback is out of its reach. libslirp writes to sockets
/// whose other end may have left: the process must ignore SIGPIPE.
class Nat {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `deliver` gets each frame for the machine and may change it; only from within input() and poll().
  Nat(const DhcpLease& lease, std::function<void(std::span<std::uint8_t>)> deliver);
  Nat(const Nat&) = delete;
  Nat& operator=(const Nat&) = delete;
  ~Nat();

  void set_limits(const NatGuard::Limits& limits) { guard_.set_limits(limits); }

  /// Connections to the endpoint's hidden port become connections to this unix socket. libslirp blocks while
  /// it connects: whoever listens must be this process, with room.
  void serve(Endpoint endpoint, const std::filesystem::path& socket);

  /// Connections to this unix socket become connections to the machine's port, from the gateway's address.
  /// False with errno set when it cannot listen there.
  bool listen(const std::filesystem::path& socket, std::uint16_t guest_port);
  void stop_listening(const std::filesystem::path& socket);

  /// Takes a frame with a whole IPv4 packet, which it may change. Dropped, refused or beyond a limit: false.
  bool input(std::span<std::uint8_t> frame, Time now);

  /// `read` false: takes nothing from the outside in this round, because the machine is too slow for it.
  void fill(PollSet& set, bool read, Time now);
  void poll(const PollSet& set, Time now);
  const NatGuard& guard() const { return guard_; }

 private:
  struct Callbacks;
  /// A socket in the epoll set.
  struct Watched {
    std::uint32_t events = 0;    ///< what the set waits for; 0: not in it
    std::uint32_t happened = 0;  ///< in this round
    int wanted = 0;              ///< by libslirp in this round, in its words
  };

  void give_to_libslirp(std::span<const std::uint8_t> frame);
  void watch(int fd, int wanted);
  void update_watches();

  std::function<void(std::span<std::uint8_t>)> deliver_;
  std::unique_ptr<SlirpCb> callbacks_;
  Slirp* slirp_ = nullptr;
  Subnet subnet_;
  Ipv4 machine_;
  NatGuard guard_;
  Bytes frame_;

  // libslirp may have a thousand sockets with nothing to say: they are looked at only when one has.
  Fd epoll_;
  std::vector<Watched> watched_;  ///< by descriptor
  std::vector<int> in_set_;       ///< descriptors of watched_ that the set has
  int index_ = -1;
  bool changed_ = true;  ///< what it waits for must be asked again
  bool read_ = true;
  Time deadline_{};  ///< of its timers
  bool due_ = false;
  Time now_{};
};

}  // namespace berth::network
