#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "api/arm/evaluator.h"

/// A template's parameters: what it wants, what was given, and what must be kept secret. For template.cpp.
namespace berth::arm {

/// `any`: the type is that of a resource's document, which is checked when that is made.
enum class ParameterType { text, secure_text, whole, flag, object, secure_object, array, any };

struct Parameters {
  std::map<std::string, ParameterType, NameLess> types;
};

/// Checks what was given against what the template defines, and puts the values into the scope.
Parameters take_parameters(TemplateScope& scope, const nlohmann::json& definitions,
                           const nlohmann::json& given);

/// `name` is for the message. Throws Error(invalid, "InvalidTemplate").
ParameterType parameter_type(const std::string& name, const std::string& type);
/// The same of a parameter's or an output's definition; `what` names it at the beginning of a sentence.
ParameterType declared_type(const std::string& name, const nlohmann::json& definition, std::string_view what);
std::string_view shown_type(ParameterType type);
bool is_secure(ParameterType type);
bool fits(ParameterType type, const nlohmann::json& value);

const nlohmann::json& member_or_null(const nlohmann::json& object, std::string_view key);
std::string text_member(const nlohmann::json& object, std::string_view key, std::string_view what);

}  // namespace berth::arm
