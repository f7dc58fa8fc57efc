#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "api/arm/budget.h"
#include "model/names.h"

namespace berth::arm {

/// What a function is called with, and the budget for work that is more than in proportion to it: the
/// arguments themselves and the result are counted by the evaluator.
struct Arguments {
  std::vector<nlohmann::json> values;
  Budget& budget;

  std::size_t size() const { return values.size(); }
  bool empty() const { return values.empty(); }
  nlohmann::json& operator[](std::size_t index) { return values[index]; }
  const nlohmann::json& operator[](std::size_t index) const { return values[index]; }
  auto begin() const { return values.begin(); }
  auto end() const { return values.end(); }
};

/// A function of the template language whose result depends on its arguments alone. `run` throws
/// Error(invalid, "InvalidTemplate") naming the argument that does not fit.
struct TemplateFunction {
  std::string_view name;
  int fewest = 0;
  int most = 0;  ///< -1: any number
  nlohmann::json (*run)(Arguments& arguments);
};

/// Functions by name without case.
template <class Function>
class FunctionTable {
 public:
  FunctionTable(std::initializer_list<std::span<const Function>> families) {
    for (const auto& family : families)
      for (const Function& function : family) by_name_[lower(function.name)] = &function;
  }
  /// nullptr when there is none.
  const Function* find(std::string_view name) const {
    const auto found = by_name_.find(lower(name));
    return found == by_name_.end() ? nullptr : found->second;
  }

 private:
  std::unordered_map<std::string, const Function*> by_name_;
};

/// By name without case; nullptr for one that is not here: those that look at the deployment, or do not
/// evaluate all of their arguments, are in scoped_functions.h.
const TemplateFunction* find_template_function(std::string_view name);

/// What string() makes of a value.
std::string template_text(const nlohmann::json& value);
/// UTC by a .NET format string ("yyyyMMddTHHmmssZ", "u", "o", "d"), as utcNow() and dateTimeAdd() take them.
std::string format_time(std::int64_t seconds_since_epoch, std::string_view format);

}  // namespace berth::arm
