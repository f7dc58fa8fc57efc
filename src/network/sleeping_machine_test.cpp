// A machine that sleeps: its ports stay open, who comes is held and heard of, and goes on when it wakes.
#include <gmock/gmock.h>

#include "network/test_world.h"

namespace berth::network {
namespace {

class SleepingMachineTest : public VirtualSwitchTest {
 protected:
  /// As the region does it: first the ports are held, then QEMU goes.
  void send_to_sleep(unsigned n = 1) {
    config_.ports[n - 1].wake = folder_ / "wake";
    if (!bell_) bell_ = &serve(folder_ / "wake", "HTTP/1.0 200 OK\r\n\r\n");
    apply();
    machine(n).disconnect();
    work_for(20ms);
  }
  void wake(unsigned n = 1) {
    config_.ports[n - 1].wake.clear();
    apply();
    machine(n).connect();
  }
  /// A connection of that client through a forwarded port, over which something was said; none when that failed.
  std::optional<TestTcp> connect(HostSocket& client) {
    if (!client.connect(forwarded(4243))) return std::nullopt;
    auto served = TestTcp::accept(machine(1), 4243);
    if (!served) return std::nullopt;
    served->send("hello");
    if (client.read([this] { work(); }, 5) != "hello") return std::nullopt;
    return served;
  }
  bool is_wanted() {
    const int before = bell_->served;
    for (const auto end = Clock::now() + test_limit; Clock::now() < end; work())
      if (bell_->served > before) return true;
    return false;
  }
  bool stays_asleep(std::chrono::milliseconds time = 1500ms) {
    const int before = bell_->served;
    work_for(time);
    return bell_->served == before;
  }

  TestEndpoint* bell_ = nullptr;
};

TEST_F(SleepingMachineTest, WhoConnectsIsHeldAndWakesIt) {
  start(1);
  const std::uint16_t port = forwarded(4243);
  send_to_sleep();
  EXPECT_TRUE(stays_asleep(100ms));

  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(port));
  client.write("question");
  EXPECT_TRUE(is_wanted());
  EXPECT_TRUE(is_wanted()) << "as long as it waits";

  wake();
  auto served = TestTcp::accept(machine(1), 4243);
  ASSERT_TRUE(served);
  EXPECT_EQ(served->read(8), "question");
  served->send("answer");
  EXPECT_EQ(client.read([this] { work(); }, 6), "answer");
}

TEST_F(SleepingMachineTest, WhoMayNotConnectIsResetAndDoesNotWakeIt) {
  start(1);
  const std::uint16_t port = forwarded(4243, {"192.0.2.0/24"});
  send_to_sleep();

  HostSocket client(SOCK_STREAM);
  client.connect(port);

  EXPECT_EQ(client.read([this] { work(); }), "reset");
  EXPECT_TRUE(stays_asleep());
}

TEST_F(SleepingMachineTest, APortThatNobodyListenedAtStaysClosed) {
  start(1);
  const std::uint16_t open = free_port(), closed = free_port();
  config_.ports[0].forwards = {forward(open, 4243), forward(closed, 8080)};
  apply();
  machine(1).listen(4243);
  ASSERT_TRUE(come_to(1));
  work_for(300ms);  // it has refused the other one
  send_to_sleep();

  EXPECT_TRUE(refused(closed));
  EXPECT_FALSE(refused(open));
}

TEST_F(SleepingMachineTest, ASwitchThatKnowsNothingOfTheMachineOpensAllItsPorts) {
  config_.ports.push_back(port(1));
  config_.ports[0].wake = folder_ / "wake";
  const std::uint16_t host_port = free_port();
  config_.ports[0].forwards = {forward(host_port, 4243)};
  bell_ = &serve(folder_ / "wake", "HTTP/1.0 200 OK\r\n\r\n");
  apply();

  HostSocket client(SOCK_STREAM);
  ASSERT_TRUE(client.connect(host_port));

  EXPECT_TRUE(is_wanted());
}

TEST_F(SleepingMachineTest, ConnectionsGoOnWhereTheyStood) {
  start(1);
  HostSocket client(SOCK_STREAM);
  auto served = connect(client);
  ASSERT_TRUE(served);
  send_to_sleep();
  EXPECT_TRUE(stays_asleep());

  client.write("are you there");
  EXPECT_TRUE(is_wanted());
  wake();

  EXPECT_EQ(served->read(13), "are you there");
  served->send("yes");
  EXPECT_EQ(client.read([this] { work(); }, 3), "yes");
}

TEST_F(SleepingMachineTest, AClientThatLeavesDoesNotWakeIt) {
  start(1);
  HostSocket client(SOCK_STREAM);
  auto served = connect(client);
  ASSERT_TRUE(served);
  send_to_sleep();

  client.socket.reset();

  EXPECT_TRUE(stays_asleep());
  wake();
  EXPECT_EQ(served->read_all(), "") << "it hears of it then";
}

TEST_F(SleepingMachineTest, ADatagramWakesItAndArrives) {
  start(1);
  Forward open = forward(free_port(SOCK_DGRAM), 53);
  open.protocol = Forward::Protocol::udp;
  config_.ports[0].forwards = {open};
  apply();
  send_to_sleep();
  EXPECT_TRUE(stays_asleep(100ms));

  HostSocket client(SOCK_DGRAM);
  ASSERT_TRUE(client.connect(open.host_port));
  client.write("question");
  EXPECT_TRUE(is_wanted());
  wake();

  EXPECT_TRUE(machine(1).receive([](const Ipv4Packet& p) { return p.destination_port == 53; }));
}

TEST_F(SleepingMachineTest, ANeighbourThatSpeaksToItWakesIt) {
  start(3);
  send_to_sleep(2);
  machine(1).send(arp_announcement(machine(1).self(0).mac, address_of(1)));
  machine(1).send(hello(1, 3));
  EXPECT_TRUE(stays_asleep());

  machine(1).send(hello(1, 2));
  EXPECT_TRUE(is_wanted());
}

TEST_F(SleepingMachineTest, ItWaitsWithoutSpinning) {
  start(1);
  HostSocket client(SOCK_STREAM);
  const std::uint16_t port = forwarded(4243);
  ASSERT_TRUE(client.connect(port));
  ASSERT_TRUE(TestTcp::accept(machine(1), 4243));
  send_to_sleep();
  client.socket.reset();
  HostSocket other(SOCK_STREAM);
  ASSERT_TRUE(other.connect(port));
  work_for(50ms);

  EXPECT_LT(rounds_in(500ms), 150);  // of 5 ms
}

}  // namespace
}  // namespace berth::network
