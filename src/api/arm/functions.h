#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace berth::arm {

/// A function of the template language whose result depends on its arguments alone. `run` throws
/// Error(invalid, "InvalidTemplate") naming the argument that does not fit.
struct TemplateFunction {
  std::string_view name;
  int fewest = 0;
  int most = 0;  ///< -1: any number
  nlohmann::json (*run)(std::vector<nlohmann::json>& arguments);
};

/// By name without case; nullptr for one that is not here: those that look at the deployment, or do not
/// evaluate all of their arguments, are in scoped_functions.h.
const TemplateFunction* find_template_function(std::string_view name);

/// What string() makes of a value.
std::string template_text(const nlohmann::json& value);
/// UTC by a .NET format string ("yyyyMMddTHHmmssZ", "u", "o", "d"), as utcNow() and dateTimeAdd() take them.
std::string format_time(std::int64_t seconds_since_epoch, std::string_view format);

}  // namespace berth::arm
