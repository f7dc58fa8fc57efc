#include "network/switch_deaths.h"

#include <nlohmann/json.hpp>

#include "host/files.h"

namespace berth::network {

using nlohmann::json;

std::optional<SwitchDeaths> read_deaths(const std::filesystem::path& file) {
  const json document = json::parse(read_file_if_there(file).value_or(""), nullptr, false);
  try {
    return SwitchDeaths{document.at("count"), document.at("at"), document.at("why")};
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

void write_deaths(const std::filesystem::path& file, const SwitchDeaths& deaths) {
  write_file(file, json{{"count", deaths.count}, {"at", deaths.at}, {"why", deaths.why}}.dump() + "\n");
}

}  // namespace berth::network
