#include "api/arm/members.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "api/arm/member_tables.h"
#include "base/error.h"
#include "model/names.h"

namespace berth::arm {
namespace {

using nlohmann::json;

/// The table of one type as a tree, so that a document is checked in one walk.
struct Node {
  std::string name;  ///< as Azure spells it
  const Member* line = nullptr;
  std::map<std::string, Node, NameLess> below;
};

void grow(Node& root, std::span<const Member> members) {
  for (const Member& member : members) {
    Node* at = &root;
    std::string_view rest = member.path;
    while (!rest.empty()) {
      const std::string_view part = rest.substr(0, rest.find('.'));
      rest.remove_prefix(std::min(rest.size(), part.size() + 1));
      at = &at->below[std::string(part)];
      at->name = part;
    }
    at->line = &member;
  }
}

const Node* find_tree(std::string_view type) {
  static const auto trees = [] {
    std::map<std::string, Node, NameLess> all;
    for (const Document& document : documents()) {
      Node& root = all[std::string(document.type)];
      grow(root, document.members);
      if (document.resource) grow(root, members_of_every_resource());
    }
    return all;
  }();
  const auto found = trees.find(type);
  return found == trees.end() ? nullptr : &found->second;
}

/// Nothing is asked for by it: null, false, "", [], {} and objects of such.
bool says_nothing(const json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  if (value.is_array()) return value.empty();
  if (value.is_object()) return std::ranges::all_of(value, says_nothing);
  return value.is_null();
}

class Walk {
 public:
  Walk(std::string_view type, const std::string& root) : type_(type), root_(root) {}

  /// What is kept of `value`; null when nothing is.
  json keep(const json& value, const Node& node, const std::string& path) const {
    if (node.below.empty()) return keep_leaf(value, node, path);
    if (value.is_array()) {  // its elements are checked; what is kept of them belongs to their own documents
      for (std::size_t i = 0; i < value.size(); ++i) keep(value[i], node, fmt::format("{}[{}]", path, i));
      return {};
    }
    json kept;
    if (!value.is_object()) return kept;  // who reads it says what it must be
    for (const auto& [key, part] : value.items()) {
      if (part.is_null()) continue;
      const std::string where = path.empty() ? key : path + "." + key;
      const auto known = node.below.find(key);
      if (known == node.below.end()) {
        if (node.line) {  // a line with exceptions below it
          if (json rest = keep_leaf(part, node, where); !rest.is_null()) kept[key] = std::move(rest);
          continue;
        }
        throw unknown(key, where);
      }
      if (json rest = keep(part, known->second, where); !rest.is_null())
        kept[known->second.name] = std::move(rest);
    }
    return kept;
  }

 private:
  json keep_leaf(const json& value, const Node& node, const std::string& path) const {
    if (node.line->use == Use::kept) return value;
    if (node.line->use == Use::refused && !says_nothing(value))
      throw Error(ErrorKind::invalid, "OperationNotAllowed",
                  fmt::format("'{}' is not supported by the local region: {}.", at(path), node.line->why),
                  "Leave it out.");
    return {};
  }

  Error unknown(const std::string& key, const std::string& path) const {
    return Error(ErrorKind::invalid, "BadRequest",
                 fmt::format("Could not find member '{}' on object of type '{}'. Path '{}'.",
                             key.substr(0, 100), type_.substr(type_.rfind('/') + 1), at(path)),
                 "Look for a slip of the pen. The members that are known stand in docs/wire/arm-members.md.");
  }

  std::string at(const std::string& path) const {
    return (root_.empty() ? path : root_ + "." + path).substr(0, 300);
  }

  std::string_view type_;
  const std::string& root_;
};

void merge(json& into, const json& kept) {
  for (const auto& [key, value] : kept.items()) {
    json& there = into[key];
    if (there.is_object() && value.is_object())
      merge(there, value);
    else
      there = value;
  }
}

void collect_ids(const json& value, std::vector<std::string>& found) {
  if (value.is_object()) {
    for (const auto& [key, part] : value.items()) {
      if (same_name(key, "id") && part.is_string() && ResourceId::parse(part.get<std::string>()))
        found.push_back(part.get<std::string>());
      else
        collect_ids(part, found);
    }
  } else if (value.is_array()) {
    for (const json& part : value) collect_ids(part, found);
  }
}

}  // namespace

std::span<const Document> documents() {
  return member_tables();
}

std::string kept_members(std::string_view type, const json& body, const std::string& path) {
  const Node* tree = find_tree(type);
  if (!tree) return {};
  const json kept = Walk(type, path).keep(body, *tree, {});
  return kept.is_null() ? std::string() : dump(kept);
}

std::string with_kept(const std::string& object, std::string_view kept) {
  json whole = json::parse(object);
  merge(whole, json::parse(kept));
  return dump(whole);
}

std::vector<std::string> kept_references(std::string_view kept) {
  std::vector<std::string> found;
  if (!kept.empty()) collect_ids(json::parse(kept), found);
  return found;
}

}  // namespace berth::arm
