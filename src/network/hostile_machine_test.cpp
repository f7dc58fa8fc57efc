// What a machine that means harm, or a program that leaves in the middle, must not do to the switch, its
// neighbours and its host. Linked with the real libslirp.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include "network/nat_guard.h"
#include "network/reassembly.h"
#include "network/test_world.h"

namespace berth::network {
namespace {

using HostileMachineTest = VirtualSwitchTest;

Bytes bytes_of_hex(std::string_view hex) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  return bytes;
}

constexpr std::string_view fragments_without_a_first[] = {
    // ICMP to the gateway
    "52550a000001000d3a000001080045000044000700b9400165f50a0000040a000001084141414141414142424242424242424242"
    "4242"
    "42424242424242424242424242424242424242424242",
    // UDP to the outside
    "52550a000001000d3a000001080045000044000700b9401102820a0000040a636301414141414141414142424242424242424343"
    "434343"
    "434343444444444444444445454545454545454545454545454545"};

TEST_F(HostileMachineTest, AFragmentWithoutItsFirstPartHarmsNobody) {
  start(2);
  for (const auto policy : {Egress::Policy::full, Egress::Policy::none}) {
    config_.egress = {policy, {}};
    apply();
    for (const auto hex : fragments_without_a_first)
      for (int i = 0; i < 3; ++i) machine(1).send(bytes_of_hex(hex));
    EXPECT_TRUE(reaches(1, 2));
  }
}

/// The datagram that a machine makes of the frames that come to it.
std::optional<Bytes> receive_datagram(TestMachine& machine, std::uint16_t port) {
  Reassembler pieces;
  for (const auto end = Clock::now() + test_limit; Clock::now() < end;) {
    auto frame = machine.receive([](const Ipv4Packet& p) { return p.is(IpProtocol::udp); });
    if (!frame) break;
    auto packet = parse_ipv4_packet(*frame);
    if (packet->fragment) {
      auto whole = pieces.add(*frame, *packet, Clock::now());
      if (!whole) continue;
      frame = std::move(whole);
      packet = parse_ipv4_packet(*frame);
    }
    EXPECT_TRUE(checksums_hold(*frame));
    if (packet->destination_port == port) return frame;
  }
  return std::nullopt;
}

TEST_F(HostileMachineTest, LargeDatagramsPassAForwardedPortInBothDirections) {
  start(1);
  Forward open = forward(free_port(SOCK_DGRAM), 53);
  open.protocol = Forward::Protocol::udp;
  config_.ports[0].forwards = {open};
  apply();
  for (const std::size_t size : {1472u, 1473u, 4000u, 65'507u}) {
    HostSocket client(SOCK_DGRAM);
    ASSERT_TRUE(client.connect(open.host_port));
    std::string question(size, '?');
    for (std::size_t i = 0; i < size; ++i) question[i] = static_cast<char>(i * 31 + (i >> 8));
    client.write(question);
    auto frame = receive_datagram(machine(1), 53);
    ASSERT_TRUE(frame) << size;
    const auto packet = *parse_ipv4_packet(*frame);
    const auto data = packet.udp_data();
    EXPECT_EQ(std::string(data.begin(), data.end()), question);
    const std::string answer(question.rbegin(), question.rend());
    for (const Bytes& part : udp_frames(machine(1).self(53), machine(1).gateway(packet.source_port),
                                        Bytes(answer.begin(), answer.end()), 77))
      machine(1).send(part);
    std::string got(size + 1, '\0');
    ssize_t count = -1;
    for (const auto end = Clock::now() + test_limit; count < 0 && Clock::now() < end; work())
      count = ::recv(client.socket.get(), got.data(), got.size(), MSG_DONTWAIT);
    ASSERT_EQ(count, static_cast<ssize_t>(size));
    got.resize(size);
    EXPECT_EQ(got, answer);
  }
}

TEST_F(HostileMachineTest, BareSynsAreCountedAndGiveWay) {
  start(2);
  serve(config_.ports[0].wire_server, "wire");
  serve(config_.ports[1].wire_server, "wire of the neighbour");
  for (unsigned i = 0; i < 3000; ++i)
    machine(1).send(tcp_frame(machine(1).self(static_cast<std::uint16_t>(10'000 + i)),
                              machine(1).outside(wire_server_address, 80), {i, 0, tcp_syn}));
  EXPECT_TRUE(reaches(1, 2));
  EXPECT_LE(counter("halfOpen"), 512 + 128);
  EXPECT_GE(counter("halfOpen"), 512);
  EXPECT_LE(counter("natSockets"), 512 + 128);
  EXPECT_EQ(fetch(2, wire_server_address, 80), "wire of the neighbour");
  machine(1).receive([](const Ipv4Packet& p) { return p.destination_port == 12'000; }, 1ms);
  work_for(100ms);
  EXPECT_EQ(fetch(1, wire_server_address, 80), "wire") << "the oldest gave way";
}

TEST(NatGuardTest, LetsSoManyConnectionsASecondBegin) {
  NatGuard guard(ipv4(10, 0, 0, 2));
  guard.set_limits({.connections = 10'000, .half_open = 10'000});
  unsigned sent = 0;
  const auto passed = [&](Ipv4 remote, NatGuard::Time now) {
    int count = 0;
    for (int i = 0; i < 3000; ++i, ++sent) {
      Bytes frame = tcp_frame({{}, ipv4(10, 0, 0, 4), static_cast<std::uint16_t>(1024 + sent)},
                              {{}, remote, 80}, {sent, 0, tcp_syn});
      auto packet = parse_ipv4_packet(frame);
      if (guard.from_machine(*packet, now) == NatGuard::Verdict::pass) ++count;
    }
    return count;
  };
  const auto now = Clock::now();

  EXPECT_EQ(passed(ipv4(198, 51, 100, 7), now), 1000);
  EXPECT_EQ(passed(ipv4(10, 0, 0, 2), now), 1000) << "the guest endpoints have a rate of their own";
  EXPECT_EQ(passed(ipv4(198, 51, 100, 7), now + 500ms), 500);
}

TEST_F(HostileMachineTest, DatagramsFromManyPortsAreCounted) {
  start(2);
  // The outside is an address that discards: what matters is the sockets.
  for (unsigned i = 0; i < 3000; ++i)
    machine(1).send(udp_frames(machine(1).self(static_cast<std::uint16_t>(10'000 + i)),
                               machine(1).outside(ipv4(198, 51, 100, 7), 9), Bytes{1})
                        .front());
  EXPECT_TRUE(reaches(1, 2));
  EXPECT_LE(counter("natSockets"), 512);
}

TEST_F(HostileMachineTest, SharesGetSmallerWhenMachinesAreMany) {
  start(20);
  for (unsigned i = 0; i < 1000; ++i)
    machine(1).send(tcp_frame(machine(1).self(static_cast<std::uint16_t>(10'000 + i)),
                              machine(1).outside(wire_server_address, 80), {i, 0, tcp_syn}));
  EXPECT_TRUE(reaches(1, 2));
  EXPECT_LE(counter("natSockets"), 2048 / 20 + 128);
}

TEST_F(HostileMachineTest, SegmentsOutOfOrderArriveInOrder) {
  start(1);
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(forwarded(4243)));
  auto served = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(served);
  served->send_ahead(5, "world");
  served->send("hello");
  served->send("world");
  EXPECT_EQ(client.read([this] { work(); }, 10), "helloworld");
}

TEST_F(HostileMachineTest, AQueueThatEndsAtTheSequenceNumberZeroHarmsNobody) {
  start(2);
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(forwarded(4243)));
  auto served = TestTcp::accept(machine(1), 4243, static_cast<std::uint32_t>(-5));
  ASSERT_TRUE(served);
  ::shutdown(client.socket.get(), SHUT_WR);
  EXPECT_EQ(served->read_all(), "") << "the other side has ended";
  served->send("last");  // up to 2^32
  EXPECT_THAT(client.read([this] { work(); }), testing::AnyOf("reset", ""));
  EXPECT_TRUE(reaches(1, 2));
}

// A round takes up to 5 ms when there is nothing to do; the switch at its worst did some hundred thousand a
// second.
constexpr auto interval = 300ms;
constexpr int most_rounds = 150;

/// What this process worked in a while.
std::chrono::duration<double> processor_time() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

#define EXPECT_QUIET()                                                                                     \
  do {                                                                                                     \
    work_for(50ms);                                                                                        \
    const auto before = processor_time();                                                                  \
    EXPECT_LT(rounds_in(interval), most_rounds);                                                           \
    EXPECT_LT((processor_time() - before).count(), 0.5 * std::chrono::duration<double>(interval).count()); \
  } while (false)

/// Sends until nobody takes more, and says whether it came to that.
bool fill_up(TestTcp& connection) {
  const std::string piece(1400, 'y');
  for (int i = 0; i < 20'000; ++i) {
    connection.send(piece);
    const auto window = connection.window();
    if (!window || *window < piece.size()) return true;
  }
  return false;
}

TEST_F(HostileMachineTest, AClientThatLeavesWhileOutputComesEndsTheMachinesSide) {
  start(1);
  auto client = std::make_unique<HostSocket>(SOCK_STREAM);
  const int small = 4096;
  ::setsockopt(client->socket.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  ASSERT_TRUE(client->connect(forwarded(4243)));
  auto served = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(served);
  ASSERT_TRUE(fill_up(*served));
  client.reset();
  EXPECT_EQ(served->read_all(), "");
  EXPECT_QUIET();
  served->send("more");
  work_for(20ms);
  EXPECT_QUIET();
  EXPECT_EQ(counter("relays"), 0);
}

TEST_F(HostileMachineTest, AnEndpointThatNobodyServesEndsTheMachinesSide) {
  start(1);
  for (std::uint16_t i = 0; i < 20; ++i) {
    TestTcp connection(machine(1), machine(1).self(static_cast<std::uint16_t>(40'000 + i)),
                       machine(1).outside(wire_server_address, 80));
    ASSERT_TRUE(connection.open());
    connection.send("GET /machine?comp=goalstate HTTP/1.1\r\n\r\n");
    EXPECT_EQ(connection.read_all(), "");
    connection.send("still there?");
  }
  EXPECT_QUIET();
}

TEST_F(HostileMachineTest, AServerOfAnEndpointThatLeavesInTheMiddleEndsTheMachinesSide) {
  start(1);
  std::optional<TestTcp> connection;
  {
    const TestEndpoint stuck(config_.ports[0].wire_server, "", 8);  // is never asked to serve
    connection.emplace(machine(1), machine(1).self(40'000), machine(1).outside(wire_server_address, 80));
    ASSERT_TRUE(connection->open());
    ASSERT_TRUE(fill_up(*connection));
  }
  EXPECT_EQ(connection->read_all(), "");
  EXPECT_QUIET();
}

TEST_F(HostileMachineTest, HalfClosedConnectionsCostNothing) {
  start(1);
  const std::uint16_t port = forwarded(4243);
  HostSocket ended(SOCK_STREAM), waits(SOCK_STREAM);
  ASSERT_TRUE(ended.connect(port));
  auto first = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(ended.connect(port) && waits.connect(port));
  auto second = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(first && second);
  ::shutdown(ended.socket.get(), SHUT_WR);
  EXPECT_EQ(first->read_all(), "");
  second->finish();
  EXPECT_EQ(waits.read([this] { work(); }), "");
  EXPECT_QUIET();
  first->send("late");
  EXPECT_EQ(ended.read([this] { work(); }, 4), "late");
  waits.write("late too");
  EXPECT_EQ(second->read(8), "late too");
}

TEST_F(HostileMachineTest, AMachineThatDoesNotReadOrGoesAwayCostsNothing) {
  start(1);
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(forwarded(4243)));
  auto served = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(served);
  const std::string data(1 << 20, 'x');
  for (int i = 0; i < 16; ++i) {
    client.write(data);
    work();
  }
  EXPECT_QUIET();
  machine(1).disconnect();
  EXPECT_QUIET();
}

TEST_F(HostileMachineTest, APortThatNobodyListensAtIsRefused) {
  start(1);
  const std::uint16_t port = free_port();
  config_.ports[0].forwards = {forward(port, 8080)};
  apply();
  EXPECT_TRUE(refused(port)) << "before anybody asked the machine";
  machine(1).listen(22);
  for (const int asked = machine(1).questions(); machine(1).questions() < asked + 2;)
    machine(1).receive_any(1ms);
  EXPECT_TRUE(refused(port));
  EXPECT_THAT(switch_.report().refused, testing::IsEmpty()) << "it is ours nevertheless";

  machine(1).listen(8080);
  ASSERT_TRUE(come_to(1));
  EXPECT_FALSE(refused(port));
  machine(1).stop_listening(8080);
  ASSERT_TRUE(come_to(0));
  EXPECT_TRUE(refused(port));
}

TEST_F(HostileMachineTest, AClosedPortCannotBeTakenByOthers) {
  start(1);
  const std::uint16_t port = free_port();
  config_.ports[0].forwards = {forward(port, 8080)};
  apply();
  for (const Ipv4 address : {host_address, Ipv4{}}) {
    HostSocket thief(SOCK_STREAM);
    const int on = 1;
    ::setsockopt(thief.socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    thief.address.sin_addr.s_addr = htonl(address.bits);
    thief.address.sin_port = htons(port);
    EXPECT_NE(::bind(thief.socket.get(), reinterpret_cast<sockaddr*>(&thief.address), sizeof thief.address),
              0);
  }
}

TEST_F(HostileMachineTest, AMachineThatRefusesAConnectionResetsTheClientAndClosesItsPort) {
  start(1);
  const std::uint16_t port = forwarded(4243);
  machine(1).stop_listening(4243);
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(port));
  auto syn = machine(1).receive([](const Ipv4Packet& p) { return p.opens_tcp(); });
  ASSERT_TRUE(syn);
  const auto packet = *parse_ipv4_packet(*syn);
  machine(1).send(tcp_frame(machine(1).self(4243), {source_mac(*syn), packet.source, packet.source_port},
                            {0, load32(packet.payload.data() + 4) + 1, tcp_rst | tcp_ack}));
  EXPECT_THAT(client.read([this] { work(); }), testing::AnyOf("", "reset"));
  ASSERT_TRUE(come_to(0));
  EXPECT_TRUE(refused(port));
}

TEST_F(HostileMachineTest, AClientForWhomNoDescriptorIsLeftIsReset) {
  start(1);
  const std::uint16_t port = forwarded(22);
  HostSocket client(SOCK_STREAM), later(SOCK_STREAM);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;  // for the client and our end of its connection to libslirp, and not for libslirp's
  few.rlim_cur = static_cast<rlim_t>(Fd(::dup(client.socket.get())).get()) + 2;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  ASSERT_TRUE(client.connect(port));
  EXPECT_EQ(client.read([this] { work(); }), "reset");
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(later.connect(port));
  EXPECT_TRUE(TestTcp::accept(machine(1), 22));
}

TEST_F(HostileMachineTest, AMachineThatLeavesClosesItsPortsAtOnce) {
  start(1);
  const std::uint16_t port = forwarded(4243);
  machine(1).disconnect();
  for (const auto end = Clock::now() + test_limit; Clock::now() < end && counter("openPorts") != 0;) work();
  EXPECT_TRUE(refused(port));
  machine(1).connect();
  EXPECT_TRUE(come_to(1)) << "and opens them when it is back";
}

}  // namespace
}  // namespace berth::network
