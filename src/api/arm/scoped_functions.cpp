#include "api/arm/scoped_functions.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>

#include "api/arm/document.h"
#include "api/arm/functions.h"
#include "api/arm/ids.h"
#include "crypto/random.h"

/// Template functions that look at the deployment, or do not evaluate all of their arguments.
namespace berth::arm {
namespace {

using nlohmann::json;

bool flag_argument(const Expression& call, std::size_t index, TemplateFrame& frame) {
  const json value = evaluate(call.arguments[index], frame);
  if (!value.is_boolean())
    refuse_template(fmt::format("Argument {} of the template function '{}' must be true or false, not {}.",
                                index + 1, call.name, type_in_words(value)));
  return value.get<bool>();
}

// --- names of the template

const json& parameters(const Expression& call, TemplateFrame& frame) {
  const std::string name = text_argument(call, 0, frame);
  if (frame.arguments) {
    if (const json* found = find_member(*frame.arguments, name)) return *found;
  } else {
    const auto& taken = frame.scope.parameters;
    auto found = taken.find(name);
    if (found == taken.end() && frame.scope.take_parameter && frame.scope.take_parameter(name))
      found = taken.find(name);
    if (found != taken.end()) return found->second;
  }
  refuse_template(fmt::format("The template parameter '{}' is not found.", name));
}

/// The list that a "copy" of the variables makes under that name; nullptr when there is none.
const json* find_copy(const json& copies, const std::string& name) {
  for (const json& copy : copies) {
    const json* own = find_member(copy, "name");
    if (own && own->is_string() && same_name(own->get_ref<const std::string&>(), name)) return &copy;
  }
  return nullptr;
}

}  // namespace

const json& variable_value(TemplateScope& scope, const std::string& name) {
  if (const auto known = scope.known.find(name); known != scope.known.end()) return known->second;
  const json* written = find_member(scope.variables, name);
  const json* copy = written ? nullptr : find_copy(scope.variable_copies, name);
  if (!written && !copy) refuse_template(fmt::format("The template variable '{}' is not found.", name));
  if (!scope.evaluating.insert(lower(name)).second)
    refuse_template(fmt::format(
        "Circular dependency detected between template variables: '{}' depends on itself.", name));
  TemplateFrame inner{.scope = scope};
  try {
    json value;
    if (copy) {
      json made = json::object();
      expand_copies(json::array({*copy}), inner, made);
      value = std::move(made.begin().value());
    } else {
      value = evaluate(*written, inner);
    }
    scope.evaluating.erase(lower(name));
    return scope.known[name] = std::move(value);
  } catch (...) {
    scope.evaluating.erase(lower(name));
    throw;
  }
}

namespace {

const json& variable(const Expression& call, TemplateFrame& frame) {
  return variable_value(frame.scope, text_argument(call, 0, frame));
}

json copy_index(const Expression& call, TemplateFrame& frame) {
  std::string loop;
  std::int64_t offset = 0;
  for (const json& argument : evaluate_all(call, frame)) {
    if (argument.is_string())
      loop = argument.get<std::string>();
    else if (argument.is_number_integer())
      offset = argument.get<std::int64_t>();
    else
      refuse_template("The template function 'copyIndex' takes the name of a copy loop and a number.");
  }
  const std::size_t of_resources = frame.loops.size() - frame.property_loops;
  const auto first = loop.empty() && of_resources > 0
                         ? frame.loops.rend() - static_cast<std::ptrdiff_t>(of_resources)
                         : frame.loops.rbegin();
  for (auto at = first; at != frame.loops.rend(); ++at)
    if (loop.empty() || same_name(at->first, loop))
      return at->second + std::clamp<std::int64_t>(offset, -1'000'000'000, 1'000'000'000);
  refuse_template(
      loop.empty()
          ? std::string(
                "The template function 'copyIndex' is not expected at this location: there is no copy loop.")
          : fmt::format("The template function 'copyIndex' names the loop '{}', which does not enclose it.",
                        loop));
}

// --- the deployment

json subscription(const Expression&, TemplateFrame& frame) {
  const DeploymentPlace& place = frame.scope.place;
  return {{"id", "/subscriptions/" + place.subscription},
          {"subscriptionId", place.subscription},
          {"tenantId", place.tenant},
          {"displayName", place.subscription_name}};
}

json resource_group(const Expression&, TemplateFrame& frame) {
  const DeploymentPlace& place = frame.scope.place;
  if (place.group.empty())
    refuse_template(
        "The template function 'resourceGroup' is not expected in a deployment of a subscription.");
  json tags = json::object();
  for (const auto& [key, value] : place.group_tags) tags[key] = value;
  return {{"id", fmt::format("/subscriptions/{}/resourceGroups/{}", place.subscription, place.group)},
          {"name", place.group},
          {"type", "Microsoft.Resources/resourceGroups"},
          {"location", place.group_location},
          {"tags", tags},
          {"properties", {{"provisioningState", "Succeeded"}}}};
}

json deployment(const Expression&, TemplateFrame& frame) {
  json made = {{"name", frame.scope.place.name},
               {"properties",
                {{"mode", "Incremental"},
                 {"provisioningState", "Accepted"},
                 {"template", {{"contentVersion", frame.scope.content_version}}}}}};
  if (const std::string& uri = frame.scope.place.template_uri; !uri.empty())
    made["properties"]["templateLink"] = {{"uri", uri}, {"contentVersion", frame.scope.content_version}};
  return made;
}

json management_group(const Expression&, TemplateFrame&) {
  refuse_template(
      "The template function 'managementGroup' is expected in deployments of a management group only; this "
      "is one "
      "of a resource group.");
}

json environment(const Expression&, TemplateFrame& frame) {
  const std::string& origin = frame.scope.place.origin;
  return {{"name", "Local"},
          {"resourceManager", origin},
          {"authentication",
           {{"loginEndpoint", origin + "/adfs"}, {"audiences", {"https://management.core.windows.net/"}}}},
          {"portal", origin + "/portal"},
          {"graph", origin + "/graph"},
          {"suffixes",
           {{"storage", "core.local"},
            {"keyvaultDns", ".vault.local"},
            {"sqlServerHostname", ".database.local"},
            {"acrLoginServer", ".azurecr.local"}}}};
}

/// Who deploys.
json deployer(const Expression&, TemplateFrame& frame) {
  const DeploymentPlace& place = frame.scope.place;
  return {{"objectId", place.deployer_id},
          {"tenantId", place.tenant},
          {"userPrincipalName", place.deployer_name}};
}

json tenant(const Expression&, TemplateFrame& frame) {
  return {{"tenantId", frame.scope.place.tenant}, {"displayName", "Local"}, {"countryCode", ""}};
}

/// A resource type as templates write it, often with a slash at its end.
std::string without_last_slash(std::string type) {
  while (type.ends_with('/')) type.pop_back();
  return type;
}

std::size_t levels_of(std::string_view type) {
  return static_cast<std::size_t>(std::ranges::count(type, '/'));
}

/// "/providers/TYPE/NAME", as it follows the id of what it is about.
std::string tail_of_id(const std::string& type, const std::string& name) {
  return make_id("x", {}, type, name).substr(std::string_view("/subscriptions/x").size());
}

/// resourceId, subscriptionResourceId, tenantResourceId: [subscription,] [group,] type, names…
json make_resource_id(const Expression& call, TemplateFrame& frame, bool in_group, bool in_subscription) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < call.arguments.size(); ++i) texts.push_back(text_argument(call, i, frame));
  const auto type_at = static_cast<std::size_t>(
      std::ranges::find_if(texts, [](const std::string& text) { return text.find('/') != text.npos; }) -
      texts.begin());
  const std::size_t most_before = in_group ? 2 : in_subscription ? 1 : 0;
  if (type_at == texts.size() || type_at > most_before)
    refuse_template(
        fmt::format("The template function '{}' needs a resource type such as "
                    "'Microsoft.Network/virtualNetworks'.",
                    call.name));
  const std::string type = without_last_slash(texts[type_at]);
  std::string name;
  for (std::size_t i = type_at + 1; i < texts.size(); ++i) name += (name.empty() ? "" : "/") + texts[i];
  if (texts.size() == type_at + 1 || levels_of(type) != levels_of(name) + 1)
    refuse_template(fmt::format("The template function '{}' names '{}' with {} parts but '{}' needs {}.",
                                call.name, name, texts.size() - type_at - 1, type, levels_of(type)));
  const DeploymentPlace& place = frame.scope.place;
  if (!in_subscription) return make_id({}, {}, type, name).substr(std::string_view("/subscriptions/").size());
  const std::string sub = type_at == most_before && type_at > 0 ? texts[0] : place.subscription;
  const std::string group = !in_group ? "" : type_at > 0 ? texts[type_at - 1] : place.group;
  return make_id(sub, group, type, name);
}

json resource_id(const Expression& call, TemplateFrame& frame) {
  return make_resource_id(call, frame, true, true);
}
json subscription_resource_id(const Expression& call, TemplateFrame& frame) {
  return make_resource_id(call, frame, false, true);
}
json tenant_resource_id(const Expression& call, TemplateFrame& frame) {
  return make_resource_id(call, frame, false, false);
}

/// Of a resource of a management group, which this deployment, of a resource group, has to name.
json management_group_resource_id(const Expression& call, TemplateFrame& frame) {
  static constexpr std::string_view groups = "/providers/Microsoft.Management/managementGroups/";
  std::string group = text_argument(call, 0, frame);
  if (group.starts_with(groups)) group.erase(0, groups.size());
  if (group.empty() || group.find('/') != group.npos)
    refuse_template(
        fmt::format("The template function '{}' needs the name of the management group first: this is a "
                    "deployment of a resource group.",
                    call.name));
  const std::string type = without_last_slash(text_argument(call, 1, frame));
  std::string name;
  for (std::size_t i = 2; i < call.arguments.size(); ++i)
    name += (name.empty() ? "" : "/") + text_argument(call, i, frame);
  if (levels_of(type) != call.arguments.size() - 2)
    refuse_template(fmt::format("The template function '{}' names '{}' with {} parts but '{}' needs {}.",
                                call.name, name, call.arguments.size() - 2, type, levels_of(type)));
  return std::string(groups) + group + tail_of_id(type, name);
}

json extension_resource_id(const Expression& call, TemplateFrame& frame) {
  std::string id = text_argument(call, 0, frame);
  const std::string type = without_last_slash(text_argument(call, 1, frame));
  std::string name;
  for (std::size_t i = 2; i < call.arguments.size(); ++i)
    name += (name.empty() ? "" : "/") + text_argument(call, i, frame);
  return id + tail_of_id(type, name);
}

/// "/a/b/../c/" is "/a/c": templates reach an interface from the id of its configuration so.
std::string without_steps_back(const std::string& id) {
  std::vector<std::string_view> kept;
  for (std::size_t at = 0; at < id.size();) {
    const std::size_t end = std::min(id.find('/', at), id.size());
    const std::string_view part = std::string_view(id).substr(at, end - at);
    if (part == ".." && !kept.empty())
      kept.pop_back();
    else if (!part.empty() && part != "..")
      kept.push_back(part);
    at = end + 1;
  }
  std::string made;
  for (const std::string_view part : kept) made += fmt::format("/{}", part);
  return made;
}

/// The id that the first argument of reference() means.
std::string referenced_id(const std::string& name, TemplateFrame& frame) {
  if (name.starts_with('/')) return name.find("/..") == name.npos ? name : without_steps_back(name);
  if (const auto found = frame.scope.symbols.find(name); found != frame.scope.symbols.end())
    return found->second;
  // "Microsoft.Storage/storageAccounts/x": of the same group, whoever made it.
  const auto slashes = std::ranges::count(name, '/');
  const std::size_t dot = name.find('.');
  if (dot != name.npos && dot < name.find('/') && slashes >= 2 && slashes % 2 == 0)
    return fmt::format("/subscriptions/{}/resourceGroups/{}/providers/{}", frame.scope.place.subscription,
                       frame.scope.place.group, name);
  refuse_template(fmt::format("The resource '{}' is not defined in the template.", name));
}

const TemplateRuntime& need_runtime(const Expression& call, TemplateFrame& frame) {
  if (!frame.runtime)
    refuse_template(
        fmt::format("The template function '{}' is not expected at this location. Please see "
                    "https://aka.ms/arm-function-reference for usage details.",
                    call.name));
  return *frame.runtime;
}

json reference(const Expression& call, TemplateFrame& frame) {
  const TemplateRuntime& runtime = need_runtime(call, frame);
  const bool full = call.arguments.size() > 2 && same_name(text_argument(call, 2, frame), "Full");
  return runtime.reference(referenced_id(text_argument(call, 0, frame), frame), full);
}

/// What a template says of one of its resources, whether that is there yet or not: "net", "nets[2]".
json resource_info(const Expression& call, TemplateFrame& frame) {
  const std::string written = text_argument(call, 0, frame);
  const std::size_t bracket = written.find('[');
  const std::string symbol = written.substr(0, bracket);
  TemplateScope& scope = frame.scope;
  const json* resource =
      scope.resources && scope.resources->is_object() ? find_member(*scope.resources, symbol) : nullptr;
  if (!resource)
    refuse_template(fmt::format(
        "The template function 'resourceInfo' needs the symbolic name of a resource, not '{}'.", written));
  TemplateFrame at{.scope = scope};
  if (const json* copy = find_member(*resource, "copy")) {
    std::size_t index = 0;
    const std::string_view digits =
        bracket == written.npos ? std::string_view() : std::string_view(written).substr(bracket + 1);
    const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (problem != std::errc() || std::string_view(end, digits.data() + digits.size()) != "]")
      refuse_template(fmt::format("The resource '{}' has copies: name one, as in '{}[0]'.", symbol, symbol));
    const json* loop = find_member(*copy, "name");
    at.loops.emplace_back(loop && loop->is_string() ? loop->get<std::string>() : symbol, index);
  }
  const auto text = [&](const char* key) {
    const json* member = find_member(*resource, key);
    json value = member ? evaluate(*member, at) : json();
    if (!value.is_string()) value = std::string();
    return value.get<std::string>();
  };
  const std::string name = text("name"), type = text("type"), version = text("apiVersion"),
                    group = text("resourceGroup");
  return {{"id", make_id(scope.place.subscription, group.empty() ? scope.place.group : group, type, name)},
          {"name", name},
          {"type", type},
          {"apiVersion", version.empty() ? scope.api_profile : version}};
}

/// What reference() gives, for each copy of a resource with a symbolic name.
json references(const Expression& call, TemplateFrame& frame) {
  const TemplateRuntime& runtime = need_runtime(call, frame);
  const std::string symbol = text_argument(call, 0, frame);
  bool full = false;
  for (std::size_t i = 1; i < call.arguments.size(); ++i)
    full = full || same_name(text_argument(call, i, frame), "Full");
  const auto copies = frame.scope.collections.find(symbol);
  if (copies == frame.scope.collections.end())
    refuse_template(fmt::format(
        "The template function 'references' needs the symbolic name of a resource with a 'copy', not '{}'.",
        symbol));
  json all = json::array();
  for (const std::string& id : copies->second) {
    all.push_back(runtime.reference(id, full));
    frame.scope.budget->make(all.back());
  }
  return all;
}

json fail_deployment(const Expression& call, TemplateFrame& frame) {
  refuse_template(fmt::format("The template ends the deployment by its function 'fail': {}",
                              text_argument(call, 0, frame)));
}

json providers(const Expression& call, TemplateFrame& frame) {
  const std::string name = text_argument(call, 0, frame);
  if (call.arguments.size() < 2) return {{"namespace", name}, {"resourceTypes", json::array()}};
  return {{"resourceType", text_argument(call, 1, frame)},
          {"locations", json::array()},
          {"apiVersions", {"2022-07-01"}}};
}

json pick_zones(const Expression&, TemplateFrame&) {
  return json::array();
}

/// "West US 2" as "westus2".
std::string squeezed(const std::string& location) {
  std::string name = lower(location);
  std::erase(name, ' ');
  return name;
}

// Zones: the physical "westus2-az1" is the logical "1".

std::string other_zone(const Expression& call, const std::string& location, const std::string& zone,
                       bool to_logical) {
  const std::string prefix = squeezed(location) + "-az";
  const std::string number = !to_logical                       ? zone
                             : lower(zone).starts_with(prefix) ? zone.substr(prefix.size())
                                                               : "";
  if (number != "1" && number != "2" && number != "3")
    refuse_template(
        fmt::format("The template function '{}' does not know the zone '{}' of '{}'. Its zones are '{}1', "
                    "'{}2' and '{}3'.",
                    call.name, zone.substr(0, 100), location.substr(0, 100), to_logical ? prefix : "",
                    to_logical ? prefix : "", to_logical ? prefix : ""));
  return to_logical ? number : prefix + number;
}

json map_zones(const Expression& call, TemplateFrame& frame, bool to_logical) {
  text_argument(call, 0, frame);
  const std::string location = text_argument(call, 1, frame);
  if (!same_name(call.name.substr(call.name.size() - 1), "s"))
    return other_zone(call, location, text_argument(call, 2, frame), to_logical);
  const json zones = evaluate(call.arguments[2], frame);
  if (!zones.is_array())
    refuse_template(
        fmt::format("Argument 3 of the template function '{}' must be an array of zones.", call.name));
  json made = json::array();
  for (const json& zone : zones)
    made.push_back(other_zone(call, location, zone.is_string() ? zone.get<std::string>() : "", to_logical));
  return made;
}
json to_logical_zone(const Expression& call, TemplateFrame& frame) {
  return map_zones(call, frame, true);
}
json to_physical_zone(const Expression& call, TemplateFrame& frame) {
  return map_zones(call, frame, false);
}

json new_guid(const Expression& call, TemplateFrame& frame) {
  if (!frame.in_defaults)
    refuse_template(fmt::format(
        "The template function '{}' is expected in default values of parameters only.", call.name));
  return new_uuid();
}

json utc_now(const Expression& call, TemplateFrame& frame) {
  if (!frame.in_defaults)
    refuse_template(fmt::format(
        "The template function '{}' is expected in default values of parameters only.", call.name));
  const std::string format = call.arguments.empty() ? "yyyyMMddTHHmmssZ" : text_argument(call, 0, frame);
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return format_time(now.time_since_epoch().count(), format);
}

// --- what does not evaluate all of its arguments

json choose(const Expression& call, TemplateFrame& frame) {
  return evaluate(call.arguments[flag_argument(call, 0, frame) ? 1 : 2], frame);
}
json all_of(const Expression& call, TemplateFrame& frame) {
  for (std::size_t i = 0; i < call.arguments.size(); ++i)
    if (!flag_argument(call, i, frame)) return false;
  return true;
}
json any_of(const Expression& call, TemplateFrame& frame) {
  for (std::size_t i = 0; i < call.arguments.size(); ++i)
    if (flag_argument(call, i, frame)) return true;
  return false;
}
json coalesce(const Expression& call, TemplateFrame& frame) {
  for (const Expression& argument : call.arguments)
    if (json value = evaluate(argument, frame); !value.is_null()) return value;
  return nullptr;
}

constexpr ScopedFunction scoped_table[] = {
    {"and", 1, -1, all_of},
    {"coalesce", 1, -1, coalesce},
    {"copyIndex", 0, 2, copy_index},
    {"deployer", 0, 0, deployer},
    {"deployment", 0, 0, deployment},
    {"environment", 0, 0, environment},
    {"fail", 1, 1, fail_deployment},
    {"extensionResourceId", 3, -1, extension_resource_id},
    {"if", 3, 3, choose},
    {"managementGroup", 0, 0, management_group},
    {"managementGroupResourceId", 3, -1, management_group_resource_id},
    {"newGuid", 0, 0, new_guid},
    {"or", 1, -1, any_of},
    {"parameters", 1, 1, nullptr, parameters},
    {"pickZones", 3, 5, pick_zones},
    {"providers", 1, 2, providers},
    {"reference", 1, 3, reference},
    {"references", 1, 3, references},
    {"resourceGroup", 0, 0, resource_group},
    {"resourceInfo", 1, 1, resource_info},
    {"resourceId", 2, -1, resource_id},
    {"subscription", 0, 0, subscription},
    {"subscriptionResourceId", 2, -1, subscription_resource_id},
    {"tenant", 0, 0, tenant},
    {"tenantResourceId", 2, -1, tenant_resource_id},
    {"toLogicalZone", 3, 3, to_logical_zone},
    {"toLogicalZones", 3, 3, to_logical_zone},
    {"toPhysicalZone", 3, 3, to_physical_zone},
    {"toPhysicalZones", 3, 3, to_physical_zone},
    {"utcNow", 0, 1, utc_now},
    {"variables", 1, 1, nullptr, variable},
};

}  // namespace

std::string text_argument(const Expression& call, std::size_t index, TemplateFrame& frame) {
  json holder;
  const json& value = borrow(call.arguments[index], frame, holder);
  if (!value.is_string())
    refuse_template(fmt::format("Argument {} of the template function '{}' must be a string, not {}.",
                                index + 1, call.name, type_in_words(value)));
  frame.scope.budget->spend(value.get_ref<const std::string&>().size());
  return value.get<std::string>();
}

json list_call(const Expression& call, TemplateFrame& frame) {
  const TemplateRuntime& runtime = need_runtime(call, frame);
  const std::string version = call.arguments.size() > 1 ? text_argument(call, 1, frame) : "";
  json listed = runtime.list(call.name, referenced_id(text_argument(call, 0, frame), frame), version);
  if (same_name(call.name, secure_outputs_function)) frame.scope.secrets.add(listed);
  return listed;
}

const ScopedFunction* find_scoped_function(std::string_view name) {
  static const FunctionTable<ScopedFunction> table{scoped_table, lambda_functions()};
  return table.find(name);
}

}  // namespace berth::arm
