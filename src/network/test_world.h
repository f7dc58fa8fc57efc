#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>

#include "host/temporary_folder.h"
#include "network/test_machine.h"
#include "network/virtual_switch.h"

/// For tests: a switch with machines without QEMU, and programs of the host that talk to them.
namespace berth::network {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

/// An address of this process: tests run side by side and must not take each other's ports.
inline const Ipv4 host_address =
    ipv4(127, 100 + (static_cast<unsigned>(::getpid()) >> 16 & 63),
         static_cast<unsigned>(::getpid()) >> 8 & 255, static_cast<unsigned>(::getpid()) & 255);

/// A TCP or UDP socket of the test, at host_address with a port that was free.
struct HostSocket {
  explicit HostSocket(int type) : socket(::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(host_address.bits);
  }
  void bind(Ipv4 at = host_address) {
    address.sin_addr.s_addr = htonl(at.bits);
    socklen_t length = sizeof address;
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length);
  }
  bool connect(std::uint16_t port) {
    address.sin_port = htons(port);
    return ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ||
           errno == EINPROGRESS;
  }
  /// What comes until the end or the first `count` bytes; "reset" when the connection was reset.
  std::string read(const std::function<void()>& work, std::size_t count = SIZE_MAX) {
    std::string text;
    for (const auto end = Clock::now() + test_limit; Clock::now() < end && text.size() < count; work()) {
      char bytes[4096];
      const ssize_t got = ::recv(socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (got > 0) text.append(bytes, static_cast<std::size_t>(got));
      if (got == 0) return text;
      if (got < 0 && errno != EAGAIN && errno != EINPROGRESS && errno != ENOTCONN)
        return errno == ECONNRESET || errno == ECONNREFUSED ? "reset" : text;
    }
    return text;
  }
  void write(std::string_view text) { ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL); }
  std::uint16_t port() const { return ntohs(address.sin_port); }

  Fd socket;
  sockaddr_in address{};
};

/// Whether the system refuses whoever connects to this port of host_address.
inline bool refused(std::uint16_t port) {
  HostSocket client(SOCK_STREAM);
  client.address.sin_port = htons(port);
  ::fcntl(client.socket.get(), F_SETFL, 0);
  return ::connect(client.socket.get(), reinterpret_cast<sockaddr*>(&client.address),
                   sizeof client.address) != 0 &&
         errno == ECONNREFUSED;
}

inline std::uint16_t free_port(int type = SOCK_STREAM) {
  HostSocket probe(type);
  probe.bind();
  return probe.port();
}

/// A switch with machines at its ports, all in this thread: whoever waits makes the switch work.
class VirtualSwitchTest : public testing::Test {
 protected:
  explicit VirtualSwitchTest(std::size_t most_sockets = 1024) : switch_(folder_ / "nat", most_sockets) {
    ::signal(SIGPIPE, SIG_IGN);  // as Nat asks
  }

  static constexpr Ipv4 address_of(unsigned n) { return ipv4(10, 0, 0, 3 + n); }

  SwitchPort port(unsigned n) const {
    SwitchPort port;
    port.id = fmt::format("{:012x}", n);
    port.mac = fmt::format("00:0d:3a:00:00:{:02x}", n);
    port.address = to_string(address_of(n));
    port.host_name = fmt::format("vm{}", n);
    port.machine_socket = folder_ / (port.id + ".sock");
    port.wire_server = folder_ / fmt::format("w{}", n);
    port.host_plugin = folder_ / fmt::format("p{}", n);
    port.metadata = folder_ / fmt::format("m{}", n);
    return port;
  }
  static Forward forward(std::uint16_t host_port, std::uint16_t guest_port,
                         std::vector<std::string> sources = {}) {
    return {Forward::Protocol::tcp, to_string(host_address), host_port, guest_port, std::move(sources)};
  }
  /// A port of the host that now leads to `guest_port` of the first machine.
  std::uint16_t forwarded(std::uint16_t guest_port, std::vector<std::string> sources = {}) {
    const std::uint16_t host_port = free_port();
    config_.ports[0].forwards = {forward(host_port, guest_port, std::move(sources))};
    apply();
    machine(1).listen(guest_port);
    EXPECT_TRUE(come_to(1, 1));
    return host_port;
  }
  /// Waits until so many of the machine's forwarded TCP ports are open.
  bool come_to(int open_ports, unsigned n = 1) {
    for (const auto end = Clock::now() + test_limit; Clock::now() < end; machine(n).receive_any(1ms))
      if (switch_.counters()[config_.ports[n - 1].id]["openPorts"] == open_ports) return true;
    return false;
  }

  /// A switch with `count` connected machines; config_ says what it was given.
  void start(unsigned count) {
    for (unsigned n = 1; n <= count; ++n) config_.ports.push_back(port(n));
    apply();
    for (unsigned n = 1; n <= count; ++n) {
      const DhcpLease lease{
          *parse_mac(config_.ports[n - 1].mac), address_of(n), "", {*parse_cidr("10.0.0.0/16")}};
      machines_.push_back(
          std::make_unique<TestMachine>(config_.ports[n - 1].machine_socket, lease, [this] { work(); }));
      machines_.back()->connect();
    }
  }
  void apply() { switch_.apply(config_); }
  TestMachine& machine(unsigned n) { return *machines_.at(n - 1); }

  void work() {
    set_.clear(5);
    switch_.fill(set_);
    set_.wait();
    switch_.poll(set_);
    for (const auto& endpoint : endpoints_) endpoint->serve();
  }
  /// Rounds of the switch in that time, of up to 5 ms each when it has nothing to do.
  int rounds_in(std::chrono::milliseconds time) {
    int rounds = 0;
    for (const auto end = Clock::now() + time; Clock::now() < end; ++rounds) work();
    return rounds;
  }
  void work_for(std::chrono::milliseconds time) {
    for (const auto end = Clock::now() + time; Clock::now() < end;) work();
  }
  TestEndpoint& serve(const std::filesystem::path& socket, std::string text, int backlog = 64) {
    return *endpoints_.emplace_back(std::make_unique<TestEndpoint>(socket, std::move(text), backlog));
  }

  nlohmann::json counter(const char* name, unsigned n = 1) const {
    return switch_.counters()[config_.ports[n - 1].id][name];
  }

  Bytes hello(unsigned from, unsigned to, const Bytes& data = {'h', 'i'}) {
    return udp_frames(machine(from).self(1000), machine(to).self(2000), data).front();
  }
  bool reaches(unsigned from, unsigned to) {
    machine(from).send(hello(from, to));
    return machine(to).receive([&](const Ipv4Packet& p) { return p.source == address_of(from); }).has_value();
  }
  std::string fetch(unsigned n, Ipv4 address, std::uint16_t port, std::uint16_t own_port = 40'000) {
    TestTcp connection(machine(n), machine(n).self(own_port), machine(n).outside(address, port));
    if (!connection.open()) return connection.was_reset() ? "refused" : "no answer";
    connection.send("GET / HTTP/1.1\r\n\r\n");
    std::string text = connection.read_all();
    connection.finish();
    return text;
  }

  TemporaryFolder folder_;
  SwitchConfig config_;
  VirtualSwitch switch_;
  PollSet set_;
  std::vector<std::unique_ptr<TestMachine>> machines_;
  std::vector<std::unique_ptr<TestEndpoint>> endpoints_;
};

}  // namespace berth::network
