#include <fmt/format.h>

#include <algorithm>

#include "api/arm/document.h"
#include "api/arm/scoped_functions.h"

/// Template functions that take a lambda.
namespace berth::arm {
namespace {

using nlohmann::json;

const json& lambda_variable(const Expression& call, TemplateFrame& frame) {
  const std::string name = text_argument(call, 0, frame);
  for (const LambdaVariables* around = frame.lambda; around; around = around->outer)
    if (const auto found = around->own.find(name); found != around->own.end()) return *found->second;
  refuse_template(fmt::format("The lambda variable '{}' is not defined.", name));
}

/// Applies "lambda('a', 'b', body)" to values.
json apply(const Expression& call, std::size_t index, TemplateFrame& frame,
           std::initializer_list<const json*> values) {
  const Expression& lambda = call.arguments[index];
  if (lambda.kind != Expression::Kind::call || !same_name(lambda.name, "lambda") || lambda.arguments.empty())
    refuse_template(
        fmt::format("Argument {} of the template function '{}' must be a lambda.", index + 1, call.name));
  frame.scope.budget->call();
  LambdaVariables variables{.own = {}, .outer = frame.lambda};
  const std::size_t names = lambda.arguments.size() - 1;
  for (std::size_t i = 0; i < names && i < values.size(); ++i)
    variables.own[text_argument(lambda, i, frame)] = values.begin()[i];
  TemplateFrame inner = frame;
  inner.lambda = &variables;
  return evaluate(lambda.arguments.back(), inner);
}

const json& list_argument(const Expression& call, TemplateFrame& frame, json& holder) {
  const json& list = borrow(call.arguments[0], frame, holder);
  if (!list.is_array())
    refuse_template(fmt::format("Argument 1 of the template function '{}' must be an array.", call.name));
  return list;
}

json map_items(const Expression& call, TemplateFrame& frame) {
  json kept, made = json::array(), index = 0;
  for (const json& item : list_argument(call, frame, kept)) {
    made.push_back(apply(call, 1, frame, {&item, &index}));
    index = index.get<std::int64_t>() + 1;
  }
  return made;
}
json filter_items(const Expression& call, TemplateFrame& frame) {
  json kept, made = json::array(), index = 0;
  for (const json& item : list_argument(call, frame, kept)) {
    if (apply(call, 1, frame, {&item, &index}) == json(true)) made.push_back(item);
    index = index.get<std::int64_t>() + 1;
  }
  return made;
}
json reduce_items(const Expression& call, TemplateFrame& frame) {
  json kept, result = evaluate(call.arguments[1], frame), index = 0;
  for (const json& item : list_argument(call, frame, kept)) {
    json next = apply(call, 2, frame, {&result, &item, &index});
    result = std::move(next);
    index = index.get<std::int64_t>() + 1;
  }
  return result;
}

/// By merging: a predicate that contradicts itself does no harm. What is equal keeps its order.
json sort_items(const Expression& call, TemplateFrame& frame) {
  json kept;
  const json& list = list_argument(call, frame, kept);
  std::vector<const json*> sorted, merged;
  for (const json& item : list) sorted.push_back(&item);
  const auto goes_before = [&](const json* a, const json* b) {
    return apply(call, 1, frame, {a, b}) == json(true);
  };
  for (std::size_t run = 1; run < sorted.size(); run *= 2) {
    merged.clear();
    for (std::size_t begin = 0; begin < sorted.size(); begin += 2 * run) {
      const std::size_t middle = std::min(begin + run, sorted.size()),
                        end = std::min(middle + run, sorted.size());
      for (std::size_t left = begin, right = middle; left < middle || right < end;) {
        const bool takes_right = left == middle || (right < end && goes_before(sorted[right], sorted[left]));
        merged.push_back(sorted[takes_right ? right++ : left++]);
      }
    }
    sorted.swap(merged);
  }
  json made = json::array();
  for (const json* item : sorted) made.push_back(*item);
  return made;
}
json to_object(const Expression& call, TemplateFrame& frame) {
  json kept, made = json::object();
  for (const json& item : list_argument(call, frame, kept)) {
    const json key = apply(call, 1, frame, {&item});
    if (!key.is_string()) refuse_template("The keys that toObject makes must be strings.");
    made[key.get<std::string>()] = call.arguments.size() > 2 ? apply(call, 2, frame, {&item}) : item;
  }
  return made;
}
json group_by(const Expression& call, TemplateFrame& frame) {
  json kept, made = json::object();
  for (const json& item : list_argument(call, frame, kept)) {
    const json key = apply(call, 1, frame, {&item});
    if (!key.is_string()) refuse_template("The keys that groupBy makes must be strings.");
    made[key.get<std::string>()].push_back(item);
  }
  return made;
}
json map_values(const Expression& call, TemplateFrame& frame) {
  json object = evaluate(call.arguments[0], frame);
  if (!object.is_object())
    refuse_template("Argument 1 of the template function 'mapValues' must be an object.");
  for (auto& [key, value] : object.items()) {
    json made = apply(call, 1, frame, {&value});
    value = std::move(made);
  }
  return object;
}

constexpr ScopedFunction lambda_table[] = {
    {"filter", 2, 2, filter_items},
    {"groupBy", 2, 2, group_by},
    {"lambdaVariables", 1, 1, nullptr, lambda_variable},
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
