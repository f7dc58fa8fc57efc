#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace berth {

/// Keeps what a command that failed said and asked, for whoever looks into it: a file of the user's alone below $XDG_STATE_HOME/berth, else
/// ~/.local/state/berth; the newest 20 stay. nullopt when it cannot be written: the command's own error counts.
std::optional<std::filesystem::path> keep_details(const std::string& command, const std::string& history);

}  // namespace berth
