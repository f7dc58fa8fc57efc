#include "network/packet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string_view>

#include "network/test_machine.h"

namespace berth::network {
namespace {

using testing::ElementsAreArray;
using testing::IsEmpty;
using testing::SizeIs;

const End alice{{0, 0x0d, 0x3a, 0, 0, 1}, ipv4(10, 0, 0, 4), 40'000};
const End bob{{0, 0x0d, 0x3a, 0, 0, 2}, ipv4(10, 0, 0, 5), 53};

Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

/// A segment in the middle of a conversation.
Bytes tcp_segment(const End& from, const End& to, std::uint8_t flags, std::string_view data = {}) {
  return network::tcp_frame(from, to, {1000, 2000, flags}, data);
}

TEST(Packet, AUdpFrameIsRightToTheByte) {
  const auto frames = udp_frames(alice, bob, bytes_of("hi"));
  ASSERT_THAT(frames, SizeIs(1));
  const Bytes expected = {
      0x00, 0x0d, 0x3a, 0,  0, 2,  0x00, 0x0d, 0x3a, 0,  0,    1,    0x08, 0x00,  // Ethernet
      0x45, 0,    0,    30, 0, 0,  0,    0,    64,   17, 0x66, 0xc7, 10,   0,    0, 4, 10, 0, 0, 5,  // IPv4
      0x9c, 0x40, 0,    53, 0, 10, 0xe6, 0xf2, 'h',  'i'};                                           // UDP
  EXPECT_THAT(frames.front(), ElementsAreArray(expected));
  EXPECT_TRUE(checksums_hold(frames.front()));
}

TEST(Packet, ALargeDatagramIsCutIntoFragmentsThatFitTheMtu) {
  const Bytes data(4000, 'x');
  const auto frames = udp_frames(alice, bob, data, 7);
  ASSERT_THAT(frames, SizeIs(3));
  std::size_t total = 0, expected_offset = 0;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    Bytes frame = frames[i];
    EXPECT_LE(frame.size(), ethernet_header + 1500);
    const auto packet = parse_ipv4_packet(frame);
    ASSERT_TRUE(packet);
    EXPECT_TRUE(packet->fragment);
    EXPECT_FALSE(packet->has_ports());
    const unsigned field = load16(packet->header + 6);
    EXPECT_EQ((field & 0x1fff) * 8, expected_offset);
    EXPECT_EQ((field & 0x2000) != 0, i + 1 < frames.size());
    EXPECT_EQ(load16(packet->header + 4), 7);
    expected_offset += packet->payload.size();
    total += packet->payload.size();
  }
  EXPECT_EQ(total, data.size() + 8);
}

TEST(Packet, NothingIsMadeOfADatagramThatIpCannotCarry) {
  EXPECT_THAT(udp_frames(alice, bob, Bytes(65'508)), IsEmpty());
  EXPECT_FALSE(udp_frames(alice, bob, Bytes(65'507)).empty());
}

TEST(Packet, LengthsThatContradictEachOtherAreNoPacket) {
  const Bytes good = udp_frames(alice, bob, bytes_of("hello")).front();
  const auto parses = [&](auto change) {
    Bytes frame = good;
    change(frame);
    return parse_ipv4_packet(frame).has_value();
  };
  EXPECT_TRUE(parses([](Bytes&) {}));
  EXPECT_TRUE(parses([](Bytes& f) { f.resize(f.size() + 18); })) << "padding to 60 bytes is normal";
  EXPECT_FALSE(parses([](Bytes& f) { f.pop_back(); }));
  EXPECT_FALSE(parses([](Bytes& f) { f.resize(20); }));
  EXPECT_FALSE(parses([](Bytes& f) { f[14] = 0x44; })) << "a header of 16 bytes";
  EXPECT_FALSE(parses([](Bytes& f) { f[14] = 0x4f; })) << "a header longer than the packet";
  EXPECT_FALSE(parses([](Bytes& f) { f[14] = 0x65; })) << "version 6";
  EXPECT_FALSE(parses([](Bytes& f) { store16(f.data() + 16, 19); }));
  EXPECT_FALSE(parses([](Bytes& f) { f[12] = 0x86; })) << "another ethertype";
}

TEST(Packet, UdpDataEndsAtTheShorterLength) {
  Bytes frame = udp_frames(alice, bob, bytes_of("hello")).front();
  EXPECT_THAT(parse_ipv4_packet(frame)->udp_data(), SizeIs(5));
  store16(frame.data() + 38, 10);
  EXPECT_THAT(parse_ipv4_packet(frame)->udp_data(), SizeIs(2));
  store16(frame.data() + 38, 400);
  EXPECT_THAT(parse_ipv4_packet(frame)->udp_data(), IsEmpty());
  store16(frame.data() + 38, 7);
  EXPECT_THAT(parse_ipv4_packet(frame)->udp_data(), IsEmpty());
}

TEST(Packet, RewritingKeepsAllChecksumsRight) {
  for (const Bytes& original : {udp_frames(alice, bob, bytes_of("odd")).front(),
                                tcp_segment(alice, bob, 0x18, "some data that is sent")}) {
    Bytes frame = original;
    ASSERT_TRUE(checksums_hold(frame));
    auto packet = *parse_ipv4_packet(frame);
    set_destination(packet, wire_server_address);
    EXPECT_TRUE(checksums_hold(frame));
    set_destination_port(packet, 32'526);
    EXPECT_TRUE(checksums_hold(frame));
    set_source(packet, ipv4(255, 255, 0, 1));
    EXPECT_TRUE(checksums_hold(frame));
    set_source_port(packet, 65'535);
    EXPECT_TRUE(checksums_hold(frame));
    const auto after = *parse_ipv4_packet(frame);
    EXPECT_EQ(after.destination, wire_server_address);
    EXPECT_EQ(after.destination_port, 32'526);
    EXPECT_EQ(after.source_port, 65'535);

    set_source(packet, alice.address);
    set_source_port(packet, alice.port);
    set_destination(packet, bob.address);
    set_destination_port(packet, bob.port);
    EXPECT_EQ(frame, original);
  }
}

TEST(Packet, RewritingHoldsForEveryAddressOfAByte) {
  for (unsigned b = 0; b < 256; ++b) {
    Bytes frame = udp_frames(alice, bob, bytes_of("x")).front();
    auto packet = *parse_ipv4_packet(frame);
    set_source(packet, ipv4(b, 255 - b, b, 0));
    EXPECT_TRUE(checksums_hold(frame)) << b;
  }
}

TEST(Packet, RewritingLeavesAnAbsentUdpChecksumAbsentAndAWrongOneWrong) {
  Bytes frame = udp_frames(alice, bob, bytes_of("x")).front();
  store16(frame.data() + 40, 0);
  auto packet = *parse_ipv4_packet(frame);
  set_source(packet, ipv4(1, 2, 3, 4));
  EXPECT_EQ(load16(frame.data() + 40), 0);

  frame = udp_frames(alice, bob, bytes_of("x")).front();
  frame.back() = 'y';
  packet = *parse_ipv4_packet(frame);
  set_source(packet, ipv4(1, 2, 3, 4));
  EXPECT_FALSE(checksums_hold(frame));
}

TEST(Packet, RewritingALaterFragmentTouchesItsHeaderOnly) {
  Bytes frame = udp_frames(alice, bob, Bytes(4000, 'x')).at(1);
  const Bytes before = frame;
  auto packet = *parse_ipv4_packet(frame);
  set_source(packet, ipv4(1, 2, 3, 4));
  EXPECT_TRUE(std::equal(before.begin() + 34, before.end(), frame.begin() + 34));
  EXPECT_EQ(checksum_end(checksum_add(0, std::span(frame).subspan(14, 20))), 0);
}

TEST(Packet, ArpIsAnsweredToTheAsker) {
  const Bytes request = arp_announcement(alice.mac, alice.address);
  const Bytes reply = arp_reply(request, bob.mac, bob.address);
  const Bytes expected = {0, 0x0d, 0x3a, 0, 0, 1, 0,  0x0d, 0x3a, 0, 0, 2, 8, 6,  //
                          0, 1,    8,    0, 6, 4, 0,  2,                          //
                          0, 0x0d, 0x3a, 0, 0, 2, 10, 0,    0,    5,              //
                          0, 0x0d, 0x3a, 0, 0, 1, 10, 0,    0,    4};
  EXPECT_THAT(reply, ElementsAreArray(expected));
}

TEST(Refusal, OfASynIsAResetThatAcknowledgesIt) {
  Bytes syn = tcp_segment(alice, bob, 0x02);
  Bytes reset = refuse(syn, *parse_ipv4_packet(syn), bob.mac, ipv4(10, 0, 0, 1), Refusal::port_unreachable);
  ASSERT_TRUE(checksums_hold(reset));
  const auto packet = *parse_ipv4_packet(reset);
  EXPECT_EQ(packet.source, bob.address) << "in the name of the destination";
  EXPECT_EQ(packet.destination, alice.address);
  EXPECT_EQ(packet.destination_port, alice.port);
  EXPECT_EQ(packet.payload[13], 0x14);
  EXPECT_EQ(load32(packet.payload.data() + 8), 1001u);
}

TEST(Refusal, OfEstablishedTcpIsAResetAtItsAcknowledgement) {
  Bytes data = tcp_segment(alice, bob, 0x18, "data");
  Bytes reset = refuse(data, *parse_ipv4_packet(data), bob.mac, ipv4(10, 0, 0, 1), Refusal::prohibited);
  const auto packet = *parse_ipv4_packet(reset);
  EXPECT_EQ(packet.payload[13], 0x04);
  EXPECT_EQ(load32(packet.payload.data() + 4), 2000u);
}

TEST(Refusal, OfUdpIsAnIcmpErrorThatQuotesIt) {
  Bytes frame = udp_frames(alice, bob, bytes_of("hello")).front();
  Bytes error = refuse(frame, *parse_ipv4_packet(frame), bob.mac, ipv4(10, 0, 0, 1), Refusal::prohibited);
  const auto packet = *parse_ipv4_packet(error);
  EXPECT_TRUE(packet.is(IpProtocol::icmp));
  EXPECT_EQ(packet.source, ipv4(10, 0, 0, 1));
  EXPECT_EQ(packet.payload[0], 3);
  EXPECT_EQ(packet.payload[1], 13);
  EXPECT_EQ(checksum_end(checksum_add(0, packet.payload)), 0);
  EXPECT_TRUE(std::equal(packet.payload.begin() + 8, packet.payload.end(), frame.begin() + 14));
}

TEST(Refusal, AnswersNoResetNoIcmpErrorNoBroadcastAndNoLaterFragment) {
  const auto answer = [](Bytes frame) {
    return refuse(frame, *parse_ipv4_packet(frame), bob.mac, ipv4(10, 0, 0, 1), Refusal::prohibited);
  };
  EXPECT_THAT(answer(tcp_segment(alice, bob, 0x04)), IsEmpty());
  EXPECT_THAT(answer(udp_frames(alice, bob, Bytes(4000)).at(1)), IsEmpty());
  EXPECT_THAT(answer(udp_frames(alice, {broadcast_mac, bob.address, 9}, {}).front()), IsEmpty());
  Bytes frame = udp_frames(alice, bob, bytes_of("hello")).front();
  const Bytes error = answer(frame);
  ASSERT_FALSE(error.empty());
  EXPECT_THAT(answer(error), IsEmpty());
}

}  // namespace
}  // namespace berth::network
