#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::classic {

/// What a request's XML may be at most; more is refused before it is read.
inline constexpr std::size_t most_xml_bytes = 4 * 1024 * 1024;
inline constexpr int most_xml_depth = 32;

/// One element of a request. Names compare without prefix, exactly. A view: good as long as its document.
class Element {
 public:
  std::string_view name() const;
  /// The child of that name; an empty element when there is none. Throws Error(invalid, "BadRequest") naming
  /// the element when it is there twice.
  Element child(std::string_view name) const;
  std::vector<Element> children(std::string_view name) const;
  std::vector<Element> children() const;
  explicit operator bool() const { return node_ != nullptr; }

  std::string text() const;  ///< "" also for nil
  std::string text(std::string_view child) const;
  /// Of that child; throws Error(invalid, "BadRequest") naming the element when it is missing or empty.
  std::string required(std::string_view child) const;
  /// nullopt when missing or empty; throws Error(invalid) naming the element when it is no number of that
  /// range.
  std::optional<int> number(std::string_view child, int least, int most) const;
  std::optional<bool> boolean(std::string_view child) const;
  /// Decoded; nullopt when missing. Throws Error(invalid) naming the element when it is no base64.
  std::optional<std::string> base64(std::string_view child) const;

 private:
  friend class XmlReader;
  void* node_ = nullptr;  ///< of the XML library
};

/// A request's document. The classic client writes values into it without escaping them: a lone '&' or '<'
/// inside a value is taken as that character, and a password literally between its tags. Everything else must
/// be well-formed; a document type, too much depth and too many bytes are refused: Error(invalid,
/// "BadRequest") with the place. Source: docs/wire/classic.md, "Requests".
class XmlReader {
 public:
  explicit XmlReader(std::string_view xml);
  ~XmlReader();
  Element root() const;
  /// Throws Error(invalid) naming both when the root has another name.
  Element root(std::string_view name) const;

 private:
  struct Document;
  std::unique_ptr<Document> document_;
};

/// The repair alone: well-formed XML of what the client meant.
std::string mend(std::string_view xml);

/// Error(invalid, "BadRequest").
Error bad_request(const std::string& what, const std::string& advice = {});

}  // namespace berth::classic
