#pragma once

#include <map>
#include <string>
#include <string_view>

namespace berth {

/// Azure compares names, types and locations without regard to ASCII case, and gives them back as first
/// written.
std::string lower(std::string_view text);
bool same_name(std::string_view a, std::string_view b);
struct NameLess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};

/// A resource of one kind inside a resource group.
struct Ref {
  std::string group;
  std::string name;
  bool empty() const { return name.empty(); }
  std::string key() const { return lower(group) + "/" + lower(name); }  ///< for maps; '/' is in no name
  bool operator==(const Ref& other) const {
    return same_name(name, other.name) && same_name(group, other.group);
  }
};

/// Letters, digits and hyphens, begins with a letter, ends with no hyphen, 1 to 63 characters.
bool is_dns_label(std::string_view text);

using Tags = std::map<std::string, std::string>;

}  // namespace berth
