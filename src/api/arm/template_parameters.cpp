#include "api/arm/template_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "api/arm/document.h"
#include "base/error.h"

namespace berth::arm {

using nlohmann::json;

const json& member_or_null(const json& object, std::string_view key) {
  static const json nothing;
  const json* found = find_member(object, key);
  return found ? *found : nothing;
}

std::string text_member(const json& object, std::string_view key, std::string_view what) {
  const json& value = member_or_null(object, key);
  if (!value.is_string() || value.get_ref<const std::string&>().empty())
    refuse_template(fmt::format("{} has no '{}', or it is not a string.", what, key));
  return value.get<std::string>();
}

ParameterType parameter_type(const std::string& name, const std::string& type) {
  static constexpr std::pair<std::string_view, ParameterType> known[] = {
      {"string", ParameterType::text},   {"securestring", ParameterType::secure_text},
      {"int", ParameterType::whole},     {"bool", ParameterType::flag},
      {"object", ParameterType::object}, {"secureObject", ParameterType::secure_object},
      {"array", ParameterType::array}};
  for (const auto& [text, found] : known)
    if (same_name(text, type)) return found;
  refuse_template(
      fmt::format("The type '{}' of '{}' is not one of string, securestring, int, bool, object, "
                  "secureObject and array.",
                  type, name));
}

std::string_view shown_type(ParameterType type) {
  switch (type) {
    case ParameterType::text:
      return "String";
    case ParameterType::secure_text:
      return "SecureString";
    case ParameterType::whole:
      return "Int";
    case ParameterType::flag:
      return "Bool";
    case ParameterType::object:
      return "Object";
    case ParameterType::secure_object:
      return "SecureObject";
    case ParameterType::array:
      return "Array";
  }
  return "String";
}

bool is_secure(ParameterType type) {
  return type == ParameterType::secure_text || type == ParameterType::secure_object;
}

bool fits(ParameterType type, const json& value) {
  switch (type) {
    case ParameterType::text:
    case ParameterType::secure_text:
      return value.is_string();
    case ParameterType::whole:
      return value.is_number_integer();
    case ParameterType::flag:
      return value.is_boolean();
    case ParameterType::object:
    case ParameterType::secure_object:
      return value.is_object();
    case ParameterType::array:
      return value.is_array();
  }
  return false;
}

namespace {

constexpr std::size_t most_parameters = 256;

Error bad_parameter(const std::string& why) {
  return Error(ErrorKind::invalid, "InvalidTemplate",
               "Deployment template validation failed: '" + why + "'.");
}

void check_limits(TemplateScope& scope, const std::string& name, const json& definition, const json& value) {
  const json& allowed = member_or_null(definition, "allowedValues");
  const auto is_allowed = [&](const json& item) {
    scope.budget->spend(16 * allowed.size());
    return std::ranges::find(allowed, item) != allowed.end();
  };
  if (allowed.is_array() && !is_allowed(value) &&
      !(value.is_array() && std::ranges::all_of(value, is_allowed)))
    throw bad_parameter(
        fmt::format("The provided value for the template parameter '{}' is not valid: it is not part of "
                    "the allowed value(s): {}",
                    name, dump(allowed).substr(0, 500)));
  const auto limit = [&](const char* key) -> std::optional<std::int64_t> {
    const json& written = member_or_null(definition, key);
    return written.is_number_integer() ? std::optional(written.get<std::int64_t>()) : std::nullopt;
  };
  const auto check = [&](std::int64_t number, const char* low, const char* high, std::string_view what) {
    const auto least = limit(low), most = limit(high);
    if ((least && number < *least) || (most && number > *most))
      throw bad_parameter(fmt::format(
          "The provided value for the template parameter '{}' is not valid: its {} is {}, "
          "allowed is {} to {}",
          name, what, number, least ? std::to_string(*least) : "any", most ? std::to_string(*most) : "any"));
  };
  if (value.is_string())
    check(static_cast<std::int64_t>(value.get_ref<const std::string&>().size()), "minLength", "maxLength",
          "length");
  if (value.is_array()) check(static_cast<std::int64_t>(value.size()), "minLength", "maxLength", "length");
  if (value.is_number_integer()) check(value.get<std::int64_t>(), "minValue", "maxValue", "value");
}

/// The value of one parameter: what was given, or else its default.
json taken_parameter(TemplateScope& scope, const std::string& name, ParameterType type,
                     const json& definitions, const json& given) {
  const json& definition = *find_member(definitions, name);
  const json* argument = given.is_object() ? find_member(given, name) : nullptr;
  if (argument && !argument->is_object())
    throw bad_parameter(
        fmt::format("The value for the template parameter '{}' must be an object with a 'value'", name));
  if (argument && find_member(*argument, "reference"))
    throw bad_parameter(
        fmt::format("The template parameter '{}' refers to a key vault; the local region has none", name));
  const json* value = argument ? find_member(*argument, "value") : nullptr;
  const json* otherwise = find_member(definition, "defaultValue");
  json taken;
  if (value && !value->is_null()) {
    taken = *value;
  } else if (otherwise) {
    TemplateFrame frame{.scope = scope, .in_defaults = true};
    taken = evaluate(*otherwise, frame);
    scope.budget->spend(512 * scope.secrets.count());  // they are sorted again
    if (is_secure(type)) scope.secrets.add(taken);
  } else if (const json& nullable = member_or_null(definition, "nullable"); nullable == json(true)) {
    return nullptr;
  } else {
    throw bad_parameter(
        fmt::format("The value for the template parameter '{}' is not provided. Please see "
                    "https://aka.ms/arm-create-parameter-file for usage details",
                    name));
  }
  if (!fits(type, taken))
    throw bad_parameter(
        fmt::format("The provided value for the template parameter '{}' is not valid: expected a value "
                    "of type '{}', but received {}",
                    name, shown_type(type), type_in_words(taken)));
  check_limits(scope, name, definition, taken);
  return taken;
}

}  // namespace

Parameters take_parameters(TemplateScope& scope, const json& definitions, const json& given) {
  Parameters found;
  if (!definitions.is_null() && !definitions.is_object())
    refuse_template("The template's 'parameters' is not an object.");
  if (!given.is_null() && !given.is_object())
    refuse_template("The deployment's 'parameters' is not an object.");
  if (definitions.size() > most_parameters)
    refuse_template(
        fmt::format("Deployment template validation failed: 'The number of template parameters limit "
                    "exceeded. Limit: '{}' and actual: '{}'.'.",
                    most_parameters, definitions.size()));
  if (given.is_object())
    for (const auto& [name, value] : given.items())
      if (!find_member(definitions, name)) {
        std::string known;
        for (const auto& [other, definition] : definitions.items())
          known += (known.empty() ? "" : ", ") + other;
        if (known.size() > 2000) known.replace(2000, known.npos, "…");
        throw bad_parameter(
            fmt::format("The template parameters '{}' in the parameters file are not valid; they are not "
                        "present in the original template and can therefore not be provided at "
                        "deployment time. The only supported parameters for this template are '{}'",
                        name, known));
      }
  if (!definitions.is_object()) return found;
  // All types first: values that may be secret must be known before any message can hold one.
  json secrets = json::array();
  for (const auto& [name, definition] : definitions.items()) {
    const ParameterType type = parameter_type(
        name, text_member(definition, "type", fmt::format("The template parameter '{}'", name)));
    found.types[name] = type;
    if (const json* argument = given.is_object() ? find_member(given, name) : nullptr;
        argument && is_secure(type))
      secrets.push_back(member_or_null(*argument, "value"));
  }
  scope.secrets.add(secrets);
  // A default value may speak of any other parameter: each is taken when it is first needed.
  scope.take_parameter = [&](const std::string& name) {
    const auto type = found.types.find(name);
    if (type == found.types.end()) return false;
    if (scope.parameters.contains(name)) return true;
    const std::string mark = "parameter " + lower(name);
    if (!scope.evaluating.insert(mark).second)
      refuse_template(fmt::format(
          "Circular dependency detected between template parameters: '{}' depends on itself.", type->first));
    scope.parameters[type->first] = taken_parameter(scope, type->first, type->second, definitions, given);
    scope.evaluating.erase(mark);
    return true;
  };
  const auto done = [&scope](void*) { scope.take_parameter = nullptr; };
  const std::unique_ptr<void, decltype(done)> release(&scope, done);
  for (const auto& [name, type] : found.types) scope.take_parameter(name);
  return found;
}

}  // namespace berth::arm
