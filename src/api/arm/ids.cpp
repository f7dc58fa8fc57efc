#include "api/arm/ids.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"

namespace berth::arm {
namespace {

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    if (slash > 0) parts.push_back(text.substr(0, slash));
    text.remove_prefix(std::min(slash + 1, text.size()));
  }
  return parts;
}

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == '.';
}

}  // namespace

std::optional<ResourceId> ResourceId::parse(std::string_view text) {
  if (text.empty() || text.size() > 2048 || text.front() != '/') return std::nullopt;
  const auto parts = split(text);
  std::size_t at = 0;
  const auto take = [&](std::string_view keyword, std::string& value) {
    if (at + 1 >= parts.size() || !same_name(parts[at], keyword)) return false;
    value = parts[at + 1];
    at += 2;
    return true;
  };
  ResourceId id;
  if (!take("subscriptions", id.subscription)) return std::nullopt;
  take("resourceGroups", id.group);
  if (!take("providers", id.provider)) return std::nullopt;
  if (at == parts.size() || (parts.size() - at) % 2 != 0) return std::nullopt;
  for (; at < parts.size(); at += 2) {
    if (!same_name(parts[at], "providers") || id.segments.empty()) {
      id.segments.emplace_back(parts[at], parts[at + 1]);
      continue;
    }
    id.scope = id.text();
    id.provider = parts[at + 1];
    id.segments.clear();
  }
  if (id.segments.empty()) return std::nullopt;
  return id;
}

std::string ResourceId::type() const {
  std::string out = provider;
  for (const auto& [type, name] : segments) out += "/" + type;
  return out;
}

std::string ResourceId::full_name() const {
  std::string out;
  for (const auto& [type, name] : segments) out += (out.empty() ? "" : "/") + name;
  return out;
}

std::string ResourceId::text() const {
  if (scope.empty()) return make_id(subscription, group, type(), full_name());
  return scope + make_id({}, {}, type(), full_name()).substr(std::string_view("/subscriptions/").size());
}

std::string ResourceId::about() const {
  if (!scope.empty()) return scope;
  return "/subscriptions/" + subscription + (group.empty() ? "" : "/resourceGroups/" + group);
}

std::string make_id(std::string_view subscription, std::string_view group, std::string_view type,
                    std::string_view full_name) {
  std::string out;
  out.reserve(96 + group.size() + type.size() + full_name.size());
  out += "/subscriptions/";
  out += subscription;
  if (!group.empty()) {
    out += "/resourceGroups/";
    out += group;
  }
  out += "/providers/";
  const std::size_t provider = std::min(type.find('/'), type.size());
  out += type.substr(0, provider);
  type.remove_prefix(std::min(provider + 1, type.size()));
  while (!type.empty()) {
    const std::size_t level = std::min(type.find('/'), type.size());
    const std::size_t name = std::min(full_name.find('/'), full_name.size());
    out += '/';
    out += type.substr(0, level);
    out += '/';
    out += full_name.substr(0, name);
    type.remove_prefix(std::min(level + 1, type.size()));
    full_name.remove_prefix(std::min(name + 1, full_name.size()));
  }
  return out;
}

ResourceId parse_reference(std::string_view id, std::string_view type, std::string_view subscription,
                           std::string_view path) {
  auto found = ResourceId::parse(id);
  if (!found || found->group.empty())
    throw Error(
        ErrorKind::invalid, "LinkedInvalidPropertyId",
        fmt::format(
            "Property id '{}' at path '{}' is invalid. Expect fully qualified resource Id that starts "
            "with '/subscriptions/{{subscriptionId}}/resourceGroups/'.",
            id, path));
  if (!found->is(type))
    throw Error(ErrorKind::invalid, "InvalidResourceReference",
                fmt::format("'{}' at path '{}' must name a resource of type {}.", id, path, type));
  if (!same_name(found->subscription, subscription))
    throw Error(ErrorKind::invalid, "LinkedAuthorizationFailed",
                fmt::format("'{}' at path '{}' is in subscription '{}', which this region does not have.", id,
                            path, found->subscription));
  return *found;
}

void check_group_name(std::string_view name) {
  const bool characters =
      std::ranges::all_of(name, [](char c) { return is_name_character(c) || c == '(' || c == ')'; });
  if (name.empty() || name.size() > 90 || !characters || name.back() == '.')
    throw Error(
        ErrorKind::invalid, "InvalidResourceGroup",
        fmt::format("The provided resource group name '{}' is invalid: it has 1 to 90 letters, digits, "
                    "underscores, parentheses, hyphens and periods, and no period at its end.",
                    name.substr(0, 100)));
}

void check_resource_name(std::string_view name, std::string_view type) {
  // "Security(my-workspace)"
  const bool may_have_brackets = same_name(type, "Microsoft.OperationsManagement/solutions");
  const auto fits = [&](char c) {
    return is_name_character(c) || (may_have_brackets && (c == '(' || c == ')'));
  };
  if (name.empty() || name.size() > 80 || !std::ranges::all_of(name, fits) || name.back() == '.')
    throw Error(
        ErrorKind::invalid, "InvalidResourceName",
        fmt::format("Resource name '{}' of type {} is invalid: it has 1 to 80 letters, digits, underscores, "
                    "hyphens and periods, and no period at its end.",
                    name.substr(0, 100), type));
}

}  // namespace berth::arm
