#include "api/arm/evaluator.h"

#include <fmt/format.h>

#include "api/arm/document.h"
#include "api/arm/functions.h"
#include "api/arm/scoped_functions.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;

constexpr std::int64_t most_copies = 800;

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
  if (const TemplateFunction* function = find_template_function(call.name)) {
    check_count(call, function->fewest, function->most);
    Arguments arguments{evaluate_all(call, frame), *frame.scope.budget};
    try {
      return function->run(arguments);
    } catch (const Error& error) {
      if (error.code != "InvalidTemplate" || !error.advice.empty()) throw;
      refuse_template(fmt::format("Unable to evaluate the template language function '{}': {}.", call.name,
                                  error.what()));
    }
  }
  if (const auto own = frame.scope.functions.find(call.name); own != frame.scope.functions.end())
    return call_own(call, own->second, frame);
  if (lower(call.name).starts_with("list") && !call.arguments.empty()) return list_call(call, frame);
  refuse_template(fmt::format("The template function '{}' is not valid.", call.name));
}

const json& borrow_call(const Expression& call, TemplateFrame& frame, json& holder) {
  frame.scope.budget->call();
  const Budget::Level level(*frame.scope.budget);
  if (const ScopedFunction* function = find_scoped_function(call.name)) {
    check_count(call, function->fewest, function->most);
    if (function->look) return function->look(call, frame);
    holder = function->run(call, frame);
  } else {
    holder = evaluate_call(call, frame);
  }
  frame.scope.budget->make(holder);
  return holder;
}

/// The member of an object by its name without case. nullptr when there is none.
const json* member_of(const json& object, const std::string& name, TemplateFrame& frame) {
  if (const auto exact = object.find(name); exact != object.end()) return &*exact;
  frame.scope.budget->spend(16 * object.size());
  return find_member(object, name);
}

const json& property_of(const Expression& expression, const json& base, TemplateFrame& frame) {
  if (!base.is_object())
    refuse_template(fmt::format("The language expression property '{}' can't be evaluated: its base is {}.",
                                expression.name, type_in_words(base)));
  if (const json* found = member_of(base, expression.name, frame)) return *found;
  std::string names;
  for (const auto& [key, value] : base.items()) {
    names += (names.empty() ? "" : ", ") + key;
    if (names.size() > 500) break;
  }
  refuse_template(
      fmt::format("The language expression property '{}' doesn't exist, available properties are '{}'.",
                  expression.name, names.substr(0, 500)));
}

const json& item_of(const Expression& expression, const json& base, TemplateFrame& frame) {
  json kept;
  const json& index = borrow(expression.arguments[1], frame, kept);
  if (base.is_object() && index.is_string()) {
    if (const json* found = member_of(base, index.get_ref<const std::string&>(), frame)) return *found;
    refuse_template(
        fmt::format("The language expression property '{}' doesn't exist.", index.get<std::string>()));
  }
  if (!base.is_array() || !index.is_number_integer())
    refuse_template(fmt::format("The language expression cannot take the item {} of {}.",
                                dump(index).substr(0, 500), type_in_words(base)));
  const std::int64_t at = index.get<std::int64_t>();
  if (at < 0 || at >= static_cast<std::int64_t>(base.size()))
    refuse_template(
        fmt::format("The language expression property array index '{}' is out of bounds: there are {} items.",
                    at, base.size()));
  return base[static_cast<std::size_t>(at)];
}

void check_calls(const Expression& expression, TemplateScope& scope) {
  if (expression.kind == Expression::Kind::call) {
    scope.budget->call();
    if (const ScopedFunction* scoped = find_scoped_function(expression.name))
      check_count(expression, scoped->fewest, scoped->most);
    else if (const TemplateFunction* function = find_template_function(expression.name))
      check_count(expression, function->fewest, function->most);
    else if (!scope.functions.contains(expression.name) && !same_name(expression.name, "lambda") &&
             (!lower(expression.name).starts_with("list") || expression.arguments.empty()))
      refuse_template(fmt::format("The template function '{}' is not valid.", expression.name));
  }
  for (const Expression& argument : expression.arguments) check_calls(argument, scope);
}

void collect_from(const Expression& expression, TemplateFrame& frame, std::set<std::string>& names) {
  if (expression.kind == Expression::Kind::call && !expression.arguments.empty() &&
      (same_name(expression.name, "reference") || same_name(expression.name, "references") ||
       lower(expression.name).starts_with("list"))) {
    try {
      TemplateFrame pure{.scope = frame.scope, .loops = frame.loops};
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

std::vector<json> evaluate_all(const Expression& call, TemplateFrame& frame) {
  std::vector<json> arguments;
  arguments.reserve(call.arguments.size());
  for (const Expression& argument : call.arguments) arguments.push_back(evaluate(argument, frame));
  return arguments;
}

const json& borrow(const Expression& expression, TemplateFrame& frame, json& holder) {
  if (expression.kind == Expression::Kind::literal) return expression.value;
  if (expression.kind == Expression::Kind::call) return borrow_call(expression, frame, holder);
  json kept;
  const json& base = borrow(expression.arguments[0], frame, kept);
  const json& found = expression.kind == Expression::Kind::property ? property_of(expression, base, frame)
                                                                    : item_of(expression, base, frame);
  if (&base != &kept) return found;
  json taken = found;  // a part of what goes away
  return holder = std::move(taken);
}

json evaluate(const Expression& expression, TemplateFrame& frame) {
  json holder;
  const json& value = borrow(expression, frame, holder);
  if (&value == &holder) return holder;
  frame.scope.budget->make(value);
  return value;
}

json evaluate_text(const std::string& text, TemplateFrame& frame) {
  frame.scope.budget->make(64 + text.size());
  if (!is_expression(text)) return unescape_literal(text);
  return evaluate(parse_expression(text), frame);
}

json evaluate(const json& value, TemplateFrame& frame) {
  if (value.is_string()) return evaluate_text(value.get_ref<const std::string&>(), frame);
  constexpr std::size_t around = 96;  // bytes, about, beside the values themselves
  frame.scope.budget->make(around + around * (value.is_object() ? value.size() : 0));
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

void expand_copies(const json& copies, TemplateFrame& frame, json& target, bool of_output) {
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
      if (!of_output) ++inner.property_loops;
      list.push_back(evaluate(*input, inner));
    }
    target[loop] = std::move(list);
  }
}

void check_functions(TemplateScope& scope, const json& value) {
  scope.budget->spend(16 + (value.is_string() ? value.get_ref<const std::string&>().size() : 0));
  if (value.is_object()) {
    for (const auto& [key, item] : value.items())
      if (!same_name(key, "template") || !item.is_object() || !find_member(item, "resources"))
        check_functions(scope, item);
  } else if (value.is_array()) {
    for (const json& item : value) check_functions(scope, item);
  } else if (value.is_string() && is_expression(value.get_ref<const std::string&>())) {
    check_calls(parse_expression(value.get_ref<const std::string&>()), scope);
  }
}

void collect_references(const json& value, TemplateFrame& frame, std::set<std::string>& names) {
  frame.scope.budget->spend(16 + (value.is_string() ? value.get_ref<const std::string&>().size() : 0));
  if (value.is_structured()) {
    for (const json& item : value) collect_references(item, frame, names);
  } else if (value.is_string() && is_expression(value.get_ref<const std::string&>())) {
    const auto& text = value.get_ref<const std::string&>();
    const std::string small = lower(text);
    if (small.find("reference") == std::string::npos && small.find("list") == std::string::npos) return;
    collect_from(parse_expression(text), frame, names);
  }
}

}  // namespace berth::arm
