#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace berth::network {

/// Ethernet frames in a byte stream as QEMU's -netdev stream has them: length in 4 bytes, big endian, then
/// the frame. This side reads: the machine at the other end may send anything.
class FrameReader {
 public:
  FrameReader();

  std::span<std::uint8_t> room();  ///< where the next bytes go; never empty, unless it holds frames
  void filled(std::size_t bytes);  ///< that many came
  std::optional<std::span<std::uint8_t>> next();  ///< valid until room(); nullopt: no whole frame is left
  bool holds_frame() const;                       ///< next() has something to say, without more bytes
  bool broken() const { return broken_; }         ///< a length no frame can have: the stream is worthless
  void reset();

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t begin_ = 0, end_ = 0;
  bool broken_ = false;
};

/// This side writes: frames that wait for a slow machine, up to a bound; beyond it they are dropped, as by
/// any switch.
class FrameQueue {
 public:
  static constexpr std::size_t limit = 4 << 20;       ///< bytes
  static constexpr std::size_t high_water = 1 << 20;  ///< from here on, who can wait should

  bool put(std::span<const std::uint8_t> frame);  ///< false: dropped
  std::span<const std::uint8_t> bytes() const { return std::span(bytes_).subspan(begin_); }
  void sent(std::size_t count);
  bool empty() const { return begin_ == bytes_.size(); }
  bool congested() const { return bytes_.size() - begin_ >= high_water; }
  void clear();

 private:
  std::vector<std::uint8_t> bytes_;
  std::size_t begin_ = 0;
};

}  // namespace berth::network
