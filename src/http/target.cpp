#include "http/target.h"

#include <algorithm>

namespace berth {
namespace {

bool has_control_characters(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

std::string decode_query_part(std::string_view part) {
  std::string text(part);
  std::replace(text.begin(), text.end(), '+', ' ');
  return percent_decode(text);
}

CaseInsensitiveMap parse_query(std::string_view query) {
  CaseInsensitiveMap values;
  while (!query.empty()) {
    const auto end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    values.insert_or_assign(
        decode_query_part(pair.substr(0, equals)),
        equals == std::string_view::npos ? std::string() : decode_query_part(pair.substr(equals + 1)));
  }
  return values;
}

/// Removes "http://HOST" or "https://HOST" from the front; the host part goes to `authority`.
bool take_authority(std::string_view& target, std::string& authority) {
  const auto scheme = target.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string_view name = target.substr(0, scheme);
  const CaseInsensitiveLess less;
  const auto same = [&](std::string_view other) { return !less(name, other) && !less(other, name); };
  if (!same("http") && !same("https")) return false;
  target.remove_prefix(scheme + 3);
  const auto end = std::min(target.find_first_of("/?"), target.size());
  authority = target.substr(0, end);
  target.remove_prefix(end);
  return !authority.empty();
}

}  // namespace

std::optional<Target> parse_target(std::string_view target) {
  Target parsed;
  target = target.substr(0, target.find('#'));
  if (target == "*") {
    parsed.path = "*";
    return parsed;
  }
  if (!target.starts_with('/') && !take_authority(target, parsed.authority)) return std::nullopt;

  const auto question = target.find('?');
  if (question != std::string_view::npos) parsed.query = parse_query(target.substr(question + 1));
  parsed.path = percent_decode(target.substr(0, question));
  if (parsed.path.empty()) parsed.path = "/";
  parsed.path.erase(std::unique(parsed.path.begin(), parsed.path.end(),
                                [](char a, char b) { return a == '/' && b == '/'; }),
                    parsed.path.end());
  if (has_control_characters(parsed.path) || has_control_characters(parsed.authority)) return std::nullopt;
  return parsed;
}

}  // namespace berth
