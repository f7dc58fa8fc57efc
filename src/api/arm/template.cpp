#include "api/arm/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "api/arm/document.h"
#include "api/arm/evaluator.h"
#include "api/arm/template_parameters.h"
#include "api/arm/template_plan.h"
#include "api/arm/template_types.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::size_t most_outputs = 64, most_variables = 512;

void refuse_more(std::size_t count, std::size_t most, std::string_view what) {
  if (count > most)
    refuse_template(
        fmt::format("Deployment template validation failed: 'The number of template {} limit exceeded. "
                    "Limit: '{}' and actual: '{}'.'.",
                    what, most, count));
}

/// "latest", "2019-03-01-hybrid", "2017-03-09-profile". The versions behind them are all the same here.
void take_api_profile(TemplateScope& scope, const json& profile) {
  if (profile.is_null() || profile == json("")) return;
  const std::string name = profile.is_string() ? profile.get<std::string>() : "";
  const auto is_dated = [&] {
    constexpr std::string_view date = "0000-00-00-";
    if (name.size() <= date.size()) return false;
    for (std::size_t i = 0; i < date.size(); ++i)
      if (date[i] == '0' ? name[i] < '0' || name[i] > '9' : name[i] != '-') return false;
    return same_name(name.substr(date.size()), "hybrid") || same_name(name.substr(date.size()), "profile");
  };
  if (!same_name(name, "latest") && !is_dated())
    refuse_template(
        fmt::format("The template's 'apiProfile' is {}; it must be a profile such as '2019-03-01-hybrid' or "
                    "'latest'.",
                    dump(profile).substr(0, 200)));
  scope.api_profile = name;
}

void take_functions(TemplateScope& scope, const json& name_spaces) {
  if (name_spaces.is_null()) return;
  if (!name_spaces.is_array()) refuse_template("The template's 'functions' is not an array.");
  for (const json& entry : name_spaces) {
    const std::string name_space = text_member(entry, "namespace", "An entry of the template's 'functions'");
    const json& members = member_or_null(entry, "members");
    if (!members.is_object())
      refuse_template(fmt::format("The template's functions '{}' have no members.", name_space));
    for (const auto& [name, definition] : members.items())
      scope.functions[name_space + "." + name] = definition;
  }
}

void take_variables(TemplateScope& scope, const json& variables) {
  if (variables.is_null()) return;
  if (!variables.is_object()) refuse_template("The template's 'variables' is not an object.");
  scope.variables = variables;
  scope.variables.erase("copy");
  refuse_more(scope.variables.size(), most_variables, "variables");
  if (const json* copies = find_member(variables, "copy")) {
    json made = json::object();
    TemplateFrame frame{.scope = scope};
    expand_copies(*copies, frame, made);
    for (const auto& [name, value] : made.items()) scope.known[name] = value;
  }
}

}  // namespace

/// How many resources a template and those nested in it make. One that is planned again replaces what it was.
struct ResourceCount {
  std::size_t own = 0;
  std::map<std::size_t, std::shared_ptr<ResourceCount>> nested;  ///< by the deployment's index
  std::size_t total() const {
    std::size_t sum = own;
    for (const auto& [index, inner] : nested) sum += inner->total();
    return sum;
  }
};

struct Template::Impl {
  std::shared_ptr<TemplateScope> scope;
  std::map<std::string, ParameterType, NameLess> parameter_types;
  json outputs;
  std::shared_ptr<const json> source;  ///< the template's resources; the plan points into it
  ResourcePlan plan;
  std::shared_ptr<ResourceCount> count = std::make_shared<ResourceCount>();

  TemplateFrame frame(std::size_t index, const TemplateRuntime* runtime) const {
    return {.scope = *scope, .runtime = runtime, .loops = plan.items[index].loops};
  }
};

namespace {

void check_template(const json& document) {
  if (!document.is_object()) refuse_template("The template is not an object.");
  static constexpr std::string_view known[] = {
      "$schema",   "contentVersion", "apiProfile", "languageVersion", "definitions", "metadata", "parameters",
      "variables", "functions",      "resources",  "outputs",         "extensions",  "imports"};
  for (const auto& [key, value] : document.items())
    if (std::ranges::none_of(known, [&](std::string_view name) { return same_name(name, key); }))
      refuse_template(fmt::format("The template has an unknown property '{}' at its top level.", key));
  if (!find_member(document, "resources")) refuse_template("The template has no 'resources'.");
}

std::shared_ptr<Template::Impl> plan_in(std::shared_ptr<TemplateScope> scope, const json& document) {
  auto impl = std::make_shared<Template::Impl>();
  impl->scope = std::move(scope);
  impl->outputs = member_or_null(document, "outputs");
  if (!impl->outputs.is_null() && !impl->outputs.is_object())
    refuse_template("The template's 'outputs' is not an object.");
  refuse_more(impl->outputs.size(), most_outputs, "outputs");
  impl->scope->budget->make(*find_member(document, "resources"));
  impl->source = std::make_shared<const json>(*find_member(document, "resources"));
  const std::size_t before = impl->scope->budget->resources();
  impl->plan = plan_resources(*impl->scope, *impl->source);
  impl->count->own = impl->scope->budget->resources() - before;
  return impl;
}

/// Runs `work` on the template's budget; what it throws keeps its code and loses every secret.
template <class Work>
auto without_secrets(const TemplateScope& scope, Work work) {
  const Budget::Turn turn(*scope.budget);
  try {
    return work();
  } catch (const Error& error) {
    throw Error(error.kind, error.code, scope.secrets.redact(error.what()),
                scope.secrets.redact(error.advice));
  }
}

/// A template in a scope of its own.
std::shared_ptr<Template::Impl> plan_anew(const json& document, const json& parameters,
                                          const DeploymentPlace& place, std::shared_ptr<Budget> budget) {
  auto scope = std::make_shared<TemplateScope>();
  scope->place = place;
  scope->budget = std::move(budget);
  return without_secrets(*scope, [&] {
    check_template(document);
    if (const json& version = member_or_null(document, "contentVersion"); version.is_string())
      scope->content_version = version.get<std::string>();
    take_api_profile(*scope, member_or_null(document, "apiProfile"));
    scope->definitions = member_or_null(document, "definitions");
    take_functions(*scope, member_or_null(document, "functions"));
    const Parameters taken = take_parameters(*scope, member_or_null(document, "parameters"), parameters);
    take_variables(*scope, member_or_null(document, "variables"));
    auto impl = plan_in(scope, document);
    impl->parameter_types = taken.types;
    return impl;
  });
}

}  // namespace

Template Template::plan(const json& document, const json& parameters, const DeploymentPlace& place) {
  return Template(plan_anew(document, parameters, place, std::make_shared<Budget>()));
}

const std::vector<PlannedResource>& Template::resources() const {
  return impl_->plan.resources;
}

json Template::body(std::size_t resource, const TemplateRuntime& runtime) const {
  return without_secrets(*impl_->scope, [&] {
    TemplateFrame frame = impl_->frame(resource, &runtime);
    const PlannedResource& planned = impl_->plan.resources[resource];
    json made = json::object();
    static constexpr std::string_view not_in_body[] = {
        "name",      "type",      "apiVersion", "condition",     "copy",          "comments",
        "dependsOn", "resources", "existing",   "resourceGroup", "subscriptionId"};
    for (const auto& [key, value] : impl_->plan.items[resource].source->items()) {
      if (std::ranges::any_of(not_in_body, [&](std::string_view name) { return same_name(name, key); }))
        continue;
      if (planned.is_deployment() && same_name(key, "properties") && value.is_object()) {
        json properties = json::object();
        for (const auto& [inner, item] : value.items())
          if (!same_name(inner, "template")) properties[inner] = evaluate(item, frame);
        made[key] = std::move(properties);
        continue;
      }
      made[key] = evaluate(value, frame);
    }
    return made;
  });
}

Template Template::nested(std::size_t resource, const DeploymentPlace& place,
                          const TemplateRuntime& runtime) const {
  return without_secrets(*impl_->scope, [&] {
    const json& properties = member_or_null(*impl_->plan.items[resource].source, "properties");
    const json& document = member_or_null(properties, "template");
    const std::string& name = impl_->plan.resources[resource].name;
    if (document.is_null())
      refuse_template(fmt::format(
          "The nested deployment '{}' has no template. A 'templateLink' is not followed: the local "
          "region opens no connections of its own.",
          name));
    check_template(document);
    Budget& budget = *impl_->scope->budget;
    const auto known = impl_->count->nested.find(resource);
    if (known != impl_->count->nested.end()) {
      budget.set_resources(budget.resources() - known->second->total());
      impl_->count->nested.erase(known);
    }
    const auto counted = [&](std::shared_ptr<Impl> made) {
      impl_->count->nested[resource] = made->count;
      return Template(std::move(made));
    };
    const json& options = member_or_null(properties, "expressionEvaluationOptions");
    const json& scope_name = member_or_null(options, "scope");
    if (scope_name.is_string() && same_name(scope_name.get_ref<const std::string&>(), "inner")) {
      TemplateFrame frame = impl_->frame(resource, &runtime);
      json parameters = evaluate(member_or_null(properties, "parameters"), frame);
      auto made = plan_anew(document, parameters, place, impl_->scope->budget);
      made->scope->secrets.add(impl_->scope->secrets);
      return counted(made);
    }
    // The outer scope: its expressions see our parameters and variables, and its resources are found by ours.
    budget.make(impl_->scope->variables);
    for (const auto* values : {&impl_->scope->parameters, &impl_->scope->known, &impl_->scope->functions})
      for (const auto& [known_name, value] : *values) budget.make(value);
    auto scope = std::make_shared<TemplateScope>(*impl_->scope);
    scope->definitions = member_or_null(document, "definitions");
    scope->place.group = place.group;
    scope->place.group_location = place.group_location;
    scope->place.group_tags = place.group_tags;
    return counted(plan_in(scope, document));
  });
}

json Template::outputs(const TemplateRuntime& runtime) const {
  return without_secrets(*impl_->scope, [&] {
    json made = json::object();
    if (!impl_->outputs.is_object()) return made;
    for (const auto& [name, written_type] : impl_->outputs.items()) {
      TemplateFrame frame{.scope = *impl_->scope, .runtime = &runtime};
      const std::string what = fmt::format("The template output '{}'", name);
      json holder;
      const json& definition = resolve_type(*impl_->scope, written_type, what, holder);
      if (const json condition = evaluate(member_or_null(definition, "condition"), frame);
          condition == json(false))
        continue;
      const ParameterType type = parameter_type(name, text_member(definition, "type", what));
      json& shown = made[name] = {{"type", shown_type(type)}};
      if (is_secure(type)) continue;
      json value;
      if (const json* copy = find_member(definition, "copy"); copy && copy->is_object()) {
        json one = *copy, target = json::object();
        one["name"] = name;
        expand_copies(json::array({one}), frame, target);
        value = std::move(target[name]);
      } else {
        const json* written = find_member(definition, "value");
        if (!written) refuse_template(what + " has no value.");
        value = evaluate(*written, frame);
      }
      if (!value.is_null()) check_value(*impl_->scope, definition, value, what);
      shown["value"] = impl_->scope->secrets.redact_value(without_secure(*impl_->scope, definition, value));
    }
    return made;
  });
}

json Template::shown_parameters() const {
  json made = json::object();
  for (const auto& [name, type] : impl_->parameter_types) {
    made[name] = {{"type", shown_type(type)}};
    if (const auto found = impl_->scope->parameters.find(name);
        !is_secure(type) && found != impl_->scope->parameters.end())
      made[name]["value"] = impl_->scope->secrets.redact_value(found->second);
  }
  return made;
}

std::string Template::redact(std::string_view text) const {
  return impl_->scope->secrets.redact(text);
}

}  // namespace berth::arm
