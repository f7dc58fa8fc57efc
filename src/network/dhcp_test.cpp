#include "network/dhcp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace berth::network {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

const DhcpLease lease{{0x00, 0x0d, 0x3a, 1, 2, 3}, ipv4(10, 0, 0, 4), "vmten", {*parse_cidr("10.0.0.0/16")}};

using Options = std::map<int, Bytes>;

Bytes request(const Options& options, Ipv4 client = {}, const Mac& mac = lease.mac) {
  Bytes data(240);
  data[0] = 1;
  data[1] = 1;
  data[2] = 6;
  store32(data.data() + 4, 0xdeadbeef);
  data[10] = 0x80;
  store32(data.data() + 12, client.bits);
  std::ranges::copy(mac, data.begin() + 28);
  store32(data.data() + 236, 0x63825363);
  for (const auto& [code, value] : options) {
    data.push_back(static_cast<std::uint8_t>(code));
    data.push_back(static_cast<std::uint8_t>(value.size()));
    data.insert(data.end(), value.begin(), value.end());
  }
  data.push_back(255);
  return data;
}

Options options_of(std::span<const std::uint8_t> reply) {
  Options options;
  for (std::size_t at = 240; at < reply.size() && reply[at] != 255; at += 2 + reply[at + 1])
    options[reply[at]] = Bytes(reply.begin() + static_cast<std::ptrdiff_t>(at) + 2,
                               reply.begin() + static_cast<std::ptrdiff_t>(at) + 2 + reply[at + 1]);
  return options;
}

TEST(Dhcp, OffersToADiscoverWithEveryOptionToTheByte) {
  auto frame = answer_dhcp(lease, request({{53, {1}}}));
  ASSERT_TRUE(frame);
  const auto packet = parse_ipv4_packet(*frame);
  ASSERT_TRUE(packet);
  EXPECT_EQ(destination_mac(*frame), lease.mac);
  EXPECT_EQ(packet->source, ipv4(10, 0, 0, 1));
  EXPECT_EQ(packet->destination, everybody);
  EXPECT_EQ(packet->source_port, 67);
  EXPECT_EQ(packet->destination_port, 68);
  const auto reply = packet->udp_data();
  EXPECT_GE(reply.size(), 300u);
  EXPECT_THAT(reply.first(4), ElementsAre(2, 1, 6, 0));
  EXPECT_EQ(load32(reply.data() + 4), 0xdeadbeef);
  EXPECT_EQ(reply[10], 0x80);
  EXPECT_EQ(load32(reply.data() + 12), 0u);
  EXPECT_EQ(load32(reply.data() + 16), lease.address.bits);
  EXPECT_EQ(load32(reply.data() + 20), ipv4(10, 0, 0, 1).bits);
  EXPECT_THAT(reply.subspan(28, 6), ElementsAreArray(lease.mac));

  const Bytes routes = {0,  10,   0,    0,    1,                  //
                        32, 0xa8, 0x3f, 0x81, 0x10, 10, 0, 0, 1,  //
                        32, 0xa9, 0xfe, 0xa9, 0xfe, 10, 0, 0, 1};
  const Options expected = {{53, {2}},
                            {54, {10, 0, 0, 1}},
                            {51, {0xff, 0xff, 0xff, 0xff}},
                            {1, {255, 255, 0, 0}},
                            {3, {10, 0, 0, 1}},
                            {6, {168, 63, 129, 16}},
                            {12, {'v', 'm', 't', 'e', 'n'}},
                            {15, {'i', 'n', 't', 'e', 'r', 'n', 'a', 'l'}},
                            {121, routes},
                            {249, routes},
                            {245, {0xa8, 0x3f, 0x81, 0x10}}};
  EXPECT_EQ(options_of(reply), expected);
}

std::uint8_t type_of_answer(const Bytes& data) {
  auto frame = answer_dhcp(lease, data);
  if (!frame) return 0;
  return options_of(parse_ipv4_packet(*frame)->udp_data()).at(53).at(0);
}

TEST(Dhcp, AcknowledgesARequestForTheRightAddress) {
  EXPECT_EQ(type_of_answer(request({{53, {3}}, {50, {10, 0, 0, 4}}, {54, {10, 0, 0, 1}}})), 5);
  EXPECT_EQ(type_of_answer(request({{53, {3}}, {50, {10, 0, 0, 4}}})), 5) << "after a reboot";
  EXPECT_EQ(type_of_answer(request({{53, {3}}}, lease.address)), 5) << "renewing";
}

TEST(Dhcp, RefusesAWrongAddressAndTellsNothingElse) {
  EXPECT_EQ(type_of_answer(request({{53, {3}}, {50, {10, 0, 0, 9}}})), 6);
  EXPECT_EQ(type_of_answer(request({{53, {3}}}, ipv4(192, 168, 0, 4))), 6);
  auto frame = answer_dhcp(lease, request({{53, {3}}, {50, {10, 0, 0, 9}}}));
  const auto reply = parse_ipv4_packet(*frame)->udp_data();
  EXPECT_EQ(load32(reply.data() + 16), 0u);
  EXPECT_EQ(options_of(reply), (Options{{53, {6}}, {54, {10, 0, 0, 1}}}));
}

TEST(Dhcp, AnswersARenewingClientAtItsAddress) {
  auto frame = answer_dhcp(lease, request({{53, {3}}}, lease.address));
  EXPECT_EQ(parse_ipv4_packet(*frame)->destination, lease.address);
}

TEST(Dhcp, InformsWithoutGivingAnAddress) {
  auto frame = answer_dhcp(lease, request({{53, {8}}}, lease.address));
  ASSERT_TRUE(frame);
  const auto reply = parse_ipv4_packet(*frame)->udp_data();
  const Options options = options_of(reply);
  EXPECT_EQ(options.at(53), Bytes{5});
  EXPECT_EQ(load32(reply.data() + 16), 0u);
  EXPECT_FALSE(options.contains(51));
  EXPECT_TRUE(options.contains(245));
}

TEST(Dhcp, IsSilentToWhatIsNotForIt) {
  EXPECT_EQ(type_of_answer(request({{53, {3}}, {50, {10, 0, 0, 4}}, {54, {10, 0, 0, 2}}})), 0)
      << "another server";
  EXPECT_EQ(type_of_answer(request({{53, {1}}}, {}, {1, 2, 3, 4, 5, 6})), 0) << "another machine";
  EXPECT_EQ(type_of_answer(request({{53, {7}}})), 0) << "a release";
  EXPECT_EQ(type_of_answer(request({})), 0) << "BOOTP";
  Bytes reply = request({{53, {1}}});
  reply[0] = 2;
  EXPECT_EQ(type_of_answer(reply), 0);
}

TEST(Dhcp, SurvivesEveryTruncation) {
  const Bytes whole = request({{53, {3}}, {50, {10, 0, 0, 4}}, {12, Bytes(200, 'x')}});
  for (std::size_t size = 0; size < whole.size(); ++size) answer_dhcp(lease, std::span(whole).first(size));
  Bytes lying = request({{53, {1}}});
  lying[241] = 255;
  EXPECT_EQ(type_of_answer(lying), 0);
}

}  // namespace
}  // namespace berth::network
