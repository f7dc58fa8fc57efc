#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace berth::classic {

/// Writes one XML document of the service's namespace: elements in the order of the calls, no white space
/// between them (clients take text as it stands). Bytes that XML 1.0 cannot carry become '?'.
class XmlWriter {
 public:
  explicit XmlWriter(std::string_view root);

  XmlWriter& open(std::string_view name);
  XmlWriter& open_typed(std::string_view name, std::string_view type);  ///< with i:type
  XmlWriter& close();
  XmlWriter& leaf(std::string_view name, std::string_view text);
  XmlWriter& leaf(std::string_view name, const char* text) { return leaf(name, std::string_view(text)); }
  XmlWriter& leaf(std::string_view name, bool value) { return leaf(name, value ? "true" : "false"); }
  XmlWriter& leaf(std::string_view name, std::uint64_t value);
  XmlWriter& leaf(std::string_view name, int value);
  /// Nothing when the text is empty: an empty element would be a value.
  XmlWriter& leaf_if(std::string_view name, std::string_view text);
  XmlWriter& base64(std::string_view name, std::string_view bytes);
  /// Markup that was rendered before.
  XmlWriter& raw(std::string_view markup);

  /// Closes what is open. Once.
  std::string take();

 private:
  std::string text_;
  std::vector<std::string> open_;
};

}  // namespace berth::classic
