#include <fmt/format.h>

#include "api/arm/document.h"
#include "api/arm/scoped_functions.h"

/// Template functions that take a lambda.
namespace berth::arm {
namespace {

using nlohmann::json;

json lambda_variable(const Expression& call, TemplateFrame& frame) {
  const std::string name = text_argument(call, 0, frame);
  const auto found = frame.lambda_variables.find(name);
  if (found == frame.lambda_variables.end())
    refuse_template(fmt::format("The lambda variable '{}' is not defined.", name));
  return found->second;
}

/// Applies "lambda('a', 'b', body)" to values.
json apply(const Expression& call, std::size_t index, TemplateFrame& frame, const std::vector<json>& values) {
  const Expression& lambda = call.arguments[index];
  if (lambda.kind != Expression::Kind::call || !same_name(lambda.name, "lambda") || lambda.arguments.empty())
    refuse_template(
        fmt::format("Argument {} of the template function '{}' must be a lambda.", index + 1, call.name));
  const std::size_t names = lambda.arguments.size() - 1;
  count_call(frame.scope);
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

constexpr ScopedFunction lambda_table[] = {
    {"filter", 2, 2, filter_items},
    {"groupBy", 2, 2, group_by},
    {"lambdaVariables", 1, 1, lambda_variable},
    {"map", 2, 2, map_items},
    {"mapValues", 2, 2, map_values},
    {"reduce", 3, 3, reduce_items},
    {"sort", 2, 2, sort_items},
    {"toObject", 2, 3, to_object},
};

}  // namespace

std::span<const ScopedFunction> lambda_functions() {
  return lambda_table;
}

}  // namespace berth::arm
