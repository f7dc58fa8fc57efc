#include "api/arm/template_functions.h"

#include <fmt/format.h>

#include <charconv>
#include <functional>
#include <limits>

#include "api/arm/document.h"

/// Of numbers, comparison and logic.
namespace berth::arm {
namespace {

using namespace template_functions;
using nlohmann::json;

template <class Better>
json best(Arguments& arguments, Better better) {
  const json list = arguments.size() == 1 && arguments[0].is_array() ? arguments[0] : json(arguments.values);
  if (list.empty()) refuse("it needs at least one number");
  std::int64_t found = whole(list[0], 0);
  for (std::size_t i = 1; i < list.size(); ++i)
    if (better(whole(list[i], i), found)) found = whole(list[i], i);
  return found;
}
json least(Arguments& arguments) {
  return best(arguments, std::less<>());
}
json greatest(Arguments& arguments) {
  return best(arguments, std::greater<>());
}

// --- comparison and logic

json equals(Arguments& arguments) {
  return arguments[0] == arguments[1];
}
template <class Test>
json compare(Arguments& arguments, Test test) {
  if (arguments[0].is_string() && arguments[1].is_string())
    return test(text(arguments, 0).compare(text(arguments, 1)), 0);
  const std::int64_t a = whole(arguments, 0), b = whole(arguments, 1);
  return test(a < b ? -1 : a > b ? 1 : 0, 0);
}
json less(Arguments& arguments) {
  return compare(arguments, std::less<>());
}
json less_or_equals(Arguments& arguments) {
  return compare(arguments, std::less_equal<>());
}
json greater(Arguments& arguments) {
  return compare(arguments, std::greater<>());
}
json greater_or_equals(Arguments& arguments) {
  return compare(arguments, std::greater_equal<>());
}
json negate(Arguments& arguments) {
  return !flag(arguments, 0);
}
json make_true(Arguments&) {
  return true;
}
json make_false(Arguments&) {
  return false;
}
json make_null(Arguments&) {
  return nullptr;
}
json to_bool(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_boolean()) return value;
  if (value.is_number_integer()) return value.get<std::int64_t>() != 0;
  if (value.is_string() && same_name(value.get_ref<const std::string&>(), "true")) return true;
  if (value.is_string() && same_name(value.get_ref<const std::string&>(), "false")) return false;
  refuse("argument 1 must be true, false, or a number");
}

// --- numbers

json calculate(Arguments& arguments, char operation) {
  const std::int64_t a = whole(arguments, 0), b = whole(arguments, 1);
  std::int64_t result = 0;
  bool overflow = false;
  switch (operation) {
    case '+':
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case '-':
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case '*':
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    default:
      if (b == 0) refuse("it divides by zero");
      overflow = a == std::numeric_limits<std::int64_t>::min() && b == -1;
      if (!overflow) result = operation == '/' ? a / b : a % b;
  }
  if (overflow) refuse("the result leaves the integers");
  return result;
}
json add(Arguments& arguments) {
  return calculate(arguments, '+');
}
json subtract(Arguments& arguments) {
  return calculate(arguments, '-');
}
json multiply(Arguments& arguments) {
  return calculate(arguments, '*');
}
json divide(Arguments& arguments) {
  return calculate(arguments, '/');
}
json modulo(Arguments& arguments) {
  return calculate(arguments, '%');
}

json to_int(Arguments& arguments) {
  const json& value = arguments[0];
  if (value.is_number_integer()) return value;
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!(number > -9e18 && number < 9e18)) refuse("argument 1 leaves the integers");
    return static_cast<std::int64_t>(number);
  }
  const std::string& digits = text(arguments, 0);
  std::int64_t number = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (problem != std::errc() || end != digits.data() + digits.size()) refuse("argument 1 is no whole number");
  return number;
}
json to_float(Arguments& arguments) {
  if (arguments[0].is_number()) return arguments[0].get<double>();
  const std::string& digits = text(arguments, 0);
  double number = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (problem != std::errc() || end != digits.data() + digits.size()) refuse("argument 1 is no number");
  return number;
}

constexpr TemplateFunction number_table[] = {
    {"add", 2, 2, add},
    {"bool", 1, 1, to_bool},
    {"div", 2, 2, divide},
    {"equals", 2, 2, equals},
    {"false", 0, 0, make_false},
    {"float", 1, 1, to_float},
    {"greater", 2, 2, greater},
    {"greaterOrEquals", 2, 2, greater_or_equals},
    {"int", 1, 1, to_int},
    {"less", 2, 2, less},
    {"lessOrEquals", 2, 2, less_or_equals},
    {"max", 1, -1, greatest},
    {"min", 1, -1, least},
    {"mod", 2, 2, modulo},
    {"mul", 2, 2, multiply},
    {"not", 1, 1, negate},
    {"null", 0, 0, make_null},
    {"sub", 2, 2, subtract},
    {"true", 0, 0, make_true},
};

}  // namespace

std::span<const TemplateFunction> template_functions::number() {
  return number_table;
}

}  // namespace berth::arm
