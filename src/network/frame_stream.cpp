#include "network/frame_stream.h"

#include <algorithm>

#include "network/packet.h"

namespace berth::network {
namespace {

constexpr std::size_t length_field = 4;
constexpr std::size_t buffer_size = 256 * 1024;
constexpr std::size_t least_room = length_field + largest_frame;

}  // namespace

FrameReader::FrameReader() : bytes_(buffer_size) {}

std::span<std::uint8_t> FrameReader::room() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (bytes_.size() - end_ < least_room) {
    std::copy(bytes_.begin() + static_cast<std::ptrdiff_t>(begin_),
              bytes_.begin() + static_cast<std::ptrdiff_t>(end_), bytes_.begin());
    end_ -= begin_;
    begin_ = 0;
  }
  return std::span(bytes_).subspan(end_);
}

void FrameReader::filled(std::size_t bytes) {
  end_ += bytes;
}

std::optional<std::span<std::uint8_t>> FrameReader::next() {
  if (broken_ || end_ - begin_ < length_field) return std::nullopt;
  const std::size_t length = load32(bytes_.data() + begin_);
  if (length > largest_frame) {
    broken_ = true;
    return std::nullopt;
  }
  if (end_ - begin_ - length_field < length) return std::nullopt;
  const auto frame = std::span(bytes_).subspan(begin_ + length_field, length);
  begin_ += length_field + length;
  return frame;
}

bool FrameReader::holds_frame() const {
  if (broken_ || end_ - begin_ < length_field) return false;
  const std::size_t length = load32(bytes_.data() + begin_);
  return length > largest_frame || end_ - begin_ - length_field >= length;
}

void FrameReader::reset() {
  begin_ = end_ = 0;
  broken_ = false;
}

bool FrameQueue::put(std::span<const std::uint8_t> frame) {
  if (bytes_.size() - begin_ + length_field + frame.size() > limit) return false;
  if (begin_ > limit / 2) {
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = 0;
  }
  const std::size_t at = bytes_.size();
  bytes_.resize(at + length_field);
  store32(bytes_.data() + at, static_cast<std::uint32_t>(frame.size()));
  bytes_.insert(bytes_.end(), frame.begin(), frame.end());
  return true;
}

void FrameQueue::sent(std::size_t count) {
  begin_ += count;
  if (begin_ == bytes_.size()) clear();
}

void FrameQueue::clear() {
  bytes_.clear();
  if (bytes_.capacity() > high_water) bytes_.shrink_to_fit();
  begin_ = 0;
}

}  // namespace berth::network
