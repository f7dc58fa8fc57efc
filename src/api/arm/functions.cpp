#include "api/arm/functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <limits>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "base/error.h"
#include "crypto/encoding.h"
#include "http/message.h"

namespace berth::arm {
namespace {

using nlohmann::json;
using Arguments = std::vector<json>;

constexpr std::size_t longest_text = 1024 * 1024;
constexpr std::int64_t most_items = 10'000;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorKind::invalid, "InvalidTemplate", why);
}

const std::string& text(const Arguments& arguments, std::size_t index) {
  if (!arguments[index].is_string())
    refuse(fmt::format("argument {} must be a string, not {}", index + 1, type_in_words(arguments[index])));
  return arguments[index].get_ref<const std::string&>();
}

std::int64_t whole(const json& value, std::size_t index) {
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX))
    refuse(fmt::format("argument {} must be an integer, not {}", index + 1, type_in_words(value)));
  return value.get<std::int64_t>();
}
std::int64_t whole(const Arguments& arguments, std::size_t index) {
  return whole(arguments[index], index);
}

const json& array(const Arguments& arguments, std::size_t index) {
  if (!arguments[index].is_array())
    refuse(fmt::format("argument {} must be an array, not {}", index + 1, type_in_words(arguments[index])));
  return arguments[index];
}

bool flag(const Arguments& arguments, std::size_t index) {
  if (!arguments[index].is_boolean())
    refuse(
        fmt::format("argument {} must be true or false, not {}", index + 1, type_in_words(arguments[index])));
  return arguments[index].get<bool>();
}

json checked(std::string value) {
  if (value.size() > longest_text) refuse(fmt::format("the text grows beyond {} characters", longest_text));
  return value;
}

// --- arrays and objects

json concat(Arguments& arguments) {
  if (!arguments.empty() && arguments[0].is_array()) {
    json joined = json::array();
    for (std::size_t i = 0; i < arguments.size(); ++i)
      for (const json& item : array(arguments, i)) joined.push_back(item);
    if (joined.size() > static_cast<std::size_t>(most_items)) refuse("the array grows beyond 10,000 items");
    return joined;
  }
  std::string joined;
  for (const json& argument : arguments) {
    if (argument.is_array() || argument.is_object())
      refuse("strings and arrays cannot be joined with each other");
    joined += template_text(argument);
  }
  return checked(std::move(joined));
}

json to_array(Arguments& arguments) {
  return arguments[0].is_array() ? arguments[0] : json::array({arguments[0]});
}
json create_array(Arguments& arguments) {
  return json(arguments);
}
json create_object(Arguments& arguments) {
  if (arguments.size() % 2 != 0) refuse("it needs a value for each key");
  json made = json::object();
  for (std::size_t i = 0; i < arguments.size(); i += 2) made[text(arguments, i)] = arguments[i + 1];
  return made;
}

json contains(Arguments& arguments) {
  const json& container = arguments[0];
  if (container.is_object()) return find_member(container, text(arguments, 1)) != nullptr;
  if (container.is_array()) return std::ranges::find(container, arguments[1]) != container.end();
  return text(arguments, 0).find(template_text(arguments[1])) != std::string::npos;
}

json is_empty(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_null()) return true;
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (!value.is_structured()) refuse("argument 1 must be a string, an array or an object");
  return value.empty();
}

json length(Arguments& arguments) {
  if (arguments[0].is_string()) return arguments[0].get_ref<const std::string&>().size();
  if (!arguments[0].is_structured()) refuse("argument 1 must be a string, an array or an object");
  return arguments[0].size();
}

json first(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_string()) return value.get_ref<const std::string&>().substr(0, 1);
  return array(arguments, 0).empty() ? json() : value.front();
}
json last(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_string()) {
    const auto& whole_text = value.get_ref<const std::string&>();
    return whole_text.empty() ? std::string() : whole_text.substr(whole_text.size() - 1);
  }
  return array(arguments, 0).empty() ? json() : value.back();
}

json index_of(const json& container, const json& wanted, bool from_end) {
  if (container.is_string()) {
    const std::string where = lower(container.get_ref<const std::string&>());
    const std::string what = lower(template_text(wanted));
    const std::size_t found = from_end ? where.rfind(what) : where.find(what);
    return found == std::string::npos ? std::int64_t{-1} : static_cast<std::int64_t>(found);
  }
  if (!container.is_array()) refuse("argument 1 must be a string or an array");
  std::int64_t found = -1;
  for (std::size_t i = 0; i < container.size() && (from_end || found < 0); ++i)
    if (container[i] == wanted) found = static_cast<std::int64_t>(i);
  return found;
}
json first_index_of(Arguments& arguments) {
  return index_of(arguments[0], arguments[1], false);
}
json last_index_of(Arguments& arguments) {
  return index_of(arguments[0], arguments[1], true);
}

json part(Arguments& arguments, bool skip) {
  const std::int64_t count = std::max<std::int64_t>(0, whole(arguments, 1));
  if (arguments[0].is_string()) {
    const auto& value = arguments[0].get_ref<const std::string&>();
    const std::size_t cut = std::min(value.size(), static_cast<std::size_t>(count));
    return skip ? value.substr(cut) : value.substr(0, cut);
  }
  const json& value = array(arguments, 0);
  const auto cut = static_cast<std::ptrdiff_t>(std::min(value.size(), static_cast<std::size_t>(count)));
  return skip ? json(std::vector<json>(value.begin() + cut, value.end()))
              : json(std::vector<json>(value.begin(), value.begin() + cut));
}
json skip(Arguments& arguments) {
  return part(arguments, true);
}
json take(Arguments& arguments) {
  return part(arguments, false);
}

json range(Arguments& arguments) {
  const std::int64_t start = whole(arguments, 0), count = whole(arguments, 1);
  if (count < 0 || count > most_items) refuse("argument 2 must be a number from 0 to 10000");
  if (start > 2'147'483'647 - count || start < -2'147'483'648) refuse("the range leaves the integers");
  json made = json::array();
  for (std::int64_t i = 0; i < count; ++i) made.push_back(start + i);
  return made;
}

/// Objects merge key by key, what is later wins; arrays keep each value once.
json merge(const json& a, const json& b, bool deep) {
  json merged = a;
  for (const auto& [key, value] : b.items()) {
    const auto at = merged.find(key);
    merged[key] =
        deep && at != merged.end() && at->is_object() && value.is_object() ? merge(*at, value, true) : value;
  }
  return merged;
}

json set_union(Arguments& arguments) {
  json result = arguments[0];
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].type() != arguments[0].type() || !arguments[i].is_structured())
      refuse("all arguments must be arrays, or all objects");
    if (arguments[i].is_object()) {
      result = merge(result, arguments[i], true);
      continue;
    }
    if (i == 0) result = json::array();
    for (const json& item : arguments[i])
      if (std::ranges::find(result, item) == result.end()) result.push_back(item);
  }
  return result;
}

json intersection(Arguments& arguments) {
  json result = arguments[0];
  for (const json& other : arguments) {
    if (other.type() != result.type() || !other.is_structured())
      refuse("all arguments must be arrays, or all objects");
    json kept = other.is_array() ? json::array() : json::object();
    if (other.is_array()) {
      for (const json& item : result)
        if (std::ranges::find(other, item) != other.end() && std::ranges::find(kept, item) == kept.end())
          kept.push_back(item);
    } else {
      for (const auto& [key, value] : result.items())
        if (const auto found = other.find(key); found != other.end() && *found == value) kept[key] = value;
    }
    result = std::move(kept);
  }
  return result;
}

json shallow_merge(Arguments& arguments) {
  json result = json::object();
  for (const json& item : array(arguments, 0)) {
    if (!item.is_object()) refuse("argument 1 must be an array of objects");
    result = merge(result, item, false);
  }
  return result;
}

json flatten(Arguments& arguments) {
  json flat = json::array();
  for (const json& item : array(arguments, 0)) {
    if (!item.is_array()) refuse("argument 1 must be an array of arrays");
    for (const json& inner : item) flat.push_back(inner);
  }
  return flat;
}

json items(Arguments& arguments) {
  if (!arguments[0].is_object()) refuse("argument 1 must be an object");
  json list = json::array();
  for (const auto& [key, value] : arguments[0].items()) list.push_back({{"key", key}, {"value", value}});
  return list;
}
json object_keys(Arguments& arguments) {
  if (!arguments[0].is_object()) refuse("argument 1 must be an object");
  json list = json::array();
  for (const auto& [key, value] : arguments[0].items()) list.push_back(key);
  return list;
}

json try_get(Arguments& arguments) {
  const json* at = &arguments[0];
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (at->is_object() && arguments[i].is_string()) {
      at = find_member(*at, text(arguments, i));
      if (!at) return nullptr;
    } else if (at->is_array() && arguments[i].is_number_integer()) {
      const std::int64_t index = whole(arguments, i);
      if (index < 0 || index >= static_cast<std::int64_t>(at->size())) return nullptr;
      at = &(*at)[static_cast<std::size_t>(index)];
    } else {
      return nullptr;
    }
  }
  return *at;
}

template <class Better>
json best(Arguments& arguments, Better better) {
  const json list = arguments.size() == 1 && arguments[0].is_array() ? arguments[0] : json(arguments);
  if (list.empty()) refuse("it needs at least one number");
  std::int64_t found = whole(list[0], 0);
  for (std::size_t i = 1; i < list.size(); ++i)
    if (better(whole(list[i], i), found)) found = whole(list[i], i);
  return found;
}
json least(Arguments& arguments) {
  return best(arguments, std::less<>());
}
json greatest(Arguments& arguments) {
  return best(arguments, std::greater<>());
}

// --- comparison and logic

json equals(Arguments& arguments) {
  return arguments[0] == arguments[1];
}
template <class Test>
json compare(Arguments& arguments, Test test) {
  if (arguments[0].is_string() && arguments[1].is_string())
    return test(text(arguments, 0).compare(text(arguments, 1)), 0);
  const std::int64_t a = whole(arguments, 0), b = whole(arguments, 1);
  return test(a < b ? -1 : a > b ? 1 : 0, 0);
}
json less(Arguments& arguments) {
  return compare(arguments, std::less<>());
}
json less_or_equals(Arguments& arguments) {
  return compare(arguments, std::less_equal<>());
}
json greater(Arguments& arguments) {
  return compare(arguments, std::greater<>());
}
json greater_or_equals(Arguments& arguments) {
  return compare(arguments, std::greater_equal<>());
}
json negate(Arguments& arguments) {
  return !flag(arguments, 0);
}
json make_true(Arguments&) {
  return true;
}
json make_false(Arguments&) {
  return false;
}
json make_null(Arguments&) {
  return nullptr;
}
json to_bool(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_boolean()) return value;
  if (value.is_number_integer()) return value.get<std::int64_t>() != 0;
  if (value.is_string() && same_name(value.get_ref<const std::string&>(), "true")) return true;
  if (value.is_string() && same_name(value.get_ref<const std::string&>(), "false")) return false;
  refuse("argument 1 must be true, false, or a number");
}

// --- numbers

json calculate(Arguments& arguments, char operation) {
  const std::int64_t a = whole(arguments, 0), b = whole(arguments, 1);
  std::int64_t result = 0;
  bool overflow = false;
  switch (operation) {
    case '+':
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case '-':
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case '*':
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    default:
      if (b == 0) refuse("it divides by zero");
      overflow = a == std::numeric_limits<std::int64_t>::min() && b == -1;
      if (!overflow) result = operation == '/' ? a / b : a % b;
  }
  if (overflow) refuse("the result leaves the integers");
  return result;
}
json add(Arguments& arguments) {
  return calculate(arguments, '+');
}
json subtract(Arguments& arguments) {
  return calculate(arguments, '-');
}
json multiply(Arguments& arguments) {
  return calculate(arguments, '*');
}
json divide(Arguments& arguments) {
  return calculate(arguments, '/');
}
json modulo(Arguments& arguments) {
  return calculate(arguments, '%');
}

json to_int(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_number_integer()) return value;
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!(number > -9e18 && number < 9e18)) refuse("argument 1 leaves the integers");
    return static_cast<std::int64_t>(number);
  }
  const std::string& digits = text(arguments, 0);
  std::int64_t number = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (problem != std::errc() || end != digits.data() + digits.size()) refuse("argument 1 is no whole number");
  return number;
}
json to_float(Arguments& arguments) {
  if (arguments[0].is_number()) return arguments[0].get<double>();
  const std::string& digits = text(arguments, 0);
  double number = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (problem != std::errc() || end != digits.data() + digits.size()) refuse("argument 1 is no number");
  return number;
}

// --- text

std::string upper(std::string value) {
  for (char& c : value)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  return value;
}
json to_lower(Arguments& arguments) {
  return lower(text(arguments, 0));
}
json to_upper(Arguments& arguments) {
  return upper(text(arguments, 0));
}
json trim(Arguments& arguments) {
  const std::string& value = text(arguments, 0);
  const std::size_t begin = value.find_first_not_of(" \t\r\n"), end = value.find_last_not_of(" \t\r\n");
  return begin == value.npos ? std::string() : value.substr(begin, end - begin + 1);
}
json to_text(Arguments& arguments) {
  return checked(template_text(arguments[0]));
}
json starts_with(Arguments& arguments) {
  return lower(text(arguments, 0)).starts_with(lower(text(arguments, 1)));
}
json ends_with(Arguments& arguments) {
  return lower(text(arguments, 0)).ends_with(lower(text(arguments, 1)));
}

json replace(Arguments& arguments) {
  const std::string &value = text(arguments, 0), &from = text(arguments, 1), &to = text(arguments, 2);
  if (from.empty()) refuse("argument 2 is empty");
  std::string result;
  std::size_t at = 0;
  for (std::size_t found; (found = value.find(from, at)) != value.npos; at = found + from.size()) {
    result.append(value, at, found - at).append(to);
    if (result.size() > longest_text) refuse("the text grows too long");
  }
  return checked(result.append(value, at));
}

json substring(Arguments& arguments) {
  const std::string& value = text(arguments, 0);
  const std::int64_t start = whole(arguments, 1);
  const auto size = static_cast<std::int64_t>(value.size());
  const std::int64_t count = arguments.size() > 2 ? whole(arguments, 2) : size - start;
  if (start < 0 || count < 0 || start > size || count > size - start)
    refuse(
        fmt::format("start {} and length {} do not lie inside a text of {} characters", start, count, size));
  return value.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(count));
}

json split(Arguments& arguments) {
  const std::string& value = text(arguments, 0);
  std::vector<std::string> delimiters;
  if (arguments[1].is_array())
    for (const json& item : arguments[1]) delimiters.push_back(template_text(item));
  else
    delimiters.push_back(text(arguments, 1));
  json parts = json::array();
  std::string current;
  for (std::size_t at = 0; at < value.size();) {
    const auto hit = std::ranges::find_if(delimiters, [&](const std::string& delimiter) {
      return !delimiter.empty() && value.compare(at, delimiter.size(), delimiter) == 0;
    });
    if (hit == delimiters.end()) {
      current += value[at++];
    } else {
      parts.push_back(std::exchange(current, {}));
      at += hit->size();
      if (parts.size() > static_cast<std::size_t>(most_items)) refuse("the text has too many parts");
    }
  }
  parts.push_back(current);
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
  if (filler.size() != 1) refuse("argument 3 must be one character");
  if (width < 0 || width > 10'000) refuse("argument 2 must be a number from 0 to 10000");
  const auto wanted = static_cast<std::size_t>(width);
  return value.size() >= wanted ? value : std::string(wanted - value.size(), filler[0]) + value;
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
      if (value.size() < wanted) value.insert(width > 0 ? 0 : value.size(), wanted - value.size(), ' ');
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

// --- time

std::optional<std::int64_t> parse_time(std::string_view text) {
  std::array<int, 6> parts{1970, 1, 1, 0, 0, 0};
  constexpr std::array<std::size_t, 6> widths{4, 2, 2, 2, 2, 2};
  std::size_t part = 0;
  std::size_t at = 0;
  while (part < parts.size() && at < text.size()) {
    if (text[at] < '0' || text[at] > '9') {
      if (std::string_view("-:T ").find(text[at]) == std::string_view::npos) break;
      ++at;
      continue;
    }
    if (at + widths[part] > text.size()) return std::nullopt;
    const char* begin = text.data() + at;
    if (std::from_chars(begin, begin + widths[part], parts[part]).ptr != begin + widths[part])
      return std::nullopt;
    at += widths[part++];
  }
  if (part < 3) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(parts[0]),
                                         std::chrono::month(static_cast<unsigned>(parts[1])),
                                         std::chrono::day(static_cast<unsigned>(parts[2]))};
  if (!date.ok() || parts[3] > 23 || parts[4] > 59 || parts[5] > 60) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::sys_days(date)).time_since_epoch().count() + parts[3] * 3600 +
         parts[4] * 60 + parts[5];
}

std::int64_t time_argument(const Arguments& arguments, std::size_t index) {
  const auto found = parse_time(text(arguments, index));
  if (!found) refuse(fmt::format("argument {} is no time", index + 1));
  return *found;
}

/// Adds an ISO 8601 duration ("P1Y2M10DT2H30M", "-PT1H").
std::int64_t add_duration(std::int64_t time, std::string_view duration) {
  const bool negative = duration.starts_with('-');
  if (negative) duration.remove_prefix(1);
  if (!duration.starts_with('P') || duration.size() < 3) refuse("argument 2 is no ISO 8601 duration");
  duration.remove_prefix(1);
  bool of_day = false;
  std::int64_t months = 0, seconds = 0;
  while (!duration.empty()) {
    if (duration.front() == 'T') {
      of_day = true;
      duration.remove_prefix(1);
      continue;
    }
    int number = 0;
    const auto [end, problem] = std::from_chars(duration.data(), duration.data() + duration.size(), number);
    if (problem != std::errc() || end == duration.data() + duration.size() || number < 0 ||
        number > 1'000'000)
      refuse("argument 2 is no ISO 8601 duration");
    switch (*end) {
      case 'Y':
        months += 12LL * number;
        break;
      case 'M':
        (of_day ? seconds : months) += of_day ? 60LL * number : number;
        break;
      case 'W':
        seconds += 604'800LL * number;
        break;
      case 'D':
        seconds += 86'400LL * number;
        break;
      case 'H':
        seconds += 3600LL * number;
        break;
      case 'S':
        seconds += number;
        break;
      default:
        refuse("argument 2 is no ISO 8601 duration");
    }
    duration.remove_prefix(static_cast<std::size_t>(end + 1 - duration.data()));
  }
  if (months > 12 * 5000) refuse("argument 2 is too long");
  if (months != 0) {
    const std::chrono::sys_seconds point{std::chrono::seconds(time)};
    const auto day = std::chrono::floor<std::chrono::days>(point);
    std::chrono::year_month_day date(day);
    date += std::chrono::months(static_cast<int>(negative ? -months : months));
    if (!date.ok()) date = date.year() / date.month() / std::chrono::last;
    time = std::chrono::sys_seconds(std::chrono::sys_days(date)).time_since_epoch().count() +
           (point - day).count();
  }
  return time + (negative ? -seconds : seconds);
}

json date_time_add(Arguments& arguments) {
  const std::int64_t time = add_duration(time_argument(arguments, 0), text(arguments, 1));
  return format_time(time,
                     arguments.size() > 2 ? std::string_view(text(arguments, 2)) : "yyyy-MM-ddTHH:mm:ssZ");
}
json date_time_from_epoch(Arguments& arguments) {
  const std::int64_t time = whole(arguments, 0);
  if (time < -62'135'596'800 || time > 253'402'300'799)
    refuse("argument 1 is no time between the years 1 and 9999");
  return format_time(time, "yyyy-MM-ddTHH:mm:ssZ");
}
json date_time_to_epoch(Arguments& arguments) {
  return time_argument(arguments, 0);
}

constexpr TemplateFunction all_functions[] = {
    {"add", 2, 2, add},
    {"array", 1, 1, to_array},
    {"base64", 1, 1, to_base64},
    {"base64ToJson", 1, 1, base64_to_json},
    {"base64ToString", 1, 1, base64_to_text},
    {"bool", 1, 1, to_bool},
    {"concat", 0, -1, concat},
    {"contains", 2, 2, contains},
    {"createArray", 0, -1, create_array},
    {"createObject", 0, -1, create_object},
    {"dataUri", 1, 1, data_uri},
    {"dataUriToString", 1, 1, data_uri_to_text},
    {"dateTimeAdd", 2, 3, date_time_add},
    {"dateTimeFromEpoch", 1, 1, date_time_from_epoch},
    {"dateTimeToEpoch", 1, 1, date_time_to_epoch},
    {"div", 2, 2, divide},
    {"empty", 1, 1, is_empty},
    {"endsWith", 2, 2, ends_with},
    {"equals", 2, 2, equals},
    {"false", 0, 0, make_false},
    {"first", 1, 1, first},
    {"flatten", 1, 1, flatten},
    {"float", 1, 1, to_float},
    {"format", 1, -1, format},
    {"greater", 2, 2, greater},
    {"greaterOrEquals", 2, 2, greater_or_equals},
    {"guid", 1, -1, guid},
    {"indexOf", 2, 2, first_index_of},
    {"int", 1, 1, to_int},
    {"intersection", 2, -1, intersection},
    {"items", 1, 1, items},
    {"join", 2, 2, join},
    {"json", 1, 1, to_json},
    {"last", 1, 1, last},
    {"lastIndexOf", 2, 2, last_index_of},
    {"length", 1, 1, length},
    {"less", 2, 2, less},
    {"lessOrEquals", 2, 2, less_or_equals},
    {"max", 1, -1, greatest},
    {"min", 1, -1, least},
    {"mod", 2, 2, modulo},
    {"mul", 2, 2, multiply},
    {"not", 1, 1, negate},
    {"null", 0, 0, make_null},
    {"objectKeys", 1, 1, object_keys},
    {"padLeft", 2, 3, pad_left},
    {"range", 2, 2, range},
    {"replace", 3, 3, replace},
    {"shallowMerge", 1, 1, shallow_merge},
    {"skip", 2, 2, skip},
    {"split", 2, 2, split},
    {"startsWith", 2, 2, starts_with},
    {"string", 1, 1, to_text},
    {"sub", 2, 2, subtract},
    {"substring", 2, 3, substring},
    {"take", 2, 2, take},
    {"toLower", 1, 1, to_lower},
    {"toUpper", 1, 1, to_upper},
    {"trim", 1, 1, trim},
    {"true", 0, 0, make_true},
    {"tryGet", 2, -1, try_get},
    {"union", 2, -1, set_union},
    {"uniqueString", 1, -1, unique_string},
    {"uri", 2, 2, uri},
    {"uriComponent", 1, 1, uri_component},
    {"uriComponentToString", 1, 1, uri_component_to_text},
};

}  // namespace

const TemplateFunction* find_template_function(std::string_view name) {
  for (const TemplateFunction& function : all_functions)
    if (same_name(function.name, name)) return &function;
  return nullptr;
}

std::string template_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_null()) return "";
  return dump(value);
}

std::string format_time(std::int64_t seconds_since_epoch, std::string_view format) {
  if (format == "u") format = "yyyy-MM-dd HH:mm:ssZ";
  if (format == "o" || format == "O") format = "yyyy-MM-ddTHH:mm:ss.0000000Z";
  if (format == "d") format = "MM/dd/yyyy";
  if (format == "s") format = "yyyy-MM-ddTHH:mm:ss";
  if (format == "r" || format == "R") format = "ddd, dd MMM yyyy HH:mm:ss GMT";
  static constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  static constexpr std::string_view days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  const std::chrono::sys_seconds point{std::chrono::seconds(seconds_since_epoch)};
  const auto day = std::chrono::floor<std::chrono::days>(point);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(point - day);
  const auto month = static_cast<unsigned>(date.month());
  std::string made;
  for (std::size_t at = 0; at < format.size();) {
    std::size_t run = 1;
    while (at + run < format.size() && format[at + run] == format[at]) ++run;
    const auto number = [&](long value) {
      made += run > 1 ? fmt::format("{:02}", value) : std::to_string(value);
    };
    switch (format[at]) {
      case 'y':
        made += run == 2 ? fmt::format("{:02}", static_cast<int>(date.year()) % 100)
                         : fmt::format("{:04}", static_cast<int>(date.year()));
        break;
      case 'M':
        if (run >= 3)
          made += months[month - 1];
        else
          number(month);
        break;
      case 'd':
        if (run >= 3)
          made += days[std::chrono::weekday(day).c_encoding()];
        else
          number(static_cast<unsigned>(date.day()));
        break;
      case 'H':
        number(clock.hours().count());
        break;
      case 'h':
        number((clock.hours().count() + 11) % 12 + 1);
        break;
      case 'm':
        number(clock.minutes().count());
        break;
      case 's':
        number(clock.seconds().count());
        break;
      case 'f':
        made += std::string(run, '0');
        break;
      case 't':
        made += clock.hours().count() < 12 ? "AM" : "PM";
        break;
      default:
        made.append(run, format[at]);
    }
    at += run;
  }
  return made;
}

}  // namespace berth::arm
