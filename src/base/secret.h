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
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : text_(std::exchange(other.text_, {})) {}
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
      text_ = std::exchange(other.text_, {});
    }
    return *this;
  }
  ~Secret() { wipe(); }

  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }
  bool operator==(const Secret&) const = default;

 private:
  void wipe() noexcept {
    volatile char* byte = text_.data();
    for (std::size_t i = 0; i < text_.size(); ++i) byte[i] = 0;
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
