#pragma once

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/arm/budget.h"
#include "api/arm/expression.h"
#include "api/arm/secrets.h"
#include "api/arm/template.h"

/// What template.cpp evaluates expressions with.
namespace berth::arm {

/// Names of copy loops, each with its index.
using CopyLoops = std::vector<std::pair<std::string, std::int64_t>>;

/// A template's names, as its expressions see them. Shared by a template and the templates nested in it with
/// the outer scope.
struct TemplateScope {
  DeploymentPlace place;
  std::map<std::string, nlohmann::json, NameLess> parameters;
  /// While parameters are taken: takes one that another's default value names. False when there is none.
  std::function<bool(const std::string& name)> take_parameter;
  Secrets secrets;                                            ///< values of secure parameters
  nlohmann::json variables = nlohmann::json::object();        ///< as written
  nlohmann::json variable_copies;                             ///< the "copy" of the variables, as written
  std::map<std::string, nlohmann::json, NameLess> known;      ///< variables that were evaluated
  std::set<std::string> evaluating;                           ///< lower case; finds loops
  std::map<std::string, nlohmann::json, NameLess> functions;  ///< "namespace.name" -> definition
  std::map<std::string, std::string, NameLess> symbols;       ///< names by which reference() finds ids
  std::map<std::string, std::vector<std::string>, NameLess> collections;  ///< ids of copies, for references()
  std::shared_ptr<const nlohmann::json> resources;                        ///< as written, for resourceInfo()
  nlohmann::json definitions;                                             ///< types that "$ref" names
  CopyLoops loops;          ///< around a nested template with the outer scope
  std::string api_profile;  ///< what stands for an apiVersion that a resource does not name
  std::string content_version = "1.0.0.0";
  std::shared_ptr<Budget> budget = std::make_shared<Budget>();  ///< the same for all that is nested
};

/// What a lambda was given, and what those around it were.
struct LambdaVariables {
  std::map<std::string, const nlohmann::json*, NameLess> own;
  const LambdaVariables* outer = nullptr;
};

/// Where an expression stands.
struct TemplateFrame {
  TemplateScope& scope;
  const TemplateRuntime* runtime = nullptr;   ///< nullptr: reference() is not allowed here
  bool in_defaults = false;                   ///< newGuid() and utcNow() are allowed in default values only
  CopyLoops loops;                            ///< around it, innermost last
  std::size_t property_loops = 0;             ///< how many of these are of properties: they need their name
  const nlohmann::json* arguments = nullptr;  ///< inside a function of the template's own
  const LambdaVariables* lambda = nullptr;    ///< inside a lambda
};

/// A value of the template with all expressions in it evaluated, and "copy" in objects written out.
nlohmann::json evaluate(const nlohmann::json& value, TemplateFrame& frame);
nlohmann::json evaluate_text(const std::string& text, TemplateFrame& frame);
nlohmann::json evaluate(const Expression& expression, TemplateFrame& frame);
/// The same without a copy where the value exists already: the result is `holder`, or lives as long as the
/// scope and the frame.
const nlohmann::json& borrow(const Expression& expression, TemplateFrame& frame, nlohmann::json& holder);
/// The arguments of a call.
std::vector<nlohmann::json> evaluate_all(const Expression& call, TemplateFrame& frame);

/// What variables('NAME') gives. The value lives as long as the scope.
const nlohmann::json& variable_value(TemplateScope& scope, const std::string& name);

/// How many times a "copy" repeats; checked to be 0…800.
std::int64_t copy_count(const nlohmann::json& copy, TemplateFrame& frame);
/// Writes out [{"name","count","input"}] into `target`. A copyIndex() without a name means the loop of the resource
/// around it, where there is one; but in the loop of an output that one.
void expand_copies(const nlohmann::json& copies, TemplateFrame& frame, nlohmann::json& target,
                   bool of_output = false);

/// The ids and names that the text's reference() and list…() calls are about.
void collect_references(const nlohmann::json& value, TemplateFrame& frame, std::set<std::string>& names);

/// Refuses functions that there are not, and calls with too few or too many arguments, in all expressions of a
/// value, whether they will be evaluated or not. Templates inside nested deployments are left out: they are checked
/// when they are planned.
void check_functions(TemplateScope& scope, const nlohmann::json& value);

[[noreturn]] void refuse_template(const std::string& why);

}  // namespace berth::arm
