#include "handler/settings_reader.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace berth::extension {
namespace {

using nlohmann::json;

constexpr std::size_t largest_text = 4u << 20;

/// JSON depth is checked before parsing: a document of ten million brackets must cost nothing.
void check_depth(std::string_view text, std::string_view what) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > 100) throw_bad(fmt::format("The {} are nested deeper than 100 levels.", what));
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

void wipe(json& value) {
  if (value.is_string()) {
    volatile char* byte = value.get_ref<std::string&>().data();
    for (std::size_t i = 0; i < value.get_ref<std::string&>().size(); ++i) byte[i] = 0;
  } else if (value.is_structured()) {
    for (json& inner : value) wipe(inner);
  }
}

void check_line(const std::string& text, const std::string& where) {
  if (std::any_of(text.begin(), text.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }))
    throw_bad(fmt::format("{} holds a control character.", where));
}

std::string printable_key(const std::string& key) {
  return key.substr(0, 60);
}

}  // namespace

void throw_bad(const std::string& happened, const std::string& advice) {
  throw Error(ErrorKind::invalid, "BadSettings", happened, advice);
}

json parse_object(std::string_view text, std::string_view what) {
  if (text.size() > largest_text)
    throw_bad(fmt::format("The {} are {} bytes; at most {} are read.", what, text.size(), largest_text));
  if (text.find_first_not_of(std::string_view(" \t\r\n\0", 5)) == std::string_view::npos)
    return json::object();
  check_depth(text, what);
  // The parser's own message is not shown: it quotes the text, which may be secret.
  json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) throw_bad(fmt::format("The {} are not valid JSON in UTF-8.", what));
  if (document.is_null()) return json::object();
  if (!document.is_object()) throw_bad(fmt::format("The {} are not a JSON object.", what));
  return document;
}

SecretDocument::~SecretDocument() {
  wipe(value);
}

const json* Section::find(const std::string& key) {
  known_.insert(key);
  if (!object_) return nullptr;
  const auto found = object_->find(key);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> Section::text(const std::string& key) {
  const json* value = find(key);
  if (!value) return std::nullopt;
  if (!value->is_string()) throw_type(key, "a string");
  std::string result = value->get<std::string>();
  if (result.find('\0') != std::string::npos) throw_bad(fmt::format("{} holds a NUL character.", path(key)));
  return result;
}

std::optional<std::string> Section::line(const std::string& key) {
  auto result = text(key);
  if (result) check_line(*result, path(key));
  return result;
}

std::optional<bool> Section::flag(const std::string& key) {
  const json* value = find(key);
  if (!value) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  if (value->is_string() && (*value == "true" || *value == "True")) return true;
  if (value->is_string() && (*value == "false" || *value == "False" || *value == "")) return false;
  throw_type(key, "true or false");
}

std::vector<std::string> Section::lines(const std::string& key) {
  const json* value = find(key);
  if (!value) return {};
  if (!value->is_array()) throw_type(key, "an array of strings");
  std::vector<std::string> result;
  for (const json& item : *value) {
    if (!item.is_string()) throw_type(key, "an array of strings");
    result.push_back(item.get<std::string>());
    check_line(result.back(), path(key));
  }
  return result;
}

std::map<std::string, std::string> Section::texts(const std::string& key) {
  std::map<std::string, std::string> result;
  const json* value = object(key);
  if (!value) return result;
  for (const auto& [name, inner] : value->items()) {
    if (!inner.is_string())
      throw_bad(fmt::format("{} is not a string.", path(key) + "." + printable_key(name)));
    if (name.empty() || name.find('=') != std::string::npos || name.find('\0') != std::string::npos ||
        inner.get_ref<const std::string&>().find('\0') != std::string::npos)
      throw_bad(fmt::format("{} holds a name or value that no environment can carry.", path(key)));
    result[name] = inner.get<std::string>();
  }
  return result;
}

const json* Section::object(const std::string& key) {
  const json* value = find(key);
  if (value && !value->is_object()) throw_type(key, "an object");
  return value;
}

std::vector<std::string> Section::unknown() const {
  std::vector<std::string> result;
  if (object_)
    for (const auto& [key, value] : object_->items())
      if (!known_.contains(key)) result.push_back(path(printable_key(key)));
  return result;
}

void Section::throw_type(const std::string& key, std::string_view wanted) const {
  throw_bad(fmt::format("{} is not {}.", path(key), wanted));
}

}  // namespace berth::extension
