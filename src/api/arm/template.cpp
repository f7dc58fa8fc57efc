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
  scope.variable_copies = member_or_null(variables, "copy");
  if (!scope.variable_copies.is_null() && !scope.variable_copies.is_array())
    refuse_template("The 'copy' of the template's variables must be an array.");
  refuse_more(scope.variable_copies.size(), most_variables, "variables");
  for (const json& copy : scope.variable_copies)
    variable_value(scope, text_member(copy, "name", "A 'copy' of the template's variables"));
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
  impl->scope->resources = impl->source;
  check_functions(*impl->scope, *impl->source);
  check_functions(*impl->scope, impl->outputs);
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
        "name",      "type",     "apiVersion",    "condition",      "copy",  "comments", "dependsOn",
        "resources", "existing", "resourceGroup", "subscriptionId", "scope", "@options"};
    for (const auto& [key, value] : impl_->plan.items[resource].source->items()) {
      if (std::ranges::any_of(not_in_body, [&](std::string_view name) { return same_name(name, key); }))
        continue;
      if (planned.is_deployment() && same_name(key, "properties") && value.is_object()) {
        json properties = json::object();
        for (const auto& [inner, item] : value.items())
          if (!same_name(inner, "template") && !same_name(inner, "parameters"))
            properties[inner] = evaluate(item, frame);
        made[key] = std::move(properties);
        continue;
      }
      made[key] = evaluate(value, frame);
    }
    return made;
  });
}

namespace {

/// Where a link leads: its 'uri', or its 'relativePath' beside the template that it stands in.
std::string linked_address(const json& link, const std::string& base, const std::string& what) {
  const auto text = [&](const char* key) {
    const json& value = member_or_null(link, key);
    return value.is_string() ? value.get<std::string>() : std::string();
  };
  if (const std::string uri = text("uri"); !uri.empty()) return uri;
  const std::string relative = text("relativePath");
  if (relative.empty())
    refuse_template(fmt::format(
        "The link of {} has neither 'uri' nor 'relativePath'. Template specs are not there in the local "
        "region.",
        what));
  if (base.empty())
    throw Error(
        ErrorKind::invalid, "InvalidTemplateLink",
        fmt::format(
            "The 'relativePath' of {} is '{}', and the template around it was sent by itself: there is "
            "no folder to look in.",
            what, relative.substr(0, 300)),
        "Serve its folder with 'azure region serve-templates FOLDER', and deploy by the address that it "
        "shows.");
  return base.substr(0, base.rfind('/', base.find('?')) + 1) + relative;
}

json load_linked(const json& link, const std::string& base, const std::string& what,
                 const TemplateRuntime& runtime, Budget& budget, std::string& address) {
  if (!link.is_object()) refuse_template(fmt::format("The link of {} is not an object.", what));
  address = linked_address(link, base, what);
  if (!runtime.linked) refuse_template(fmt::format("The link of {} cannot be followed here.", what));
  json document = runtime.linked(address);
  budget.make(document);
  const json &wanted = member_or_null(link, "contentVersion"),
             &there = member_or_null(document, "contentVersion");
  if (!wanted.is_null() && wanted != there)
    refuse_template(fmt::format("The link of {} wants the content version {}, and there is {}.", what,
                                dump(wanted), dump(there)));
  return document;
}

bool is_inner_scope(const json& properties, const std::string& name) {
  const json& scope = member_or_null(member_or_null(properties, "expressionEvaluationOptions"), "scope");
  if (scope.is_null()) return false;
  const std::string text = scope.is_string() ? scope.get<std::string>() : "";
  if (same_name(text, "inner")) return true;
  if (same_name(text, "outer") || same_name(text, "notSpecified")) return false;
  refuse_template(fmt::format(
      "The 'expressionEvaluationOptions.scope' of the nested deployment '{}' is not 'inner' or 'outer'.",
      name));
}

}  // namespace

Template Template::nested(std::size_t resource, const DeploymentPlace& where,
                          const TemplateRuntime& runtime) const {
  return without_secrets(*impl_->scope, [&] {
    const json& properties = member_or_null(*impl_->plan.items[resource].source, "properties");
    const std::string what = fmt::format("the nested deployment '{}'", impl_->plan.resources[resource].name);
    TemplateFrame frame = impl_->frame(resource, &runtime);
    Budget& budget = *impl_->scope->budget;
    DeploymentPlace place = where;
    place.template_uri = impl_->scope->place.template_uri;
    json loaded;
    const json* document = find_member(properties, "template");
    // Of a variable, as Bicep reads files: what our evaluation made is the template, with names of its own.
    const bool was_made = document && document->is_string();
    if (was_made) {
      loaded = evaluate(*document, frame);
      document = &loaded;
    }
    const bool linked = !document || document->is_null();
    if (linked) {
      const json link = evaluate(member_or_null(properties, "templateLink"), frame);
      if (link.is_null()) refuse_template(fmt::format("There is no template in {}.", what));
      loaded = load_linked(link, impl_->scope->place.template_uri, what, runtime, budget, place.template_uri);
      document = &loaded;
    }
    check_template(*document);
    const auto known = impl_->count->nested.find(resource);
    if (known != impl_->count->nested.end()) {
      budget.set_resources(budget.resources() - known->second->total());
      impl_->count->nested.erase(known);
    }
    const auto counted = [&](std::shared_ptr<Impl> made) {
      impl_->count->nested[resource] = made->count;
      return Template(std::move(made));
    };
    if (linked || was_made || is_inner_scope(properties, impl_->plan.resources[resource].name)) {
      json parameters = evaluate(member_or_null(properties, "parameters"), frame);
      if (const json link = evaluate(member_or_null(properties, "parametersLink"), frame); !link.is_null()) {
        std::string address;
        const json file = load_linked(link, impl_->scope->place.template_uri, what, runtime, budget, address);
        parameters = member_or_null(file, "parameters");
      }
      auto made = plan_anew(*document, parameters, place, impl_->scope->budget);
      made->scope->secrets.add(impl_->scope->secrets);
      return counted(made);
    }
    // The outer scope: its expressions see our parameters and variables, and its resources are found by ours.
    budget.make(impl_->scope->variables);
    budget.make(impl_->scope->variable_copies);
    for (const auto* values : {&impl_->scope->parameters, &impl_->scope->known, &impl_->scope->functions})
      for (const auto& [known_name, value] : *values) budget.make(value);
    auto scope = std::make_shared<TemplateScope>(*impl_->scope);
    scope->definitions = member_or_null(*document, "definitions");
    scope->place = place;
    scope->place.name = impl_->scope->place.name;  // deployment() is the outer one
    scope->loops = impl_->plan.items[resource].loops;
    return counted(plan_in(scope, *document));
  });
}

json Template::outputs(const TemplateRuntime& runtime) const {
  return all_outputs(runtime).shown;
}

Outputs Template::all_outputs(const TemplateRuntime& runtime) const {
  return without_secrets(*impl_->scope, [&] {
    Outputs made{.shown = json::object(), .whole = json::object(), .secure = json::object(), .hidden = {}};
    if (!impl_->outputs.is_object()) return made;
    TemplateScope& scope = *impl_->scope;
    for (const auto& [name, written_type] : impl_->outputs.items()) {
      TemplateFrame frame{.scope = scope, .runtime = &runtime, .loops = scope.loops};
      const std::string what = fmt::format("The template output '{}'", name);
      json holder;
      const json& definition = resolve_type(scope, written_type, what, holder);
      if (const json condition = evaluate(member_or_null(definition, "condition"), frame);
          condition == json(false))
        continue;
      const ParameterType type = declared_type(name, definition, what);
      json value;
      if (const json* copy = find_member(definition, "copy"); copy && copy->is_object()) {
        json one = *copy, target = json::object();
        one["name"] = name;
        expand_copies(json::array({one}), frame, target, true);
        value = std::move(target[name]);
      } else {
        const json* written = find_member(definition, "value");
        if (!written) refuse_template(what + " has no value.");
        value = evaluate(*written, frame);
      }
      json secure = json::array();
      if (!value.is_null()) {
        check_value(scope, definition, value, what);
        collect_secure(scope, definition, value, secure);
      }
      scope.secrets.add(secure);
      made.shown[name] = made.whole[name] = {{"type", shown_type(type)}};
      if (is_secure(type)) {
        made.secure[name] = std::move(value);
        continue;
      }
      made.whole[name]["value"] = without_secure(scope, definition, value);
      if (!secure.empty()) made.secure[name] = std::move(value);
    }
    for (auto& [name, output] : made.whole.items()) {  // now that all secrets are known
      if (!output.contains("value")) continue;
      json shown = scope.secrets.redact_value(output["value"]);
      if (shown != output["value"]) made.hidden.push_back(name);
      made.shown[name]["value"] = std::move(shown);
    }
    return made;
  });
}

json Template::redact_value(const json& value) const {
  return impl_->scope->secrets.redact_value(value);
}

void Template::keep_secrets_of(const Template& other) const {
  impl_->scope->secrets.add(other.impl_->scope->secrets);
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
