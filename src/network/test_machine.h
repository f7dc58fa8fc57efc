#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "host/fd.h"
#include "network/dhcp.h"
#include "network/frame_stream.h"
#include "network/packet.h"

/// For tests: a machine without QEMU, that speaks just enough Ethernet, DHCP, UDP and TCP.
namespace berth::network {

constexpr std::chrono::seconds test_limit{20};  ///< for what takes milliseconds

/// All checksums of an IPv4 frame are right, as a receiver computes them.
bool checksums_hold(Bytes frame);

/// The data of a DHCP message of `type` from a client, with the address it asks for.
Bytes dhcp_message(const Mac& mac, std::uint8_t type, std::optional<Ipv4> requested = {});

/// Listens like QEMU's -netdev stream,server=on: one connection at a time, again after it was lost.
class TestMachine {
 public:
  enum class Side { listens, connects };
  /// `work` makes the switch go on when it is in this process; else it waits a moment.
  TestMachine(std::filesystem::path socket, DhcpLease lease, std::function<void()> work,
              Side side = Side::listens);

  /// From now on somebody listens at this port, as far as the switch can tell: others refuse its questions.
  void listen(std::uint16_t port) { listening_.insert(port); }
  void stop_listening(std::uint16_t port) { listening_.erase(port); }
  /// Says nothing at all, as while it boots.
  void be_silent(bool silent) { silent_ = silent; }
  int questions() const { return questions_; }  ///< of the switch, whether somebody listens

  void connect();     ///< waits for the switch
  void disconnect();  ///< as when QEMU goes
  bool lost();        ///< the switch closed the connection

  void send(const Bytes& frame) { send_raw(framed(frame)); }
  void send_raw(const Bytes& bytes);
  static Bytes framed(const Bytes& frame);

  /// The next frame that matches; what does not match is thrown away. nullopt at the limit.
  std::optional<Bytes> receive(const std::function<bool(const Ipv4Packet&)>& matches,
                               std::chrono::milliseconds limit = test_limit);
  std::optional<Bytes> receive_any(std::chrono::milliseconds limit);

  std::optional<Ipv4> lease();  ///< what DHCP gives, after DISCOVER and REQUEST
  /// Sends a datagram and waits for the answer's data.
  std::optional<Bytes> ask_udp(Ipv4 to, std::uint16_t port, const Bytes& data);

  End self(std::uint16_t port) const { return {lease_.mac, lease_.address, port}; }
  End gateway(std::uint16_t port = 0) const {
    return {lease_.subnet.gateway_mac(), lease_.subnet.gateway(), port};
  }
  End outside(Ipv4 address, std::uint16_t port) const { return {lease_.subnet.gateway_mac(), address, port}; }
  void work() const { work_(); }

 private:
  bool take_frame(Bytes& frame);
  bool answer_question(Bytes& frame);

  std::filesystem::path path_;
  DhcpLease lease_;
  std::function<void()> work_;
  Fd listener_, socket_;
  FrameReader reader_;
  std::set<std::uint16_t> listening_;
  bool silent_ = false;
  int questions_ = 0;
};

/// One TCP connection of a TestMachine: in order, small, no retransmission.
class TestTcp {
 public:
  /// Connects; see open().
  TestTcp(TestMachine& machine, const End& from, const End& to);
  /// Waits for a connection to `port`.
  static std::optional<TestTcp> accept(TestMachine& machine, std::uint16_t port,
                                       std::uint32_t first_sequence = 7'000);

  bool open() const { return open_; }
  bool was_reset() const { return reset_; }
  void send(std::string_view data);
  /// A segment that begins so many bytes after the next one; what it holds counts as not sent.
  void send_ahead(std::uint32_t bytes, std::string_view data);
  void finish();           ///< sends its end
  std::string read_all();  ///< until the other side's end, or reset
  std::string read(std::size_t count);
  /// What the other side has room for, after its next segment; nullopt when none comes.
  std::optional<std::uint16_t> window();

 private:
  TestTcp(TestMachine& machine, const End& from, const End& to, std::uint32_t their_sequence);
  bool next_segment(std::chrono::milliseconds limit = test_limit);

  TestMachine* machine_;
  End from_, to_;
  std::uint32_t sequence_ = 7'000, expected_ = 0;
  bool open_ = false, reset_ = false, ended_ = false;
  std::uint16_t window_ = 0;
  std::string received_;
};

/// A unix socket that answers whatever is sent with a text and closes. It answers within serve().
class TestEndpoint {
 public:
  TestEndpoint(const std::filesystem::path& socket, std::string text, int backlog = 64);
  void serve();
  int served = 0;

 private:
  std::string text_;
  Fd listener_;
  std::vector<Fd> clients_;
};

}  // namespace berth::network
