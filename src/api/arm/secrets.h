#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace berth::arm {

/// The values of a template's secure parameters, to be kept out of everything that is shown, kept or logged.
class Secrets {
 public:
  /// Takes every text and number in it that is long enough to be told from other text. Throws Error(invalid,
  /// "InvalidTemplate") for more than 4,096 different ones.
  void add(const nlohmann::json& value);
  void add(const Secrets& others);

  std::size_t count() const { return texts_.size(); }

  /// The text with "[secret]" for each, also where it stands in JSON's notation. Secrets that overlap are
  /// replaced together, so that no part of either stays.
  /// Takes time in proportion to the text, however many and however long the secrets are.
  std::string redact(std::string_view text) const;
  /// The same for all texts in a value, names of members too. A number that is a secret becomes a text.
  nlohmann::json redact_value(const nlohmann::json& value) const;

 private:
  /// A text to look for, as it is or as JSON writes it.
  struct Needle {
    std::string text;
    std::size_t shorter = none;  ///< the longest other one that this one begins with
  };
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  void arrange();
  std::size_t longest_at(std::string_view text) const;

  std::set<std::string, std::less<>> texts_;
  std::vector<Needle> needles_;   ///< sorted
  std::vector<bool> beginnings_;  ///< by the first two bytes: whether any needle begins with them
};

}  // namespace berth::arm
