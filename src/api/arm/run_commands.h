#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/secret.h"

namespace berth::arm {

class JsonText;

/// The documents that `runCommand` knows by their ids, as far as they are for Linux. Source: Compute REST, Virtual Machine Run Commands.
/// All of them, as a list shows them.
void write_run_command_list(JsonText& out);
/// One with its script; nullopt when there is none, or none for Linux.
std::optional<std::string> run_command_document(std::string_view id);

/// The body of the action: {"commandId", "script": [lines], "parameters": [{"name", "value"}]}.
struct RunCommandOrder {
  bool removes_handler = false;  ///< RemoveRunCommandLinuxExtension
  Secret settings;               ///< the handler's protected settings (docs/wire/script-handlers.md)
};
/// Throws Error: not_found for an id that is not known; invalid.
RunCommandOrder parse_run_command(const nlohmann::json& body);

/// What the action ends with: {"value": [{"code", "level", "displayStatus", "message"}]}. `output` is the handler's message.
void write_run_command_result(JsonText& out, std::string_view key, std::string_view output);

}  // namespace berth::arm
