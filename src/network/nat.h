#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <span>

#include "network/dhcp.h"
#include "network/gateway.h"
#include "network/poll_set.h"

struct Slirp;
struct SlirpCb;

namespace berth::network {

/// One machine's way out: a libslirp of its own, a TCP/IP stack in user space whose connections are sockets
/// of this process. Takes frames that the Gateway sends to Path::nat and makes frames for Gateway::from_nat.
/// IPv4 only; its own DHCP server is off; the host's loopback is out of its reach.
class Nat {
 public:
  /// `deliver` gets each frame for the machine, only from within input() and poll().
  Nat(const DhcpLease& lease, std::function<void(std::span<const std::uint8_t>)> deliver);
  Nat(const Nat&) = delete;
  Nat& operator=(const Nat&) = delete;
  ~Nat();

  /// Connections to the endpoint's hidden port become connections to this unix socket. libslirp blocks while
  /// it connects: whoever listens must be this process, with room.
  void serve(Endpoint endpoint, const std::filesystem::path& socket);

  /// Connections to this unix socket become connections to the machine's port, from the gateway's address.
  /// False with errno set when it cannot listen there.
  bool listen(const std::filesystem::path& socket, std::uint16_t guest_port);
  void stop_listening(const std::filesystem::path& socket);

  void input(std::span<const std::uint8_t> frame);

  /// `read` false: takes nothing from the outside in this round, because the machine is too slow for it.
  void fill(PollSet& set, bool read);
  void poll(const PollSet& set);
  /// Sockets that it waited for in the last round.
  std::size_t sockets() const { return sockets_; }

 private:
  struct Callbacks;

  std::function<void(std::span<const std::uint8_t>)> deliver_;
  std::unique_ptr<SlirpCb> callbacks_;
  Slirp* slirp_ = nullptr;
  Subnet subnet_;
  Ipv4 machine_;
  std::size_t sockets_ = 0;
};

}  // namespace berth::network
