#include "cli/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/error.h"

namespace berth {
namespace {

Error wrong(const std::string& what, const std::string& advice = {}) {
  return Error(ErrorKind::invalid, "InvalidParameter", what, advice);
}

std::vector<std::string> split_names(std::string_view names) {
  std::vector<std::string> all;
  while (!names.empty()) {
    const std::size_t comma = names.find(',');
    all.emplace_back(names.substr(0, comma));
    names = comma == std::string_view::npos ? "" : names.substr(comma + 1);
  }
  return all;
}

template <class Number>
void read_number(const std::string& name, const std::string& text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw wrong(fmt::format("{} must be a number, not '{}'", name, text));
}

/// How many letters have to be changed, left out, put in or swapped with their neighbour.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last, last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        now[j] = std::min(now[j], before_last[j - 2] + 1);
    }
    before_last = last;
    last = now;
  }
  return last[b.size()];
}

}  // namespace

CommandLine::Item* CommandLine::Item::required() {
  must = true;
  return this;
}
CommandLine::Item* CommandLine::Item::type_name(std::string name) {
  type = std::move(name);
  return this;
}
CommandLine::Item* CommandLine::Item::hidden() {
  shown = false;
  return this;
}
CommandLine::Item* CommandLine::Item::or_alone(std::string value) {
  has_alone = true;
  alone = std::move(value);
  return this;
}

CommandLine::Item* CommandLine::add(std::string_view names, std::string description,
                                    std::function<void(const std::string&)> set) {
  auto item = std::make_unique<Item>();
  item->names = split_names(names);
  item->description = std::move(description);
  item->argument = !names.starts_with('-');
  if (!item->argument) item->type = "<value>";
  item->set = std::move(set);
  items_.push_back(std::move(item));
  return items_.back().get();
}

CommandLine::Item* CommandLine::add_option(std::string_view names, std::string& value,
                                           std::string description) {
  return add(names, std::move(description), [&value](const std::string& text) { value = text; });
}
CommandLine::Item* CommandLine::add_option(std::string_view names, std::optional<std::string>& value,
                                           std::string description) {
  return add(names, std::move(description), [&value](const std::string& text) { value = text; });
}
CommandLine::Item* CommandLine::add_option(std::string_view names, unsigned& value, std::string description) {
  return add(names, std::move(description),
             [&value, name = split_names(names).back()](const std::string& text) {
               read_number(name, text, value);
             });
}
CommandLine::Item* CommandLine::add_option(std::string_view names, std::size_t& value,
                                           std::string description) {
  return add(names, std::move(description),
             [&value, name = split_names(names).back()](const std::string& text) {
               read_number(name, text, value);
             });
}
CommandLine::Item* CommandLine::add_option(std::string_view names, std::vector<std::string>& values,
                                           std::string description) {
  Item* item =
      add(names, std::move(description), [&values](const std::string& text) { values.push_back(text); });
  item->repeats = true;
  return item;
}
CommandLine::Item* CommandLine::add_option(std::string_view names,
                                           std::function<void(const std::string&)> set,
                                           std::string description) {
  return add(names, std::move(description), std::move(set));
}
CommandLine::Item* CommandLine::add_flag(std::string_view names, bool& value, std::string description) {
  return add_flag(
      names, [&value] { value = true; }, std::move(description));
}
CommandLine::Item* CommandLine::add_flag(std::string_view names, std::function<void()> set,
                                         std::string description) {
  Item* item = add(names, std::move(description), [set = std::move(set)](const std::string&) { set(); });
  item->type.clear();
  item->repeats = true;
  return item;
}
CommandLine::Item* CommandLine::add_group(std::string& value) {
  return add_option("-g,--resource-group", value, "Resource group, if the name is in several")
      ->type_name("<group>");
}

CommandLine::Item* CommandLine::find(std::string_view name) const {
  for (const auto& item : items_)
    if (!item->argument && std::ranges::find(item->names, name) != item->names.end()) return item.get();
  return nullptr;
}

Error CommandLine::unknown(const std::string& name) const {
  std::vector<std::string> known{"--json", "--verbose", "--help"};
  for (const auto& item : items_)
    if (!item->argument && item->shown) known.insert(known.end(), item->names.begin(), item->names.end());
  std::erase_if(known, [](const std::string& candidate) { return !candidate.starts_with("--"); });
  const std::string near = name.starts_with("--") ? neighbour_of(name, known) : std::string();
  return wrong(fmt::format("unknown option `{}'", name),
               near.empty() ? "" : fmt::format("Did you mean {}?", near));
}

void CommandLine::read_option(const std::vector<std::string>& arguments, std::size_t& at) {
  const std::string& text = arguments[at];
  const std::size_t equals = text.find('=');
  std::string name = text.substr(0, equals);
  std::optional<std::string> value;
  if (equals != std::string::npos) value = text.substr(equals + 1);
  Item* item = find(name);
  if (item == nullptr && !text.starts_with("--")) {  // "-p5555", or flags together: "-qb"
    name = text.substr(0, 2);
    item = find(name);
    if (item != nullptr && text.size() > 2) value = text.substr(text[2] == '=' ? 3 : 2);
  }
  if (item == nullptr) throw unknown(name);
  if (item->type.empty()) {
    item->set({});
    if (!value) return;
    if (text.starts_with("--") || equals != std::string::npos)
      throw wrong(fmt::format("{} takes no value", name));
    for (const char letter : *value) {
      Item* next = find(std::string("-") + letter);
      if (next == nullptr) throw unknown(std::string("-") + letter);
      if (!next->type.empty()) throw wrong(fmt::format("-{} needs a value: give it by itself", letter));
      next->set({});
    }
    return;
  }
  if (std::exchange(item->given, true) && !item->repeats) throw wrong(fmt::format("{} is given twice", name));
  if (!value) {
    const bool last = at + 1 == arguments.size();
    const std::string following = last ? "" : arguments[at + 1];
    const bool option_follows = following.size() > 1 && following[0] == '-';
    if (item->has_alone && (last || option_follows)) return item->set(item->alone);
    const bool known_follows = option_follows && (find(following) != nullptr || following == "--");
    if (last || known_follows) throw wrong(fmt::format("{} needs a value: {} {}", name, name, item->type));
    value = arguments[++at];
  }
  item->set(*value);
}

void CommandLine::read_argument(const std::string& text) {
  for (const auto& item : items_) {
    if (!item->argument || (item->given && !item->repeats)) continue;
    item->given = true;
    return item->set(text);
  }
  throw wrong("there is an argument too many");
}

void CommandLine::parse(const std::vector<std::string>& arguments) {
  for (const auto& item : items_) item->given = false;
  bool literal = false;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string& text = arguments[at];
    if (literal)
      read_argument(text);
    else if (text == "--")
      literal = true;
    else if (text.size() > 1 && text[0] == '-')
      read_option(arguments, at);
    else
      read_argument(text);
  }
  for (const auto& item : items_)
    if (item->must && !item->given)
      throw wrong(fmt::format("missing required argument `{}'", item->names.front()));
}

std::string CommandLine::usage() const {
  std::string text;
  for (const auto& item : items_)
    if (item->argument)
      text += fmt::format(fmt::runtime(item->must ? "{}<{}>{}" : "{}[{}{}]"), text.empty() ? "" : " ",
                          item->names.front(), item->repeats ? "…" : "");
  return text;
}

std::string neighbour_of(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t least = word.size() / 3 + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t far = distance(word, candidate);
    if (far > 0 && far < least) {
      least = far;
      best = candidate;
    }
  }
  return best;
}

}  // namespace berth
