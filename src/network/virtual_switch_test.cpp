#include <gmock/gmock.h>
#include <ifaddrs.h>
#include <sys/resource.h>

#include "base/error.h"
#include "network/dns.h"
#include "network/test_world.h"

namespace berth::network {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(VirtualSwitchTest, EachMachineGetsItsOwnLease) {
  start(2);
  EXPECT_EQ(machine(1).lease(), address_of(1));
  EXPECT_EQ(machine(2).lease(), address_of(2));
}

TEST_F(VirtualSwitchTest, MachinesReachEachOther) {
  start(3);
  EXPECT_TRUE(reaches(1, 2));
  EXPECT_TRUE(reaches(2, 1));
  EXPECT_TRUE(reaches(3, 1));
}

TEST_F(VirtualSwitchTest, FramesForOneMachineReachNoOther) {
  start(3);
  machine(1).send(hello(1, 2, {'1'}));
  machine(1).send(udp_frames(machine(1).self(1), {broadcast_mac, everybody, 2}, Bytes{'2'}).front());
  for (const unsigned n : {2u, 3u}) {
    auto frame = machine(n).receive([](const Ipv4Packet& p) { return p.is(IpProtocol::udp); });
    ASSERT_TRUE(frame);
    EXPECT_EQ(parse_ipv4_packet(*frame)->udp_data()[0], n == 2 ? '1' : '2');
  }
}

TEST_F(VirtualSwitchTest, SpoofedFramesReachNobody) {
  start(2);
  serve(config_.ports[1].wire_server, "the secrets of machine 2");
  machine(1).send(
      udp_frames({machine(2).self(0).mac, address_of(1), 1}, machine(2).self(2), Bytes{'x'}).front());
  machine(1).send(
      udp_frames({machine(1).self(0).mac, ipv4(10, 0, 0, 99), 1}, machine(2).self(2), Bytes{'x'}).front());
  machine(1).send(tcp_frame({machine(1).self(0).mac, address_of(2), 40'000},
                            machine(1).outside(wire_server_address, 80), {1, 0, tcp_syn}));
  machine(1).send(hello(1, 2, {'y'}));
  const auto first = machine(2).receive_any(test_limit);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->back(), 'y') << "only the honest frame came through";
  EXPECT_EQ(switch_.counters()[config_.ports[0].id]["refused"], 3);
}

TEST_F(VirtualSwitchTest, EndpointsKnowAMachineByItsPort) {
  start(2);
  for (const SwitchPort& p : config_.ports) {
    serve(p.wire_server, "wire of " + p.host_name);
    serve(p.host_plugin, "plugin of " + p.host_name);
    serve(p.metadata, "metadata of " + p.host_name);
  }
  EXPECT_EQ(fetch(1, wire_server_address, 80), "wire of vm1");
  EXPECT_EQ(fetch(2, wire_server_address, 80), "wire of vm2");
  EXPECT_EQ(fetch(2, wire_server_address, 32'526), "plugin of vm2");
  EXPECT_EQ(fetch(1, metadata_address, 80, 40'001), "metadata of vm1");
}

TEST_F(VirtualSwitchTest, EndpointsThatNobodyServesRefuseAtOnce) {
  start(1);
  config_.ports[0].metadata.clear();
  apply();
  EXPECT_EQ(fetch(1, metadata_address, 80), "refused") << "none wanted";
  EXPECT_EQ(fetch(1, wire_server_address, 80), "") << "nobody listens: connected and reset";
  EXPECT_EQ(fetch(1, wire_server_address, 22, 40'002), "refused") << "another port";
}

TEST_F(VirtualSwitchTest, AnEndpointThatHangsDoesNotStopTheSwitch) {
  start(2);
  TestEndpoint stuck(config_.ports[0].wire_server, "", 1);  // is never asked to serve
  std::vector<TestTcp> connections;
  for (std::uint16_t i = 0; i < 200; ++i)
    connections.emplace_back(machine(1), machine(1).self(static_cast<std::uint16_t>(42'000 + i)),
                             machine(1).outside(wire_server_address, 80));
  for (TestTcp& connection : connections) EXPECT_TRUE(connection.open());
  EXPECT_TRUE(reaches(1, 2));
  EXPECT_TRUE(reaches(2, 1));
}

TEST_F(VirtualSwitchTest, ManyEndpointConnectionsInOneBreathDoNotStopTheSwitch) {
  start(2);
  const TestEndpoint stuck(config_.ports[0].wire_server, "", 1);
  constexpr std::uint16_t first = 42'000, count = 500;
  const End wire = machine(1).outside(wire_server_address, 80);
  Bytes breath;
  for (std::uint16_t i = 0; i < count; ++i)
    machine(1).send(tcp_frame(machine(1).self(static_cast<std::uint16_t>(first + i)), wire, {0, 0, tcp_syn}));
  for (std::uint16_t i = 0; i < count; ++i) {
    auto answer = machine(1).receive([](const Ipv4Packet& p) { return p.source == wire_server_address; });
    ASSERT_TRUE(answer);
    const auto packet = *parse_ipv4_packet(*answer);
    const Bytes frame = TestMachine::framed(tcp_frame(machine(1).self(packet.destination_port), wire,
                                                      {1, load32(packet.payload.data() + 4) + 1, tcp_ack}));
    breath.insert(breath.end(), frame.begin(), frame.end());
  }
  machine(1).send_raw(breath);  // the moment libslirp connects all of them
  EXPECT_TRUE(reaches(1, 2));
  EXPECT_TRUE(reaches(2, 1));
}

TEST_F(VirtualSwitchTest, LinkLocalTrafficVanishes) {
  start(2);
  machine(1).send(
      tcp_frame(machine(1).self(40'000), machine(1).outside(ipv4(169, 254, 1, 1), 80), {1, 0, tcp_syn}));
  machine(1).send(
      udp_frames(machine(1).self(1), {machine(2).self(0).mac, ipv4(169, 254, 1, 1), 2}, {}).front());
  EXPECT_TRUE(reaches(1, 2));
  EXPECT_FALSE(machine(1).receive_any(50ms)) << "no answer";
  EXPECT_EQ(switch_.counters()[config_.ports[0].id]["natSockets"], 0);
}

TEST_F(VirtualSwitchTest, ForwardedPortsAreAddedAndRemovedWhileItRuns) {
  start(1);
  const std::uint16_t host_port = free_port();
  HostSocket before(SOCK_STREAM);
  before.connect(host_port);
  EXPECT_EQ(before.read([this] { work(); }), "reset");

  config_.ports[0].forwards = {forward(host_port, 4243)};
  apply();
  EXPECT_THAT(switch_.report().refused, IsEmpty());
  machine(1).listen(4243);
  ASSERT_TRUE(come_to(1));
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(host_port));
  auto served = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(served);
  client.write("question");
  EXPECT_EQ(served->read(8), "question");
  served->send("answer");
  EXPECT_EQ(client.read([this] { work(); }, 6), "answer");

  config_.ports[0].forwards.clear();
  apply();
  HostSocket after(SOCK_STREAM);
  after.connect(host_port);
  EXPECT_EQ(after.read([this] { work(); }), "reset");
  served->send("still here");
  EXPECT_EQ(client.read([this] { work(); }, 10), "still here") << "connections outlive their forward";
  served->finish();
  EXPECT_EQ(client.read([this] { work(); }), "");
}

TEST_F(VirtualSwitchTest, AHalfClosedConnectionCarriesTheOtherHalf) {
  start(1);
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(forwarded(4243)));
  auto served = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(served);
  client.write("all of the input");
  ::shutdown(client.socket.get(), SHUT_WR);
  EXPECT_EQ(served->read_all(), "all of the input") << "the machine sees the end";
  served->send("what came of it");
  served->finish();
  EXPECT_EQ(client.read([this] { work(); }), "what came of it");
}

TEST_F(VirtualSwitchTest, MegabytesArriveWholeInBothDirections) {
  start(1);
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(forwarded(4243)));
  auto served = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(served);
  std::string data(8 << 20, '\0');
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<char>(i * 7 + (i >> 8) * 13 + (i >> 16));
  constexpr std::size_t piece = 16 * 1024, segment = 1400;
  for (std::size_t at = 0; at < data.size(); at += piece) {
    client.write(std::string_view(data).substr(at, piece));
    ASSERT_EQ(served->read(piece), data.substr(at, piece)) << at;
  }
  for (std::size_t at = 0; at < data.size(); at += piece) {
    for (std::size_t done = 0; done < piece; done += segment)
      served->send(std::string_view(data).substr(at + done, std::min(segment, piece - done)));
    ASSERT_EQ(client.read([this] { work(); }, piece), data.substr(at, piece)) << at;
  }
}

TEST_F(VirtualSwitchTest, AForwardedPortThatTheMachineClosedResetsTheClient) {
  start(1);
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(forwarded(4243)));
  auto syn = machine(1).receive([](const Ipv4Packet& p) { return p.opens_tcp(); });
  ASSERT_TRUE(syn);
  const auto packet = *parse_ipv4_packet(*syn);
  machine(1).send(tcp_frame(machine(1).self(4243), {source_mac(*syn), packet.source, packet.source_port},
                            {0, load32(packet.payload.data() + 4) + 1, tcp_rst | tcp_ack}));
  EXPECT_THAT(client.read([this] { work(); }), testing::AnyOf("", "reset"));
}

TEST_F(VirtualSwitchTest, SourcesOfAForwardedPortAreHonouredAndMayChange) {
  start(1);
  const std::uint16_t host_port = forwarded(22, {"192.0.2.0/24"});
  HostSocket stranger(SOCK_STREAM);
  stranger.connect(host_port);
  EXPECT_EQ(stranger.read([this] { work(); }), "reset");

  config_.ports[0].forwards = {forward(host_port, 22, {"192.0.2.0/24", "127.0.0.0/8"})};
  apply();
  HostSocket guest(SOCK_STREAM);
  ASSERT_TRUE(guest.connect(host_port));
  EXPECT_TRUE(TestTcp::accept(machine(1), 22));
}

TEST_F(VirtualSwitchTest, APortThatIsTakenIsReportedAndTheOthersOpen) {
  start(1);
  HostSocket taken(SOCK_STREAM);
  taken.bind();
  ::listen(taken.socket.get(), 1);
  const std::uint16_t host_port = free_port();
  Forward elsewhere = forward(host_port, 80);
  elsewhere.host_address = "192.0.2.1";
  config_.ports[0].forwards = {forward(taken.port(), 22), forward(host_port, 22), elsewhere};
  apply();
  const auto refused = switch_.report().refused;
  ASSERT_THAT(refused, SizeIs(2));
  EXPECT_EQ(refused[0].port, config_.ports[0].id);
  EXPECT_EQ(refused[0].forward, forward(taken.port(), 22));
  EXPECT_EQ(refused[0].why, "address in use");
  EXPECT_EQ(refused[1].why, "address not available");
  machine(1).listen(22);
  ASSERT_TRUE(come_to(1));
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(host_port));
  EXPECT_TRUE(TestTcp::accept(machine(1), 22));
}

TEST_F(VirtualSwitchTest, APortThatWasTakenOpensOnceItIsFree) {
  start(1);
  HostSocket taken(SOCK_STREAM);
  taken.bind();
  ::listen(taken.socket.get(), 1);
  config_.ports[0].forwards = {forward(taken.port(), 22)};
  apply();
  switch_.retry();
  EXPECT_THAT(switch_.report().refused, SizeIs(1));
  taken.socket.reset();
  switch_.retry();
  EXPECT_THAT(switch_.report().refused, IsEmpty());
  machine(1).listen(22);
  ASSERT_TRUE(come_to(1));
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(taken.port()));
  EXPECT_TRUE(TestTcp::accept(machine(1), 22));
}

struct FullSwitchTest : VirtualSwitchTest {
  FullSwitchTest() : VirtualSwitchTest(8) {}
};

TEST_F(FullSwitchTest, ConnectionsThatAreTooManyWaitAndTheEndpointsAreReached) {
  start(1);
  serve(config_.ports[0].wire_server, "wire");
  const std::uint16_t host_port = forwarded(22);
  std::vector<HostSocket> clients;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(clients.emplace_back(SOCK_STREAM).connect(host_port));

  const auto next = [&] { return machine(1).receive([](const Ipv4Packet& p) { return p.opens_tcp(); }); };
  const auto refuse = [&](Bytes& syn) {
    const auto packet = *parse_ipv4_packet(syn);
    machine(1).send(tcp_frame(machine(1).self(22), {source_mac(syn), packet.source, packet.source_port},
                              {0, load32(packet.payload.data() + 4) + 1, tcp_rst | tcp_ack}));
  };
  std::vector<Bytes> arrived;
  while (arrived.size() < 8) {
    auto syn = next();
    ASSERT_TRUE(syn);
    arrived.push_back(*std::move(syn));
  }
  work_for(20ms);
  EXPECT_EQ(switch_.counters()[config_.ports[0].id]["relays"], 8);
  EXPECT_EQ(fetch(1, wire_server_address, 80), "wire");

  for (Bytes& syn : arrived) refuse(syn);
  for (int i = 8; i < 20; ++i) {
    auto syn = next();
    ASSERT_TRUE(syn) << i << ": those that waited come when others go";
    refuse(*syn);
  }
}

/// While it lives, this process gets `more` further descriptors.
class FewDescriptors {
 public:
  explicit FewDescriptors(rlim_t more) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const Fd next(::dup(0));
    const rlimit few{static_cast<rlim_t>(next.get()) + more, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

TEST_F(VirtualSwitchTest, OutOfDescriptorsItWaitsWithoutSpinning) {
  start(1);
  serve(config_.ports[0].wire_server, "wire");
  std::optional<TestTcp> connection;
  {
    const FewDescriptors few(1);  // for libslirp's end of the connection, not for ours
    connection.emplace(machine(1), machine(1).self(40'000), machine(1).outside(wire_server_address, 80));
    ASSERT_TRUE(connection->open());
    int rounds = 0;
    for (const auto end = Clock::now() + 200ms; Clock::now() < end; ++rounds) work();
    EXPECT_LT(rounds, 100) << "each of up to 5 ms";
  }
  connection->send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(connection->read_all(), "wire");
}

TEST_F(VirtualSwitchTest, AnApplyThatThisHostHasNoDescriptorsForCutsNobodyOff) {
  start(2);
  config_.ports.insert(config_.ports.begin(), port(3));
  {
    const FewDescriptors few(0);
    EXPECT_THROW(apply(), Error);
  }
  EXPECT_TRUE(reaches(1, 2));
  apply();
  EXPECT_THAT(switch_.report().connected, SizeIs(3));
}

TEST_F(VirtualSwitchTest, AMachineThatIsOffResetsConnectionsToItsPorts) {
  const std::uint16_t host_port = free_port();
  config_.ports.push_back(port(1));
  config_.ports[0].forwards = {forward(host_port, 22)};
  apply();
  HostSocket client(SOCK_STREAM);
  client.connect(host_port);
  EXPECT_EQ(client.read([this] { work(); }), "reset");
}

TEST_F(VirtualSwitchTest, AForwardedPortMovesBetweenMachinesInOneStep) {
  start(2);
  const std::uint16_t host_port = free_port();
  config_.ports[1].forwards = {forward(host_port, 22)};
  apply();
  config_.ports[0].forwards = std::exchange(config_.ports[1].forwards, {});
  apply();
  EXPECT_THAT(switch_.report().refused, IsEmpty());
  machine(1).listen(22);
  ASSERT_TRUE(come_to(1));
  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(host_port));
  EXPECT_TRUE(TestTcp::accept(machine(1), 22));
}

TEST_F(VirtualSwitchTest, UdpIsForwardedInBothDirections) {
  start(1);
  Forward open = forward(free_port(SOCK_DGRAM), 53);
  open.protocol = Forward::Protocol::udp;
  config_.ports[0].forwards = {open};
  apply();
  HostSocket alice(SOCK_DGRAM), bob(SOCK_DGRAM);
  for (HostSocket* client : {&alice, &bob}) ASSERT_TRUE(client->connect(open.host_port));
  alice.write("from alice");
  bob.write("from bob");
  for (int i = 0; i < 2; ++i) {
    auto frame = machine(1).receive([](const Ipv4Packet& p) { return p.destination_port == 53; });
    ASSERT_TRUE(frame);
    const auto packet = *parse_ipv4_packet(*frame);
    EXPECT_EQ(packet.source, ipv4(10, 0, 0, 1));
    std::string text(packet.udp_data().begin(), packet.udp_data().end());
    text += ", answered";
    machine(1).send(udp_frames(machine(1).self(53), machine(1).gateway(packet.source_port),
                               Bytes(text.begin(), text.end()))
                        .front());
  }
  EXPECT_EQ(alice.read([this] { work(); }, 1), "from alice, answered");
  EXPECT_EQ(bob.read([this] { work(); }, 1), "from bob, answered");
}

/// An address of this host that is not loopback; nullopt on a host without network.
std::optional<Ipv4> own_address() {
  std::optional<Ipv4> found;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return found;
  for (const ifaddrs* entry = list; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || entry->ifa_addr->sa_family != AF_INET) continue;
    const Ipv4 address{ntohl(reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr.s_addr)};
    if (EgressFilter({Egress::Policy::full, {}}).allows(address, {}) &&
        !parse_cidr("10.0.0.0/16")->contains(address))
      found = address;
  }
  ::freeifaddrs(list);
  return found;
}

TEST_F(VirtualSwitchTest, EgressIsInternetFullNoneOrTheListedHosts) {
  const auto address = own_address();
  ASSERT_TRUE(address) << "The machine needs an IPv4 address of its own beside 127.0.0.1 for this test.";
  start(1);
  HostSocket server(SOCK_STREAM);
  server.bind(*address);
  ::listen(server.socket.get(), 8);
  std::uint16_t own_port = 40'000;
  const auto reached = [&] {
    return TestTcp(machine(1), machine(1).self(own_port++), machine(1).outside(*address, server.port()))
        .open();
  };
  EXPECT_FALSE(reached()) << "the policy without a word: internet";
  config_.egress = {Egress::Policy::internet, {"0.0.0.0/0"}};
  apply();
  EXPECT_FALSE(reached()) << "it is this host";
  config_.egress = {Egress::Policy::full, {}};
  apply();
  EXPECT_TRUE(reached());
  config_.egress = {Egress::Policy::none, {}};
  apply();
  EXPECT_FALSE(reached());
  config_.egress = {Egress::Policy::hosts, {"192.0.2.1"}};
  apply();
  EXPECT_FALSE(reached());
  config_.egress.hosts.push_back(to_string(*address));
  apply();
  EXPECT_TRUE(reached());
}

TEST_F(VirtualSwitchTest, TheHostsLoopbackIsOutOfReach) {
  start(1);
  HostSocket server(SOCK_STREAM);
  server.bind(ipv4(127, 0, 0, 1));
  ::listen(server.socket.get(), 8);
  std::uint16_t own_port = 40'000;
  for (const Ipv4 address : {ipv4(127, 0, 0, 1), ipv4(10, 0, 0, 1), ipv4(0, 0, 0, 0)})
    EXPECT_FALSE(
        TestTcp(machine(1), machine(1).self(own_port++), machine(1).outside(address, server.port())).open());
  EXPECT_LT(::accept(server.socket.get(), nullptr, nullptr), 0);
}

TEST_F(VirtualSwitchTest, TheNameServerKnowsTheMachines) {
  start(2);
  const Bytes question = {0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'v', 'm', '2', 0, 0, 1, 0, 1};
  for (const Ipv4 server : {ipv4(10, 0, 0, 3), wire_server_address}) {
    const auto reply = machine(1).ask_udp(server, 53, question);
    ASSERT_TRUE(reply);
    EXPECT_THAT(read_dns_answer(*reply)->addresses, ElementsAre(address_of(2)));
  }
}

TEST_F(VirtualSwitchTest, AMachineThatSendsNonsenseIsCutOffAndFoundAgain) {
  start(2);
  machine(1).send_raw({0xff, 0xff, 0xff, 0xff, 1, 2, 3});
  for (const auto end = Clock::now() + test_limit; !machine(1).lost() && Clock::now() < end;) work();
  EXPECT_TRUE(machine(1).lost());
  EXPECT_TRUE(switch_.report().connected[config_.ports[1].id]) << "the other machine is not touched";
  machine(1).disconnect();
  machine(1).connect();
  EXPECT_TRUE(reaches(1, 2));
}

TEST_F(VirtualSwitchTest, AMachineThatDoesNotReadHoldsUpNobody) {
  start(3);
  const Bytes large(1400, 'x');
  for (int i = 0; i < 8000; ++i) machine(1).send(hello(1, 2, large));  // 11 MB, more than any queue
  work_for(50ms);
  EXPECT_TRUE(reaches(1, 3));
  EXPECT_GT(switch_.counters()[config_.ports[1].id]["overflowed"], 0);
  int whole = 0;
  while (machine(2).receive([&](const Ipv4Packet& p) { return p.udp_data().size() == large.size(); }, 100ms))
    ++whole;
  EXPECT_GT(whole, 1000) << "what was queued arrives whole";
  EXPECT_TRUE(reaches(1, 2));
}

TEST_F(VirtualSwitchTest, AMachineIsFoundAgainAfterItWasAway) {
  start(2);
  machine(2).disconnect();
  work_for(30ms);
  EXPECT_FALSE(switch_.report().connected[config_.ports[1].id]);
  machine(2).connect();
  EXPECT_TRUE(reaches(1, 2));
  EXPECT_TRUE(switch_.report().connected[config_.ports[1].id]);
}

TEST_F(VirtualSwitchTest, APortThatGoesIsCutOffAndFreesItsAddress) {
  start(2);
  config_.ports.pop_back();
  apply();
  EXPECT_TRUE(machine(2).lost());
  SwitchPort successor = port(9);
  successor.address = to_string(address_of(2));
  config_.ports.push_back(successor);
  apply();
  EXPECT_THAT(switch_.report().connected, SizeIs(2));
  EXPECT_EQ(machine(1).lease(), address_of(1));
}

TEST_F(VirtualSwitchTest, AnImpossibleConfigurationIsRefusedAndChangesNothing) {
  start(2);
  const auto refused = [&](auto change) -> std::string {
    SwitchConfig wrong = config_;
    change(wrong);
    try {
      switch_.apply(wrong);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind, ErrorKind::invalid);
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(refused([](SwitchConfig& c) { c.subnet = "10.0.0.0/30"; }), HasSubstr("10.0.0.0/30"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.subnet = "fd00::/64"; }), HasSubstr("fd00::/64"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].mac = c.ports[1].mac; }), HasSubstr("Two ports"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].address = c.ports[1].address; }),
              HasSubstr("Two ports"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].address = "10.0.0.3"; }), HasSubstr("10.0.0.3"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].address = "10.1.0.4"; }), HasSubstr("10.1.0.4"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].mac = "01:00:5e:00:00:01"; }), HasSubstr("01:00:5e"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].id = "../x"; }), HasSubstr("../x"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].wire_server = std::string(108, 'x'); }),
              HasSubstr("107"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].forwards = {forward(1, 2, {"Internet"})}; }),
              HasSubstr("Internet"));
  EXPECT_THAT(refused([](SwitchConfig& c) { c.ports[0].forwards = {forward(0, 2)}; }), HasSubstr("port 0"));
  EXPECT_TRUE(reaches(1, 2));
}

TEST_F(VirtualSwitchTest, AnotherSubnetMakesAnotherNetworkOfTheSameMachines) {
  start(1);
  config_.subnet = "192.168.7.0/24";
  config_.ports[0].address = "192.168.7.4";
  apply();
  machine(1).disconnect();
  machine(1).connect();
  EXPECT_EQ(machine(1).lease(), ipv4(192, 168, 7, 4));
}

}  // namespace
}  // namespace berth::network
