#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace berth {

class CommandLine;
class Session;

/// One whole command: its words, one line about it, and the function that declares its options and, as the
/// app's callback, what it does.
struct Command {
  std::string_view name;  ///< "vm docker create"
  std::string_view summary;
  void (*declare)(CommandLine& app, Session& session);
  bool bare = false;  ///< what it prints is for a program: no line before or after it
};

/// All of them, and the groups that their words make.
std::vector<Command> all_commands();
struct CommandGroup {
  std::string_view name, summary;
};
std::span<const CommandGroup> command_groups();

// The tables of this folder's files, put together in command_table.cpp.
std::span<const Command> vm_commands();
std::span<const Command> vm_power_commands();
std::span<const Command> docker_power_commands();
std::span<const Command> vm_image_commands();
std::span<const Command> docker_commands();
std::span<const Command> docker_list_commands();
std::span<const Command> docker_where_commands();
std::span<const Command> docker_inside_commands();
std::span<const Command> docker_certs_commands();
std::span<const Command> endpoint_commands();
std::span<const Command> hand_over_commands();
std::span<const Command> extension_gallery_commands();
std::span<const Command> extension_commands();
std::span<const Command> region_commands();
std::span<const Command> account_commands();
std::span<const Command> config_commands();
std::span<const Command> login_commands();
std::span<const Command> catalog_commands();
std::span<const Command> completion_commands();

/// "vm", "docker", "create"
std::vector<std::string> words_of(std::string_view name);

}  // namespace berth
