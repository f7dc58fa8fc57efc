#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "api/arm/functions.h"

/// What the families of template functions share. Nobody but them and functions.cpp includes this.
namespace berth::arm::template_functions {

constexpr std::size_t longest_text = 1024 * 1024;
constexpr std::int64_t most_items = 10'000;

/// One table for each file NAME_functions.cpp.
std::span<const TemplateFunction> collection();
std::span<const TemplateFunction> number();
std::span<const TemplateFunction> text();
std::span<const TemplateFunction> date();
std::span<const TemplateFunction> cidr();

[[noreturn]] void refuse(const std::string& why);
// These refuse an argument of another type, by its number.
const std::string& text(const Arguments& arguments, std::size_t index);
std::int64_t whole(const nlohmann::json& value, std::size_t index);
std::int64_t whole(const Arguments& arguments, std::size_t index);
const nlohmann::json& array(const Arguments& arguments, std::size_t index);
bool flag(const Arguments& arguments, std::size_t index);
/// Where `wanted` first stands in `text` from `at` on; npos if nowhere. In time that grows with their sum,
/// whatever they hold.
std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t at = 0);
/// Refuses text beyond `longest_text`.
nlohmann::json checked(std::string value);

}  // namespace berth::arm::template_functions
