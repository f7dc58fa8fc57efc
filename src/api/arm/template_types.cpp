#include "api/arm/template_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "api/arm/document.h"
#include "api/arm/template_parameters.h"
#include "api/arm/text_units.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::string_view definitions_prefix = "#/definitions/";
constexpr int most_references = 32;  ///< one to the other
constexpr int deepest_part = 128;

[[noreturn]] void refuse_value(const std::string& what, const std::string& why) {
  throw Error(ErrorKind::invalid, "InvalidTemplate",
              fmt::format("Deployment template validation failed: '{} is not valid: {}'.", what, why));
}

void check_allowed(TemplateScope& scope, const json& type, const json& value, const std::string& what) {
  const json& allowed = member_or_null(type, "allowedValues");
  if (!allowed.is_array()) return;
  const auto is_allowed = [&](const json& item) {
    scope.budget->spend(16 * allowed.size());
    return std::ranges::find(allowed, item) != allowed.end();
  };
  if (is_allowed(value) || (value.is_array() && std::ranges::all_of(value, is_allowed))) return;
  refuse_value(what, fmt::format("it is not part of the allowed value(s): {}", dump(allowed).substr(0, 500)));
}

void check_limits(const json& type, const json& value, const std::string& what) {
  const auto limit = [&](const char* key) -> std::optional<std::int64_t> {
    const json& written = member_or_null(type, key);
    return written.is_number_integer() ? std::optional(written.get<std::int64_t>()) : std::nullopt;
  };
  const auto check = [&](std::int64_t number, const char* low, const char* high, std::string_view measure) {
    const auto least = limit(low), most = limit(high);
    if ((least && number < *least) || (most && number > *most))
      refuse_value(what,
                   fmt::format("its {} is {}, allowed is {} to {}", measure, number,
                               least ? std::to_string(*least) : "any", most ? std::to_string(*most) : "any"));
  };
  if (value.is_string())
    check(static_cast<std::int64_t>(count_units(value.get_ref<const std::string&>())), "minLength",
          "maxLength", "length");
  if (value.is_array()) check(static_cast<std::int64_t>(value.size()), "minLength", "maxLength", "length");
  if (value.is_number_integer()) check(value.get<std::int64_t>(), "minValue", "maxValue", "value");
}

std::optional<ParameterType> kind_of(const json& type, const std::string& what) {
  const json& name = member_or_null(type, "type");
  if (name.is_null()) return std::nullopt;
  if (!name.is_string()) refuse_template(fmt::format("The 'type' of {} is not a string.", what));
  return parameter_type(what, name.get<std::string>());
}

/// Gives `visit(type, part, path)` the parts of an object or array that have a type of their own. `stray` is
/// told of each that may not be there. Types are resolved.
template <class Visit, class Stray>
void for_each_part(TemplateScope& scope, const json& type, const json& value, const Visit& visit,
                   const Stray& stray) {
  if (value.is_object()) {
    const json& properties = member_or_null(type, "properties");
    const json& others = member_or_null(type, "additionalProperties");
    const json* variant_properties = nullptr;
    json holder;
    if (const json& discriminator = member_or_null(type, "discriminator"); discriminator.is_object()) {
      const json& tag = member_or_null(discriminator, "propertyName");
      const json* given = tag.is_string() ? find_member(value, tag.get<std::string>()) : nullptr;
      const json* variant =
          given && given->is_string()
              ? find_member(member_or_null(discriminator, "mapping"), given->get<std::string>())
              : nullptr;
      if (variant) {
        const json& known = resolve_type(scope, *variant, "a variant", holder);
        visit(known, value, std::string());
        variant_properties = &member_or_null(known, "properties");
      }
    }
    for (const auto& [key, part] : value.items()) {
      scope.budget->spend(64);
      const json* own = find_member(properties, key);
      if (own)
        visit(*own, part, "." + key);
      else if (others.is_object())
        visit(others, part, "." + key);
      else if (others == json(false) && !(variant_properties && find_member(*variant_properties, key)))
        stray("." + key);
    }
  } else if (value.is_array()) {
    const json& first = member_or_null(type, "prefixItems");
    const json& others = member_or_null(type, "items");
    for (std::size_t i = 0; i < value.size(); ++i) {
      scope.budget->spend(64);
      const std::string path = fmt::format("[{}]", i);
      if (first.is_array() && i < first.size())
        visit(first[i], value[i], path);
      else if (others.is_object())
        visit(others, value[i], path);
      else if (others == json(false))
        stray(path);
    }
  }
}

bool may_be_missing(TemplateScope& scope, const json& type, const std::string& what) {
  json holder;
  return member_or_null(resolve_type(scope, type, what, holder), "nullable") == json(true);
}

void check_part(TemplateScope& scope, const json& written, const json& value, const std::string& what,
                const std::string& path, int depth) {
  if (depth > deepest_part) refuse_template(what + " is nested too deep.");
  const std::string here = path.empty() ? what : fmt::format("{} at '{}'", what, path.substr(path[0] == '.'));
  json holder;
  const json& type = resolve_type(scope, written, here, holder);
  if (value.is_null() && member_or_null(type, "nullable") == json(true)) return;
  if (const auto kind = kind_of(type, here); kind && !fits(*kind, value))
    refuse_value(here, fmt::format("expected a value of type '{}', but received {}", shown_type(*kind),
                                   type_in_words(value)));
  check_allowed(scope, type, value, here);
  check_limits(type, value, here);
  if (value.is_object()) {
    if (const json& properties = member_or_null(type, "properties"); properties.is_object())
      for (const auto& [key, own] : properties.items())
        if (!find_member(value, key) && !may_be_missing(scope, own, here))
          refuse_value(here, fmt::format("the required property '{}' is missing", key));
    if (const json& discriminator = member_or_null(type, "discriminator"); discriminator.is_object()) {
      const std::string tag = text_member(discriminator, "propertyName", "A discriminator");
      const json* given = find_member(value, tag);
      const json& mapping = member_or_null(discriminator, "mapping");
      if (!given || !given->is_string() || !mapping.is_object() ||
          !mapping.contains(given->get_ref<const std::string&>())) {
        std::string names;
        for (const auto& [name, variant] : mapping.items()) names += (names.empty() ? "" : ", ") + name;
        refuse_value(here, fmt::format("its '{}' must be one of: {}", tag, names.substr(0, 500)));
      }
    }
  }
  if (const json& first = member_or_null(type, "prefixItems");
      value.is_array() && first.is_array() && value.size() < first.size())
    refuse_value(here, fmt::format("it has {} items, and needs {}", value.size(), first.size()));
  for_each_part(
      scope, type, value,
      [&](const json& own, const json& part, const std::string& below) {
        check_part(scope, own, part, what, path + below, depth + 1);
      },
      [&](const std::string& below) {
        refuse_value(here, fmt::format("'{}' is not allowed there", below.substr(below[0] == '.')));
      });
}

constexpr auto nothing_stray = [](const std::string&) {};

using Parts = std::set<const json*>;

void collect_part(TemplateScope& scope, const json& written, const json& value, Parts& secure, int depth) {
  if (depth > deepest_part) return;
  json holder;
  const json& type = resolve_type(scope, written, "a part", holder);
  if (const auto kind = kind_of(type, "a part"); kind && is_secure(*kind)) {
    secure.insert(&value);
    return;
  }
  for_each_part(
      scope, type, value,
      [&](const json& own, const json& part, const std::string&) {
        collect_part(scope, own, part, secure, depth + 1);
      },
      nothing_stray);
}

json without_parts(const json& value, const Parts& parts) {
  if (parts.contains(&value)) return nullptr;
  if (!value.is_structured()) return value;
  json made = value.is_array() ? json::array() : json::object();
  if (value.is_array())
    for (const json& item : value) made.push_back(without_parts(item, parts));
  else
    for (const auto& [key, item] : value.items())
      if (!parts.contains(&item)) made[key] = without_parts(item, parts);
  return made;
}

}  // namespace

const json& resolve_type(TemplateScope& scope, const json& type, const std::string& what, json& holder) {
  const json* reference = find_member(type, "$ref");
  if (!reference) return type;
  json merged = type;
  for (int i = 0; reference; ++i) {
    const std::string name = reference->is_string() ? reference->get<std::string>() : "";
    const json* found = name.starts_with(definitions_prefix)
                            ? find_member(scope.definitions, name.substr(definitions_prefix.size()))
                            : nullptr;
    if (!found || !found->is_object())
      refuse_template(fmt::format("The type '{}' of {} is not among the template's 'definitions'.",
                                  name.substr(0, 200), what));
    if (i == most_references)
      refuse_template(fmt::format("The type '{}' of {} is defined by itself.", name.substr(0, 200), what));
    merged.erase("$ref");
    json below = *found;
    below.update(merged);
    scope.budget->make(below);
    merged = std::move(below);
    reference = find_member(merged, "$ref");
  }
  return holder = std::move(merged);
}

void check_value(TemplateScope& scope, const json& type, const json& value, const std::string& what) {
  check_part(scope, type, value, what, {}, 0);
}

void collect_secure(TemplateScope& scope, const json& type, const json& value, json& secure) {
  Parts parts;
  collect_part(scope, type, value, parts, 0);
  for (const json* part : parts) secure.push_back(*part);
}

json without_secure(TemplateScope& scope, const json& type, const json& value) {
  Parts parts;
  collect_part(scope, type, value, parts, 0);
  return parts.empty() ? value : without_parts(value, parts);
}

}  // namespace berth::arm
