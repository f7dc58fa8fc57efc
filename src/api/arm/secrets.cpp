#include "api/arm/secrets.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::size_t shortest = 4, most = 4096;
/// What is longer is looked for in pieces of this size, so that no place of a text takes long to compare.
constexpr std::size_t piece = 128;
constexpr std::string_view in_its_place = "[secret]";

/// The number of the first two bytes of a text.
std::size_t beginning(std::string_view text) {
  return static_cast<std::size_t>(static_cast<unsigned char>(text[0])) * 256 +
         static_cast<unsigned char>(text[1]);
}

void check_count(std::size_t count) {
  if (count > most)
    throw Error(ErrorKind::invalid, "InvalidTemplate",
                fmt::format("The secure parameters hold more than {} different values.", most));
}

void collect(const json& value, std::set<std::string, std::less<>>& texts) {
  if (value.is_structured()) {
    for (const json& item : value) collect(item, texts);
  } else if (value.is_string() || value.is_number()) {
    std::string text = value.is_string() ? value.get<std::string>() : dump(value);
    if (text.size() >= shortest) texts.insert(std::move(text));
    check_count(texts.size());
  }
}

/// A text to look for, as it is or as JSON writes it.
struct Needle {
  std::string text;
  std::size_t shorter;  ///< the longest other one that this one begins with; `none`
};
constexpr std::size_t none = static_cast<std::size_t>(-1);

}  // namespace

struct Secrets::Known {
  std::set<std::string, std::less<>> texts;
  std::vector<Needle> needles;   ///< sorted
  std::vector<bool> beginnings;  ///< by the first two bytes: whether any needle begins with them

  void arrange();
  std::size_t longest_at(std::string_view text) const;
  std::string redact(std::string_view text) const;
  json redact_value(const json& value) const;
};

Secrets::Secrets() : known_(std::make_shared<Known>()) {}
Secrets::Secrets(const Secrets& other) : known_(other.known()) {}
Secrets& Secrets::operator=(const Secrets& other) {
  auto theirs = other.known();
  const std::lock_guard lock(mutex_);
  known_ = std::move(theirs);
  return *this;
}

std::shared_ptr<const Secrets::Known> Secrets::known() const {
  const std::lock_guard lock(mutex_);
  return known_;
}

void Secrets::take(std::set<std::string, std::less<>> texts) {
  const std::lock_guard lock(mutex_);
  texts.insert(known_->texts.begin(), known_->texts.end());
  if (texts.size() == known_->texts.size()) return;
  check_count(texts.size());
  auto more = std::make_shared<Known>();
  more->texts = std::move(texts);
  more->arrange();
  known_ = std::move(more);
}

void Secrets::add(const json& value) {
  std::set<std::string, std::less<>> texts;
  collect(value, texts);
  take(std::move(texts));
}

void Secrets::add(const Secrets& others) {
  take(others.known()->texts);
}

std::size_t Secrets::count() const {
  return known()->texts.size();
}

std::string Secrets::redact(std::string_view text) const {
  return known()->redact(text);
}

json Secrets::redact_value(const json& value) const {
  return known()->redact_value(value);
}

void Secrets::Known::arrange() {
  std::set<std::string> sorted;
  const auto take = [&sorted](std::string_view text) {
    for (std::size_t at = 0; at + piece < text.size(); at += piece) sorted.emplace(text.substr(at, piece));
    sorted.emplace(text.substr(text.size() - std::min(text.size(), piece)));
  };
  for (const std::string& text : texts) {
    take(text);
    const std::string quoted = dump(json(text));
    take(std::string_view(quoted).substr(1, quoted.size() - 2));
  }
  needles.clear();
  beginnings.assign(65'536, false);
  for (const std::string& text : sorted) {
    // What it may begin with stands before it: the last one, or what that one begins with, and so on.
    std::size_t before = needles.empty() ? none : needles.size() - 1;
    while (before != none && !text.starts_with(needles[before].text)) before = needles[before].shorter;
    beginnings[beginning(text)] = true;
    needles.push_back({.text = text, .shorter = before});
  }
}

/// The size of the longest needle with which `text` begins; 0 if it begins with none.
std::size_t Secrets::Known::longest_at(std::string_view text) const {
  if (text.size() < shortest || !beginnings[beginning(text)]) return 0;
  // How many needles stand before the text or are it. Plain loops: this runs for each byte of what is shown.
  std::size_t before = 0, end = needles.size();
  while (before < end) {
    const std::size_t middle = (before + end) / 2;
    if (needles[middle].text.compare(text) <= 0)
      before = middle + 1;
    else
      end = middle;
  }
  if (before == 0) return 0;
  // Every needle with which the text begins is the one before that place, or this one begins with it.
  std::size_t at = before - 1;
  const std::string& nearest = needles[at].text;
  const std::size_t most_common = std::min(nearest.size(), text.size());
  std::size_t common = 0;
  while (common < most_common && nearest[common] == text[common]) ++common;
  while (at != none && needles[at].text.size() > common) at = needles[at].shorter;
  return at == none ? 0 : needles[at].text.size();
}

std::string Secrets::Known::redact(std::string_view text) const {
  if (needles.empty()) return std::string(text);
  std::string clean;
  std::size_t covered = 0;  // up to here the text is secret
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (const std::size_t size = longest_at(text.substr(at)); size > 0) {
      if (covered <= at && !(at > 0 && covered == at)) clean += in_its_place;
      covered = std::max(covered, at + size);
    }
    if (at >= covered) clean += text[at];
  }
  return clean;
}

json Secrets::Known::redact_value(const json& value) const {
  if (value.is_string()) return redact(value.get_ref<const std::string&>());
  if (value.is_number()) return !texts.contains(dump(value)) ? value : json(in_its_place);
  if (!value.is_structured()) return value;
  json clean = value.is_array() ? json::array() : json::object();
  if (value.is_array())
    for (const json& item : value) clean.push_back(redact_value(item));
  else
    for (const auto& [key, item] : value.items()) clean[redact(key)] = redact_value(item);
  return clean;
}

}  // namespace berth::arm
