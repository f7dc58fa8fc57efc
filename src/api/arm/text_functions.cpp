#include "api/arm/template_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "api/arm/document.h"
#include "api/arm/text_units.h"
#include "crypto/encoding.h"
#include "http/message.h"

/// Of text, its encodings and what is made of it.
namespace berth::arm {
namespace {

using namespace template_functions;
using nlohmann::json;

json to_lower(Arguments& arguments) {
  return lower_letters(text(arguments, 0));
}
json to_upper(Arguments& arguments) {
  return upper_letters(text(arguments, 0));
}
json trim(Arguments& arguments) {
  return trimmed(text(arguments, 0));
}
json to_text(Arguments& arguments) {
  return checked(template_text(arguments[0]));
}
json starts_with(Arguments& arguments) {
  return lower_letters(text(arguments, 0)).starts_with(lower_letters(text(arguments, 1)));
}
json ends_with(Arguments& arguments) {
  return lower_letters(text(arguments, 0)).ends_with(lower_letters(text(arguments, 1)));
}

json replace(Arguments& arguments) {
  const std::string &value = text(arguments, 0), &from = text(arguments, 1), &to = text(arguments, 2);
  if (from.empty()) refuse("argument 2 is empty");
  std::string result;
  std::size_t at = 0;
  for (std::size_t found; (found = find_text(value, from, at)) != value.npos; at = found + from.size()) {
    result.append(value, at, found - at).append(to);
    if (result.size() > longest_text) refuse("the text grows too long");
  }
  return checked(result.append(value, at));
}

json substring(Arguments& arguments) {
  const std::string& value = text(arguments, 0);
  const std::int64_t start = whole(arguments, 1);
  const auto size = static_cast<std::int64_t>(count_units(value));
  const std::int64_t count = arguments.size() > 2 ? whole(arguments, 2) : size - start;
  if (start < 0 || count < 0 || start > size || count > size - start)
    refuse(
        fmt::format("start {} and length {} do not lie inside a text of {} characters", start, count, size));
  return units_of(value, static_cast<std::size_t>(start), static_cast<std::size_t>(count));
}

/// The delimiters of a split() by the byte with which they begin, in their order.
class Delimiters {
 public:
  explicit Delimiters(Arguments& arguments) : budget_(arguments.budget) {
    if (arguments[1].is_array())
      for (const json& item : arguments[1]) add(template_text(item));
    else
      add(text(arguments, 1));
  }

  /// The size of the first one that stands at `at`; 0 if none does.
  std::size_t at(std::string_view text, std::size_t at) {
    for (const std::string& delimiter : by_first_[static_cast<unsigned char>(text[at])]) {
      budget_.spend(4 + delimiter.size() / 16);
      if (text.compare(at, delimiter.size(), delimiter) == 0) return delimiter.size();
    }
    return 0;
  }

 private:
  void add(std::string delimiter) {
    if (!delimiter.empty()) by_first_[static_cast<unsigned char>(delimiter[0])].push_back(delimiter);
  }

  Budget& budget_;
  std::array<std::vector<std::string>, 256> by_first_;
};

json split(Arguments& arguments) {
  const std::string& value = text(arguments, 0);
  Delimiters delimiters(arguments);
  json parts = json::array();
  std::size_t begin = 0;
  for (std::size_t at = 0; at < value.size();) {
    const std::size_t size = delimiters.at(value, at);
    if (size == 0) {
      ++at;
      continue;
    }
    parts.push_back(value.substr(begin, at - begin));
    begin = at += size;
    if (parts.size() > static_cast<std::size_t>(most_items)) refuse("the text has too many parts");
  }
  parts.push_back(value.substr(begin));
  return parts;
}

json join(Arguments& arguments) {
  std::string joined;
  bool any = false;
  for (const json& item : array(arguments, 0)) {
    if (std::exchange(any, true)) joined += text(arguments, 1);
    joined += template_text(item);
    if (joined.size() > longest_text) refuse("the text grows too long");
  }
  return joined;
}

json pad_left(Arguments& arguments) {
  const std::string value = template_text(arguments[0]);
  const std::int64_t width = whole(arguments, 1);
  const std::string filler = arguments.size() > 2 ? text(arguments, 2) : " ";
  if (count_units(filler) != 1) refuse("argument 3 must be one character");
  if (width < 0 || width > 10'000) refuse("argument 2 must be a number from 0 to 10000");
  const auto wanted = static_cast<std::size_t>(width);
  const std::size_t units = count_units(value);
  if (units >= wanted) return value;
  if (filler.size() == 1) return std::string(wanted - units, filler[0]) + value;
  std::string padded;
  arguments.budget.spend(8 * (wanted - units));
  for (std::size_t i = units; i < wanted; ++i) padded += filler;
  return padded + value;
}

std::string grouped(std::string digits) {
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t at = digits.size(); at > first + 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

/// One value by a .NET format such as "D3", "X8", "N0".
std::string format_value(const json& value, std::string_view format) {
  if (format.empty() || !value.is_number_integer()) return template_text(value);
  const std::int64_t number = value.get<std::int64_t>();
  std::size_t width = 0;
  std::from_chars(format.data() + 1, format.data() + format.size(), width);
  width = std::min<std::size_t>(width, 99);
  switch (format[0]) {
    case 'D':
    case 'd':
      return number < 0 ? "-" + fmt::format("{:0{}}", -number, width) : fmt::format("{:0{}}", number, width);
    case 'X':
      return fmt::format("{:0{}X}", static_cast<std::uint64_t>(number), width);
    case 'x':
      return fmt::format("{:0{}x}", static_cast<std::uint64_t>(number), width);
    case 'N':
    case 'n':
      return grouped(std::to_string(number)) +
             (width > 0 && format.size() > 1 ? "." + std::string(width, '0') : "");
    default:
      return template_text(value);
  }
}

json format(Arguments& arguments) {
  const std::string& pattern = text(arguments, 0);
  std::string result;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    const char c = pattern[at];
    if ((c == '{' || c == '}') && at + 1 < pattern.size() && pattern[at + 1] == c) {
      result += c;
      ++at;
    } else if (c == '{') {
      const std::size_t end = pattern.find('}', at);
      if (end == pattern.npos) refuse("argument 1 has a '{' without its '}'");
      const std::string_view inner = std::string_view(pattern).substr(at + 1, end - at - 1);
      std::size_t index = 0;
      const auto [stop, problem] = std::from_chars(inner.data(), inner.data() + inner.size(), index);
      if (problem != std::errc() || index + 1 >= arguments.size())
        refuse(fmt::format("argument 1 names '{{{}}}', which is not given", inner));
      std::string_view rest(stop, static_cast<std::size_t>(inner.data() + inner.size() - stop));
      std::int64_t width = 0;
      if (rest.starts_with(',')) {
        const std::size_t colon = std::min(rest.find(':'), rest.size());
        std::from_chars(rest.data() + 1, rest.data() + colon, width);
        rest.remove_prefix(colon);
      }
      std::string value =
          format_value(arguments[index + 1], rest.starts_with(':') ? rest.substr(1) : std::string_view());
      const auto wanted = static_cast<std::size_t>(std::min<std::int64_t>(std::abs(width), 1000));
      const std::size_t units = count_units(value);
      if (units < wanted) value.insert(width > 0 ? 0 : value.size(), wanted - units, ' ');
      result += value;
      at = end;
    } else if (c == '}') {
      refuse("argument 1 has a '}' without its '{'");
    } else {
      result += c;
    }
    if (result.size() > longest_text) refuse("the text grows too long");
  }
  return result;
}

json to_base64(Arguments& arguments) {
  return checked(base64_encode(template_text(arguments[0])));
}
std::string from_base64(const Arguments& arguments) {
  const auto decoded = base64_decode(text(arguments, 0));
  if (!decoded) refuse("argument 1 is not base64");
  return *decoded;
}
json base64_to_text(Arguments& arguments) {
  return from_base64(arguments);
}
json parse_json(const std::string& value) {
  try {
    return parse_document(value);
  } catch (const Error&) {
    refuse("argument 1 is not JSON");
  }
}
json base64_to_json(Arguments& arguments) {
  return parse_json(from_base64(arguments));
}
json to_json(Arguments& arguments) {
  return parse_json(text(arguments, 0));
}
json data_uri(Arguments& arguments) {
  return checked("data:text/plain;charset=utf8;base64," + base64_encode(template_text(arguments[0])));
}
json data_uri_to_text(Arguments& arguments) {
  const std::string& uri = text(arguments, 0);
  const std::size_t comma = uri.find(',');
  if (!uri.starts_with("data:") || comma == uri.npos) refuse("argument 1 is no data URI");
  const std::string body = uri.substr(comma + 1);
  if (uri.substr(0, comma).find(";base64") == std::string::npos) return percent_decode(body);
  const auto decoded = base64_decode(body);
  if (!decoded) refuse("argument 1 is no data URI");
  return *decoded;
}
json uri_component(Arguments& arguments) {
  return checked(percent_encode(text(arguments, 0)));
}
json uri_component_to_text(Arguments& arguments) {
  return percent_decode(text(arguments, 0));
}

json uri(Arguments& arguments) {
  const std::string &base = text(arguments, 0), &relative = text(arguments, 1);
  const std::size_t scheme = base.find("://");
  if (scheme == base.npos) refuse("argument 1 is no absolute URI");
  if (relative.find("://") != relative.npos) return relative;
  const std::size_t path = base.find('/', scheme + 3);
  if (relative.starts_with('/')) return base.substr(0, path) + relative;
  return (path == base.npos ? base + "/" : base.substr(0, base.rfind('/') + 1)) + relative;
}

std::string joined_by_dash(const Arguments& arguments) {
  std::string joined;
  for (std::size_t i = 0; i < arguments.size(); ++i) joined += (i ? "-" : "") + template_text(arguments[i]);
  return joined;
}

/// 13 characters that are always the same for the same arguments. Not the ones that Azure would make: its
/// function is not published.
json unique_string(Arguments& arguments) {
  static constexpr std::string_view alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  const std::string hash = sha256(joined_by_dash(arguments));
  std::string made;
  for (std::size_t i = 0; i < 13; ++i) made += alphabet[static_cast<unsigned char>(hash[i]) & 31];
  return made;
}

/// A name-based UUID (RFC 4122, version 5).
json guid(Arguments& arguments) {
  static constexpr unsigned char name_space[16] = {0x11, 0xfb, 0x06, 0xfb, 0x71, 0x2d, 0x4d, 0xdd,
                                                   0x98, 0xc7, 0xe7, 0x1b, 0xbd, 0x58, 0x88, 0x30};
  std::string hash =
      sha1(std::string(reinterpret_cast<const char*>(name_space), 16) + joined_by_dash(arguments));
  hash.resize(16);
  hash[6] = static_cast<char>((hash[6] & 0x0F) | 0x50);
  hash[8] = static_cast<char>((hash[8] & 0x3F) | 0x80);
  std::string digits = hex_encode(hash);
  for (const std::size_t at : {8u, 13u, 18u, 23u}) digits.insert(at, "-");
  return digits;
}

constexpr TemplateFunction text_table[] = {
    {"base64", 1, 1, to_base64},
    {"base64ToJson", 1, 1, base64_to_json},
    {"base64ToString", 1, 1, base64_to_text},
    {"dataUri", 1, 1, data_uri},
    {"dataUriToString", 1, 1, data_uri_to_text},
    {"endsWith", 2, 2, ends_with},
    {"format", 1, -1, format},
    {"guid", 1, -1, guid},
    {"join", 2, 2, join},
    {"json", 1, 1, to_json},
    {"padLeft", 2, 3, pad_left},
    {"replace", 3, 3, replace},
    {"split", 2, 2, split},
    {"startsWith", 2, 2, starts_with},
    {"string", 1, 1, to_text},
    {"substring", 2, 3, substring},
    {"toLower", 1, 1, to_lower},
    {"toUpper", 1, 1, to_upper},
    {"trim", 1, 1, trim},
    {"uniqueString", 1, -1, unique_string},
    {"uri", 2, 2, uri},
    {"uriComponent", 1, 1, uri_component},
    {"uriComponentToString", 1, 1, uri_component_to_text},
};

}  // namespace

std::span<const TemplateFunction> template_functions::text() {
  return text_table;
}

}  // namespace berth::arm
