#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/names.h"

namespace berth::arm {

/// Reads the JSON text of a request. Throws Error(invalid, "InvalidRequestContent") with line and column:
/// for what is not JSON, for a key that stands twice in one object (who checks and who acts could read
/// different ones), for nesting deeper than 100, for more than 30,000 values (deployments: 400,000) and for
/// more than 4 MiB. Never repeats the text: it may hold
/// a password.
nlohmann::json parse_document(std::string_view text);

/// The same limit for a resource that a template makes: what is done with one keeps all others waiting. Throws
/// Error(invalid, "RequestContentTooLarge") naming it.
void check_values(const nlohmann::json& document, std::string_view name);

/// The same for deployments: also takes comments, trailing commas, 'single quotes', bare keys and raw line
/// breaks in strings. `az deployment group create` splices the user's file, as it is, behind a bare
/// `template` key.
nlohmann::json parse_lenient_document(std::string_view text);

/// One value of a document and where it stands, for messages. Keys compare without case. A key that is absent
/// and an explicit null are the same: "missing". Readers throw Error(invalid, "InvalidRequestContent") naming
/// the place when the value has another type. Refers to the document: keep that alive.
class Field {
 public:
  explicit Field(const nlohmann::json& value, std::string path = {})
      : value_(&value), path_(std::move(path)) {}

  Field operator[](std::string_view key) const;
  bool missing() const;
  const std::string& path() const { return path_; }
  const nlohmann::json& value() const { return *value_; }

  std::string text(std::string_view otherwise = {}) const;  ///< also takes a number
  std::string required_text() const;
  bool flag(bool otherwise) const;
  std::int64_t number(std::int64_t otherwise) const;  ///< also takes digits in a string
  std::vector<Field> items() const;                   ///< of an array; none when missing
  std::vector<std::string> texts() const;             ///< an array of strings
  Tags tags() const;                                  ///< an object of strings
  std::string as_json() const;                        ///< as text; "" when missing
  void require_object() const;

  [[noreturn]] void refuse(const std::string& wanted) const;  ///< "'path' must be <wanted>."

 private:
  const nlohmann::json* value_;
  std::string path_;
};

/// The member of `object` by key without case; nullptr when absent or `object` is none.
const nlohmann::json* find_member(const nlohmann::json& object, std::string_view key);
/// JSON text of a value; never throws for bytes that are not UTF-8.
std::string dump(const nlohmann::json& value);
/// "a string", "an object" …
std::string_view type_in_words(const nlohmann::json& value);

}  // namespace berth::arm
