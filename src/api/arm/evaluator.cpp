#include "api/arm/evaluator.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "api/arm/document.h"
#include "api/arm/functions.h"
#include "api/arm/ids.h"
#include "base/error.h"
#include "crypto/random.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::size_t most_made = 64 * 1024 * 1024;
constexpr std::size_t most_calls = 500'000;
constexpr int deepest_value = 128;
constexpr std::int64_t most_copies = 800;

/// A rough count of the bytes of a value; refuses one that is nested too deep to be written out safely.
std::size_t weight(const json& value, int depth = 0) {
  if (depth > deepest_value)
    refuse_template(fmt::format("A value is nested deeper than {} levels.", deepest_value));
  if (value.is_string()) return value.get_ref<const std::string&>().size() + 16;
  std::size_t sum = 16;
  if (value.is_array())
    for (const json& item : value) sum += weight(item, depth + 1);
  else if (value.is_object())
    for (const auto& [key, item] : value.items()) sum += key.size() + weight(item, depth + 1);
  return sum;
}

void charge(TemplateScope& scope, const json& value) {
  scope.made += weight(value);
  if (scope.made > most_made) refuse_template("The template's expressions make too much data.");
}

using Arguments = std::vector<json>;

Arguments evaluate_all(const Expression& call, TemplateFrame& frame, std::size_t from = 0) {
  Arguments arguments;
  for (std::size_t i = from; i < call.arguments.size(); ++i)
    arguments.push_back(evaluate(call.arguments[i], frame));
  return arguments;
}

std::string text_argument(const Expression& call, std::size_t index, TemplateFrame& frame) {
  const json value = evaluate(call.arguments[index], frame);
  if (!value.is_string())
    refuse_template(fmt::format("Argument {} of the template function '{}' must be a string, not {}.",
                                index + 1, call.name, type_in_words(value)));
  return value.get<std::string>();
}

bool flag_argument(const Expression& call, std::size_t index, TemplateFrame& frame) {
  const json value = evaluate(call.arguments[index], frame);
  if (!value.is_boolean())
    refuse_template(fmt::format("Argument {} of the template function '{}' must be true or false, not {}.",
                                index + 1, call.name, type_in_words(value)));
  return value.get<bool>();
}

// --- names of the template

json parameters(const Expression& call, TemplateFrame& frame) {
  const std::string name = text_argument(call, 0, frame);
  if (frame.arguments) {
    if (const json* found = find_member(*frame.arguments, name)) return *found;
  } else if (const auto found = frame.scope.parameters.find(name); found != frame.scope.parameters.end()) {
    return found->second;
  }
  refuse_template(fmt::format("The template parameter '{}' is not found.", name));
}

json variable(const Expression& call, TemplateFrame& frame) {
  const std::string name = text_argument(call, 0, frame);
  TemplateScope& scope = frame.scope;
  if (frame.arguments) refuse_template("A function of the template's own cannot see its variables.");
  if (const auto known = scope.known.find(name); known != scope.known.end()) return known->second;
  const json* written = find_member(scope.variables, name);
  if (!written) refuse_template(fmt::format("The template variable '{}' is not found.", name));
  if (!scope.evaluating.insert(lower(name)).second)
    refuse_template(fmt::format(
        "Circular dependency detected between template variables: '{}' depends on itself.", name));
  TemplateFrame inner{.scope = scope};
  try {
    json value = evaluate(*written, inner);
    scope.evaluating.erase(lower(name));
    return scope.known[name] = std::move(value);
  } catch (...) {
    scope.evaluating.erase(lower(name));
    throw;
  }
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
  for (auto at = frame.loops.rbegin(); at != frame.loops.rend(); ++at)
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
  return {{"name", frame.scope.place.name},
          {"properties",
           {{"mode", "Incremental"},
            {"provisioningState", "Accepted"},
            {"template", {{"contentVersion", frame.scope.content_version}}}}}};
}

json environment(const Expression&, TemplateFrame& frame) {
  const std::string& origin = frame.scope.place.origin;
  return {{"name", "Local"},
          {"resourceManager", origin},
          {"authentication",
           {{"loginEndpoint", origin + "/adfs"}, {"audiences", {"https://management.core.windows.net/"}}}},
          {"portal", origin + "/portal"},
          {"graph", origin + "/graph"},
          {"suffixes", {{"storage", "core.local"}, {"keyvaultDns", ".vault.local"}}}};
}

json tenant(const Expression&, TemplateFrame& frame) {
  return {{"tenantId", frame.scope.place.tenant}, {"displayName", "Local"}, {"countryCode", ""}};
}

std::size_t levels_of(std::string_view type) {
  return static_cast<std::size_t>(std::ranges::count(type, '/'));
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
  const std::string& type = texts[type_at];
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

json extension_resource_id(const Expression& call, TemplateFrame& frame) {
  std::string id = text_argument(call, 0, frame);
  const std::string type = text_argument(call, 1, frame);
  std::string name;
  for (std::size_t i = 2; i < call.arguments.size(); ++i)
    name += (name.empty() ? "" : "/") + text_argument(call, i, frame);
  const std::string tail = make_id("x", {}, type, name);
  return id + tail.substr(std::string_view("/subscriptions/x").size());
}

/// The id that the first argument of reference() means.
std::string referenced_id(const std::string& name, TemplateFrame& frame) {
  if (name.starts_with('/')) return name;
  if (const auto found = frame.scope.symbols.find(name); found != frame.scope.symbols.end())
    return found->second;
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

json list_call(const Expression& call, TemplateFrame& frame) {
  return need_runtime(call, frame).list(call.name, referenced_id(text_argument(call, 0, frame), frame));
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

// --- lambdas

json lambda_variable(const Expression& call, TemplateFrame& frame) {
  const std::string name = text_argument(call, 0, frame);
  const auto found = frame.lambda_variables.find(name);
  if (found == frame.lambda_variables.end())
    refuse_template(fmt::format("The lambda variable '{}' is not defined.", name));
  return found->second;
}

/// Applies "lambda('a', 'b', body)" to values.
json apply(const Expression& call, std::size_t index, TemplateFrame& frame, const Arguments& values) {
  const Expression& lambda = call.arguments[index];
  if (lambda.kind != Expression::Kind::call || !same_name(lambda.name, "lambda") || lambda.arguments.empty())
    refuse_template(
        fmt::format("Argument {} of the template function '{}' must be a lambda.", index + 1, call.name));
  const std::size_t names = lambda.arguments.size() - 1;
  if (++frame.scope.calls > most_calls)
    refuse_template(fmt::format("The template calls more than {} functions.", most_calls));
  TemplateFrame inner = frame;
  for (std::size_t i = 0; i < names && i < values.size(); ++i)
    inner.lambda_variables[text_argument(lambda, i, frame)] = values[i];
  return evaluate(lambda.arguments.back(), inner);
}

json list_argument(const Expression& call, TemplateFrame& frame) {
  json list = evaluate(call.arguments[0], frame);
  if (!list.is_array())
    refuse_template(fmt::format("Argument 1 of the template function '{}' must be an array.", call.name));
  return list;
}

json map_items(const Expression& call, TemplateFrame& frame) {
  json made = json::array();
  std::int64_t index = 0;
  for (const json& item : list_argument(call, frame)) made.push_back(apply(call, 1, frame, {item, index++}));
  return made;
}
json filter_items(const Expression& call, TemplateFrame& frame) {
  json made = json::array();
  std::int64_t index = 0;
  for (const json& item : list_argument(call, frame))
    if (apply(call, 1, frame, {item, index++}) == json(true)) made.push_back(item);
  return made;
}
json reduce_items(const Expression& call, TemplateFrame& frame) {
  json result = evaluate(call.arguments[1], frame);
  std::int64_t index = 0;
  for (const json& item : list_argument(call, frame)) result = apply(call, 2, frame, {result, item, index++});
  return result;
}
json sort_items(const Expression& call, TemplateFrame& frame) {
  // Insertion in order: a predicate that contradicts itself must not be able to harm.
  json sorted = json::array();
  for (const json& item : list_argument(call, frame)) {
    auto at = sorted.end();
    while (at != sorted.begin() && apply(call, 1, frame, {item, *std::prev(at)}) == json(true)) --at;
    sorted.insert(at, item);
  }
  return sorted;
}
json to_object(const Expression& call, TemplateFrame& frame) {
  json made = json::object();
  for (const json& item : list_argument(call, frame)) {
    const json key = apply(call, 1, frame, {item});
    if (!key.is_string()) refuse_template("The keys that toObject makes must be strings.");
    made[key.get<std::string>()] = call.arguments.size() > 2 ? apply(call, 2, frame, {item}) : item;
  }
  return made;
}
json group_by(const Expression& call, TemplateFrame& frame) {
  json made = json::object();
  for (const json& item : list_argument(call, frame)) {
    const json key = apply(call, 1, frame, {item});
    if (!key.is_string()) refuse_template("The keys that groupBy makes must be strings.");
    made[key.get<std::string>()].push_back(item);
  }
  return made;
}
json map_values(const Expression& call, TemplateFrame& frame) {
  json object = evaluate(call.arguments[0], frame);
  if (!object.is_object())
    refuse_template("Argument 1 of the template function 'mapValues' must be an object.");
  for (auto& [key, value] : object.items()) value = apply(call, 1, frame, {value});
  return object;
}

struct ScopedFunction {
  std::string_view name;
  int fewest, most;
  json (*run)(const Expression& call, TemplateFrame& frame);
};
constexpr ScopedFunction scoped_functions[] = {
    {"and", 1, -1, all_of},
    {"coalesce", 1, -1, coalesce},
    {"copyIndex", 0, 2, copy_index},
    {"deployment", 0, 0, deployment},
    {"environment", 0, 0, environment},
    {"extensionResourceId", 3, -1, extension_resource_id},
    {"filter", 2, 2, filter_items},
    {"groupBy", 2, 2, group_by},
    {"if", 3, 3, choose},
    {"lambdaVariables", 1, 1, lambda_variable},
    {"map", 2, 2, map_items},
    {"mapValues", 2, 2, map_values},
    {"newGuid", 0, 0, new_guid},
    {"or", 1, -1, any_of},
    {"parameters", 1, 1, parameters},
    {"pickZones", 3, 5, pick_zones},
    {"providers", 1, 2, providers},
    {"reduce", 3, 3, reduce_items},
    {"reference", 1, 3, reference},
    {"resourceGroup", 0, 0, resource_group},
    {"resourceId", 2, -1, resource_id},
    {"sort", 2, 2, sort_items},
    {"subscription", 0, 0, subscription},
    {"subscriptionResourceId", 2, -1, subscription_resource_id},
    {"tenant", 0, 0, tenant},
    {"tenantResourceId", 2, -1, tenant_resource_id},
    {"toObject", 2, 3, to_object},
    {"utcNow", 0, 1, utc_now},
    {"variables", 1, 1, variable},
};

void check_count(const Expression& call, int fewest, int most) {
  const auto count = static_cast<int>(call.arguments.size());
  if (count >= fewest && (most < 0 || count <= most)) return;
  const std::string wanted = most < 0         ? fmt::format("at least {}", fewest)
                             : fewest == most ? std::to_string(most)
                                              : fmt::format("{} to {}", fewest, most);
  refuse_template(
      fmt::format("Unable to evaluate template language function '{}': function requires {} argument(s) "
                  "while {} were provided.",
                  call.name, wanted, count));
}

json call_own(const Expression& call, const json& definition, TemplateFrame& frame) {
  const json* wanted = find_member(definition, "parameters");
  const json* output = find_member(definition, "output");
  const json* value = output ? find_member(*output, "value") : nullptr;
  if (!value) refuse_template(fmt::format("The template's function '{}' has no output.", call.name));
  const std::size_t count = wanted && wanted->is_array() ? wanted->size() : 0;
  check_count(call, static_cast<int>(count), static_cast<int>(count));
  json arguments = json::object();
  for (std::size_t i = 0; i < count; ++i) {
    const json* name = find_member((*wanted)[i], "name");
    if (!name || !name->is_string())
      refuse_template(fmt::format("A parameter of the template's function '{}' has no name.", call.name));
    arguments[name->get<std::string>()] = evaluate(call.arguments[i], frame);
  }
  TemplateFrame inner{.scope = frame.scope, .arguments = &arguments};
  return evaluate(*value, inner);
}

json evaluate_call(const Expression& call, TemplateFrame& frame) {
  if (++frame.scope.calls > most_calls)
    refuse_template(fmt::format("The template calls more than {} functions.", most_calls));
  for (const ScopedFunction& function : scoped_functions)
    if (same_name(function.name, call.name)) {
      check_count(call, function.fewest, function.most);
      return function.run(call, frame);
    }
  if (const TemplateFunction* function = find_template_function(call.name)) {
    check_count(call, function->fewest, function->most);
    Arguments arguments = evaluate_all(call, frame);
    try {
      return function->run(arguments);
    } catch (const Error& error) {
      if (error.code != "InvalidTemplate") throw;
      refuse_template(fmt::format("Unable to evaluate the template language function '{}': {}.", call.name,
                                  error.what()));
    }
  }
  if (const auto own = frame.scope.functions.find(call.name);
      own != frame.scope.functions.end() && !frame.arguments)
    return call_own(call, own->second, frame);
  if (lower(call.name).starts_with("list") && !call.arguments.empty()) return list_call(call, frame);
  refuse_template(fmt::format("The template function '{}' is not valid.", call.name));
}

json evaluate_property(const Expression& expression, TemplateFrame& frame) {
  const json base = evaluate(expression.arguments[0], frame);
  if (!base.is_object())
    refuse_template(fmt::format("The language expression property '{}' can't be evaluated: its base is {}.",
                                expression.name, type_in_words(base)));
  const json* found = find_member(base, expression.name);
  if (found) return *found;
  std::string names;
  for (const auto& [key, value] : base.items()) names += (names.empty() ? "" : ", ") + key;
  refuse_template(
      fmt::format("The language expression property '{}' doesn't exist, available properties are '{}'.",
                  expression.name, names.substr(0, 500)));
}

json evaluate_index(const Expression& expression, TemplateFrame& frame) {
  const json base = evaluate(expression.arguments[0], frame);
  const json index = evaluate(expression.arguments[1], frame);
  if (base.is_object() && index.is_string()) {
    if (const json* found = find_member(base, index.get_ref<const std::string&>())) return *found;
    refuse_template(
        fmt::format("The language expression property '{}' doesn't exist.", index.get<std::string>()));
  }
  if (!base.is_array() || !index.is_number_integer())
    refuse_template(fmt::format("The language expression cannot take the item {} of {}.", dump(index),
                                type_in_words(base)));
  const std::int64_t at = index.get<std::int64_t>();
  if (at < 0 || at >= static_cast<std::int64_t>(base.size()))
    refuse_template(
        fmt::format("The language expression property array index '{}' is out of bounds: there are {} items.",
                    at, base.size()));
  return base[static_cast<std::size_t>(at)];
}

void collect_from(const Expression& expression, TemplateFrame& frame, std::set<std::string>& names) {
  if (expression.kind == Expression::Kind::call && !expression.arguments.empty() &&
      (same_name(expression.name, "reference") || lower(expression.name).starts_with("list"))) {
    try {
      TemplateFrame pure = frame;
      pure.runtime = nullptr;
      const json name = evaluate(expression.arguments[0], pure);
      if (name.is_string()) names.insert(name.get<std::string>());
    } catch (const Error&) {
      // It depends on the region itself, or is wrong: said when it is deployed.
    }
  }
  for (const Expression& argument : expression.arguments) collect_from(argument, frame, names);
}

}  // namespace

void refuse_template(const std::string& why) {
  throw Error(ErrorKind::invalid, "InvalidTemplate", why);
}

json evaluate(const Expression& expression, TemplateFrame& frame) {
  switch (expression.kind) {
    case Expression::Kind::literal:
      return expression.value;
    case Expression::Kind::property:
      return evaluate_property(expression, frame);
    case Expression::Kind::index:
      return evaluate_index(expression, frame);
    case Expression::Kind::call:
      break;
  }
  json made = evaluate_call(expression, frame);
  charge(frame.scope, made);
  return made;
}

json evaluate_text(const std::string& text, TemplateFrame& frame) {
  if (!is_expression(text)) return unescape_literal(text);
  return evaluate(parse_expression(text), frame);
}

json evaluate(const json& value, TemplateFrame& frame) {
  if (value.is_string()) return evaluate_text(value.get_ref<const std::string&>(), frame);
  if (value.is_array()) {
    json made = json::array();
    for (const json& item : value) made.push_back(evaluate(item, frame));
    return made;
  }
  if (!value.is_object()) return value;
  json made = json::object();
  for (const auto& [key, item] : value.items()) {
    if (key == "copy" && item.is_array()) {
      expand_copies(item, frame, made);
      continue;
    }
    const json name = is_expression(key) ? evaluate_text(key, frame) : json(key);
    if (!name.is_string()) refuse_template(fmt::format("The key '{}' is not a string.", key.substr(0, 200)));
    made[name.get<std::string>()] = evaluate(item, frame);
  }
  return made;
}

std::int64_t copy_count(const json& copy, TemplateFrame& frame) {
  const json* written = find_member(copy, "count");
  const json count = written ? evaluate(*written, frame) : json();
  if (!count.is_number_integer() || count.get<std::int64_t>() < 0 || count.get<std::int64_t>() > most_copies)
    refuse_template(
        fmt::format("The copy count must be a number from 0 to {}, not {}.", most_copies, dump(count)));
  return count.get<std::int64_t>();
}

void expand_copies(const json& copies, TemplateFrame& frame, json& target) {
  if (!copies.is_array()) refuse_template("A 'copy' of properties must be an array.");
  for (const json& copy : copies) {
    const json* name = find_member(copy, "name");
    const json* input = find_member(copy, "input");
    if (!name || !name->is_string() || !input)
      refuse_template("A 'copy' of properties needs a name, a count and an input.");
    const std::string loop = name->get<std::string>();
    const std::int64_t count = copy_count(copy, frame);
    json list = json::array();
    for (std::int64_t i = 0; i < count; ++i) {
      TemplateFrame inner = frame;
      inner.loops.emplace_back(loop, i);
      list.push_back(evaluate(*input, inner));
      charge(frame.scope, list.back());
    }
    target[loop] = std::move(list);
  }
}

void collect_references(const json& value, TemplateFrame& frame, std::set<std::string>& names) {
  if (value.is_structured()) {
    for (const json& item : value) collect_references(item, frame, names);
  } else if (value.is_string() && is_expression(value.get_ref<const std::string&>())) {
    const auto& text = value.get_ref<const std::string&>();
    if (lower(text).find("reference") == std::string::npos && lower(text).find("list") == std::string::npos)
      return;
    collect_from(parse_expression(text), frame, names);
  }
}

}  // namespace berth::arm
