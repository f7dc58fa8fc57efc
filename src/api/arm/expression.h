#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace berth::arm {

/// One parsed expression of the template language: "concat('a', parameters('b').c[0])".
struct Expression {
  enum class Kind {
    literal,   ///< value
    call,      ///< name (as written; "ns.name" for the template's own functions) and its arguments
    property,  ///< arguments[0] . name
    index,     ///< arguments[0] [ arguments[1] ]
  };
  Kind kind = Kind::literal;
  nlohmann::json value;
  std::string name;
  std::vector<Expression> arguments;
};

/// A string of a template is an expression when it begins with '[' and ends with ']', unless it begins with
/// "[[": then it stands for itself without the first bracket.
bool is_expression(std::string_view text);
/// What such a string that is no expression means.
std::string unescape_literal(std::string_view text);

/// Parses the whole string, brackets included. Throws Error(invalid, "InvalidTemplate") naming the column.
/// Nesting is limited to 64, length to 24,576 characters, as in Azure.
Expression parse_expression(std::string_view text);

}  // namespace berth::arm
