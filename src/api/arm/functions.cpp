#include "api/arm/functions.h"

#include <fmt/format.h>

#include <cstring>

#include "api/arm/document.h"
#include "api/arm/ids.h"
#include "api/arm/template_functions.h"
#include "base/error.h"

namespace berth::arm {

using nlohmann::json;

namespace template_functions {

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ErrorKind::invalid, "InvalidTemplate", why);
}

const std::string& text(const Arguments& arguments, std::size_t index) {
  if (!arguments[index].is_string())
    refuse(fmt::format("argument {} must be a string, not {}", index + 1, type_in_words(arguments[index])));
  return arguments[index].get_ref<const std::string&>();
}

std::int64_t whole(const json& value, std::size_t index) {
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX))
    refuse(fmt::format("argument {} must be an integer, not {}", index + 1, type_in_words(value)));
  return value.get<std::int64_t>();
}
std::int64_t whole(const Arguments& arguments, std::size_t index) {
  return whole(arguments[index], index);
}

const json& array(const Arguments& arguments, std::size_t index) {
  if (!arguments[index].is_array())
    refuse(fmt::format("argument {} must be an array, not {}", index + 1, type_in_words(arguments[index])));
  return arguments[index];
}

bool flag(const Arguments& arguments, std::size_t index) {
  if (!arguments[index].is_boolean())
    refuse(
        fmt::format("argument {} must be true or false, not {}", index + 1, type_in_words(arguments[index])));
  return arguments[index].get<bool>();
}

std::size_t find_text(std::string_view text, std::string_view wanted, std::size_t at) {
  if (at > text.size()) return std::string_view::npos;
  const void* found = ::memmem(text.data() + at, text.size() - at, wanted.data(), wanted.size());
  return found ? static_cast<std::size_t>(static_cast<const char*>(found) - text.data())
               : std::string_view::npos;
}

json checked(std::string value) {
  if (value.size() > longest_text) refuse(fmt::format("the text grows beyond {} characters", longest_text));
  return value;
}

}  // namespace template_functions

const TemplateFunction* find_template_function(std::string_view name) {
  using namespace template_functions;
  static const FunctionTable<TemplateFunction> table{collection(), number(), text(), date(), cidr()};
  return table.find(name);
}

std::string template_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_null()) return "";
  return dump(value);
}

}  // namespace berth::arm
