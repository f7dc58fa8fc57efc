#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/terminal/output.h"

namespace berth {

void print_command_help(Output& out, const CommandLine& line, const Command& command);
/// What stands directly below a group's words; below none of them: the groups.
void print_group_help(Output& out, const std::vector<std::string>& words);
bool is_group(const std::vector<std::string>& words);

/// "-dp, -p, --docker-port <port>"
std::string option_names(const CommandLine::Item& item);

/// Options that every command takes.
struct CommonOption {
  std::string_view names, description;
};
inline constexpr CommonOption common_options[] = {
    {"-v, --verbose", "Show the requests to the region"},
    {"--json", "Print JSON and nothing else"},
    {"-h, --help", "Print this"},
};

/// The manual page azure(1), in man's own language, of all commands.
std::string manual_page(std::string_view version);

}  // namespace berth
