#include "network/port_probes.h"

#include <gtest/gtest.h>

namespace berth::network {
namespace {

using namespace std::chrono_literals;

class PortProbesTest : public testing::Test {
 protected:
  static constexpr Ipv4 address = ipv4(10, 0, 0, 4);

  /// What the machine answers to a question: a frame from it.
  std::optional<Bytes> answer(Bytes question, std::uint8_t flags) {
    const auto packet = parse_ipv4_packet(question);
    Bytes frame = tcp_frame({lease_.mac, address, packet->destination_port},
                            {lease_.subnet.gateway_mac(), packet->source, packet->source_port},
                            {77, 1, static_cast<std::uint8_t>(flags | tcp_ack)});
    return probes_.take(*parse_ipv4_packet(frame), now_);
  }
  std::vector<Bytes> questions() { return probes_.due(now_); }

  DhcpLease lease_{{0, 0x0d, 0x3a, 0, 0, 1}, address, "", {*parse_cidr("10.0.0.0/16")}};
  PortProbes probes_{lease_};
  PortProbes::Time now_{std::chrono::hours(1000)};
};

TEST_F(PortProbesTest, APortIsOpenOnceTheMachineSaysSoAndClosedOnceItRefuses) {
  probes_.watch({22, 80});
  EXPECT_FALSE(probes_.open(22));
  auto asked = questions();
  ASSERT_EQ(asked.size(), 2u);
  const auto end = answer(asked[0], tcp_syn);
  ASSERT_TRUE(end);
  Bytes reset = *end;
  const auto segment = parse_tcp(*parse_ipv4_packet(reset));
  ASSERT_TRUE(segment);
  EXPECT_EQ(segment->header.flags, tcp_rst) << "no program in the machine sees the connection";
  EXPECT_EQ(segment->header.sequence, 1u);
  EXPECT_EQ(answer(asked[1], tcp_rst), Bytes{});
  EXPECT_TRUE(probes_.open(22));
  EXPECT_FALSE(probes_.open(80));

  now_ += 1s;
  asked = questions();
  ASSERT_EQ(asked.size(), 2u);
  answer(asked[0], tcp_rst);
  EXPECT_FALSE(probes_.open(22));
}

TEST_F(PortProbesTest, AMachineThatIsSlowKeepsItsOpenPortsAndOneThatIsSilentDoesNot) {
  probes_.watch({22});
  answer(questions()[0], tcp_syn);
  for (int i = 0; i < 9; ++i) {
    now_ += 1s;
    questions();
    EXPECT_TRUE(probes_.open(22));
  }
  now_ += 2s;
  questions();
  EXPECT_FALSE(probes_.open(22));
}

TEST_F(PortProbesTest, AMachineThatLeftHasNoOpenPortsAndIsAskedAtOnceWhenItIsBack) {
  probes_.watch({22});
  answer(questions()[0], tcp_syn);
  probes_.machine_left();
  EXPECT_FALSE(probes_.open(22));
  EXPECT_EQ(questions().size(), 1u);
}

TEST_F(PortProbesTest, ADoubtIsAQuestionBeforeItsTimeButNotAFlood) {
  probes_.watch({22});
  answer(questions()[0], tcp_syn);
  for (int i = 0; i < 100; ++i) probes_.doubt(22, now_);
  EXPECT_TRUE(questions().empty());
  now_ += 50ms;
  EXPECT_EQ(questions().size(), 1u);
}

TEST_F(PortProbesTest, ManyPortsCostNoMoreThanTwoHundredQuestionsASecond) {
  std::set<std::uint16_t> ports;
  for (std::uint16_t port = 1; port <= 1000; ++port) ports.insert(port);
  probes_.watch(ports);
  std::size_t asked = questions().size();
  for (int ms = 0; ms < 20'000; ms += 10) {
    now_ += 10ms;
    asked += questions().size();
  }
  EXPECT_LE(asked, 1000u + 200u * 20);
  EXPECT_GE(asked, 1000u + 150u * 20);
}

TEST_F(PortProbesTest, WhatIsNoAnswerToAQuestionIsLeftAlone) {
  probes_.watch({22});
  Bytes other = tcp_frame({lease_.mac, address, 22}, {lease_.subnet.gateway_mac(), ipv4(10, 0, 0, 1), 50'000},
                          {1, 1, tcp_ack});
  EXPECT_FALSE(probes_.take(*parse_ipv4_packet(other), now_));
}

}  // namespace
}  // namespace berth::network
