#pragma once

#include <filesystem>
#include <optional>

#include "network/virtual_network.h"

namespace berth::network {

/// How often the switch of a network died, and how it did last: kept by its keeper, read by who controls it.
std::optional<SwitchDeaths> read_deaths(const std::filesystem::path& file);  ///< nullopt: it never did
void write_deaths(const std::filesystem::path& file, const SwitchDeaths& deaths);

}  // namespace berth::network
