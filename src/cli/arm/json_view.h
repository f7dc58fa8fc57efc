#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

namespace berth {

/// What stands at `path` below an object; null where any part of it is missing. Answers of a service are read
/// with it.
inline const nlohmann::json& at(const nlohmann::json& object, std::initializer_list<const char*> path) {
  static const nlohmann::json nothing;
  const nlohmann::json* here = &object;
  for (const char* key : path) {
    if (!here->is_object()) return nothing;
    const auto found = here->find(key);
    if (found == here->end()) return nothing;
    here = &*found;
  }
  return *here;
}

/// A string, or a number as text; "" for anything else.
inline std::string text(const nlohmann::json& object, std::initializer_list<const char*> path) {
  const nlohmann::json& value = at(object, path);
  return value.is_string() ? value.get<std::string>() : value.is_number() ? value.dump() : std::string();
}

}  // namespace berth
