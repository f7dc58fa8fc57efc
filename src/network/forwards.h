#pragma once

#include <filesystem>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "network/acceptor.h"
#include "network/machine_link.h"
#include "network/nat.h"
#include "network/port_probes.h"
#include "network/relays.h"
#include "network/virtual_network.h"

namespace berth::network {

/// Connections to a TCP port of this host, filtered by source and carried to a machine through its NAT. We
/// listen ourselves: libslirp knows no source filter, and queues one connection only. While nobody listens in
/// the machine the port is ours but closed, so that the system refuses whoever connects.
class TcpForward {
 public:
  /// Takes the port, closed. Throws std::system_error when it cannot be had.
  TcpForward(const Forward& forward, Nat& nat, std::filesystem::path inner_socket);
  TcpForward(const TcpForward&) = delete;
  TcpForward& operator=(const TcpForward&) = delete;
  ~TcpForward();

  void set_sources(std::vector<Cidr> sources) { sources_ = std::move(sources); }
  /// Opens the port, or closes it: then those who wait are reset.
  void open(bool open);
  bool is_open() const { return open_; }
  void fill(PollSet& set, const Relays& relays, Relays::Time now, bool wanted = true) {
    door_.fill(set, now, wanted && open_ && !relays.full() && held_.size() < most_held);
  }
  void poll(const PollSet& set, Relays& relays, Relays::Time now);

  /// Instead of poll(), while the machine sleeps: accepts those who may come, and holds them.
  void hold(const PollSet& set, Relays::Time now);
  std::size_t held() const { return held_.size(); }  ///< poll() gives them to the machine, a few at a time

 private:
  static constexpr std::size_t most_held = 64;
  struct Held {
    Fd client;
    Relays::Time give_up{};
  };

  Fd accept(Relays::Time now, bool& any);  ///< empty: it may not come, or there is none

  Nat& nat_;
  std::filesystem::path inner_socket_;
  std::vector<Cidr> sources_;
  Acceptor door_;
  std::list<Held> held_;
  bool open_ = false;
};

class UdpForward;

/// Who talks to one machine through forwarded UDP ports: each client is a port of the gateway for the
/// machine, for as long as they talk and two minutes more.
struct UdpTalks {
  struct Client {
    Ipv4 address;
    std::uint16_t port = 0;
    auto operator<=>(const Client&) const = default;
  };
  using Key = std::pair<const UdpForward*, Client>;
  struct Talk {
    Key key;
    MachineLink::Time last{};
  };

  /// The gateway's port that stands for the client; 0 when there are too many.
  std::uint16_t port_of(const Key& key, MachineLink::Time now);
  void forget(const UdpForward* forward);

  std::map<Key, std::uint16_t> ports;
  std::map<std::uint16_t, Talk> talks;  ///< by the gateway's port
  std::uint16_t next_port = 0;
};

/// Datagrams to a UDP port of this host.
class UdpForward {
 public:
  using Time = MachineLink::Time;
  /// Throws std::system_error when the port cannot be had.
  UdpForward(const Forward& forward, const DhcpLease& lease, UdpTalks& talks);
  UdpForward(const UdpForward&) = delete;
  UdpForward& operator=(const UdpForward&) = delete;
  ~UdpForward() { talks_.forget(this); }

  void set_sources(std::vector<Cidr> sources) { sources_ = std::move(sources); }
  void fill(PollSet& set, bool wanted = true) { index_ = wanted ? set.add(socket_.get(), POLLIN) : -1; }
  void poll(const PollSet& set, MachineLink& link, Time now);
  void answer(const UdpTalks::Client& client, const Ipv4Packet& packet) const;
  /// Whether a datagram of somebody who may send one waits; others are dropped.
  bool called(const PollSet& set) const;

 private:
  DhcpLease lease_;
  UdpTalks& talks_;
  std::uint16_t guest_port_;
  std::vector<Cidr> sources_;
  Fd socket_;
  int index_ = -1;
  std::uint16_t datagrams_ = 0;
};

/// All forwarded ports of one machine.
class Forwards {
 public:
  /// `inner` is the start of the path of sockets between us and libslirp; nobody else may reach them.
  Forwards(Nat& nat, const DhcpLease& lease, std::string inner)
      : nat_(nat), lease_(lease), inner_(std::move(inner)), probes_(lease) {}

  struct Refused {
    Forward forward;
    std::string why;
    bool operator==(const Refused&) const = default;
  };
  /// Closes what is no longer wanted and opens what is new; what stays is not touched. Returns what could not
  /// be opened; it is tried again at the next call. Connections that exist live on.
  std::vector<Refused> set(const std::vector<Forward>& wanted);

  /// How many TCP ports are open: somebody listens in the machine.
  std::size_t open_ports() const;

  /// While `relays` is full new TCP connections wait.
  void fill(PollSet& set, const Relays& relays, Relays::Time now);
  void poll(const PollSet& set, MachineLink& link, Relays& relays, Relays::Time now);

  /// The machine sleeps: until wake() its ports are open, and whoever comes waits. May be called again.
  void sleep();
  void wake(Relays::Time now);
  /// Instead of fill() and poll(). `look`: also at what does not go away by looking at it, which is told once then.
  void fill_asleep(PollSet& set, const Relays& relays, Relays::Time now, bool look);
  bool poll_asleep(const PollSet& set, Relays::Time now);  ///< somebody waits for the machine

  void answer_udp(const Ipv4Packet& packet, Relays::Time now);
  /// Looks at what the machine sends to the gateway by TCP. True: it answered a question of ours, and nobody
  /// else need see it.
  bool take_answer(const Ipv4Packet& packet, MachineLink& link, Relays::Time now);

 private:
  void open_and_close();

  Nat& nat_;
  DhcpLease lease_;
  std::string inner_;
  bool machine_was_there_ = false;
  bool asleep_ = false;
  unsigned opened_ = 0;
  PortProbes probes_;
  std::map<Forward, TcpForward> tcp_;  ///< keys have no sources: those may change while it is open
  UdpTalks talks_;
  std::map<Forward, UdpForward> udp_;
};

std::vector<Cidr> parse_sources(const Forward& forward);  ///< Throws Error(invalid) naming the bad one.

}  // namespace berth::network
