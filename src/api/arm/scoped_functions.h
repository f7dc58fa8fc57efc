#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "api/arm/evaluator.h"

/// What the files of scoped functions share with the evaluator. Nobody else includes this.
namespace berth::arm {

/// A template function that sees where it stands: it evaluates its arguments itself. Throws Error(invalid,
/// "InvalidTemplate").
struct ScopedFunction {
  std::string_view name;
  int fewest, most;  ///< arguments; most -1: any number
  nlohmann::json (*run)(const Expression& call, TemplateFrame& frame);
  /// Instead of `run`, for those that only look something up: it lives as long as the scope and the frame.
  const nlohmann::json& (*look)(const Expression& call, TemplateFrame& frame) = nullptr;
};

/// By name without case; nullptr for one that is not here.
const ScopedFunction* find_scoped_function(std::string_view name);
/// Those that take a lambda.
std::span<const ScopedFunction> lambda_functions();
/// The one of them that gives the secure outputs of a nested deployment.
inline constexpr std::string_view secure_outputs_function = "listOutputsWithSecureValues";

/// listKeys() and its like, whose names are not known beforehand.
nlohmann::json list_call(const Expression& call, TemplateFrame& frame);

/// Argument `index`, evaluated; refused unless it is a text.
std::string text_argument(const Expression& call, std::size_t index, TemplateFrame& frame);

}  // namespace berth::arm
