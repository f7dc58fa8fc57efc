#include "api/arm/template_parameters.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "api/arm/document.h"
#include "api/arm/template_types.h"
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

ParameterType declared_type(const std::string& name, const json& definition, std::string_view what) {
  if (member_or_null(definition, "type").is_null() &&
      find_member(member_or_null(definition, "metadata"), "__bicep_resource_derived_type!"))
    return ParameterType::any;
  return parameter_type(name, text_member(definition, "type", what));
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
    case ParameterType::any:
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
    case ParameterType::any:
      return true;
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

/// The value of one parameter: what was given, or else its default.
json taken_parameter(TemplateScope& scope, const std::string& name, const json& definition,
                     const json& given) {
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
    json secure = json::array();
    collect_secure(scope, definition, taken, secure);
    if (!secure.empty()) scope.secrets.add(secure);
  } else if (const json& nullable = member_or_null(definition, "nullable"); nullable == json(true)) {
    return nullptr;
  } else {
    throw bad_parameter(
        fmt::format("The value for the template parameter '{}' is not provided. Please see "
                    "https://aka.ms/arm-create-parameter-file for usage details",
                    name));
  }
  check_value(scope, definition, taken,
              fmt::format("The provided value for the template parameter '{}'", name));
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
  std::map<std::string, json, NameLess> resolved;  // of those that name their type
  const auto definition_of = [&](const std::string& name) -> const json& {
    const auto known = resolved.find(name);
    return known == resolved.end() ? *find_member(definitions, name) : known->second;
  };
  for (const auto& [name, written] : definitions.items()) {
    const std::string what = fmt::format("The template parameter '{}'", name);
    if (find_member(written, "$ref")) resolve_type(scope, written, what, resolved[name]);
    const json& definition = definition_of(name);
    found.types[name] = declared_type(name, definition, what);
    if (const json* argument = given.is_object() ? find_member(given, name) : nullptr)
      collect_secure(scope, definition, member_or_null(*argument, "value"), secrets);
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
    scope.parameters[type->first] = taken_parameter(scope, type->first, definition_of(type->first), given);
    scope.evaluating.erase(mark);
    return true;
  };
  const auto done = [&scope](void*) { scope.take_parameter = nullptr; };
  const std::unique_ptr<void, decltype(done)> release(&scope, done);
  for (const auto& [name, type] : found.types) scope.take_parameter(name);
  return found;
}

}  // namespace berth::arm
