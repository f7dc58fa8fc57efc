#include "api/arm/template_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "api/arm/template_parameters.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

std::size_t parts_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count(text, '/')) + 1;
}

/// "Microsoft.Storage/storageAccounts", not "blobServices/containers" as a child of one says it.
bool names_provider(std::string_view type) {
  const std::size_t slash = type.find('/');
  return slash != type.npos && type.substr(0, slash).find('.') != type.npos;
}

/// Of a nested deployment whose template sees its own names only.
bool has_own_scope(const json& properties) {
  const json& scope = member_or_null(member_or_null(properties, "expressionEvaluationOptions"), "scope");
  return scope.is_string() && same_name(scope.get_ref<const std::string&>(), "inner");
}

/// Without empty parts: "a//b" means "a/b".
std::string without_empty_parts(std::string name) {
  const auto [begin, end] = std::ranges::unique(name, [](char a, char b) { return a == '/' && b == '/'; });
  name.erase(begin, end);
  return name;
}

/// "Type/Name" as dependsOn writes children: "NS/type/name/child/name".
std::string interleaved(const std::string& id) {
  const std::size_t at = id.find("/providers/");
  return at == id.npos ? id : id.substr(at + std::string_view("/providers/").size());
}

/// What the condition of a resource says.
bool is_wanted(const json& resource, const std::string& name, TemplateFrame& at) {
  const json condition = evaluate(member_or_null(resource, "condition"), at);
  if (condition.is_null()) return true;
  if (condition.is_boolean()) return condition.get<bool>();
  const std::string text = condition.is_string() ? condition.get<std::string>() : "";
  if (!same_name(text, "true") && !same_name(text, "false"))
    refuse_template(fmt::format("The condition of the template resource '{}' is not true or false.", name));
  return same_name(text, "true");
}

/// What "@options" say, as Bicep writes its decorators. Those that would repeat or wait are refused: a resource is
/// put once here.
bool is_only_if_missing(const json& resource, const std::string& name, TemplateFrame& at) {
  const json& options = member_or_null(resource, "@options");
  if (options.is_null()) return false;
  if (!options.is_object())
    refuse_template(fmt::format("The '@options' of the template resource '{}' are not an object.", name));
  bool wanted = false;
  for (const auto& [key, value] : options.items()) {
    if (!same_name(key, "onlyIfNotExists"))
      refuse_template(fmt::format(
          "'@options.{}' of the template resource '{}' is not supported by the local region: a resource "
          "is put once here. Leave it out.",
          key.substr(0, 100), name));
    const json flag = evaluate(value, at);
    if (!flag.is_boolean())
      refuse_template(fmt::format(
          "'@options.onlyIfNotExists' of the template resource '{}' is not true or false.", name));
    wanted = flag.get<bool>();
  }
  return wanted;
}

/// What the 'scope' of a resource means: the id of what an extension resource is about. "" when there is none.
std::string scope_id(const json& resource, const std::string& name, const DeploymentPlace& place,
                     const std::string& group, TemplateFrame& at) {
  const json scope = evaluate(member_or_null(resource, "scope"), at);
  if (scope.is_null()) return {};
  if (!scope.is_string())
    refuse_template(fmt::format("The 'scope' of the template resource '{}' is not a string.", name));
  std::string text = scope.get<std::string>();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  if (text == "/" || same_name(text.substr(0, 11), "/providers/"))
    refuse_template(
        fmt::format("The 'scope' of the template resource '{}' is '{}': the local region deploys to its own "
                    "subscription only.",
                    name, text.substr(0, 200)));
  if (text.empty() || text.starts_with('/')) return text;
  return fmt::format("/subscriptions/{}/resourceGroups/{}/providers/{}", place.subscription, group, text);
}

void check_nested_mode(const json& deployment, const std::string& name, TemplateFrame& at) {
  const json mode = evaluate(member_or_null(member_or_null(deployment, "properties"), "mode"), at);
  if (mode.is_null() || (mode.is_string() && same_name(mode.get_ref<const std::string&>(), "Incremental")))
    return;
  throw Error(ErrorKind::invalid, "InvalidDeployment",
              fmt::format("Specified deployment mode {} is not supported for nested deployment '{}'.",
                          dump(mode), name),
              "Nested deployments are 'Incremental'; 'Complete' is for the outermost one.");
}

class Planner {
 public:
  explicit Planner(TemplateScope& scope) : scope_(scope) {}
  ResourcePlan plan(const json& resources) {
    expand_all(resources, {}, {}, {}, scope_.loops, false);
    for (const auto& [name, id] : short_ids_)
      if (!id.empty()) scope_.symbols.try_emplace(name, id);
    link();
    check_loops();
    return std::move(plan_);
  }

 private:
  /// Names by which what stands inside the same parent, or is the only one of that name, can be meant.
  void add_short_names(const std::string& parent_id, const std::string& own_type, const std::string& own_name,
                       const std::string& id, std::optional<std::size_t> index);
  void add_name(const std::string& name, std::size_t index) { names_[lower(name)].push_back(index); }
  void expand_all(const json& resources, const std::string& parent_type, const std::string& parent_name,
                  const std::string& parent_id, const CopyLoops& loops, bool left_out_parent);
  void expand(const json& resource, const std::string& symbol, const std::string& parent_type,
              const std::string& parent_name, const std::string& parent_id, const CopyLoops& loops,
              bool left_out_parent);
  void add_one(const json& resource, const std::string& symbol, const std::string& parent_type,
               const std::string& parent_name, const std::string& parent_id, const CopyLoops& loops,
               bool left_out_parent);
  void link();
  std::vector<std::size_t> resolve(const std::string& name, std::size_t of) const;
  void check_loops() const;

  TemplateScope& scope_;
  ResourcePlan plan_;
  std::map<std::string, std::vector<std::size_t>>
      names_;                       ///< lower case: ids, "type/name", names, symbols, loops
  std::set<std::string> left_out_;  ///< the same, of resources whose condition is false
  struct Child {
    std::string parent_id;
    std::optional<std::size_t> index;  ///< nullopt: its condition is false
  };
  std::map<std::string, std::vector<Child>>
      children_;                                     ///< lower case: "name", "type/name" without the parent
  std::map<std::string, std::string> short_ids_;     ///< of the same names; "" where several have one
  std::map<std::string, std::size_t> serial_loops_;  ///< copy name -> batch size
  std::map<std::string, std::vector<std::size_t>> loop_members_;
};

void Planner::expand_all(const json& resources, const std::string& parent_type,
                         const std::string& parent_name, const std::string& parent_id, const CopyLoops& loops,
                         bool left_out_parent) {
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

void Planner::expand(const json& resource, const std::string& symbol, const std::string& parent_type,
                     const std::string& parent_name, const std::string& parent_id, const CopyLoops& loops,
                     bool left_out_parent) {
  if (!resource.is_object()) refuse_template("A resource of the template is not an object.");
  const json& copy = member_or_null(resource, "copy");
  if (copy.is_null())
    return add_one(resource, symbol, parent_type, parent_name, parent_id, loops, left_out_parent);
  if (!copy.is_object()) refuse_template("The 'copy' of a resource must be an object.");
  const std::string loop = text_member(copy, "name", "A 'copy' of a resource");
  TemplateFrame at{.scope = scope_, .loops = loops};
  const std::int64_t count = copy_count(copy, at);
  const json& mode = member_or_null(copy, "mode");
  if (mode.is_string() && same_name(mode.get_ref<const std::string&>(), "serial")) {
    const json& batch = member_or_null(copy, "batchSize");
    serial_loops_[lower(loop)] =
        batch.is_number_integer() && batch.get<std::int64_t>() > 0 ? batch.get<std::size_t>() : 1;
  }
  names_.try_emplace(lower(loop));
  if (!symbol.empty()) {
    names_.try_emplace(lower(symbol));
    scope_.collections.try_emplace(symbol);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    CopyLoops inner = loops;
    inner.emplace_back(loop, i);
    const std::size_t before = plan_.items.size();
    add_one(resource, symbol, parent_type, parent_name, parent_id, inner, left_out_parent);
    for (std::size_t index = before; index < plan_.items.size(); ++index) {
      add_name(loop, index);
      loop_members_[lower(loop)].push_back(index);
    }
  }
}

void Planner::add_one(const json& resource, const std::string& symbol, const std::string& parent_type,
                      const std::string& parent_name, const std::string& parent_id, const CopyLoops& loops,
                      bool left_out_parent) {
  scope_.budget->resource();
  TemplateFrame at{.scope = scope_, .loops = loops};
  const std::string indexed = symbol.empty() || loops.size() == scope_.loops.size()
                                  ? symbol
                                  : fmt::format("{}[{}]", symbol, loops.back().second);
  // The name of what is only spoken of may not even make sense when it is not there.
  const bool existing = member_or_null(resource, "existing") == json(true);
  if (existing && (left_out_parent || !is_wanted(resource, symbol, at))) {
    for (const std::string& known : {symbol, indexed}) left_out_.insert(lower(known));
    return;
  }
  json written_name;
  std::optional<Error> unnamed;
  try {
    written_name = evaluate(member_or_null(resource, "name"), at);
  } catch (const Error& error) {
    unnamed = error;
  }
  const bool is_left_out =
      left_out_parent ||
      !is_wanted(resource, written_name.is_string() ? written_name.get<std::string>() : symbol, at);
  const bool is_named = written_name.is_string() && !written_name.get_ref<const std::string&>().empty();
  if (!is_named && is_left_out) {
    for (const std::string& known : {symbol, indexed}) left_out_.insert(lower(known));
    return;
  }
  if (unnamed) throw *unnamed;
  if (!is_named) refuse_template("A resource of the template has no 'name', or it is not a string.");
  PlannedResource planned;
  const std::string own_name = written_name.get<std::string>();
  const std::string own_type =
      text_member(resource, "type", fmt::format("The template resource '{}'", own_name));
  const bool is_whole = parent_type.empty() || names_provider(own_type);
  planned.type = is_whole ? own_type : parent_type + "/" + own_type;
  planned.name = is_whole ? own_name : parent_name + "/" + own_name;
  if (planned.type.find('/') == planned.type.npos || parts_of(planned.type) != parts_of(planned.name) + 1)
    refuse_template(fmt::format(
        "The template resource '{}' for type '{}' has incorrect segment lengths. A nested resource "
        "type must have identical number of segments as its resource name. A root resource type "
        "must have segment length one greater than its resource name.",
        planned.name, planned.type));
  const json version = evaluate(member_or_null(resource, "apiVersion"), at);
  if (!version.is_string() && (!version.is_null() || scope_.api_profile.empty()))
    refuse_template(
        fmt::format("The template resource '{}' has no 'apiVersion', or it is not a string.", planned.name));
  planned.api_version = version.is_string() ? version.get<std::string>() : scope_.api_profile;
  // Where it would stand may depend on what is not there when its condition is false.
  const auto unless_left_out = [&](const auto& ask) -> json {
    try {
      return ask();
    } catch (const Error&) {
      if (!is_left_out) throw;
      return nullptr;
    }
  };
  const auto member = [&](const char* name) {
    return unless_left_out([&] { return evaluate(member_or_null(resource, name), at); });
  };
  const json group = member("resourceGroup");
  if (const json subscription = member("subscriptionId");
      !is_left_out && subscription.is_string() &&
      !same_name(subscription.get_ref<const std::string&>(), scope_.place.subscription))
    refuse_template(
        fmt::format("The template resource '{}' is for the subscription '{}', which this region does not "
                    "have.",
                    planned.name, subscription.get<std::string>().substr(0, 100)));
  const std::string in_group = group.is_string() ? group.get<std::string>() : scope_.place.group;
  planned.id = make_id(scope_.place.subscription, in_group, planned.type, planned.name);
  const json scope =
      unless_left_out([&] { return json(scope_id(resource, planned.name, scope_.place, in_group, at)); });
  if (scope.is_string() && scope != "")
    planned.id =
        scope.get<std::string>() +
        make_id({}, {}, planned.type, planned.name).substr(std::string_view("/subscriptions/").size());
  planned.only_if_missing = is_only_if_missing(resource, planned.name, at);
  planned.existing = existing;
  if (planned.is_deployment() && !is_left_out) check_nested_mode(resource, planned.name, at);
  const std::string id = planned.id, type = planned.type, name = planned.name;
  scope_.symbols.try_emplace(name, id);
  scope_.symbols.try_emplace(interleaved(id), id);
  scope_.symbols.try_emplace(type + "/" + name, id);
  if (!symbol.empty()) scope_.symbols.insert_or_assign(indexed, id);
  if (is_left_out) {
    for (const std::string& known : {id, name, interleaved(id), type + "/" + name, symbol, indexed})
      left_out_.insert(lower(known));
    add_short_names(parent_id, own_type, own_name, id, std::nullopt);
  } else {
    const std::size_t index = plan_.items.size();
    if (names_.contains(lower(id)))
      refuse_template(
          fmt::format("The resource '{}' of type '{}' is defined multiple times in a template.", name, type));
    add_name(id, index);
    std::set<std::string> others;
    for (const std::string& known : {name, interleaved(id), type + "/" + name, symbol, indexed})
      if (!known.empty() && others.insert(lower(known)).second) add_name(known, index);
    planned.type = type;
    add_short_names(parent_id, own_type, own_name, id, index);
    if (!symbol.empty() && loops.size() > scope_.loops.size()) scope_.collections[symbol].push_back(id);
    plan_.items.push_back({.source = &resource, .loops = loops, .parent_id = parent_id});
    plan_.resources.push_back(std::move(planned));
  }
  expand_all(member_or_null(resource, "resources"), type, name, id, loops, is_left_out);
}

void Planner::add_short_names(const std::string& parent_id, const std::string& own_type,
                              const std::string& own_name, const std::string& id,
                              std::optional<std::size_t> index) {
  if (parent_id.empty()) return;
  for (const std::string& known : {own_name, own_type + "/" + own_name}) {
    children_[lower(known)].push_back({parent_id, index});
    if (const auto [short_id, is_new] = short_ids_.try_emplace(lower(known), id); !is_new)
      short_id->second.clear();
  }
}

std::vector<std::size_t> Planner::resolve(const std::string& name, std::size_t index) const {
  if (const auto found = names_.find(lower(name)); found != names_.end()) return found->second;
  if (left_out_.contains(lower(name))) return {};
  const std::string of = plan_.resources[index].name;
  if (const auto found = children_.find(lower(name)); found != children_.end()) {
    const auto meant = [](const Child& child) {
      return child.index ? std::vector{*child.index} : std::vector<std::size_t>{};
    };
    const auto beside = std::ranges::find(found->second, plan_.items[index].parent_id, &Child::parent_id);
    if (beside != found->second.end()) return meant(*beside);
    if (found->second.size() == 1) return meant(found->second.front());
    refuse_template(
        fmt::format("The resource '{}' depends on '{}', and the template has {} resources of that name. "
                    "Please write its full name or resource id.",
                    of, name, found->second.size()));
  }
  refuse_template(
      fmt::format("The resource '{}' is not defined in the template, but the resource '{}' depends on it. "
                  "Please see https://aka.ms/arm-syntax for usage details.",
                  name, of));
}

void Planner::link() {
  std::vector<std::set<std::size_t>> after_all(plan_.items.size());
  const auto add = [&](std::set<std::size_t>& after, std::size_t other) {
    scope_.budget->spend(64);
    after.insert(other);
  };
  for (std::size_t index = 0; index < plan_.items.size(); ++index) {
    const json& source = *plan_.items[index].source;
    TemplateFrame at{.scope = scope_, .loops = plan_.items[index].loops};
    std::set<std::size_t>& after = after_all[index];
    const json depends = evaluate(member_or_null(source, "dependsOn"), at);
    if (!depends.is_null() && !depends.is_array())
      refuse_template(fmt::format("The 'dependsOn' of the template resource '{}' is not an array.",
                                  plan_.resources[index].name));
    for (const json& name : depends) {
      if (name.is_null() || name == json("")) continue;
      if (!name.is_string())
        refuse_template(fmt::format("The 'dependsOn' of the template resource '{}' holds {}.",
                                    plan_.resources[index].name, type_in_words(name)));
      for (const std::size_t other : resolve(without_empty_parts(name.get<std::string>()), index))
        add(after, other);
    }
    std::set<std::string> mentioned;
    if (!plan_.items[index].parent_id.empty()) mentioned.insert(plan_.items[index].parent_id);
    for (const auto& [key, value] : source.items()) {
      if (key == "resources" || key == "dependsOn") continue;
      if (key != "properties" || !has_own_scope(value)) {
        collect_references(value, at, mentioned);
        continue;
      }
      for (const auto& [part, inner] : value.items())  // the names in its template are others
        if (!same_name(part, "template")) collect_references(inner, at, mentioned);
    }
    for (const std::string& name : mentioned) {
      const auto id = scope_.symbols.find(name);
      const auto found = names_.find(lower(id == scope_.symbols.end() ? name : id->second));
      if (found == names_.end()) continue;
      for (const std::size_t other : found->second) add(after, other);
    }
    after.erase(index);
  }
  for (const auto& [loop, batch] : serial_loops_) {
    const auto& members = loop_members_[loop];
    for (std::size_t i = batch; i < members.size(); ++i)
      for (std::size_t j = (i / batch - 1) * batch; j < (i / batch) * batch; ++j)
        add(after_all[members[i]], members[j]);
  }
  for (std::size_t index = 0; index < after_all.size(); ++index)
    plan_.resources[index].after.assign(after_all[index].begin(), after_all[index].end());
}

/// Takes away what nothing waits for until nothing is left; what stays is a circle.
void Planner::check_loops() const {
  std::vector<std::size_t> open(plan_.resources.size());
  std::vector<std::vector<std::size_t>> waiting(plan_.resources.size());
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < plan_.resources.size(); ++i) {
    open[i] = plan_.resources[i].after.size();
    for (const std::size_t other : plan_.resources[i].after) waiting[other].push_back(i);
    if (open[i] == 0) ready.push_back(i);
  }
  std::size_t done = 0;
  for (; !ready.empty(); ++done) {
    const std::size_t next = ready.back();
    ready.pop_back();
    for (const std::size_t other : waiting[next])
      if (--open[other] == 0) ready.push_back(other);
  }
  if (done == plan_.resources.size()) return;
  std::string circle;
  for (std::size_t i = 0; i < plan_.resources.size(); ++i)
    if (open[i] > 0 && circle.size() < 600)
      circle += (circle.empty() ? "" : ", ") + plan_.resources[i].type + "/" + plan_.resources[i].name;
  refuse_template(fmt::format(
      "Circular dependency detected on resource: '{}'. Please see https://aka.ms/arm-syntax-resources "
      "for usage details.",
      circle.substr(0, 600)));
}

}  // namespace

ResourcePlan plan_resources(TemplateScope& scope, const json& resources) {
  return Planner(scope).plan(resources);
}

}  // namespace berth::arm
