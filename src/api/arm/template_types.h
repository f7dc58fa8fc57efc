#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "api/arm/evaluator.h"

/// Types as a template writes them: of parameters, outputs and parts of them, with names in 'definitions'.
/// All throw Error(invalid, "InvalidTemplate") for a type that is wrong itself. For template.cpp.
namespace berth::arm {

/// What `type` comes to, "$ref" followed; what stands beside "$ref" wins. `what` is for the message. The
/// result is `type` itself or `holder`.
const nlohmann::json& resolve_type(TemplateScope& scope, const nlohmann::json& type, const std::string& what,
                                   nlohmann::json& holder);

/// Refuses a value that its type does not allow, in whatever depth, with the path of the part. `what` begins
/// the message: "The provided value for the template parameter 'p'".
void check_value(TemplateScope& scope, const nlohmann::json& type, const nlohmann::json& value,
                 const std::string& what);

/// Appends what is secure in the value by its type: all of it, or parts. A value of another shape is left to
/// check_value.
void collect_secure(TemplateScope& scope, const nlohmann::json& type, const nlohmann::json& value,
                    nlohmann::json& secure);

/// The value without what is secure in it by its type: members are left out, items are null.
nlohmann::json without_secure(TemplateScope& scope, const nlohmann::json& type, const nlohmann::json& value);

}  // namespace berth::arm
