#include "cli/app.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <optional>
#include <set>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "host/directories.h"

namespace berth {
namespace {

constexpr std::string_view banner = R"(   ____            _   _
  | __ )  ___ _ __| |_| |__      a docker host
  |  _ \ / _ \ '__| __| '_ \     from one command
  | |_) |  __/ |  | |_| | | |
 ~|____/~\___|_|~~~\__|_| |_|~~~~~~~~~~~~~~~~~~~~)";

struct Group {
  std::string_view name, summary;
};
constexpr Group groups[] = {
    {"vm", "Virtual machines and Docker hosts"},
    {"vm docker", "Virtual machines that run a Docker host"},
    {"vm image", "Images that virtual machines are made from"},
    {"vm extension", "VM extensions: in the region's gallery, and on virtual machines"},
    {"region", "The local region: the cloud on this machine"},
    {"account", "Subscriptions, and publish-settings files of classic clients"},
};

std::vector<Command> all_commands() {
  std::vector<Command> all;
  for (const auto& table : {vm_commands(), vm_power_commands(), vm_image_commands(), extension_gallery_commands(),
                            extension_commands(), region_commands(), account_commands()})
    all.insert(all.end(), table.begin(), table.end());
  return all;
}

std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  while (!name.empty()) {
    const std::size_t blank = name.find(' ');
    words.emplace_back(name.substr(0, blank));
    name = blank == std::string_view::npos ? "" : name.substr(blank + 1);
  }
  return words;
}

bool starts_with_words(const std::vector<std::string>& words, std::string_view name) {
  const auto wanted = words_of(name);
  return words.size() >= wanted.size() && std::equal(wanted.begin(), wanted.end(), words.begin());
}

/// What the arguments come to before a command's own options are read.
struct Invocation {
  bool json = false, verbose = false, help = false, version = false;
  std::vector<std::string> words;  ///< everything else, in order
  const char* program_version = "";
};

bool is_one_of(const std::string& text, std::initializer_list<const char*> list) {
  return std::any_of(list.begin(), list.end(), [&](const char* item) { return text == item; });
}

/// Options of the program may stand anywhere before "--".
Invocation read_arguments(int argc, char** argv) {
  Invocation invocation;
  bool literal = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    literal = literal || argument == "--";
    if (literal) {
      invocation.words.push_back(argument);
    } else if (argument == "--json") {
      invocation.json = true;
    } else if (is_one_of(argument, {"-v", "--verbose"})) {
      invocation.verbose = true;
    } else if (is_one_of(argument, {"-vv"})) {
      invocation.verbose = true;
    } else if (is_one_of(argument, {"-h", "--help"})) {
      invocation.help = true;
    } else if (argument == "--version" && invocation.words.empty()) {
      invocation.version = true;
    } else {
      invocation.words.push_back(argument);
    }
  }
  if (!invocation.words.empty() && invocation.words.front() == "help") {
    invocation.help = true;
    invocation.words.erase(invocation.words.begin());
  }
  return invocation;
}

std::optional<Command> find_command(const std::vector<std::string>& words) {
  for (const Command& command : all_commands())
    if (starts_with_words(words, command.name)) return command;
  return std::nullopt;
}

// --- help -----------------------------------------------------------------------------------------------

/// "-dp, -p, --docker-port <port>"
std::string option_names(const CLI::Option& option) {
  std::string names;
  const auto add = [&](const std::string& name) { names += (names.empty() ? "" : ", ") + name; };
  for (const TwoLetterOption& two : two_letter_options())
    if (option.check_lname(std::string(two.name.substr(2)))) add(std::string(two.two_letters));
  for (const std::string& name : option.get_snames()) add("-" + name);
  for (const std::string& name : option.get_lnames()) add("--" + name);
  if (option.get_expected_max() > 0) names += " " + option.get_type_name();
  return names;
}

void print_rows(Output& out, const std::vector<std::pair<std::string, std::string>>& rows) {
  std::size_t width = 0;
  for (const auto& [left, right] : rows) width = std::max(width, left.size());
  for (const auto& [left, right] : rows) out.help(fmt::format("  {:<{}}  {}", left, width, right));
}

std::string usage(const CLI::App& app, std::string_view name) {
  std::string text = fmt::format("azure {} [options]", name);
  for (const CLI::Option* option : app.get_options())
    if (option->get_positional())
      text += option->get_required() ? fmt::format(" <{}>", option->get_name(true))
                                     : fmt::format(" [{}]", option->get_name(true));
  return text;
}

void print_command_help(Output& out, const CLI::App& app, const Command& command) {
  out.help(command.summary);
  out.help("");
  out.help("Usage: " + usage(app, command.name));
  out.help("");
  out.help("Options:");
  std::vector<std::pair<std::string, std::string>> rows;
  for (const CLI::Option* option : app.get_options())
    if (!option->get_positional() && !option->get_group().empty())
      rows.emplace_back(option_names(*option), option->get_description());
  rows.emplace_back("-v, --verbose", "Show the requests to the region");
  rows.emplace_back("--json", "Print JSON and nothing else");
  rows.emplace_back("-h, --help", "Print this");
  print_rows(out, rows);
}

/// What stands directly below `words`.
void print_group_help(Output& out, const std::vector<std::string>& words) {
  const std::size_t depth = words.size();
  std::string prefix;
  for (const std::string& word : words) prefix += word + " ";
  std::vector<std::pair<std::string, std::string>> group_rows, command_rows;
  for (const Group& group : groups)
    if (group.name.starts_with(prefix) && words_of(group.name).size() == depth + 1)
      group_rows.emplace_back(words_of(group.name).back(), group.summary);
  for (const Command& command : all_commands())
    if (command.name.starts_with(prefix) && words_of(command.name).size() == depth + 1)
      command_rows.emplace_back(command.name, command.summary);
  if (depth > 0)
    for (const Group& group : groups)
      if (std::string(group.name) + " " == prefix) {
        out.help(group.summary);
        out.help("");
      }
  if (!command_rows.empty()) {
    out.help("Commands:");
    print_rows(out, command_rows);
  }
  if (!group_rows.empty()) {
    if (!command_rows.empty()) out.help("");
    out.help(depth == 0 ? "Command groups:"
                        : fmt::format("Command groups of {}:", prefix.substr(0, prefix.size() - 1)));
    print_rows(out, group_rows);
  }
  out.help("");
  out.help(fmt::format("'azure help {}COMMAND' says more about each.", prefix));
}

void print_banner(Output& out, const char* version) {
  out.info(banner);
  out.info("");
  out.info(fmt::format("Berth: azure command line, version {}", version));
  out.info("");
  print_group_help(out, {});
  out.help("Begin with:");
  out.help("  azure vm image list");
  out.help("  azure vm docker create -e 22 -l \"West US\" <name> <image> <user> <password>");
}

bool is_group(const std::vector<std::string>& words) {
  std::string name;
  for (const std::string& word : words) name += (name.empty() ? "" : " ") + word;
  return std::any_of(std::begin(groups), std::end(groups),
                     [&](const Group& group) { return group.name == name; });
}

/// The longest beginning of `words` that is a group.
std::vector<std::string> group_in(std::vector<std::string> words) {
  while (!words.empty() && !is_group(words)) words.pop_back();
  return words;
}

Error unknown_command(const std::vector<std::string>& words) {
  std::string name, known;
  for (const std::string& word : words) {
    if (word.starts_with("-")) break;
    name += (name.empty() ? "" : " ") + word;
  }
  for (const std::string& word : group_in(words)) known += " " + word;
  return Error(ErrorKind::invalid, "UnknownCommand", fmt::format("'{}' is not an azure command", name),
               fmt::format("'azure help{}' lists those that there are.", known));
}

// --- running a command ----------------------------------------------------------------------------------

/// Spells two-letter options in full, and gives -e its number when it stands alone.
std::vector<std::string> plain_spelling(const CLI::App& app, const std::vector<std::string>& arguments) {
  const bool opens_ssh = app.get_option_no_throw("--ssh") != nullptr;
  std::vector<std::string> plain;
  bool literal = false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    literal = literal || argument == "--";
    plain.push_back(argument);
    if (literal) continue;
    for (const TwoLetterOption& two : two_letter_options()) {
      if (argument == two.two_letters) plain.back() = two.name;
      if (argument.starts_with(std::string(two.two_letters) + "="))
        plain.back() = std::string(two.name) + argument.substr(two.two_letters.size());
    }
    const bool alone = i + 1 == arguments.size() || arguments[i + 1].starts_with("-");
    if (opens_ssh && is_one_of(argument, {"-e", "--ssh"}) && alone) plain.emplace_back("22");
  }
  return plain;
}

/// The first option that the command does not have; "" if there is none.
std::string unknown_option(const CLI::App& app, const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.size() < 2 || argument[0] != '-') continue;
    const std::string name =
        argument[1] == '-' ? argument.substr(0, argument.find('=')) : argument.substr(0, 2);
    if (app.get_option_no_throw(name) == nullptr) return name;
  }
  return {};
}

Error parse_error(const CLI::ParseError& error, const CLI::App& app, const Command& command,
                  const std::vector<std::string>& arguments) {
  std::string text = error.what();
  if (const std::string option = unknown_option(app, arguments); !option.empty()) {
    text = fmt::format("unknown option `{}'", option);
  } else if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    text = "there is an argument too many";
  } else if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    text = fmt::format("missing required argument `{}'", text.substr(0, text.find(' ')));
  }
  return Error(ErrorKind::invalid, "InvalidParameter", text,
               fmt::format("See 'azure help {}'.", command.name));
}

int exit_code_of(const Error& error) {
  if (error.code == "OperationCanceled") return interrupt::exit_code;
  switch (error.kind) {
    case ErrorKind::invalid:
      return 2;
    case ErrorKind::unauthorized:
      return 3;
    case ErrorKind::not_found:
      return 4;
    case ErrorKind::conflict:
      return 5;
    case ErrorKind::unavailable:
      return 6;
    case ErrorKind::internal:
      return 1;
  }
  return 1;
}

void print_error(Output& out, const Error& error) {
  out.error(error.what());
  if (!error.advice.empty()) out.error(error.advice);
}

int run_command(Output& out, const Command& command, const Invocation& invocation, int argc, char** argv) {
  Session session(out, LocalRegion(region_home(), executable_folder() / "berthd"));
  session.argc = argc;
  session.argv = argv;
  CLI::App app{std::string(command.summary)};
  app.set_help_flag();
  command.declare(app, session);
  if (invocation.help) {
    print_command_help(out, app, command);
    return 0;
  }
  std::vector<std::string> arguments(
      invocation.words.begin() + static_cast<std::ptrdiff_t>(words_of(command.name).size()),
      invocation.words.end());
  arguments = plain_spelling(app, arguments);
  // The callback runs inside parse(): what it says first is printed once the arguments are known to be right.
  app.parse_complete_callback([&] { out.info(fmt::format("Executing command {}", command.name)); });
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    throw parse_error(error, app, command, arguments);
  }
  out.info(fmt::format("{} command OK", command.name));
  return 0;
}

int run(Output& out, const Invocation& invocation, int argc, char** argv) {
  const auto command = find_command(invocation.words);
  if (command) {
    try {
      return run_command(out, *command, invocation, argc, argv);
    } catch (const Error& error) {
      print_error(out, error);
      out.error(fmt::format("{} command failed", command->name));
      return exit_code_of(error);
    }
  }
  if (invocation.words.empty() && !invocation.help) {
    print_banner(out, invocation.program_version);
  } else if (invocation.words.empty() || is_group(invocation.words)) {
    print_group_help(out, invocation.words);
  } else {
    throw unknown_command(invocation.words);
  }
  return 0;
}

}  // namespace

int run_azure(int argc, char** argv, const char* version) {
  Invocation invocation = read_arguments(argc, argv);
  invocation.program_version = version;
  if (invocation.version) {
    std::cout << version << '\n';
    return 0;
  }
  Output::Style style = Output::style_of_process();
  style.json = invocation.json;
  style.verbose = invocation.verbose;
  Output out(std::cout, std::cerr, style);
  interrupt::install();
  try {
    return run(out, invocation, argc, argv);
  } catch (const Error& error) {
    print_error(out, error);
    return exit_code_of(error);
  } catch (const std::exception& bug) {
    out.error(fmt::format("This is a bug in azure: {}", bug.what()));
    return 1;
  }
}

}  // namespace berth
