#include "api/arm/groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "model/catalog.h"

namespace berth::arm {
namespace {

std::string known_locations() {
  std::string names;
  for (const Location& location : locations())
    names += (names.empty() ? "" : ",") + std::string(location.name);
  return names;
}

}  // namespace

std::string location_of(const nlohmann::json& body, std::string_view type, std::string_view otherwise) {
  const std::string wanted = Field(body)["location"].text(otherwise);
  if (wanted.empty())
    throw Error(ErrorKind::invalid, "LocationRequired",
                "The location property is required for this definition.");
  const Location* location = find_location(wanted);
  if (!location && same_name(wanted, "global") && type.starts_with("Microsoft.Insights/")) return "global";
  if (!location)
    throw Error(
        ErrorKind::invalid, "LocationNotAvailableForResourceType",
        fmt::format("The provided location '{}' is not available for resource type '{}'. List of available "
                    "regions for the resource type is '{}'.",
                    wanted, type, known_locations()));
  return std::string(location->name);
}

GroupRequest parse_group(const nlohmann::json& body) {
  const Field document(body);
  document.require_object();
  return {.location = location_of(body, "Microsoft.Resources/resourceGroups"),
          .tags = document["tags"].tags()};
}

void write_tags(JsonText& out, const Tags& tags) {
  out.open("tags");
  for (const auto& [key, value] : tags) out.put(key, value);
  out.close();
}

void write_group(JsonText& out, const ResourceGroup& group, std::string_view subscription, bool deleting) {
  out.open()
      .put("id", fmt::format("/subscriptions/{}/resourceGroups/{}", subscription, group.name))
      .put("name", group.name)
      .put("type", "Microsoft.Resources/resourceGroups")
      .put("location", group.location);
  write_tags(out, group.tags);
  out.open("properties").put("provisioningState", deleting ? "Deleting" : "Succeeded").close().close();
}

void open_resource(JsonText& out, const Resource& resource, std::string_view type,
                   std::string_view subscription) {
  out.open()
      .put("id", make_id(subscription, resource.group, type, resource.name))
      .put("name", resource.name)
      .put("type", type)
      .put("location", resource.location);
  write_tags(out, resource.tags);
}

void write_resource_summary(JsonText& out, const Resource& resource, std::string_view type,
                            std::string_view subscription) {
  open_resource(out, resource, type, subscription);
  out.put_if("createdTime", resource.created).put_if("changedTime", resource.created);
  out.put("provisioningState", "Succeeded").close();
}

ResourceFilter::ResourceFilter(std::string_view text) {
  const auto refuse = [&] {
    return Error(
        ErrorKind::invalid, "InvalidFilterInQueryString",
        fmt::format("Invalid $filter '{}' specified in the query string.", text.substr(0, 200)),
        "Known are eq and ne over resourceGroup, resourceType, name, location, tagName, tagValue, and "
        "substringof('text', name), joined by 'and'.");
  };
  // Words, quoted texts, and single other characters.
  std::vector<std::string> tokens;
  for (std::size_t at = 0; at < text.size();) {
    const char c = text[at];
    if (c == ' ') {
      ++at;
    } else if (c == '\'') {
      std::string value = "'";
      for (++at; at < text.size(); ++at) {
        if (text[at] == '\'' && at + 1 < text.size() && text[at + 1] == '\'')
          ++at;
        else if (text[at] == '\'')
          break;
        value += text[at];
      }
      if (at == text.size()) throw refuse();
      ++at;
      tokens.push_back(value);
    } else if (c == '(' || c == ')' || c == ',') {
      tokens.emplace_back(1, c);
      ++at;
    } else {
      const std::size_t end = std::min(text.find_first_of(" '(),", at), text.size());
      tokens.emplace_back(text.substr(at, end - at));
      at = end;
    }
  }
  static constexpr std::string_view fields[] = {"resourceGroup", "resourceType", "name",
                                                "location",      "tagName",      "tagValue"};
  const auto is_field = [](const std::string& token) {
    return std::ranges::any_of(fields, [&](std::string_view field) { return same_name(field, token); });
  };
  for (std::size_t at = 0; at < tokens.size();) {
    if (!conditions_.empty()) {
      if (!same_name(tokens[at], "and")) throw refuse();
      ++at;
    }
    const auto token = [&](std::size_t offset) {
      return at + offset < tokens.size() ? tokens[at + offset] : std::string();
    };
    if (same_name(token(0), "substringof") && token(1) == "(" && token(2).starts_with('\'') &&
        token(3) == "," && is_field(token(4)) && token(5) == ")") {
      conditions_.push_back({lower(token(4)), token(2).substr(1), Condition::Test::contains});
      at += 6;
    } else if (is_field(token(0)) && (same_name(token(1), "eq") || same_name(token(1), "ne")) &&
               token(2).starts_with('\'')) {
      conditions_.push_back({lower(token(0)), token(2).substr(1),
                             same_name(token(1), "eq") ? Condition::Test::equals : Condition::Test::differs});
      at += 3;
    } else {
      throw refuse();
    }
  }
}

bool ResourceFilter::matches(const Resource& resource, std::string_view type) const {
  return std::ranges::all_of(conditions_, [&](const Condition& condition) {
    if (condition.field == "tagname" || condition.field == "tagvalue") {
      const bool by_name = condition.field == "tagname";
      const bool found = std::ranges::any_of(resource.tags, [&](const auto& tag) {
        return same_name(by_name ? tag.first : tag.second, condition.value);
      });
      return found == (condition.test != Condition::Test::differs);
    }
    const std::string_view value = condition.field == "resourcegroup"  ? resource.group
                                   : condition.field == "resourcetype" ? type
                                   : condition.field == "location"     ? resource.location
                                                                       : resource.name;
    if (condition.test == Condition::Test::contains)
      return lower(value).find(lower(condition.value)) != std::string::npos;
    return same_name(value, condition.value) == (condition.test == Condition::Test::equals);
  });
}

}  // namespace berth::arm
