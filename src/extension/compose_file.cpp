#include "extension/compose_file.h"

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace berth::extension {
namespace {

using nlohmann::json;

constexpr int deepest = 64;

/// JSON's quoted strings, numbers and words are YAML as they stand.
std::string scalar(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

void write(const json& value, int depth, bool in_list, std::string& out) {
  if (depth > deepest)
    throw Error(ErrorKind::invalid, "BadSettings", "The compose object is nested deeper than 64 levels.");
  const std::string indent(static_cast<std::size_t>(depth) * 2, ' ');
  if (value.is_object() && !value.empty()) {
    bool first = true;
    for (const auto& [key, inner] : value.items()) {
      out += (first && in_list ? "" : indent) + scalar(key) + ":";
      first = false;
      const bool nested = (inner.is_object() || inner.is_array()) && !inner.empty();
      out += nested ? "\n" : " ";
      write(inner, depth + 1, false, out);
    }
  } else if (value.is_array() && !value.empty()) {
    for (const json& inner : value) {
      // A list in a list is written in flow style: valid, and rare enough not to deserve better.
      out += indent + "- ";
      if (inner.is_array())
        out += scalar(inner) + "\n";
      else
        write(inner, depth + 1, true, out);
    }
  } else {
    out += scalar(value) + "\n";
  }
}

}  // namespace

std::string compose_yaml(const json& compose) {
  std::string out;
  write(compose.contains("services") ? compose : json{{"services", compose}}, 0, false, out);
  return out;
}

}  // namespace berth::extension
