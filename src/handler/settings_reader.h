#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace berth::extension {

/// Error(invalid, "BadSettings").
[[noreturn]] void throw_bad(const std::string& happened, const std::string& advice = {});

/// A JSON object of at most 4 MiB and 100 levels; blanks and null are an empty one. Throws Error(invalid); the text, which may
/// be secret, is never quoted. `what`: "public settings".
nlohmann::json parse_object(std::string_view text, std::string_view what);

/// A parsed document that may hold secrets; wiped when it goes.
struct SecretDocument {
  nlohmann::json value;
  ~SecretDocument();
};

/// One object of the settings; remembers which of its keys were asked for. Null is as not there. Each throws Error(invalid)
/// naming the key.
class Section {
 public:
  Section(const nlohmann::json* object, std::string name) : object_(object), name_(std::move(name)) {}

  std::string path(const std::string& key) const { return name_.empty() ? key : name_ + "." + key; }
  const nlohmann::json* find(const std::string& key);
  std::optional<std::string> text(const std::string& key);  ///< without NUL
  /// One line without control characters: what goes into unit files and argument vectors.
  std::optional<std::string> line(const std::string& key);
  std::optional<bool> flag(const std::string& key);  ///< also as a string; "" is false
  std::vector<std::string> lines(const std::string& key);
  std::map<std::string, std::string> texts(const std::string& key);  ///< that an environment can carry
  const nlohmann::json* object(const std::string& key);
  Section section(const std::string& key) { return Section(object(key), path(key)); }
  std::vector<std::string> unknown() const;  ///< keys that nobody asked for

 private:
  [[noreturn]] void throw_type(const std::string& key, std::string_view wanted) const;

  const nlohmann::json* object_;
  std::string name_;
  std::set<std::string> known_;
};

}  // namespace berth::extension
