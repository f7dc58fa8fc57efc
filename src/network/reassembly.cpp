#include "network/reassembly.h"

#include <algorithm>

namespace berth::network {
namespace {

constexpr std::size_t headers = ethernet_header + 20;
constexpr std::size_t largest_payload = 65'535 - 20;

}  // namespace

void Reassembler::forget(std::list<Packet>::iterator packet) {
  bytes_ -= packet->frame.size();
  packets_.erase(packet);
}

std::optional<Bytes> Reassembler::add(std::span<const std::uint8_t> frame, const Ipv4Packet& fragment,
                                      Time now) {
  while (!packets_.empty() && now - packets_.front().began > time_limit) forget(packets_.begin());

  const unsigned field = load16(fragment.header + 6);
  const bool more = (field & 0x2000) != 0;
  const std::size_t begin = (field & 0x1fffu) * 8, end = begin + fragment.payload.size();
  const bool sound = fragment.header_length == 20 && !fragment.payload.empty() && end <= largest_payload &&
                     (!more || fragment.payload.size() % 8 == 0);
  if (!sound) return std::nullopt;

  const Key key{fragment.source, fragment.destination, load16(fragment.header + 4), fragment.protocol};
  auto packet = std::ranges::find(packets_, key, &Packet::key);
  if (packet == packets_.end()) {
    if (packets_.size() >= most_packets) forget(packets_.begin());
    packet = packets_.insert(packets_.end(), Packet{});
    packet->key = key;
    packet->began = now;
  }
  const bool overlaps = std::ranges::any_of(
      packet->parts, [&](const auto& part) { return begin < part.second && part.first < end; });
  const bool beyond_end = packet->length != 0 && (end > packet->length || !more);
  const bool end_too_soon = !more && packet->frame.size() > headers + end;
  if (overlaps || beyond_end || end_too_soon || packet->parts.size() >= most_fragments) {
    forget(packet);
    return std::nullopt;
  }

  if (headers + end > packet->frame.size()) {
    const std::size_t growth = headers + end - packet->frame.size();
    while (bytes_ + growth > most_bytes) {
      const auto oldest = packets_.begin() == packet ? std::next(packet) : packets_.begin();
      forget(oldest);  // one packet alone is far below the bound
    }
    packet->frame.resize(headers + end);
    bytes_ += growth;
  }
  std::ranges::copy(fragment.payload, packet->frame.begin() + static_cast<std::ptrdiff_t>(headers + begin));
  packet->parts.emplace_back(begin, end);
  packet->received += fragment.payload.size();
  if (begin == 0) {
    std::copy_n(frame.begin(), headers, packet->frame.begin());
    packet->has_first = true;
  }
  if (!more) packet->length = end;
  if (packet->length == 0 || packet->received != packet->length || !packet->has_first) return std::nullopt;

  Bytes whole = std::move(packet->frame);
  bytes_ -= whole.size();
  packets_.erase(packet);
  std::uint8_t* header = whole.data() + ethernet_header;
  store16(header + 2, static_cast<unsigned>(whole.size() - ethernet_header));
  store16(header + 6, 0);
  store16(header + 10, 0);
  store16(header + 10, checksum_end(checksum_add(0, {header, 20})));
  return whole;
}

}  // namespace berth::network
