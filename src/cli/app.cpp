#include "cli/app.h"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <optional>
#include <vector>

#include "base/error.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/help.h"
#include "cli/session.h"
#include "cli/terminal/details.h"
#include "cli/terminal/terminal.h"
#include "host/directories.h"

namespace berth {
namespace {

constexpr std::string_view banner = R"(   ____            _   _
  | __ )  ___ _ __| |_| |__      a docker host
  |  _ \ / _ \ '__| __| '_ \     from one command
  | |_) |  __/ |  | |_| | | |
 ~|____/~\___|_|~~~\__|_| |_|~~~~~~~~~~~~~~~~~~~~)";

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

// --- help and unknown words --------------------------------------------------------------------------------

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

/// The longest beginning of `words` that is a group.
std::vector<std::string> group_in(std::vector<std::string> words) {
  while (!words.empty() && !is_group(words)) words.pop_back();
  return words;
}

/// The words that may stand after `group`.
std::vector<std::string> words_below(const std::vector<std::string>& group) {
  std::vector<std::string> below;
  const auto add = [&](std::string_view name) {
    const auto words = words_of(name);
    if (words.size() > group.size() && std::equal(group.begin(), group.end(), words.begin()))
      below.push_back(words[group.size()]);
  };
  for (const CommandGroup& one : command_groups()) add(one.name);
  for (const Command& one : all_commands()) add(one.name);
  return below;
}

/// A command that ends in the word that is wrong, or in one like it: "docker create" is below "vm".
std::string likely_command(const std::vector<std::string>& words) {
  const std::vector<std::string> group = group_in(words);
  std::string known;
  for (const std::string& word : group) known += word + " ";
  const std::string& wrong = words[group.size()];
  if (const std::string near = neighbour_of(wrong, words_below(group)); !near.empty()) return known + near;
  for (const Command& command : all_commands())
    if (words_of(command.name).back() == wrong) return std::string(command.name);
  for (const CommandGroup& one : command_groups())
    if (words_of(one.name).back() == wrong) return std::string(one.name);
  return {};
}

Error unknown_command(const std::vector<std::string>& words) {
  std::string name, known;
  for (const std::string& word : words) {
    if (word.starts_with("-")) break;
    name += (name.empty() ? "" : " ") + word;
  }
  for (const std::string& word : group_in(words)) known += " " + word;
  const std::string likely = likely_command(words);
  return Error(ErrorKind::invalid, "UnknownCommand", fmt::format("'{}' is not an azure command", name),
               fmt::format("{}'azure help{}' lists those that there are.",
                           likely.empty() ? "" : fmt::format("Did you mean 'azure {}'? ", likely), known));
}

// --- running a command ----------------------------------------------------------------------------------

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
  session.version = invocation.program_version;
  if (command.name.starts_with("region ")) session.stay_local();
  CommandLine line;
  command.declare(line, session);
  if (invocation.help) {
    print_command_help(out, line, command);
    return 0;
  }
  try {
    line.parse({invocation.words.begin() + static_cast<std::ptrdiff_t>(words_of(command.name).size()),
                invocation.words.end()});
  } catch (const Error& error) {
    const std::string see = fmt::format("See 'azure help {}'.", command.name);
    throw Error(error.kind, error.code, error.what(), error.advice.empty() ? see : error.advice + " " + see);
  }
  out.style().bare = command.bare;
  out.info(fmt::format("Executing command {}", command.name));
  line.run();
  out.info(fmt::format("{} command OK", command.name));
  return session.exit_code;
}

int run(Output& out, const Invocation& invocation, int argc, char** argv) {
  const auto command = find_command(invocation.words);
  if (command) {
    try {
      return run_command(out, *command, invocation, argc, argv);
    } catch (const Error& error) {
      print_error(out, error);
      // Of what the region never heard there are no details.
      const bool asked = out.history().find("\nverbose: ") != std::string::npos;
      if (asked && error.code != "OperationCanceled")
        if (const auto file = keep_details(std::string(command->name), out.history()))
          out.error(fmt::format("Details are in {}", file->string()));
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
