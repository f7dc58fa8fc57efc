#include "handler/redaction.h"

#include <algorithm>
#include <cctype>

namespace berth::extension {
namespace {

constexpr std::string_view hidden = "[secret]";

char lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

constexpr std::size_t shortest_value = 3, shortest_part = 6;

bool is_word(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
}

void replace_all(std::string& text, const std::string& value) {
  for (std::size_t at = 0; (at = text.find(value, at)) != std::string::npos;) {
    const std::size_t end = at + value.size();
    const bool whole = (at == 0 || !is_word(text[at - 1])) && (end == text.size() || !is_word(text[end]));
    if (!whole && value.size() < shortest_part) {
      ++at;
      continue;
    }
    text.replace(at, value.size(), hidden);
    at += hidden.size();
  }
}

void hide_private_keys(std::string& text) {
  std::size_t at = 0;
  while ((at = text.find("PRIVATE KEY-----", at)) != std::string::npos) {
    const std::size_t end = text.find("-----END", at);
    const std::size_t stop = end == std::string::npos ? text.size() : end;
    text.replace(at + 16, stop - at - 16, hidden);
    at = text.find('\n', at + 16 + hidden.size());
    if (at == std::string::npos) break;
  }
}

bool name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.';
}

/// "NAME=value" and "name": "value", where the name ends in a telling word.
void hide_named_values(std::string& text) {
  static constexpr std::string_view telling[] = {"password", "passwd", "token", "secret"};
  std::string small(text.size(), '\0');
  std::transform(text.begin(), text.end(), small.begin(), lower);
  std::string result;
  std::size_t copied = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t after = 0;
    for (const std::string_view word : telling)
      if (small.compare(at, word.size(), word) == 0) after = at + word.size();
    if (after == 0) {
      ++at;
      continue;
    }
    while (after < text.size() && name_character(text[after])) ++after;
    std::size_t value = after;
    if (value < text.size() && (text[value] == '"' || text[value] == '\'')) ++value;
    while (value < text.size() && text[value] == ' ') ++value;
    if (value >= text.size() || (text[value] != '=' && text[value] != ':')) {
      at = after;
      continue;
    }
    ++value;
    while (value < text.size() && text[value] == ' ') ++value;
    std::size_t end = value;
    if (value < text.size() && (text[value] == '"' || text[value] == '\'')) {
      end = text.find(text[value], value + 1);
      ++value;
      if (end == std::string::npos) end = text.size();
    } else {
      while (end < text.size() && !std::isspace(static_cast<unsigned char>(text[end]))) ++end;
    }
    if (end > value && text.compare(value, hidden.size(), hidden) != 0) {
      result.append(text, copied, value - copied).append(hidden);
      copied = end;
    }
    at = std::max(end, after);
  }
  result.append(text, copied);
  text = std::move(result);
}

/// Length of the UTF-8 sequence that starts at `at`; 0 if it is none.
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(at);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                             : first >= 0xE0 && first <= 0xEF ? 3
                             : first >= 0xF0 && first <= 0xF4 ? 4
                                                              : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(at + i) & 0xC0) != 0x80) return 0;
  const unsigned char second = byte(at + 1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
      (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
    return 0;
  return length;
}

}  // namespace

void Redactor::hide(const Secret& value) {
  if (value.reveal().size() >= shortest_value) values_.push_back(value);
}

std::string Redactor::operator()(std::string_view text) const {
  std::string result(text);
  for (const Secret& value : values_) replace_all(result, value.reveal());
  hide_private_keys(result);
  hide_named_values(result);
  return result;
}

std::string printable(std::string_view text, std::size_t limit, std::string_view kept) {
  static constexpr std::string_view cut = "…";
  std::string result;
  std::size_t fits = 0;  // where `result` may end so that the cut mark still fits
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = utf8_length(text, at);
    const auto c = static_cast<unsigned char>(text[at]);
    if (length == 0 || (c < 0x20 && kept.find(text[at]) == kept.npos) || c == 0x7F)
      result += c == '\t' ? ' ' : '?';
    else
      result.append(text, at, length);
    at += std::max<std::size_t>(length, 1);
    if (limit - std::min(limit, cut.size()) >= result.size()) fits = result.size();
    if (result.size() > limit) {
      result.resize(fits);
      return result.append(cut);
    }
  }
  return result;
}

}  // namespace berth::extension
