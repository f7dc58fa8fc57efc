#include "api/arm/expression.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"

namespace berth::arm {
namespace {

constexpr std::size_t longest_expression = 24'576;
constexpr int deepest = 64;

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), end_(text.size() - 1) {}

  Expression run() {
    at_ = 1;
    Expression found = expression(0);
    skip_blanks();
    if (at_ != end_) refuse("the end of the expression");
    return found;
  }

 private:
  [[noreturn]] void refuse(std::string_view wanted) const {
    throw Error(ErrorKind::invalid, "InvalidTemplate",
                fmt::format("Unable to parse language expression: expected {} at position {} of '{}'.",
                            wanted, at_, text_.substr(0, 200)));
  }

  char peek() const { return at_ < end_ ? text_[at_] : '\0'; }
  void skip_blanks() {
    while (at_ < end_ &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
      ++at_;
  }
  void expect(char c) {
    skip_blanks();
    if (peek() != c) refuse(fmt::format("'{}'", c));
    ++at_;
  }

  std::string word() {
    const std::size_t begin = at_;
    while (at_ < end_ && (is_letter(text_[at_]) || is_digit(text_[at_]))) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  Expression expression(int depth) {
    if (depth > deepest) refuse(fmt::format("at most {} levels", deepest));
    skip_blanks();
    Expression found = primary(depth);
    for (int postfixes = 0;; ++postfixes) {
      if (postfixes > deepest) refuse(fmt::format("at most {} properties", deepest));
      skip_blanks();
      if (peek() == '.') {
        ++at_;
        skip_blanks();
        if (!is_letter(peek())) refuse("a property name");
        found = wrap(Expression::Kind::property, word(), std::move(found));
      } else if (peek() == '[') {
        ++at_;
        Expression inner = expression(depth + 1);
        expect(']');
        found = wrap(Expression::Kind::index, {}, std::move(found));
        found.arguments.push_back(std::move(inner));
      } else {
        return found;
      }
    }
  }

  static Expression wrap(Expression::Kind kind, std::string name, Expression inner) {
    Expression outer;
    outer.kind = kind;
    outer.name = std::move(name);
    outer.arguments.push_back(std::move(inner));
    return outer;
  }

  Expression primary(int depth) {
    if (peek() == '\'') return text_literal();
    if (is_digit(peek()) || peek() == '-' || peek() == '+') return number();
    if (is_letter(peek())) return call(depth);
    refuse("a function, a 'string' or a number");
  }

  Expression text_literal() {
    std::string value;
    for (++at_;; ++at_) {
      if (at_ >= end_) refuse("a closing quote");
      if (text_[at_] == '\'') {
        if (at_ + 1 < end_ && text_[at_ + 1] == '\'')
          ++at_;
        else
          break;
      }
      value += text_[at_];
    }
    ++at_;
    Expression found;
    found.value = std::move(value);
    return found;
  }

  Expression number() {
    const std::size_t begin = peek() == '+' ? at_ + 1 : at_;
    ++at_;
    while (is_digit(peek())) ++at_;
    const bool fraction = peek() == '.' && at_ + 1 < end_ && is_digit(text_[at_ + 1]);
    Expression found;
    if (fraction) {
      ++at_;
      while (is_digit(peek())) ++at_;
      double value = 0;
      if (std::from_chars(text_.data() + begin, text_.data() + at_, value).ec != std::errc())
        refuse("a smaller number");
      found.value = value;
      return found;
    }
    std::int64_t value = 0;
    const auto [end, problem] = std::from_chars(text_.data() + begin, text_.data() + at_, value);
    if (problem != std::errc() || end != text_.data() + at_) refuse("a whole number");
    found.value = value;
    return found;
  }

  Expression call(int depth) {
    Expression found;
    found.kind = Expression::Kind::call;
    found.name = word();
    skip_blanks();
    if (peek() == '.') {  // a function of the template's own: namespace.name(…)
      ++at_;
      skip_blanks();
      if (!is_letter(peek())) refuse("a function name");
      found.name += "." + word();
    }
    expect('(');
    skip_blanks();
    if (peek() == ')') {
      ++at_;
      return found;
    }
    while (true) {
      found.arguments.push_back(expression(depth + 1));
      skip_blanks();
      if (peek() != ',') break;
      ++at_;
    }
    expect(')');
    return found;
  }

  std::string_view text_;
  std::size_t end_;  ///< where the closing bracket stands
  std::size_t at_ = 0;
};

}  // namespace

bool is_expression(std::string_view text) {
  return text.size() >= 2 && text.front() == '[' && text.back() == ']' && text[1] != '[';
}

std::string unescape_literal(std::string_view text) {
  if (text.size() >= 2 && text[0] == '[' && text[1] == '[' && text.back() == ']') text.remove_prefix(1);
  return std::string(text);
}

Expression parse_expression(std::string_view text) {
  if (text.size() > longest_expression)
    throw Error(ErrorKind::invalid, "InvalidTemplate",
                fmt::format("A language expression has {} characters; {} are allowed.", text.size(),
                            longest_expression));
  if (!is_expression(text))
    throw Error(ErrorKind::invalid, "InvalidTemplate", "This is no language expression.");
  return Parser(text).run();
}

}  // namespace berth::arm
