#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

namespace berth {

/// A password, key or token: printed and logged as "[secret]", wiped when it goes. reveal() is the only
/// way to the text, so `grep -rn 'reveal()' src` is the audit.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(take(text)) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : text_(take(other.text_)) {}
  Secret& operator=(const Secret& other) {
    if (this != &other) {
      wipe();
      text_ = other.text_;
    }
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      wipe();
      text_ = take(other.text_);
    }
    return *this;
  }
  ~Secret() { wipe(); }

  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  void wipe() noexcept { wipe(text_); }

  static void wipe(std::string& text) noexcept {
    volatile char* byte = text.data();
    for (std::size_t i = 0; i < text.size(); ++i) byte[i] = 0;
  }

  /// A short string is copied by its move and would stay behind, within the moved-from object.
  static std::string take(std::string& text) noexcept {
    std::string taken = std::move(text);
    text.assign(std::string().capacity(),
                '\0');  // all that an empty string has room for, without an allocation
    wipe(text);
    text.clear();
    return taken;
  }

  std::string text_;
};

}  // namespace berth

template <>
struct fmt::formatter<berth::Secret> : fmt::formatter<std::string_view> {
  auto format(const berth::Secret&, format_context& out) const {
    return fmt::formatter<std::string_view>::format("[secret]", out);
  }
};
