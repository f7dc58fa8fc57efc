#include "api/arm/template.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/arm/document.h"
#include "api/arm/evaluator.h"
#include "api/arm/ids.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::size_t most_resources = 800;
constexpr std::size_t most_parameters = 256;
constexpr std::size_t most_outputs = 64;
constexpr std::size_t shortest_secret = 4;  ///< shorter ones cannot be told from other text

using Loops = std::vector<std::pair<std::string, std::int64_t>>;

struct Item {
  json source;
  Loops loops;
  std::string parent_id;
};

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

// --- parameters

enum class ParameterType { text, secure_text, whole, flag, object, secure_object, array };

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

Error bad_parameter(const std::string& why) {
  return Error(ErrorKind::invalid, "InvalidTemplate",
               "Deployment template validation failed: '" + why + "'.");
}

void collect_secrets(const json& value, std::vector<std::string>& secrets) {
  if (value.is_string()) {
    if (value.get_ref<const std::string&>().size() >= shortest_secret)
      secrets.push_back(value.get<std::string>());
  } else if (value.is_structured()) {
    for (const json& item : value) collect_secrets(item, secrets);
  } else if (value.is_number()) {
    if (std::string text = dump(value); text.size() >= shortest_secret) secrets.push_back(std::move(text));
  }
}

void check_limits(const std::string& name, const json& definition, const json& value) {
  const json& allowed = member_or_null(definition, "allowedValues");
  if (allowed.is_array() && std::ranges::find(allowed, value) == allowed.end() &&
      !(value.is_array() && std::ranges::all_of(value, [&](const json& item) {
          return std::ranges::find(allowed, item) != allowed.end();
        })))
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

struct Parameters {
  std::map<std::string, ParameterType, NameLess> types;
};

Parameters take_parameters(TemplateScope& scope, const json& definitions, const json& given) {
  Parameters found;
  if (!definitions.is_null() && !definitions.is_object())
    refuse_template("The template's 'parameters' is not an object.");
  if (!given.is_null() && !given.is_object())
    refuse_template("The deployment's 'parameters' is not an object.");
  if (definitions.size() > most_parameters)
    refuse_template(
        fmt::format("The template has {} parameters; {} are allowed.", definitions.size(), most_parameters));
  if (given.is_object())
    for (const auto& [name, value] : given.items())
      if (!find_member(definitions, name)) {
        std::string known;
        for (const auto& [other, definition] : definitions.items())
          known += (known.empty() ? "" : ", ") + other;
        throw bad_parameter(
            fmt::format("The template parameters '{}' in the parameters file are not valid; they are not "
                        "present in the original template and can therefore not be provided at "
                        "deployment time. The only supported parameters for this template are '{}'",
                        name, known));
      }
  if (!definitions.is_object()) return found;
  // All types first: values that may be secret must be known before any message can hold one.
  for (const auto& [name, definition] : definitions.items()) {
    const ParameterType type = parameter_type(
        name, text_member(definition, "type", fmt::format("The template parameter '{}'", name)));
    found.types[name] = type;
    if (const json* argument = given.is_object() ? find_member(given, name) : nullptr;
        argument && is_secure(type))
      collect_secrets(member_or_null(*argument, "value"), scope.secrets);
  }
  for (const auto& [name, type] : found.types) {
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
      if (is_secure(type)) collect_secrets(taken, scope.secrets);
    } else if (const json& nullable = member_or_null(definition, "nullable"); nullable == json(true)) {
      scope.parameters[name] = nullptr;
      continue;
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
    check_limits(name, definition, taken);
    scope.parameters[name] = std::move(taken);
  }
  return found;
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
  if (const json* copies = find_member(variables, "copy")) {
    json made = json::object();
    TemplateFrame frame{.scope = scope};
    expand_copies(*copies, frame, made);
    for (const auto& [name, value] : made.items()) scope.known[name] = value;
  }
}

std::size_t parts_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count(text, '/')) + 1;
}

/// "Type/Name" as dependsOn writes children: "NS/type/name/child/name".
std::string interleaved(const std::string& id) {
  const std::size_t at = id.find("/providers/");
  return at == id.npos ? id : id.substr(at + std::string_view("/providers/").size());
}

}  // namespace

struct Template::Impl {
  std::shared_ptr<TemplateScope> scope;
  std::map<std::string, ParameterType, NameLess> parameter_types;
  json outputs;
  std::vector<PlannedResource> listed;
  std::vector<Item> items;
  // While planning:
  std::map<std::string, std::vector<std::size_t>>
      names;                       ///< lower case: ids, "type/name", names, symbols, loops
  std::set<std::string> left_out;  ///< the same, of resources whose condition is false

  void add_name(const std::string& name, std::size_t index) { names[lower(name)].push_back(index); }

  void expand(const json& resource, const std::string& symbol, const std::string& parent_type,
              const std::string& parent_name, const std::string& parent_id, const Loops& loops,
              bool left_out_parent);
  void add_one(const json& resource, const std::string& symbol, const std::string& parent_type,
               const std::string& parent_name, const std::string& parent_id, const Loops& loops,
               bool left_out_parent);
  void expand_all(const json& resources, const std::string& parent_type, const std::string& parent_name,
                  const std::string& parent_id, const Loops& loops, bool left_out_parent);
  void link();
  std::vector<std::size_t> resolve(const std::string& name, const std::string& of) const;
  void check_loops() const;
  TemplateFrame frame(std::size_t index, const TemplateRuntime* runtime) const {
    return {.scope = *scope, .runtime = runtime, .loops = items[index].loops};
  }
  std::map<std::string, std::size_t> serial_loops;  ///< copy name -> batch size
  std::map<std::string, std::vector<std::size_t>> loop_members;
};

void Template::Impl::expand_all(const json& resources, const std::string& parent_type,
                                const std::string& parent_name, const std::string& parent_id,
                                const Loops& loops, bool left_out_parent) {
  if (resources.is_null()) return;
  if (resources.is_object()) {  // languageVersion 2.0: by symbolic name
    for (const auto& [symbol, resource] : resources.items())
      expand(resource, symbol, parent_type, parent_name, parent_id, loops, left_out_parent);
    return;
  }
  if (!resources.is_array()) refuse_template("The template's 'resources' is neither an array nor an object.");
  for (const json& resource : resources)
    expand(resource, {}, parent_type, parent_name, parent_id, loops, left_out_parent);
}

void Template::Impl::expand(const json& resource, const std::string& symbol, const std::string& parent_type,
                            const std::string& parent_name, const std::string& parent_id, const Loops& loops,
                            bool left_out_parent) {
  if (!resource.is_object()) refuse_template("A resource of the template is not an object.");
  const json& copy = member_or_null(resource, "copy");
  if (copy.is_null())
    return add_one(resource, symbol, parent_type, parent_name, parent_id, loops, left_out_parent);
  if (!copy.is_object()) refuse_template("The 'copy' of a resource must be an object.");
  const std::string loop = text_member(copy, "name", "A 'copy' of a resource");
  TemplateFrame at{.scope = *scope, .loops = loops};
  const std::int64_t count = copy_count(copy, at);
  const json& mode = member_or_null(copy, "mode");
  if (mode.is_string() && same_name(mode.get_ref<const std::string&>(), "serial")) {
    const json& batch = member_or_null(copy, "batchSize");
    serial_loops[lower(loop)] =
        batch.is_number_integer() && batch.get<std::int64_t>() > 0 ? batch.get<std::size_t>() : 1;
  }
  names.try_emplace(lower(loop));
  for (std::int64_t i = 0; i < count; ++i) {
    Loops inner = loops;
    inner.emplace_back(loop, i);
    const std::size_t before = items.size();
    add_one(resource, symbol, parent_type, parent_name, parent_id, inner, left_out_parent);
    for (std::size_t index = before; index < items.size(); ++index) {
      add_name(loop, index);
      loop_members[lower(loop)].push_back(index);
    }
  }
}

void Template::Impl::add_one(const json& resource, const std::string& symbol, const std::string& parent_type,
                             const std::string& parent_name, const std::string& parent_id, const Loops& loops,
                             bool left_out_parent) {
  if (items.size() >= most_resources)
    refuse_template(fmt::format("The template has more than {} resources.", most_resources));
  TemplateFrame at{.scope = *scope, .loops = loops};
  const json written_name = evaluate(member_or_null(resource, "name"), at);
  if (!written_name.is_string() || written_name.get_ref<const std::string&>().empty())
    refuse_template("A resource of the template has no 'name', or it is not a string.");
  PlannedResource planned;
  const std::string own_name = written_name.get<std::string>();
  const std::string own_type =
      text_member(resource, "type", fmt::format("The template resource '{}'", own_name));
  planned.type =
      parent_type.empty() || own_type.find('/') != own_type.npos ? own_type : parent_type + "/" + own_type;
  planned.name =
      parent_type.empty() || own_type.find('/') != own_type.npos ? own_name : parent_name + "/" + own_name;
  if (planned.type.find('/') == planned.type.npos || parts_of(planned.type) != parts_of(planned.name) + 1)
    refuse_template(fmt::format(
        "The template resource '{}' for type '{}' has incorrect segment lengths. A nested resource "
        "type must have identical number of segments as its resource name. A root resource type "
        "must have segment length one greater than its resource name.",
        planned.name, planned.type));
  const json version = evaluate(member_or_null(resource, "apiVersion"), at);
  if (!version.is_string())
    refuse_template(
        fmt::format("The template resource '{}' has no 'apiVersion', or it is not a string.", planned.name));
  planned.api_version = version.get<std::string>();
  const json group = evaluate(member_or_null(resource, "resourceGroup"), at);
  planned.id =
      make_id(scope->place.subscription, group.is_string() ? group.get<std::string>() : scope->place.group,
              planned.type, planned.name);
  planned.existing = member_or_null(resource, "existing") == json(true);
  const json condition = evaluate(member_or_null(resource, "condition"), at);
  if (!condition.is_null() && !condition.is_boolean() &&
      !(condition.is_string() && (same_name(condition.get_ref<const std::string&>(), "true") ||
                                  same_name(condition.get_ref<const std::string&>(), "false"))))
    refuse_template(
        fmt::format("The condition of the template resource '{}' is not true or false.", planned.name));
  const bool is_left_out =
      left_out_parent || condition == json(false) ||
      (condition.is_string() && same_name(condition.get_ref<const std::string&>(), "false"));
  const std::string id = planned.id, type = planned.type, name = planned.name;
  scope->symbols.try_emplace(name, id);
  scope->symbols.try_emplace(interleaved(id), id);
  scope->symbols.try_emplace(type + "/" + name, id);
  if (!symbol.empty())
    scope->symbols.insert_or_assign(
        loops.empty() ? symbol : fmt::format("{}[{}]", symbol, loops.back().second), id);
  if (is_left_out) {
    for (const std::string& known : {id, name, interleaved(id), type + "/" + name, symbol})
      left_out.insert(lower(known));
  } else {
    const std::size_t index = items.size();
    if (names.contains(lower(id)))
      refuse_template(
          fmt::format("The resource '{}' of type '{}' is defined multiple times in a template.", name, type));
    add_name(id, index);
    std::set<std::string> others;
    for (const std::string& known : {name, interleaved(id), type + "/" + name, symbol})
      if (!known.empty() && others.insert(lower(known)).second) add_name(known, index);
    planned.type = type;
    items.push_back({.source = resource, .loops = loops, .parent_id = parent_id});
    listed.push_back(std::move(planned));
  }
  expand_all(member_or_null(resource, "resources"), type, name, id, loops, is_left_out);
}

std::vector<std::size_t> Template::Impl::resolve(const std::string& name, const std::string& of) const {
  if (const auto found = names.find(lower(name)); found != names.end()) return found->second;
  if (left_out.contains(lower(name))) return {};
  refuse_template(
      fmt::format("The resource '{}' is not defined in the template, but the resource '{}' depends on it. "
                  "Please see https://aka.ms/arm-syntax for usage details.",
                  name, of));
}

void Template::Impl::link() {
  for (std::size_t index = 0; index < items.size(); ++index) {
    const json& source = items[index].source;
    TemplateFrame at = frame(index, nullptr);
    std::set<std::size_t> after;
    const json depends = evaluate(member_or_null(source, "dependsOn"), at);
    if (!depends.is_null() && !depends.is_array())
      refuse_template(
          fmt::format("The 'dependsOn' of the template resource '{}' is not an array.", listed[index].name));
    for (const json& name : depends) {
      if (name.is_null() || name == json("")) continue;
      if (!name.is_string())
        refuse_template(fmt::format("The 'dependsOn' of the template resource '{}' holds {}.",
                                    listed[index].name, type_in_words(name)));
      for (const std::size_t other : resolve(name.get<std::string>(), listed[index].name))
        after.insert(other);
    }
    std::set<std::string> mentioned;
    if (!items[index].parent_id.empty()) mentioned.insert(items[index].parent_id);
    for (const auto& [key, value] : source.items())
      if (key != "resources" && key != "dependsOn") collect_references(value, at, mentioned);
    for (const std::string& name : mentioned) {
      const auto id = scope->symbols.find(name);
      const auto found = names.find(lower(id == scope->symbols.end() ? name : id->second));
      if (found != names.end()) after.insert(found->second.begin(), found->second.end());
    }
    after.erase(index);
    listed[index].after.assign(after.begin(), after.end());
  }
  for (const auto& [loop, batch] : serial_loops) {
    const auto& members = loop_members[loop];
    for (std::size_t i = batch; i < members.size(); ++i) {
      const std::size_t previous = members[(i / batch - 1) * batch + batch - 1];
      auto& after = listed[members[i]].after;
      if (std::ranges::find(after, previous) == after.end()) after.push_back(previous);
      for (std::size_t j = (i / batch - 1) * batch; j < (i / batch) * batch; ++j)
        if (std::ranges::find(after, members[j]) == after.end()) after.push_back(members[j]);
    }
  }
}

/// Takes away what nothing waits for until nothing is left; what stays is a circle.
void Template::Impl::check_loops() const {
  std::vector<std::size_t> open(listed.size());
  std::vector<std::vector<std::size_t>> waiting(listed.size());
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < listed.size(); ++i) {
    open[i] = listed[i].after.size();
    for (const std::size_t other : listed[i].after) waiting[other].push_back(i);
    if (open[i] == 0) ready.push_back(i);
  }
  std::size_t done = 0;
  for (; !ready.empty(); ++done) {
    const std::size_t next = ready.back();
    ready.pop_back();
    for (const std::size_t other : waiting[next])
      if (--open[other] == 0) ready.push_back(other);
  }
  if (done == listed.size()) return;
  std::string circle;
  for (std::size_t i = 0; i < listed.size(); ++i)
    if (open[i] > 0) circle += (circle.empty() ? "" : ", ") + listed[i].type + "/" + listed[i].name;
  refuse_template(fmt::format(
      "Circular dependency detected on resource: '{}'. Please see https://aka.ms/arm-syntax-resources "
      "for usage details.",
      circle.substr(0, 600)));
}

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
  if (impl->outputs.size() > most_outputs)
    refuse_template(
        fmt::format("The template has {} outputs; {} are allowed.", impl->outputs.size(), most_outputs));
  impl->expand_all(*find_member(document, "resources"), {}, {}, {}, {}, false);
  impl->link();
  impl->check_loops();
  return impl;
}

std::string redact_in(const TemplateScope& scope, std::string text) {
  for (const std::string& secret : scope.secrets) {
    std::string quoted = dump(json(secret));
    quoted = quoted.substr(1, quoted.size() - 2);
    for (const std::string& form : {secret, quoted})
      for (std::size_t at = text.find(form); at != text.npos; at = text.find(form, at + 8))
        text.replace(at, form.size(), "[secret]");
  }
  return text;
}

/// Runs `work`; what it throws keeps its code and loses every secret.
template <class Work>
auto without_secrets(const TemplateScope& scope, Work work) {
  try {
    return work();
  } catch (const Error& error) {
    throw Error(error.kind, error.code, redact_in(scope, error.what()), redact_in(scope, error.advice));
  }
}

}  // namespace

Template Template::plan(const json& document, const json& parameters, const DeploymentPlace& place) {
  auto scope = std::make_shared<TemplateScope>();
  scope->place = place;
  return without_secrets(*scope, [&] {
    check_template(document);
    if (const json& version = member_or_null(document, "contentVersion"); version.is_string())
      scope->content_version = version.get<std::string>();
    take_functions(*scope, member_or_null(document, "functions"));
    const Parameters taken = take_parameters(*scope, member_or_null(document, "parameters"), parameters);
    take_variables(*scope, member_or_null(document, "variables"));
    auto impl = plan_in(scope, document);
    impl->parameter_types = taken.types;
    return Template(impl);
  });
}

const std::vector<PlannedResource>& Template::resources() const {
  return impl_->listed;
}

json Template::body(std::size_t resource, const TemplateRuntime& runtime) const {
  return without_secrets(*impl_->scope, [&] {
    TemplateFrame frame = impl_->frame(resource, &runtime);
    const PlannedResource& planned = impl_->listed[resource];
    json made = json::object();
    static constexpr std::string_view not_in_body[] = {
        "name",      "type",      "apiVersion", "condition",     "copy",          "comments",
        "dependsOn", "resources", "existing",   "resourceGroup", "subscriptionId"};
    for (const auto& [key, value] : impl_->items[resource].source.items()) {
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
    const json& properties = member_or_null(impl_->items[resource].source, "properties");
    const json& document = member_or_null(properties, "template");
    const std::string& name = impl_->listed[resource].name;
    if (document.is_null())
      refuse_template(fmt::format(
          "The nested deployment '{}' has no template. A 'templateLink' is not followed: the local "
          "region opens no connections of its own.",
          name));
    check_template(document);
    const json& options = member_or_null(properties, "expressionEvaluationOptions");
    const json& scope_name = member_or_null(options, "scope");
    if (scope_name.is_string() && same_name(scope_name.get_ref<const std::string&>(), "inner")) {
      TemplateFrame frame = impl_->frame(resource, &runtime);
      json parameters = evaluate(member_or_null(properties, "parameters"), frame);
      Template made = plan(document, parameters, place);
      for (const std::string& secret : impl_->scope->secrets) made.impl_->scope->secrets.push_back(secret);
      return made;
    }
    // The outer scope: its expressions see our parameters and variables, and its resources are found by ours.
    auto scope = std::make_shared<TemplateScope>(*impl_->scope);
    scope->place.group = place.group;
    scope->place.group_location = place.group_location;
    scope->place.group_tags = place.group_tags;
    auto impl = plan_in(scope, document);
    return Template(impl);
  });
}

json Template::outputs(const TemplateRuntime& runtime) const {
  return without_secrets(*impl_->scope, [&] {
    json made = json::object();
    if (!impl_->outputs.is_object()) return made;
    for (const auto& [name, definition] : impl_->outputs.items()) {
      TemplateFrame frame{.scope = *impl_->scope, .runtime = &runtime};
      const std::string what = fmt::format("The template output '{}'", name);
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
      if (!fits(type, value) && !value.is_null())
        refuse_template(fmt::format("{} is of type '{}', but its value is {}.", what, shown_type(type),
                                    type_in_words(value)));
      const std::string text = dump(value), clean = redact_in(*impl_->scope, text);
      shown["value"] = clean == text ? std::move(value) : parse_document(clean);
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
      made[name]["value"] = parse_document(redact_in(*impl_->scope, dump(found->second)));
  }
  return made;
}

std::string Template::redact(std::string text) const {
  return redact_in(*impl_->scope, std::move(text));
}

}  // namespace berth::arm
