#include "api/classic/xml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <pugixml.hpp>

#include "base/error.h"
#include "crypto/encoding.h"

namespace berth::classic {
namespace {

/// Elements whose text comes from the user's keyboard. None of them has children.
constexpr std::array typed_elements{"AdminUsername", "Description",  "DiskLabel",        "HostName",
                                    "Label",         "Location",     "MediaLink",        "Name",
                                    "RoleName",      "ServiceName",  "TargetImageLabel", "TargetImageName",
                                    "UserName",      "VMImageLabel", "VMImageName"};
constexpr std::array passwords{"AdminPassword", "Password", "UserPassword"};

bool is_entity(std::string_view rest) {  // `rest` begins with '&'
  const std::size_t end = rest.substr(0, 12).find(';');
  if (end == std::string_view::npos || end < 2) return false;
  const std::string_view name = rest.substr(1, end - 1);
  for (const std::string_view known : {"amp", "lt", "gt", "quot", "apos"})
    if (name == known) return true;
  if (name[0] != '#' || name.size() < 2) return false;
  const bool hexadecimal = name[1] == 'x';
  const std::string_view digits = name.substr(hexadecimal ? 2 : 1);
  std::uint32_t value = 0;
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, hexadecimal ? 16 : 10);
  return error == std::errc() && stop == digits.data() + digits.size() && value != 0;
}

bool begins_markup(std::string_view rest) {  // `rest` begins with '<'
  if (rest.size() < 2) return false;
  const char c = rest[1];
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/' || c == '?' || c == '!';
}

void append_text(std::string& out, std::string_view text, bool literally) {
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '<')
      out += "&lt;";
    else if (text[i] == '&' && (literally || !is_entity(text.substr(i))))
      out += "&amp;";
    else
      out += text[i];
}

/// The name of the start tag that `rest` begins with, when it has no attributes and is not empty ("<Name>").
std::string_view plain_start_tag(std::string_view rest) {
  const std::size_t end = rest.substr(0, 64).find('>');
  if (end == std::string_view::npos || end < 2) return {};
  const std::string_view name = rest.substr(1, end - 1);
  const bool plain =
      std::ranges::all_of(name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  return plain ? name : std::string_view();
}

bool is_one_of(std::string_view name, auto&& names) {
  return std::ranges::find(names, name) != std::end(names);
}

/// Where the end tags of a document are, asked for from front to back: each name's part of the text is
/// searched once, however many start tags there are.
class EndTags {
 public:
  explicit EndTags(std::string_view xml) : xml_(xml) {}
  /// The first "</NAME>" at `from` or behind it; npos when there is none.
  std::size_t next(std::string_view name, std::size_t from) {
    const auto [known, is_new] = next_.try_emplace(name, 0);
    if (is_new || known->second < from) known->second = xml_.find(fmt::format("</{}>", name), from);
    return known->second;
  }

 private:
  std::string_view xml_;
  std::map<std::string_view, std::size_t> next_;
};

std::string_view local_name(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  const std::size_t colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

int depth_of(const pugi::xml_document& document) {
  int deepest = 0, depth = 0;
  pugi::xml_node at = document.first_child();
  while (at) {
    deepest = std::max(deepest, depth + 1);
    if (deepest > most_xml_depth) return deepest;
    if (at.first_child()) {
      at = at.first_child();
      ++depth;
      continue;
    }
    while (at && !at.next_sibling()) {
      at = at.parent();
      --depth;
      if (depth < 0) return deepest;
    }
    if (at) at = at.next_sibling();
  }
  return deepest;
}

pugi::xml_node to_node(void* node) {
  return pugi::xml_node(static_cast<pugi::xml_node_struct*>(node));
}

bool is_nil(const pugi::xml_node& node) {
  for (const pugi::xml_attribute& attribute : node.attributes())
    if (const std::string_view name = attribute.name(); name == "nil" || name.ends_with(":nil"))
      return std::string_view(attribute.value()) == "true";
  return false;
}

}  // namespace

std::string mend(std::string_view xml) {
  std::string out;
  out.reserve(xml.size() + 64);
  EndTags end_tags(xml);
  std::size_t at = 0;
  while (at < xml.size()) {
    const std::string_view rest = xml.substr(at);
    if (rest[0] == '&' && !is_entity(rest)) {
      out += "&amp;";
      ++at;
      continue;
    }
    if (rest[0] != '<') {
      out += rest[0];
      ++at;
      continue;
    }
    if (!begins_markup(rest)) {
      out += "&lt;";
      ++at;
      continue;
    }
    if (rest.starts_with("<![CDATA[")) {
      const std::size_t end = std::min(rest.find("]]>"), rest.size());
      out += rest.substr(0, end);
      at += end;
      continue;
    }
    const std::string_view name = plain_start_tag(rest);
    const bool password = is_one_of(name, passwords);
    if (!password && !is_one_of(name, typed_elements)) {
      out += '<';
      ++at;
      continue;
    }
    const std::size_t begin = at + name.size() + 2, end = end_tags.next(name, begin);
    out += xml.substr(at, begin - at);
    at = begin;
    if (end == std::string_view::npos) continue;
    const std::string_view value = xml.substr(begin, end - begin);
    if (!password && value.starts_with("<![CDATA["))
      out += value;
    else
      append_text(out, value, password);
    at = end;
  }
  return out;
}

std::string_view Element::name() const {
  return local_name(to_node(node_));
}

Element Element::child(std::string_view wanted) const {
  Element found;
  for (pugi::xml_node node : to_node(node_)) {
    if (node.type() != pugi::node_element || local_name(node) != wanted) continue;
    if (found) throw bad_request(fmt::format("The request's {} has {} twice.", name(), wanted));
    found.node_ = node.internal_object();
  }
  return found;
}

std::vector<Element> Element::children(std::string_view wanted) const {
  std::vector<Element> found = children();
  std::erase_if(found, [&](const Element& element) { return element.name() != wanted; });
  return found;
}

std::vector<Element> Element::children() const {
  std::vector<Element> found;
  for (pugi::xml_node node : to_node(node_))
    if (node.type() == pugi::node_element) found.emplace_back().node_ = node.internal_object();
  return found;
}

std::string Element::text() const {
  const pugi::xml_node node = to_node(node_);
  if (!node || is_nil(node)) return {};
  std::string all;
  for (pugi::xml_node part : node)
    if (part.type() == pugi::node_pcdata || part.type() == pugi::node_cdata) all += part.value();
  return all;
}

std::string Element::text(std::string_view child_name) const {
  return child(child_name).text();
}

std::string Element::required(std::string_view child_name) const {
  std::string value = text(child_name);
  if (value.empty()) throw bad_request(fmt::format("The request's {} has no {}.", name(), child_name));
  return value;
}

std::optional<int> Element::number(std::string_view child_name, int least, int most) const {
  const std::string value = text(child_name);
  if (value.empty()) return std::nullopt;
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < least || number > most)
    throw bad_request(fmt::format("{} '{}' of {} is not a number from {} to {}.", child_name,
                                  value.substr(0, 64), name(), least, most));
  return number;
}

std::optional<bool> Element::boolean(std::string_view child_name) const {
  const std::string value = text(child_name);
  if (value.empty()) return std::nullopt;
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  throw bad_request(
      fmt::format("{} '{}' of {} is neither true nor false.", child_name, value.substr(0, 64), name()));
}

std::optional<std::string> Element::base64(std::string_view child_name) const {
  if (!child(child_name)) return std::nullopt;
  auto bytes = base64_decode(text(child_name));
  if (!bytes) throw bad_request(fmt::format("{} of {} is not base64.", child_name, name()));
  return bytes;
}

struct XmlReader::Document {
  std::string text;
  pugi::xml_document tree;
};

XmlReader::XmlReader(std::string_view xml) : document_(std::make_unique<Document>()) {
  if (xml.size() > most_xml_bytes)
    throw bad_request(fmt::format("The request has {} bytes; {} are allowed.", xml.size(), most_xml_bytes));
  if (xml.find("<!DOCTYPE") != std::string_view::npos)
    throw bad_request("The request has a document type; it may not.");
  document_->text = mend(xml);
  const pugi::xml_parse_result result = document_->tree.load_buffer_inplace(
      document_->text.data(), document_->text.size(), pugi::parse_default | pugi::parse_ws_pcdata_single,
      pugi::encoding_utf8);
  if (!result || !document_->tree.document_element())
    throw bad_request(fmt::format("The request is not well-formed XML: {} at byte {}.",
                                  result ? "it is empty" : result.description(), result.offset));
  if (depth_of(document_->tree) > most_xml_depth)
    throw bad_request(fmt::format("The request is nested deeper than {} elements.", most_xml_depth));
}

Error bad_request(const std::string& what, const std::string& advice) {
  return Error(ErrorKind::invalid, "BadRequest", what, advice);
}

XmlReader::~XmlReader() = default;

Element XmlReader::root() const {
  Element element;
  element.node_ = document_->tree.document_element().internal_object();
  return element;
}

Element XmlReader::root(std::string_view name) const {
  const Element element = root();
  if (element.name() != name)
    throw bad_request(fmt::format("The request's document is {} where {} is expected.",
                                  element.name().substr(0, 64), name));
  return element;
}

}  // namespace berth::classic
