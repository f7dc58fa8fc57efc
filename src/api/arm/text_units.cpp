#include "api/arm/text_units.h"

#include <algorithm>
#include <clocale>
#include <cstdint>
#include <cstring>
#include <cwctype>

namespace berth::arm {
namespace {

constexpr std::string_view half_character = "\xEF\xBF\xBD";

/// One character of a text: how many bytes it has, and what it is.
struct Character {
  std::size_t bytes = 1;
  char32_t code = 0;
  bool text = true;  ///< false: a byte that is no UTF-8
  std::size_t units() const { return code > 0xFFFF ? 2 : 1; }
};

Character character_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return {1, first};
  const std::size_t bytes = first >= 0xF0 && first < 0xF5 ? 4 : first >= 0xE0 ? 3 : 2;
  char32_t code = first & (0xFFu >> (bytes + 1));
  bool good = first >= 0xC2 && first < 0xF5 && bytes <= text.size() - at;
  for (std::size_t i = 1; good && i < bytes; ++i) {
    good = (byte(at + i) & 0xC0) == 0x80;
    code = code << 6 | (byte(at + i) & 0x3Fu);
  }
  return good && code <= 0x10FFFF ? Character{bytes, code} : Character{1, first, false};
}

/// Most texts: each byte is a character.
bool is_ascii(std::string_view text) {
  std::size_t at = 0;
  for (std::uint64_t eight = 0; text.size() - at >= sizeof eight; at += sizeof eight) {
    std::memcpy(&eight, text.data() + at, sizeof eight);
    if (eight & 0x8080'8080'8080'8080) return false;
  }
  for (; at < text.size(); ++at)
    if (static_cast<unsigned char>(text[at]) >= 0x80) return false;
  return true;
}

void append(std::string& text, char32_t code) {
  const auto put = [&](char32_t bits) { text += static_cast<char>(bits); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

/// The letters of all scripts, whatever this process's own locale is; nullptr when the host has none of it.
locale_t letters() {
  static const locale_t all = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return all;
}

wint_t ascii_lower(wint_t code) {
  return code >= 'A' && code <= 'Z' ? code + 32 : code;
}
wint_t ascii_upper(wint_t code) {
  return code >= 'a' && code <= 'z' ? code - 32 : code;
}

template <class Change>
std::string changed(std::string_view text, Change change) {
  std::string made;
  if (is_ascii(text)) {
    made = text;
    for (char& c : made) c = static_cast<char>(change(static_cast<wint_t>(c)));
    return made;
  }
  made.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Character known = character_at(text, at);
    // Dotted and dotless i belong to Turkish alone.
    const bool stays = !known.text || known.code == 0x130 || known.code == 0x131;
    const auto other = stays ? known.code : static_cast<char32_t>(change(static_cast<wint_t>(known.code)));
    if (stays || (other > 0xFFFF) != (known.code > 0xFFFF))
      made.append(text, at, known.bytes);
    else
      append(made, other);
    at += known.bytes;
  }
  return made;
}

bool is_space(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F ||
         code == 0x205F || code == 0x3000;
}

}  // namespace

std::size_t count_units(std::string_view text) {
  if (is_ascii(text)) return text.size();
  std::size_t units = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Character known = character_at(text, at);
    units += known.units();
    at += known.bytes;
  }
  return units;
}

std::string units_of(std::string_view text, std::size_t begin, std::size_t count) {
  if (is_ascii(text)) return std::string(text.substr(std::min(begin, text.size()), count));
  const std::size_t end =
      count > static_cast<std::size_t>(-1) - begin ? static_cast<std::size_t>(-1) : begin + count;
  std::string part;
  std::size_t unit = 0;
  for (std::size_t at = 0; at < text.size() && unit < end;) {
    const Character known = character_at(text, at);
    const std::size_t after = unit + known.units();
    if (unit >= begin && after <= end)
      part.append(text, at, known.bytes);
    else if (after > begin)
      part += half_character;
    unit = after;
    at += known.bytes;
  }
  return part;
}

std::string lower_letters(std::string_view text) {
  return changed(text, [](wint_t code) {
    return code < 0x80 || !letters() ? ascii_lower(code) : ::towlower_l(code, letters());
  });
}

std::string upper_letters(std::string_view text) {
  return changed(text, [](wint_t code) {
    return code < 0x80 || !letters() ? ascii_upper(code) : ::towupper_l(code, letters());
  });
}

std::string trimmed(std::string_view text) {
  std::size_t begin = std::string_view::npos, end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Character known = character_at(text, at);
    if (!known.text || !is_space(known.code)) {
      if (begin == std::string_view::npos) begin = at;
      end = at + known.bytes;
    }
    at += known.bytes;
  }
  return begin == std::string_view::npos ? std::string() : std::string(text.substr(begin, end - begin));
}

}  // namespace berth::arm
