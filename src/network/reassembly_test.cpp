#include "network/reassembly.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace berth::network {
namespace {

using namespace std::chrono_literals;

const Reassembler::Time start{std::chrono::hours(1000)};
const End machine{{0, 0x0d, 0x3a, 0, 0, 1}, ipv4(10, 0, 0, 4), 40'000};
const End gateway{{0x52, 0x55, 0x0a, 0, 0, 1}, ipv4(10, 0, 0, 1), 53};

Bytes data_of(std::size_t size) {
  Bytes data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::uint8_t>(i * 7 + (i >> 8));
  return data;
}

std::optional<Bytes> add(Reassembler& pieces, Bytes frame, Reassembler::Time now = start) {
  const auto packet = parse_ipv4_packet(frame);
  EXPECT_TRUE(packet && packet->fragment);
  return packet ? pieces.add(frame, *packet, now) : std::nullopt;
}

/// A fragment of a UDP packet with bytes [begin, end) of a payload of zeros.
Bytes fragment(std::uint16_t id, std::size_t begin, std::size_t end, bool more) {
  Bytes frame = udp_frames(machine, gateway, Bytes(end - begin > 8 ? end - begin - 8 : 0), id).front();
  frame.resize(ethernet_header + 20 + end - begin);
  std::uint8_t* header = frame.data() + ethernet_header;
  store16(header + 2, static_cast<unsigned>(20 + end - begin));
  store16(header + 6, static_cast<unsigned>((more ? 0x2000 : 0) | begin / 8));
  return frame;
}

TEST(Reassembler, MakesPacketsWholeWhateverTheOrder) {
  std::mt19937 random(7);
  for (const std::size_t size : {1473u, 2000u, 9000u, 65'507u}) {
    const Bytes data = data_of(size);
    auto frames = udp_frames(machine, gateway, data, 9);
    ASSERT_GT(frames.size(), 1u);
    for (int i = 0; i < 5; ++i) {
      std::shuffle(frames.begin(), frames.end(), random);
      Reassembler pieces;
      std::optional<Bytes> whole;
      for (const Bytes& frame : frames) {
        EXPECT_FALSE(whole);
        whole = add(pieces, frame);
      }
      ASSERT_TRUE(whole);
      const auto packet = parse_ipv4_packet(*whole);
      ASSERT_TRUE(packet && !packet->fragment && checksums_hold(*packet));
      EXPECT_TRUE(std::ranges::equal(packet->udp_data(), data));
      EXPECT_EQ(pieces.packets(), 0u);
      EXPECT_EQ(pieces.bytes(), 0u);
    }
  }
}

TEST(Reassembler, SplitsAndJoinsToTheSameFrame) {
  Bytes frame = udp_frames(machine, gateway, data_of(1000)).front();
  EXPECT_EQ(fragments_of(frame), std::vector<Bytes>{frame}) << "what fits is not split";
}

TEST(Reassembler, GivesUpPacketsWhosePartsOverlap) {
  for (const auto& [begin, end] : {std::pair<std::size_t, std::size_t>{0, 800}, {8, 16}, {792, 1600}}) {
    Reassembler pieces;
    EXPECT_FALSE(add(pieces, fragment(1, 0, 800, true)));
    EXPECT_FALSE(add(pieces, fragment(1, begin, end, true)));
    EXPECT_EQ(pieces.packets(), 0u);
    EXPECT_FALSE(add(pieces, fragment(1, 800, 1000, false))) << "its rest makes nothing whole";
  }
}

TEST(Reassembler, GivesUpPacketsWithTwoEnds) {
  Reassembler pieces;
  EXPECT_FALSE(add(pieces, fragment(1, 800, 1000, false)));
  EXPECT_FALSE(add(pieces, fragment(1, 1600, 1700, false)));
  EXPECT_EQ(pieces.packets(), 0u);
  EXPECT_FALSE(add(pieces, fragment(2, 800, 1600, true)));
  EXPECT_FALSE(add(pieces, fragment(2, 8, 400, false)));
  EXPECT_EQ(pieces.packets(), 0u);
}

TEST(Reassembler, RefusesPartsThatNoPacketHas) {
  Reassembler pieces;
  EXPECT_FALSE(add(pieces, fragment(1, 0, 804, true))) << "not a multiple of 8";
  EXPECT_FALSE(add(pieces, fragment(1, 65'528, 65'600, false))) << "beyond the largest packet";
  EXPECT_FALSE(add(pieces, fragment(1, 80, 80, false))) << "empty";
  EXPECT_EQ(pieces.packets(), 0u);
}

TEST(Reassembler, DoesNotMixPackets) {
  Reassembler pieces;
  EXPECT_FALSE(add(pieces, fragment(1, 0, 800, true)));
  EXPECT_FALSE(add(pieces, fragment(2, 800, 1000, false)));
  Bytes other = fragment(1, 800, 1000, false);
  other[ethernet_header + 9] = 1;
  EXPECT_FALSE(add(pieces, other)) << "another protocol";
  EXPECT_TRUE(add(pieces, fragment(1, 800, 1000, false)));
}

TEST(Reassembler, ForgetsWhatIsNeverCompleted) {
  Reassembler pieces;
  EXPECT_FALSE(add(pieces, fragment(1, 0, 800, true)));
  EXPECT_FALSE(add(pieces, fragment(2, 0, 800, true), start + Reassembler::time_limit + 1s));
  EXPECT_EQ(pieces.packets(), 1u);
  EXPECT_FALSE(add(pieces, fragment(1, 800, 1000, false), start + Reassembler::time_limit + 1s));
}

TEST(Reassembler, KeepsABoundedNumberOfPacketsBytesAndParts) {
  Reassembler pieces;
  for (std::uint16_t id = 0; id < 10'000; ++id) {
    add(pieces, fragment(id, 65'000, 65'008, true));
    ASSERT_LE(pieces.packets(), Reassembler::most_packets);
    ASSERT_LE(pieces.bytes(), Reassembler::most_bytes);
  }
  EXPECT_EQ(pieces.packets(), Reassembler::most_bytes / (65'008 + 34));
  for (std::size_t i = 0; i < 2 * Reassembler::most_fragments; i += 2)
    add(pieces, fragment(20'000, i * 8, i * 8 + 8, true));
  EXPECT_FALSE(add(pieces, fragment(20'000, 8 * 8 * Reassembler::most_fragments,
                                    8 * 8 * Reassembler::most_fragments + 8, true)));
  EXPECT_LE(pieces.packets(), Reassembler::most_packets);
}

TEST(Reassembler, ANewPacketFindsRoomWhenOthersFillIt) {
  Reassembler pieces;
  for (std::uint16_t id = 0; id < 100; ++id) add(pieces, fragment(id, 65'000, 65'008, true));
  const auto frames = udp_frames(machine, gateway, data_of(60'000), 500);
  std::optional<Bytes> whole;
  for (const Bytes& frame : frames) whole = add(pieces, frame);
  EXPECT_TRUE(whole);
}

}  // namespace
}  // namespace berth::network
