#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"

namespace berth::arm {

class JsonText;

/// What a PUT of a resource group asks for.
struct GroupRequest {
  std::string location;
  Tags tags;
};
/// Throws Error(invalid, "LocationRequired" / "LocationNotAvailableForResourceGroup").
GroupRequest parse_group(const nlohmann::json& body);
void write_group(JsonText& out, const ResourceGroup& group, std::string_view subscription, bool deleting);

/// The canonical name of the location in `body`; `otherwise` when it names none. Throws Error(invalid,
/// "LocationRequired" / "LocationNotAvailableForResourceType").
std::string location_of(const nlohmann::json& body, std::string_view type, std::string_view otherwise = {});

void write_tags(JsonText& out, const Tags& tags);
/// id, name, type, location, tags: what every resource begins with. The object stays open.
void open_resource(JsonText& out, const Resource& resource, std::string_view type,
                   std::string_view subscription);

/// One entry of GET resources.
void write_resource_summary(JsonText& out, const Resource& resource, std::string_view type,
                            std::string_view subscription);

/// The conditions of GET …/resources?$filter=: comparisons joined by "and" over resourceGroup, resourceType,
/// name, location, tagName and tagValue, with eq and ne, and substringof('text', name).
class ResourceFilter {
 public:
  /// Throws Error(invalid, "InvalidFilterInQueryString") naming what it does not know.
  explicit ResourceFilter(std::string_view text);
  bool matches(const Resource& resource, std::string_view type) const;

 private:
  struct Condition {
    std::string field, value;
    enum class Test { equals, differs, contains } test = Test::equals;
  };
  std::vector<Condition> conditions_;
};

}  // namespace berth::arm
