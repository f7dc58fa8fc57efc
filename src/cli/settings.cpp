#include "cli/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/command_line.h"
#include "cli/json_file.h"
#include "host/directories.h"

namespace berth {
namespace {

using nlohmann::json;

constexpr Setting settings[] = {
    {"location", "--location of 'vm docker create' [West US]"},
    {"vm-size", "--vm-size of 'vm docker create' [Standard_B2s]"},
    {"docker-cert-dir", "--docker-cert-dir of every command [$DOCKER_CONFIG, else ~/.docker]"},
};

std::filesystem::path settings_file() {
  return config_folder() / "config.json";
}

void check_name(const std::string& name) {
  if (std::ranges::find(settings, name, &Setting::name) != std::end(settings)) return;
  std::vector<std::string> names;
  std::string known;
  for (const Setting& one : settings) {
    names.emplace_back(one.name);
    known += (known.empty() ? "" : ", ") + names.back();
  }
  const std::string near = neighbour_of(name, names);
  throw Error(
      ErrorKind::invalid, "InvalidParameter", fmt::format("'{}' is no setting", name),
      (near.empty() ? "" : fmt::format("Did you mean {}? ", near)) + fmt::format("Settings: {}.", known));
}

}  // namespace

std::filesystem::path config_folder() {
  const char* configured = std::getenv("XDG_CONFIG_HOME");
  return (configured != nullptr && *configured == '/' ? std::filesystem::path(configured)
                                                      : home_directory() / ".config") /
         "berth";
}

std::span<const Setting> known_settings() {
  return settings;
}

std::map<std::string, std::string> read_settings() {
  std::map<std::string, std::string> all;
  const json document = read_json_file(settings_file());
  for (const auto& [name, value] : document.items())
    if (value.is_string()) all[name] = value.get<std::string>();
  return all;
}

std::string setting(const std::string& name) {
  const auto all = read_settings();
  const auto found = all.find(name);
  return found == all.end() ? std::string() : found->second;
}

void change_setting(const std::string& name, const std::string& value) {
  check_name(name);
  change_json_file(settings_file(), [&](json& all) { all[name] = value; });
}

bool delete_setting(const std::string& name) {
  check_name(name);
  bool was_there = false;
  change_json_file(settings_file(), [&](json& all) { was_there = all.erase(name) > 0; });
  return was_there;
}

}  // namespace berth
