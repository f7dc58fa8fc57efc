#include "network/dns.h"

#include <fmt/format.h>

#include <algorithm>

namespace berth::network {
namespace {

constexpr std::size_t header_length = 12;
constexpr std::uint16_t type_a = 1, type_ptr = 12, type_opt = 41, type_any = 255, class_internet = 1;
constexpr unsigned no_error = 0, no_such_name = 3, refused = 5;
constexpr std::uint32_t time_to_live = 10;  // seconds; machines come and go
constexpr std::uint16_t udp_size = 1232;
constexpr std::string_view suffix = ".internal";

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return result;
}

/// Reads the name at `at` and moves `at` behind it; follows compression pointers, which must lead backwards.
std::optional<std::string> read_name(std::span<const std::uint8_t> message, std::size_t& at) {
  std::string name;
  std::size_t here = at, limit = message.size();
  bool jumped = false;
  for (;;) {
    if (here >= limit) return std::nullopt;
    const std::size_t length = message[here];
    if (length >= 0xc0) {
      if (here + 2 > limit) return std::nullopt;
      const std::size_t target = load16(message.data() + here) & 0x3fffu;
      if (!jumped) at = here + 2;
      if (target >= here) return std::nullopt;
      jumped = true;
      limit = here;
      here = target;
      continue;
    }
    if (length > 63 || here + 1 + length > limit) return std::nullopt;
    here += 1 + length;
    if (length == 0) break;
    if (name.size() + length + 1 > 255) return std::nullopt;
    if (!name.empty()) name += '.';
    name.append(reinterpret_cast<const char*>(message.data()) + here - length, length);
  }
  if (!jumped) at = here;
  return lower(name);
}

struct Question {
  std::string name;
  std::uint16_t type = 0;
  std::size_t end = 0;  // of the question section
  bool extended = false;
};

/// A standard query with one question of the Internet's class.
std::optional<Question> parse_question(std::span<const std::uint8_t> message) {
  if (message.size() < header_length) return std::nullopt;
  const unsigned flags = load16(message.data() + 2);
  const bool query = (flags & 0x8000) == 0 && (flags & 0x7800) == 0;
  if (!query || load16(message.data() + 4) != 1 || load16(message.data() + 6) != 0) return std::nullopt;
  Question question;
  std::size_t at = header_length;
  const auto name = read_name(message, at);
  if (!name || at + 4 > message.size()) return std::nullopt;
  question.name = *name;
  question.type = load16(message.data() + at);
  const std::uint16_t asked_class = load16(message.data() + at + 2);
  if (asked_class != class_internet && asked_class != type_any) return std::nullopt;
  question.end = at + 4;
  const bool additional = load16(message.data() + 10) > 0 && load16(message.data() + 8) == 0;
  question.extended = additional && question.end + 11 <= message.size() && message[question.end] == 0 &&
                      load16(message.data() + question.end + 1) == type_opt;
  return question;
}

void put16(Bytes& bytes, unsigned value) {
  bytes.push_back(static_cast<std::uint8_t>(value >> 8));
  bytes.push_back(static_cast<std::uint8_t>(value));
}

/// The answer with no or one record, whose name is the question's.
Bytes reply(std::span<const std::uint8_t> message, const Question& question, unsigned code,
            std::span<const std::uint8_t> record = {}) {
  Bytes bytes(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(question.end));
  const unsigned recursion_wanted = load16(message.data() + 2) & 0x0100;
  const unsigned authoritative = code == refused ? 0 : 0x0400;
  store16(bytes.data() + 2, 0x8000 | authoritative | recursion_wanted | 0x0080 | code);
  store16(bytes.data() + 6, record.empty() ? 0 : 1);
  store16(bytes.data() + 8, 0);
  store16(bytes.data() + 10, question.extended ? 1 : 0);
  if (!record.empty()) {
    put16(bytes, 0xc000 | header_length);
    put16(bytes, question.type == type_ptr ? type_ptr : type_a);
    put16(bytes, class_internet);
    put16(bytes, time_to_live >> 16);
    put16(bytes, time_to_live & 0xffff);
    put16(bytes, static_cast<unsigned>(record.size()));
    bytes.insert(bytes.end(), record.begin(), record.end());
  }
  if (question.extended) {  // RFC 6891: who understands the option says so
    bytes.push_back(0);
    put16(bytes, type_opt);
    put16(bytes, udp_size);
    bytes.resize(bytes.size() + 6);
  }
  return bytes;
}

Bytes encode_name(std::string_view name) {
  Bytes bytes;
  while (!name.empty()) {
    const auto dot = std::min(name.find('.'), name.size());
    bytes.push_back(static_cast<std::uint8_t>(dot));
    bytes.insert(bytes.end(), name.begin(), name.begin() + static_cast<std::ptrdiff_t>(dot));
    name.remove_prefix(std::min(dot + 1, name.size()));
  }
  bytes.push_back(0);
  return bytes;
}

/// "4.0.0.10.in-addr.arpa" -> 10.0.0.4
std::optional<Ipv4> reverse_address(std::string_view name) {
  constexpr std::string_view zone = ".in-addr.arpa";
  if (!name.ends_with(zone)) return std::nullopt;
  const auto backwards = parse_ipv4(name.substr(0, name.size() - zone.size()));
  if (!backwards) return std::nullopt;
  const std::uint32_t b = backwards->bits;
  return Ipv4{b << 24 | (b & 0xff00) << 8 | (b >> 8 & 0xff00) | b >> 24};
}

}  // namespace

void HostNames::add(std::string_view host_name, Ipv4 address) {
  const std::string name = lower(host_name);
  const bool encodable = !name.empty() && name.size() + suffix.size() < 250 &&
                         name.find("..") == std::string::npos && name.front() != '.' && name.back() != '.';
  if (!encodable) return;
  for (std::size_t at = 0; at < name.size();) {  // labels of at most 63 bytes
    const auto dot = std::min(name.find('.', at), name.size());
    if (dot - at > 63) return;
    at = dot + 1;
  }
  addresses_.try_emplace(name, address);
  names_.try_emplace(address, name);
}

std::optional<Bytes> HostNames::answer(std::span<const std::uint8_t> message) const {
  const auto question = parse_question(message);
  if (!question) return std::nullopt;
  if (const auto asked = reverse_address(question->name); asked && block_.contains(*asked)) {
    const auto found = names_.find(*asked);
    if (found == names_.end()) return reply(message, *question, no_such_name);
    if (question->type != type_ptr && question->type != type_any) return reply(message, *question, no_error);
    return reply(message, Question{question->name, type_ptr, question->end, question->extended}, no_error,
                 encode_name(found->second + std::string(suffix)));
  }
  std::string_view name = question->name;
  if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  const auto found = addresses_.find(name);
  if (found == addresses_.end()) return std::nullopt;
  if (question->type != type_a && question->type != type_any) return reply(message, *question, no_error);
  std::uint8_t address[4];
  store32(address, found->second.bits);
  return reply(message, *question, no_error, address);
}

std::optional<Bytes> refuse_dns(std::span<const std::uint8_t> message) {
  const auto question = parse_question(message);
  if (!question) return std::nullopt;
  return reply(message, *question, refused);
}

std::optional<DnsAnswer> read_dns_answer(std::span<const std::uint8_t> message) {
  if (message.size() < header_length) return std::nullopt;
  const unsigned flags = load16(message.data() + 2);
  const bool response = (flags & 0x8000) != 0, truncated = (flags & 0x0200) != 0;
  if (!response || truncated || (flags & 15) != no_error || load16(message.data() + 4) != 1)
    return std::nullopt;
  std::size_t at = header_length;
  const auto name = read_name(message, at);
  if (!name || at + 4 > message.size()) return std::nullopt;
  at += 4;
  DnsAnswer answer{*name, {}};
  for (unsigned left = load16(message.data() + 6); left > 0; --left) {
    if (!read_name(message, at) || at + 10 > message.size()) return std::nullopt;
    const std::uint16_t type = load16(message.data() + at);
    const std::size_t length = load16(message.data() + at + 8);
    at += 10;
    if (length > message.size() - at) return std::nullopt;
    if (type == type_a && length == 4) answer.addresses.push_back({load32(message.data() + at)});
    at += length;
  }
  return answer;
}

}  // namespace berth::network
