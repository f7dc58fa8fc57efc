#include "network/frame_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "network/packet.h"

namespace berth::network {
namespace {

Bytes framed(const Bytes& frame) {
  Bytes bytes(4);
  store32(bytes.data(), static_cast<std::uint32_t>(frame.size()));
  bytes.insert(bytes.end(), frame.begin(), frame.end());
  return bytes;
}

void feed(FrameReader& reader, std::span<const std::uint8_t> bytes) {
  const auto room = reader.room();
  ASSERT_GE(room.size(), bytes.size());
  std::ranges::copy(bytes, room.begin());
  reader.filled(bytes.size());
}

TEST(FrameReader, FindsFramesHoweverTheStreamIsCut) {
  const Bytes first(60, 'a'), second(1514, 'b');
  Bytes stream = framed(first);
  const Bytes more = framed(second);
  stream.insert(stream.end(), more.begin(), more.end());
  for (std::size_t cut = 1; cut < stream.size(); ++cut) {
    FrameReader reader;
    std::vector<Bytes> found;
    for (const auto part : {std::span(stream).first(cut), std::span(stream).subspan(cut)}) {
      feed(reader, part);
      while (const auto frame = reader.next()) found.emplace_back(frame->begin(), frame->end());
    }
    ASSERT_THAT(found, testing::ElementsAre(first, second)) << cut;
  }
}

TEST(FrameReader, CarriesOnForEverInOneBuffer) {
  FrameReader reader;
  const Bytes stream = framed(Bytes(65'000, 'x'));
  for (int i = 0; i < 50; ++i) {
    feed(reader, std::span(stream).first(40'000));
    EXPECT_FALSE(reader.next());
    feed(reader, std::span(stream).subspan(40'000));
    ASSERT_TRUE(reader.next());
  }
}

TEST(FrameReader, GivesUpAStreamWithAnImpossibleLength) {
  for (const std::uint32_t length : {65'551u, 0x7fffffffu, 0xffffffffu}) {
    FrameReader reader;
    Bytes header(4);
    store32(header.data(), length);
    feed(reader, header);
    EXPECT_FALSE(reader.next());
    EXPECT_TRUE(reader.broken());
    reader.reset();
    feed(reader, framed(Bytes(20, 'x')));
    EXPECT_TRUE(reader.next()) << "a new connection is a new stream";
  }
}

TEST(FrameReader, TakesTheLargestFrame) {
  FrameReader reader;
  feed(reader, framed(Bytes(largest_frame, 'x')));
  ASSERT_TRUE(reader.next());
  EXPECT_FALSE(reader.broken());
}

TEST(FrameQueue, DropsWholeFramesOnceItIsFull) {
  FrameQueue queue;
  const Bytes frame(60'000, 'x');
  std::size_t taken = 0;
  while (queue.put(frame)) ++taken;
  EXPECT_EQ(taken, FrameQueue::limit / (frame.size() + 4));
  EXPECT_TRUE(queue.congested());
  EXPECT_EQ(queue.bytes().size() % (frame.size() + 4), 0u);
  queue.sent(frame.size() + 4);
  EXPECT_TRUE(queue.put(frame));
}

TEST(FrameQueue, KeepsTheStreamWholeAcrossPartialSends) {
  FrameQueue queue;
  FrameReader reader;
  std::size_t found = 0;
  for (std::size_t i = 0; i < 3000; ++i) {
    ASSERT_TRUE(queue.put(Bytes(1000 + i % 500, static_cast<std::uint8_t>(i))));
    const std::size_t part = std::min<std::size_t>(queue.bytes().size(), 1237);
    feed(reader, queue.bytes().first(part));
    queue.sent(part);
    while (const auto frame = reader.next()) {
      ASSERT_EQ(frame->size(), 1000 + found % 500);
      ASSERT_EQ(frame->front(), static_cast<std::uint8_t>(found));
      ++found;
    }
  }
  EXPECT_GT(found, 2500u);
}

}  // namespace
}  // namespace berth::network
