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

}  // namespace

void Secrets::add(const json& value) {
  collect(value, texts_);
  arrange();
}

void Secrets::add(const Secrets& others) {
  texts_.insert(others.texts_.begin(), others.texts_.end());
  check_count(texts_.size());
  arrange();
}

void Secrets::arrange() {
  std::set<std::string> sorted;
  const auto take = [&sorted](std::string_view text) {
    for (std::size_t at = 0; at + piece < text.size(); at += piece) sorted.emplace(text.substr(at, piece));
    sorted.emplace(text.substr(text.size() - std::min(text.size(), piece)));
  };
  for (const std::string& text : texts_) {
    take(text);
    const std::string quoted = dump(json(text));
    take(std::string_view(quoted).substr(1, quoted.size() - 2));
  }
  needles_.clear();
  beginnings_.assign(65'536, false);
  for (const std::string& text : sorted) {
    // What it may begin with stands before it: the last one, or what that one begins with, and so on.
    std::size_t before = needles_.empty() ? none : needles_.size() - 1;
    while (before != none && !text.starts_with(needles_[before].text)) before = needles_[before].shorter;
    beginnings_[beginning(text)] = true;
    needles_.push_back({.text = text, .shorter = before});
  }
}

/// The size of the longest needle with which `text` begins; 0 if it begins with none.
std::size_t Secrets::longest_at(std::string_view text) const {
  if (text.size() < shortest || !beginnings_[beginning(text)]) return 0;
  // How many needles stand before the text or are it. Plain loops: this runs for each byte of what is shown.
  std::size_t before = 0, end = needles_.size();
  while (before < end) {
    const std::size_t middle = (before + end) / 2;
    if (needles_[middle].text.compare(text) <= 0)
      before = middle + 1;
    else
      end = middle;
  }
  if (before == 0) return 0;
  // Every needle with which the text begins is the one before that place, or this one begins with it.
  std::size_t at = before - 1;
  const std::string& nearest = needles_[at].text;
  const std::size_t most_common = std::min(nearest.size(), text.size());
  std::size_t common = 0;
  while (common < most_common && nearest[common] == text[common]) ++common;
  while (at != none && needles_[at].text.size() > common) at = needles_[at].shorter;
  return at == none ? 0 : needles_[at].text.size();
}

std::string Secrets::redact(std::string_view text) const {
  if (needles_.empty()) return std::string(text);
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

json Secrets::redact_value(const json& value) const {
  if (value.is_string()) return redact(value.get_ref<const std::string&>());
  if (value.is_number()) return !texts_.contains(dump(value)) ? value : json(in_its_place);
  if (!value.is_structured()) return value;
  json clean = value.is_array() ? json::array() : json::object();
  if (value.is_array())
    for (const json& item : value) clean.push_back(redact_value(item));
  else
    for (const auto& [key, item] : value.items()) clean[redact(key)] = redact_value(item);
  return clean;
}

}  // namespace berth::arm
