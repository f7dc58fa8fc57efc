#pragma once

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/arm/expression.h"
#include "api/arm/secrets.h"
#include "api/arm/template.h"

/// What template.cpp evaluates expressions with.
namespace berth::arm {

/// A template's names, as its expressions see them. Shared by a template and the templates nested in it with
/// the outer scope.
struct TemplateScope {
  DeploymentPlace place;
  std::map<std::string, nlohmann::json, NameLess> parameters;
  /// While parameters are taken: takes one that another's default value names. False when there is none.
  std::function<bool(const std::string& name)> take_parameter;
  Secrets secrets;                                            ///< values of secure parameters
  nlohmann::json variables = nlohmann::json::object();        ///< as written
  std::map<std::string, nlohmann::json, NameLess> known;      ///< variables that were evaluated
  std::set<std::string> evaluating;                           ///< lower case; finds loops
  std::map<std::string, nlohmann::json, NameLess> functions;  ///< "namespace.name" -> definition
  std::map<std::string, std::string, NameLess> symbols;       ///< names by which reference() finds ids
  std::string content_version = "1.0.0.0";
  std::size_t made = 0;   ///< values made by functions so far, a rough count of bytes
  std::size_t calls = 0;  ///< functions called so far
};

/// Names of copy loops, each with its index.
using CopyLoops = std::vector<std::pair<std::string, std::int64_t>>;

/// Where an expression stands.
struct TemplateFrame {
  TemplateScope& scope;
  const TemplateRuntime* runtime = nullptr;   ///< nullptr: reference() is not allowed here
  bool in_defaults = false;                   ///< newGuid() and utcNow() are allowed in default values only
  CopyLoops loops;                            ///< around it, innermost last
  const nlohmann::json* arguments = nullptr;  ///< inside a function of the template's own
  std::map<std::string, nlohmann::json, NameLess> lambda_variables;
};

/// A value of the template with all expressions in it evaluated, and "copy" in objects written out.
nlohmann::json evaluate(const nlohmann::json& value, TemplateFrame& frame);
nlohmann::json evaluate_text(const std::string& text, TemplateFrame& frame);
nlohmann::json evaluate(const Expression& expression, TemplateFrame& frame);
/// The arguments of a call.
std::vector<nlohmann::json> evaluate_all(const Expression& call, TemplateFrame& frame);
/// Refuses the call that is one too many for a template.
void count_call(TemplateScope& scope);

/// How many times a "copy" repeats; checked to be 0…800.
std::int64_t copy_count(const nlohmann::json& copy, TemplateFrame& frame);
/// Writes out [{"name","count","input"}] into `target`.
void expand_copies(const nlohmann::json& copies, TemplateFrame& frame, nlohmann::json& target);

/// The ids and names that the text's reference() and list…() calls are about.
void collect_references(const nlohmann::json& value, TemplateFrame& frame, std::set<std::string>& names);

[[noreturn]] void refuse_template(const std::string& why);

}  // namespace berth::arm
