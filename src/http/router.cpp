#include "http/router.h"

#include <algorithm>
#include <string_view>

namespace berth {
namespace {

bool same_segment(std::string_view a, std::string_view b) {
  const CaseInsensitiveLess less;
  return a.size() == b.size() && !less(a, b) && !less(b, a);
}

/// The parts between slashes; a slash at the end opens no part.
std::vector<std::string_view> split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    if (end > 0) parts.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

}  // namespace

struct Router::Entry {
  enum class Kind { rest, one, literal };  // in the order of precedence, weakest first
  struct Segment {
    Kind kind;
    std::string text;  ///< the literal, or the parameter's name
  };

  std::string method;
  std::vector<Segment> segments;
  Gate gate;

  bool matches(const std::vector<std::string_view>& path) const {
    for (std::size_t i = 0; i < segments.size(); ++i) {
      if (segments[i].kind == Kind::rest) return true;
      if (i >= path.size()) return false;
      if (segments[i].kind == Kind::literal && !same_segment(segments[i].text, path[i])) return false;
    }
    return segments.size() == path.size();
  }

  bool takes(std::string_view wanted) const { return method == "*" || method == wanted; }

  bool is_more_literal_than(const Entry& other) const {
    for (std::size_t i = 0; i < std::min(segments.size(), other.segments.size()); ++i)
      if (segments[i].kind != other.segments[i].kind) return segments[i].kind > other.segments[i].kind;
    if (segments.size() != other.segments.size()) return segments.size() < other.segments.size();  // no rest
    return method != "*" && other.method == "*";
  }

  void fill(CaseInsensitiveMap& params, const std::vector<std::string_view>& path) const {
    for (std::size_t i = 0; i < segments.size(); ++i) {
      if (segments[i].kind == Kind::literal) continue;
      std::string value;
      const std::size_t end = segments[i].kind == Kind::one ? i + 1 : path.size();
      for (std::size_t k = i; k < end; ++k) value.append(k > i ? "/" : "").append(path[k]);
      params.insert_or_assign(segments[i].text, std::move(value));
    }
  }
};

void Router::add(Route route) {
  auto entry = std::make_shared<Entry>();
  entry->method = std::move(route.method);
  entry->gate = std::move(route.gate);
  for (const std::string_view part : split(route.pattern)) {
    if (!part.starts_with('{') || !part.ends_with('}'))
      entry->segments.push_back({Entry::Kind::literal, std::string(part)});
    else if (part.ends_with("...}"))
      entry->segments.push_back({Entry::Kind::rest, std::string(part.substr(1, part.size() - 5))});
    else
      entry->segments.push_back({Entry::Kind::one, std::string(part.substr(1, part.size() - 2))});
  }
  entries_.push_back(std::move(entry));
}

const Gate* Router::match(Request& request, bool& method_mismatch) const {
  const std::vector<std::string_view> path = split(request.path);
  const Entry* best = nullptr;
  method_mismatch = false;
  for (const auto& entry : entries_) {
    if (!entry->matches(path)) continue;
    if (!entry->takes(request.method))
      method_mismatch = true;
    else if (!best || entry->is_more_literal_than(*best))
      best = entry.get();
  }
  if (!best) return nullptr;
  method_mismatch = false;
  best->fill(request.params, path);
  return &best->gate;
}

}  // namespace berth
