#include "api/arm/json_text.h"

#include <cstdint>
#include <cstring>

namespace berth::arm {
namespace {

/// The length of the UTF-8 sequence at the front of `text`; 0 when there is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xC2 && first < 0xE0 ? 2
                             : (first & 0xF0) == 0xE0        ? 3
                             : first >= 0xF0 && first < 0xF5 ? 4
                                                             : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  if (length == 3 && ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xED && byte(1) > 0x9F))) return 0;
  if (length == 4 && ((first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F))) return 0;
  return length;
}

/// Eight bytes of printable ASCII that stand for themselves. Rightly false for all others, and now and then too often.
bool are_plain(const char* text) {
  constexpr std::uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
  std::uint64_t bytes;
  std::memcpy(&bytes, text, sizeof bytes);
  const auto has = [](std::uint64_t of, unsigned char byte) {
    const std::uint64_t zero = of ^ (ones * byte);
    return (zero - ones) & ~zero & tops;
  };
  return !((bytes & tops) | ((bytes - ones * 0x20) & ~bytes & tops) | has(bytes, '"') | has(bytes, '\\') |
           has(bytes, 0x7F));
}

}  // namespace

void JsonText::quote(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  text_ += '"';
  std::size_t plain = 0;  // where the part begins that needs no change
  for (std::size_t at = 0; at < text.size();) {
    while (text.size() - at >= 8 && are_plain(text.data() + at)) at += 8;
    if (at == text.size()) break;
    const char c = text[at];
    if (c >= 0x20 && c < 0x7F && c != '"' && c != '\\') {
      ++at;
      continue;
    }
    const std::size_t length = sequence_length(text.substr(at));
    if (length > 1) {
      at += length;
      continue;
    }
    text_.append(text, plain, at - plain);
    switch (c) {
      case '"':
        text_ += "\\\"";
        break;
      case '\\':
        text_ += "\\\\";
        break;
      case '\n':
        text_ += "\\n";
        break;
      case '\r':
        text_ += "\\r";
        break;
      case '\t':
        text_ += "\\t";
        break;
      default:
        if (length == 0) {
          text_ += "\xEF\xBF\xBD";  // the replacement character
        } else {
          text_ += "\\u00";
          text_ += digits[static_cast<unsigned char>(c) >> 4];
          text_ += digits[static_cast<unsigned char>(c) & 15];
        }
    }
    plain = ++at;
  }
  text_.append(text, plain);
  text_ += '"';
}

void JsonText::next(std::string_view key) {
  if (!text_.empty() && text_.back() != '{' && text_.back() != '[') text_ += ',';
  if (key.empty()) return;
  quote(key);
  text_ += ':';
}

JsonText& JsonText::open(std::string_view key) {
  next(key);
  text_ += '{';
  return *this;
}
JsonText& JsonText::close() {
  text_ += '}';
  return *this;
}
JsonText& JsonText::open_list(std::string_view key) {
  next(key);
  text_ += '[';
  return *this;
}
JsonText& JsonText::close_list() {
  text_ += ']';
  return *this;
}
JsonText& JsonText::put(std::string_view key, std::string_view text) {
  next(key);
  quote(text);
  return *this;
}
JsonText& JsonText::raw(std::string_view key, std::string_view json) {
  next(key);
  text_ += json;
  return *this;
}
JsonText& JsonText::item(std::string_view text) {
  next({});
  quote(text);
  return *this;
}
JsonText& JsonText::raw_item(std::string_view json) {
  return raw({}, json);
}

}  // namespace berth::arm
