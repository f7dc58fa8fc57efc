#pragma once

#include <span>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace berth {

class Session;

/// One whole command: its words, one line about it, and the function that declares its options and, as the
/// app's callback, what it does.
struct Command {
  std::string_view name;  ///< "vm docker create"
  std::string_view summary;
  void (*declare)(CLI::App& app, Session& session);
};

std::span<const Command> vm_commands();
std::span<const Command> vm_power_commands();
std::span<const Command> vm_image_commands();
std::span<const Command> extension_gallery_commands();
std::span<const Command> extension_commands();
std::span<const Command> region_commands();
std::span<const Command> account_commands();

/// Options that the classic client spells with one dash and two letters, which no parser knows: "-dp".
struct TwoLetterOption {
  std::string_view two_letters, name;  ///< "-dp", "--docker-port"
};
std::span<const TwoLetterOption> two_letter_options();

}  // namespace berth
