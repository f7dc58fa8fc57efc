#pragma once

#include <nlohmann/json_fwd.hpp>

#include "network/addresses.h"
#include "network/virtual_network.h"

/// The switch's configuration and report as JSON: switch.json and the lines on its control socket.
namespace berth::network {

nlohmann::json to_json(const SwitchConfig& config);
nlohmann::json to_json(const SwitchReport& report);

/// Throw Error(invalid) naming what is missing or of the wrong kind.
SwitchConfig parse_config(const nlohmann::json& document);
SwitchReport parse_report(const nlohmann::json& document);

/// Throws Error(invalid) naming the first thing that no switch can do: a subnet too small, two ports with one
/// MAC, an address outside the subnet, a socket path too long, …
void check(const SwitchConfig& config);

/// Of a checked configuration.
Subnet subnet_of(const SwitchConfig& config);

}  // namespace berth::network
