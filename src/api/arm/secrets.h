#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace berth::arm {

/// The values of a template's secure parameters, to be kept out of everything that is shown, kept or logged.
/// May be read by one thread while another adds to it.
class Secrets {
 public:
  Secrets();
  Secrets(const Secrets& other);
  Secrets& operator=(const Secrets& other);

  /// Takes every text and number in it that is long enough to be told from other text. Throws Error(invalid,
  /// "InvalidTemplate") for more than 4,096 different ones.
  void add(const nlohmann::json& value);
  void add(const Secrets& others);

  std::size_t count() const;

  /// The text with "[secret]" for each, also where it stands in JSON's notation. Secrets that overlap are
  /// replaced together, so that no part of either stays.
  /// Takes time in proportion to the text, however many and however long the secrets are.
  std::string redact(std::string_view text) const;
  /// The same for all texts in a value, names of members too. A number that is a secret becomes a text.
  nlohmann::json redact_value(const nlohmann::json& value) const;

 private:
  struct Known;
  std::shared_ptr<const Known> known() const;
  void take(std::set<std::string, std::less<>> texts);

  mutable std::mutex mutex_;
  std::shared_ptr<const Known> known_;  ///< never changed, only replaced
};

}  // namespace berth::arm
