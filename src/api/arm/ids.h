#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/names.h"

namespace berth::arm {

/// "/subscriptions/S/resourceGroups/G/providers/NS/TYPE/NAME/CHILD/NAME" taken apart; of an extension resource
/// ("…/providers/NS/TYPE/NAME/providers/NS/TYPE/NAME") the last part, with the rest as its scope. Parts keep the case
/// they came in and compare without it.
struct ResourceId {
  std::string subscription;
  std::string group;     ///< "" for a resource of the subscription
  std::string scope;     ///< of an extension resource: the id of what it is about
  std::string provider;  ///< "Microsoft.Compute"
  std::vector<std::pair<std::string, std::string>> segments;  ///< type and name, parent first

  /// nullopt when the text is no resource id.
  static std::optional<ResourceId> parse(std::string_view text);

  std::string type() const;       ///< "Microsoft.Compute/virtualMachines/extensions"
  std::string full_name() const;  ///< "web1/DockerExtension"
  const std::string& name() const { return segments.back().second; }
  bool is(std::string_view wanted_type) const { return same_name(type(), wanted_type); }
  bool is_child() const { return segments.size() > 1; }
  Ref ref() const { return {group, segments.front().second}; }  ///< of the top-level resource
  std::string text() const;
  /// The id of what an extension resource is about: `scope`, or else the group or the subscription.
  std::string about() const;
};

/// "Type" with one name per level ("web1/DockerExtension") as an id.
std::string make_id(std::string_view subscription, std::string_view group, std::string_view type,
                    std::string_view full_name);

/// The resource that `id` names. Throws Error(invalid, "LinkedInvalidPropertyId"/"InvalidResourceReference")
/// naming `path` when it is no id, has another type, or is of another subscription.
ResourceId parse_reference(std::string_view id, std::string_view type, std::string_view subscription,
                           std::string_view path);

/// Throws Error(invalid, "InvalidResourceGroup"/"InvalidResourceName") unless Azure would take such a name:
/// 1 to 80 (groups 90) characters, letters, digits, '_', '-', '.', in groups also parentheses; no '.' at the
/// end.
void check_group_name(std::string_view name);
void check_resource_name(std::string_view name, std::string_view type);

}  // namespace berth::arm
