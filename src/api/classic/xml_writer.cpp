#include "api/classic/xml_writer.h"

#include "base/xml_text.h"
#include "crypto/encoding.h"

namespace berth::classic {

XmlWriter::XmlWriter(std::string_view root) {
  text_ = "<?xml version=\"1.0\" encoding=\"utf-8\"?><";
  text_ += root;
  text_ +=
      " xmlns=\"http://schemas.microsoft.com/windowsazure\" "
      "xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\">";
  open_.emplace_back(root);
}

XmlWriter& XmlWriter::open(std::string_view name) {
  text_.append("<").append(name).append(">");
  open_.emplace_back(name);
  return *this;
}

XmlWriter& XmlWriter::open_typed(std::string_view name, std::string_view type) {
  text_.append("<").append(name).append(" i:type=\"").append(type).append("\">");
  open_.emplace_back(name);
  return *this;
}

XmlWriter& XmlWriter::close() {
  text_.append("</").append(open_.back()).append(">");
  open_.pop_back();
  return *this;
}

XmlWriter& XmlWriter::leaf(std::string_view name, std::string_view text) {
  if (text.empty()) {
    text_.append("<").append(name).append("/>");
    return *this;
  }
  text_.append("<").append(name).append(">").append(xml_escaped(text)).append("</").append(name).append(">");
  return *this;
}

XmlWriter& XmlWriter::leaf(std::string_view name, std::uint64_t value) {
  return leaf(name, std::string_view(std::to_string(value)));
}

XmlWriter& XmlWriter::leaf(std::string_view name, int value) {
  return leaf(name, std::string_view(std::to_string(value)));
}

XmlWriter& XmlWriter::leaf_if(std::string_view name, std::string_view text) {
  return text.empty() ? *this : leaf(name, text);
}

XmlWriter& XmlWriter::base64(std::string_view name, std::string_view bytes) {
  return leaf(name, std::string_view(base64_encode(bytes)));
}

XmlWriter& XmlWriter::raw(std::string_view markup) {
  text_ += markup;
  return *this;
}

std::string XmlWriter::take() {
  while (!open_.empty()) close();
  return std::move(text_);
}

}  // namespace berth::classic
