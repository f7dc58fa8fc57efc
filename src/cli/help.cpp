#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "cli/session.h"

namespace berth {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

void print_rows(Output& out, const Rows& rows) {
  std::size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  for (const auto& [left, right] : rows) out.help(fmt::format("  {:<{}}  {}", left, width, right));
}

Rows option_rows(const CommandLine& line) {
  Rows rows;
  for (const auto& item : line.items())
    if (!item->argument && item->shown) rows.emplace_back(option_names(*item), item->description);
  for (const CommonOption& option : common_options) rows.emplace_back(option.names, option.description);
  return rows;
}

Rows argument_rows(const CommandLine& line) {
  Rows rows;
  for (const auto& item : line.items())
    if (item->argument && item->shown) rows.emplace_back(item->names.front(), item->description);
  return rows;
}

std::string usage_of(const CommandLine& line, std::string_view name) {
  const std::string arguments = line.usage();
  return fmt::format("azure {} [options]{}{}", name, arguments.empty() ? "" : " ", arguments);
}

// --- the manual page

/// Text that man takes as it stands.
std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\' || c == '-') result += '\\';
    if (c == '.' && (result.empty() || result.back() == '\n')) result += "\\&";
    if (c == '\'' && (result.empty() || result.back() == '\n')) result += "\\&";
    result += c;
    if (c == '\\') result.back() = 'e';
  }
  return result;
}

void add_rows(std::string& page, const Rows& rows) {
  for (const auto& [left, right] : rows)
    page += fmt::format(".TP\n.B {}\n{}\n", escaped(left), escaped(right));
}

}  // namespace

std::string option_names(const CommandLine::Item& item) {
  std::string names;
  for (const std::string& name : item.names) names += (names.empty() ? "" : ", ") + name;
  return item.type.empty() ? names : names + " " + item.type;
}

void print_command_help(Output& out, const CommandLine& line, const Command& command) {
  out.help(command.summary);
  out.help("");
  out.help("Usage: " + usage_of(line, command.name));
  if (const Rows arguments = argument_rows(line); !arguments.empty()) {
    out.help("");
    out.help("Arguments:");
    print_rows(out, arguments);
  }
  out.help("");
  out.help("Options:");
  print_rows(out, option_rows(line));
}

bool is_group(const std::vector<std::string>& words) {
  return std::ranges::any_of(command_groups(),
                             [&](const CommandGroup& group) { return words_of(group.name) == words; });
}

void print_group_help(Output& out, const std::vector<std::string>& words) {
  const std::size_t depth = words.size();
  std::string prefix;
  for (const std::string& word : words) prefix += word + " ";
  Rows groups, commands;
  for (const CommandGroup& group : command_groups())
    if (group.name.starts_with(prefix) && words_of(group.name).size() == depth + 1)
      groups.emplace_back(words_of(group.name).back(), group.summary);
  for (const Command& command : all_commands())
    if (command.name.starts_with(prefix) && words_of(command.name).size() == depth + 1)
      commands.emplace_back(command.name, command.summary);
  for (const CommandGroup& group : command_groups())
    if (std::string(group.name) + " " == prefix) {
      out.help(group.summary);
      out.help("");
    }
  if (!commands.empty()) {
    out.help("Commands:");
    print_rows(out, commands);
  }
  if (!groups.empty()) {
    if (!commands.empty()) out.help("");
    out.help(depth == 0 ? "Command groups:"
                        : fmt::format("Command groups of {}:", prefix.substr(0, prefix.size() - 1)));
    print_rows(out, groups);
  }
  out.help("");
  out.help(fmt::format("'azure help {}COMMAND' says more about each.", prefix));
}

std::string manual_page(std::string_view version) {
  std::string page = fmt::format(".TH AZURE 1 \"\" \"Berth {}\" \"Berth\"\n", escaped(version));
  page += ".SH NAME\nazure \\- Docker hosts and virtual machines on this machine's own region\n";
  page += ".SH SYNOPSIS\n.B azure\n.I command\n[options]\n.SH COMMON OPTIONS\n";
  Rows common;
  for (const CommonOption& option : common_options) common.emplace_back(option.names, option.description);
  add_rows(page, common);
  page += ".SH COMMANDS\n";
  std::ostringstream nowhere;
  Output silent(nowhere, nowhere, {});
  Session session(silent, LocalRegion({}, {}));
  for (const Command& command : all_commands()) {
    CommandLine line;
    command.declare(line, session);
    page += fmt::format(".SS {}\n{}.\n.P\n.B {}\n", escaped(command.name), escaped(command.summary),
                        escaped(usage_of(line, command.name)));
    Rows rows = argument_rows(line);
    for (const auto& item : line.items())
      if (!item->argument && item->shown) rows.emplace_back(option_names(*item), item->description);
    add_rows(page, rows);
  }
  page += ".SH EXIT STATUS\n";
  add_rows(page, {{"0", "done"},
                  {"1", "a bug of azure's"},
                  {"2", "the request is wrong and will stay wrong"},
                  {"3", "not let in"},
                  {"4", "it does not exist"},
                  {"5", "it exists already, or its state forbids it"},
                  {"6", "this machine cannot do it now: memory, disk, a missing program, time"},
                  {"130", "ended by Ctrl-C"}});
  return page;
}

}  // namespace berth
