#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace berth {

/// $XDG_CONFIG_HOME/berth, else ~/.config/berth: what `azure` keeps of its user's between runs.
std::filesystem::path config_folder();

/// A default that the user may choose for an option of several commands.
struct Setting {
  std::string_view name, description;
};
std::span<const Setting> known_settings();

/// Those that were chosen. A file that cannot be read as such is Error(invalid) naming it.
std::map<std::string, std::string> read_settings();
/// "" when it was not chosen.
std::string setting(const std::string& name);
/// Throws Error(invalid) for a name that is none.
void change_setting(const std::string& name, const std::string& value);
/// False when it was not chosen.
bool delete_setting(const std::string& name);

}  // namespace berth
