#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace berth {

/// A port of this host that leads to a port of a VM.
struct Forward {
  enum class Protocol { tcp, udp };
  Protocol protocol = Protocol::tcp;
  std::string host_address;  ///< 127.x.y.z
  std::uint16_t host_port = 0;
  std::uint16_t guest_port = 0;
  std::vector<std::string> sources;  ///< CIDR blocks that may connect; empty: everyone on this host
  bool operator==(const Forward&) const = default;
  auto operator<=>(const Forward&) const = default;
};

/// One network interface of a VM as the switch sees it.
struct SwitchPort {
  std::string id;         ///< unique in the network; 12 hexadecimal digits
  std::string mac;        ///< "00:0d:3a:…"
  std::string address;    ///< IPv4, handed out by DHCP for ever
  std::string host_name;  ///< DHCP option 12
  /// Unix stream socket where the machine listens and the switch connects, again and again, so that either
  /// may be restarted alone: -netdev stream,id=n0,server=on,addr.type=unix,addr.path=THIS (QEMU 7.2; it
  /// listens again when its peer is gone, with 40 of 40 reconnects clean under full load). Framing: 4 bytes
  /// length, big endian, then the Ethernet frame. At most 107 bytes.
  std::filesystem::path machine_socket;
  /// Unix sockets of the guest endpoints; one connection per guest connection. Empty: refused.
  std::filesystem::path wire_server;  ///< 168.63.129.16:80
  std::filesystem::path host_plugin;  ///< 168.63.129.16:32526
  std::filesystem::path metadata;     ///< 169.254.169.254:80
  /// Its machine sleeps, when this is not empty: its ports are open, who connects is held, and an HTTP POST to this
  /// unix socket says that somebody wants it, again and again until the path is taken away. What is under way through
  /// its NAT and its ports stands still meanwhile, and goes on then.
  std::filesystem::path wake;
  std::vector<Forward> forwards;
  bool operator==(const SwitchPort&) const = default;
};

/// What VMs may reach beyond their network and the guest endpoints.
struct Egress {
  enum class Policy {
    internet,  ///< public addresses and `hosts`; not this host, nor its networks, nor private ones
    full,      ///< all but loopback and link-local: services of this host and of its networks, too
    none,
    hosts  ///< only `hosts`
  };
  Policy policy = Policy::internet;
  std::vector<std::string> hosts;  ///< names or addresses; names are resolved again every minute
  bool operator==(const Egress&) const = default;
};

/// The whole wanted state of one virtual network. apply() is given all of it each time.
struct SwitchConfig {
  std::string subnet = "10.0.0.0/16";  ///< CIDR; .1 is the gateway, .3 the name server; IPv4
  Egress egress;
  std::vector<SwitchPort> ports;
  bool operator==(const SwitchConfig&) const = default;
};

/// What the switch made of it.
struct SwitchReport {
  struct Refused {
    std::string port;  ///< SwitchPort::id
    Forward forward;
    std::string why;  ///< "address in use", "permission denied", …
  };
  std::vector<Refused> refused;           ///< forwards that could not be opened; all others are open
  std::map<std::string, bool> connected;  ///< port id -> its machine is connected
};

/// How often a switch ended that nobody told to end, and how it did last. Its connections were lost each
/// time.
struct SwitchDeaths {
  unsigned count = 0;
  std::string at;   ///< "2026-11-23T21:16:02.123Z"
  std::string why;  ///< "signal 11 (Segmentation fault)", "exit code 1"
  bool operator==(const SwitchDeaths&) const = default;
};

/// Controls the berth-switch processes of one region: for each virtual network a keeper in a session of its
/// own, and the switch, its child, with their state in `home`/net/ID. They outlive this object and this
/// process, and the switch outlives its keeper: the next one takes it up.
class VirtualNetworks {
 public:
  virtual ~VirtualNetworks() = default;

  /// Starts the switch if it does not run, gives it the whole wanted state and returns what came of it. The
  /// configuration is kept on disk: a switch that is started again (restarted by us, after a crash) takes it
  /// up. Throws Error(unavailable) with the last lines of the switch's log when it does not come up in 10 s.
  virtual boost::asio::awaitable<SwitchReport> apply(std::string id, SwitchConfig config) = 0;

  /// Ends the switch and removes its folder. Idempotent.
  virtual boost::asio::awaitable<void> remove(std::string id) = 0;

  /// Removes all but these: for start-up, when an earlier process may have been killed before it removed one.
  virtual boost::asio::awaitable<void> keep(std::set<std::string> ids) = 0;

  /// Sees to it that every switch that should run does, and has a keeper; called every few seconds. Deaths
  /// since the last time are logged.
  virtual boost::asio::awaitable<void> heal() = 0;

  /// nullopt: it never died, or there is no such network.
  virtual std::optional<SwitchDeaths> deaths(const std::string& id) const = 0;

  /// Where machine_socket and the endpoint sockets of port `port` go, short enough for a unix socket.
  virtual std::filesystem::path folder(const std::string& id) const = 0;
};

/// `program` is the berth-switch executable.
std::unique_ptr<VirtualNetworks> make_virtual_networks(boost::asio::any_io_executor executor,
                                                       std::filesystem::path home,
                                                       std::filesystem::path program);

/// For tests and berthd --driver=fake: keeps the configurations, opens nothing; refuses the ports in `taken`.
class FakeVirtualNetworks final : public VirtualNetworks {
 public:
  boost::asio::awaitable<SwitchReport> apply(std::string id, SwitchConfig config) override;
  boost::asio::awaitable<void> remove(std::string id) override;
  boost::asio::awaitable<void> keep(std::set<std::string> ids) override;
  boost::asio::awaitable<void> heal() override;
  std::optional<SwitchDeaths> deaths(const std::string& id) const override;
  std::filesystem::path folder(const std::string& id) const override;

  std::map<std::string, SwitchDeaths> dead;  ///< what deaths() tells
  std::map<std::string, SwitchConfig> networks;
  std::vector<std::uint16_t> taken;
  std::filesystem::path home = "/nonexistent";
};

/// The body of the berth-switch program: serves `folder` until SIGTERM, by a child that is started again when
/// it dies. Log to standard error. Returns the exit code.
int run_switch(const std::filesystem::path& folder);

}  // namespace berth
