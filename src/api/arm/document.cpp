#include "api/arm/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::size_t most_bytes = 4 * 1024 * 1024;
constexpr std::size_t most_levels = 100;
/// Each value costs about a hundred bytes of memory and as many nanoseconds, though it may be two bytes of
/// text.
constexpr std::size_t most_values = 30'000, most_values_of_deployment = 400'000;

Error bad_content(const std::string& why) {
  return Error(ErrorKind::invalid, "InvalidRequestContent",
               "The request content was invalid and could not be deserialized: " + why);
}

/// Builds the tree while it checks what nlohmann's own builder lets pass.
class Builder : public nlohmann::json_sax<json> {
 public:
  Builder(std::string_view text, std::size_t most) : text_(text), most_(most) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return descend(json::object()); }
  bool start_array(std::size_t) override { return descend(json::array()); }
  bool key(string_t& name) override {
    if (open_.back()->contains(name))
      throw bad_content(fmt::format("the key '{}' stands twice in one object.", name));
    slot_ = &(*open_.back())[name];
    return true;
  }
  bool end_object() override { return ascend(); }
  bool end_array() override { return ascend(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    const std::string_view before = text_.substr(0, std::min(position, text_.size()));
    const auto line = std::ranges::count(before, '\n') + 1;
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = newline == before.npos ? before.size() : before.size() - newline - 1;
    throw bad_content(fmt::format("it is not JSON at line {}, column {}.", line, column));
  }

  json root;

 private:
  json* place(json value) {
    if (++values_ > most_) throw bad_content(fmt::format("it holds more than {} values.", most_));
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(value));
      return &open_.back()->back();
    }
    *slot_ = std::move(value);
    return slot_;
  }
  bool add(json value) {
    place(std::move(value));
    return true;
  }
  bool descend(json value) {
    if (open_.size() >= most_levels)
      throw bad_content(fmt::format("it is nested deeper than {} levels.", most_levels));
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool ascend() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const std::size_t most_;
  std::size_t values_ = 0;
  std::vector<json*> open_;
  json* slot_ = nullptr;
};

json parse_strictly(std::string_view text, std::size_t most) {
  Builder builder(text, most);
  json::sax_parse(text, &builder);
  return std::move(builder.root);
}

void check_size(std::string_view text) {
  if (text.size() > most_bytes)
    throw Error(ErrorKind::invalid, "RequestContentTooLarge",
                fmt::format("The request content has {} bytes; {} are allowed.", text.size(), most_bytes));
}

bool begins_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}
bool is_word(char c) {
  return begins_word(c) || (c >= '0' && c <= '9');
}

/// Rewrites JSON with comments and bare keys to JSON, keeping the lines where they are.
class Normalizer {
 public:
  explicit Normalizer(std::string_view text) : text_(text) { out_.reserve(text.size() + 16); }

  std::string run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        copy_string(c);
      } else if (c == '/') {
        const std::size_t after = after_comment(at_);
        if (after == at_) throw bad_content("there is a '/' that begins no comment.");
        for (; at_ < after; ++at_)
          if (text_[at_] == '\n') out_ += '\n';
      } else if (begins_word(c)) {
        copy_word();
      } else if (c == ',' && closes(at_ + 1)) {
        ++at_;
      } else {
        out_ += c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  /// Where the comment that begins at `at` ends; `at` when there is none.
  std::size_t after_comment(std::size_t at) const {
    const std::string_view rest = text_.substr(at);
    if (rest.starts_with("//")) return std::min(text_.find('\n', at), text_.size());
    if (!rest.starts_with("/*")) return at;
    const std::size_t end = text_.find("*/", at + 2);
    if (end == text_.npos) throw bad_content("a comment does not end.");
    return end + 2;
  }

  std::size_t after_blanks(std::size_t at) const {
    while (at < text_.size()) {
      const char c = text_[at];
      if (c == '/') {
        const std::size_t after = after_comment(at);
        if (after == at) return at;
        at = after;
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at;
      } else {
        return at;
      }
    }
    return at;
  }

  bool closes(std::size_t at) const {
    at = after_blanks(at);
    return at < text_.size() && (text_[at] == '}' || text_[at] == ']');
  }

  void copy_word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    const std::string_view word = text_.substr(begin, at_ - begin);
    const std::size_t next = after_blanks(at_);
    const bool is_key = next < text_.size() && text_[next] == ':';
    if (is_key) out_ += '"';
    out_ += word;
    if (is_key) out_ += '"';
  }

  void copy_string(char quote) {
    out_ += '"';
    for (++at_; at_ < text_.size() && text_[at_] != quote; ++at_) {
      const char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size()) {
        ++at_;
        if (text_[at_] != '\'') out_ += '\\';
        out_ += text_[at_];
      } else if (c == '"') {
        out_ += "\\\"";
      } else if (static_cast<unsigned char>(c) < 0x20) {
        out_ += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
      } else {
        out_ += c;
      }
    }
    if (at_ == text_.size()) throw bad_content("a string does not end.");
    out_ += '"';
    ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string out_;
};

const json nothing;

}  // namespace

json parse_document(std::string_view text) {
  check_size(text);
  return parse_strictly(text, most_values);
}

json parse_lenient_document(std::string_view text) {
  check_size(text);
  return parse_strictly(Normalizer(text).run(), most_values_of_deployment);
}

namespace {

void count_values(const json& value, std::size_t& left) {
  if (left == 0) return;
  --left;
  if (value.is_structured())
    for (const json& item : value) count_values(item, left);
}

}  // namespace

void check_values(const json& document, std::string_view name) {
  std::size_t left = most_values + 1;
  count_values(document, left);
  if (left == 0)
    throw Error(ErrorKind::invalid, "RequestContentTooLarge",
                fmt::format("The resource '{}' has more than {} values.", name, most_values),
                "Make several resources of it.");
}

const json* find_member(const json& object, std::string_view key) {
  if (!object.is_object()) return nullptr;
  if (const auto exact = object.find(key); exact != object.end()) return &*exact;
  for (const auto& [name, value] : object.items())
    if (same_name(name, key)) return &value;
  return nullptr;
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string_view type_in_words(const json& value) {
  switch (value.type()) {
    case json::value_t::object:
      return "an object";
    case json::value_t::array:
      return "an array";
    case json::value_t::string:
      return "a string";
    case json::value_t::boolean:
      return "a boolean";
    case json::value_t::number_integer:
    case json::value_t::number_unsigned:
    case json::value_t::number_float:
      return "a number";
    default:
      return "null";
  }
}

Field Field::operator[](std::string_view key) const {
  if (!missing()) require_object();
  const json* found = find_member(*value_, key);
  return Field(found ? *found : nothing, path_.empty() ? std::string(key) : fmt::format("{}.{}", path_, key));
}

bool Field::missing() const {
  return value_->is_null();
}

void Field::refuse(const std::string& wanted) const {
  throw Error(ErrorKind::invalid, "InvalidRequestContent",
              fmt::format("The request content is invalid: '{}' must be {}.",
                          path_.empty() ? "the document" : path_, wanted));
}

void Field::require_object() const {
  if (!value_->is_object()) refuse(fmt::format("an object, not {}", type_in_words(*value_)));
}

std::string Field::text(std::string_view otherwise) const {
  if (missing()) return std::string(otherwise);
  // As Azure reads it: ports of templates are often numbers, and update tags true.
  if (value_->is_number() || value_->is_boolean()) return dump(*value_);
  if (!value_->is_string()) refuse(fmt::format("a string, not {}", type_in_words(*value_)));
  return value_->get<std::string>();
}

std::string Field::required_text() const {
  std::string found = text();
  if (found.empty())
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("Required parameter '{}' is missing (null).", path_));
  return found;
}

bool Field::flag(bool otherwise) const {
  if (missing()) return otherwise;
  if (value_->is_boolean()) return value_->get<bool>();
  if (value_->is_string() && same_name(value_->get_ref<const std::string&>(), "true")) return true;
  if (value_->is_string() && same_name(value_->get_ref<const std::string&>(), "false")) return false;
  refuse(fmt::format("true or false, not {}", type_in_words(*value_)));
}

std::int64_t Field::number(std::int64_t otherwise) const {
  if (missing()) return otherwise;
  if (value_->is_number_unsigned() && value_->get<std::uint64_t>() > INT64_MAX) refuse("a smaller number");
  if (value_->is_number_integer()) return value_->get<std::int64_t>();
  if (value_->is_string()) {
    const auto& text = value_->get_ref<const std::string&>();
    std::int64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (problem == std::errc() && end == text.data() + text.size()) return number;
  }
  refuse("a whole number");
}

std::vector<Field> Field::items() const {
  std::vector<Field> found;
  if (missing()) return found;
  if (!value_->is_array()) refuse(fmt::format("an array, not {}", type_in_words(*value_)));
  found.reserve(value_->size());
  for (std::size_t i = 0; i < value_->size(); ++i)
    found.emplace_back((*value_)[i], fmt::format("{}[{}]", path_, i));
  return found;
}

std::vector<std::string> Field::texts() const {
  std::vector<std::string> found;
  for (const Field& item : items()) found.push_back(item.text());
  return found;
}

Tags Field::tags() const {
  Tags found;
  if (missing()) return found;
  require_object();
  for (const auto& [key, value] : value_->items()) {
    const Field tag(value, fmt::format("{}.{}", path_, key));
    if (key.size() > 512 || (value.is_string() && value.get_ref<const std::string&>().size() > 256))
      throw Error(ErrorKind::invalid, "InvalidTag",
                  "A tag's name has at most 512 characters and its value at most 256.");
    found[key] = value.is_string() ? tag.text() : value.is_null() ? "" : dump(value);
  }
  if (found.size() > 50)
    throw Error(ErrorKind::invalid, "InvalidTag",
                fmt::format("There are {} tags; a resource has at most 50.", found.size()));
  return found;
}

std::string Field::as_json() const {
  return missing() ? std::string() : dump(*value_);
}

}  // namespace berth::arm
