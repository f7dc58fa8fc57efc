#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace berth::arm {

/// Writes JSON text from front to back, without a tree in between: lists of thousands of resources are
/// answered by it. The caller keeps opens and closes balanced. Text that is not UTF-8 is mended.
class JsonText {
 public:
  JsonText& open(std::string_view key = {});  ///< "{"
  JsonText& close();
  JsonText& open_list(std::string_view key = {});  ///< "["
  JsonText& close_list();

  JsonText& put(std::string_view key, std::string_view text);
  JsonText& put(std::string_view key, const char* text) { return put(key, std::string_view(text)); }
  JsonText& put(std::string_view key, const std::string& text) { return put(key, std::string_view(text)); }
  template <std::same_as<bool> Flag>
  JsonText& put(std::string_view key, Flag flag) {
    return raw(key, flag ? "true" : "false");
  }
  template <std::integral Number>
    requires(!std::same_as<Number, bool>)
  JsonText& put(std::string_view key, Number number) {
    return raw(key, std::to_string(number));
  }
  /// Nothing at all when the text is empty.
  JsonText& put_if(std::string_view key, std::string_view text) {
    return text.empty() ? *this : put(key, text);
  }
  /// `json` is JSON text already.
  JsonText& raw(std::string_view key, std::string_view json);
  JsonText& item(std::string_view text);
  JsonText& raw_item(std::string_view json);

  std::string take() { return std::move(text_); }
  std::size_t size() const { return text_.size(); }

 private:
  void next(std::string_view key);
  void quote(std::string_view text);

  std::string text_;
};

}  // namespace berth::arm
