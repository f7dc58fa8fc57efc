#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace berth::arm {

/// The values of a template's secure parameters, to be kept out of everything that is shown, kept or logged.
class Secrets {
 public:
  /// Takes every text and number in it that is long enough to be told from other text.
  void add(const nlohmann::json& value);
  void add(const Secrets& others);

  /// The text with "[secret]" for each, also where it stands in JSON's notation. Secrets that overlap are
  /// replaced together, so that no part of either stays.
  std::string redact(std::string_view text) const;
  /// The same for all texts in a value, names of members too. A number that is a secret becomes a text.
  nlohmann::json redact_value(const nlohmann::json& value) const;

 private:
  std::vector<std::string> texts_;
};

}  // namespace berth::arm
