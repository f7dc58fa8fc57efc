#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace berth::extension {

/// A compose file as YAML, keys sorted. An object without "services" is the form of 2015, whose top level is
/// the services. Throws Error(invalid) when it is nested deeper than 64 levels.
std::string compose_yaml(const nlohmann::json& compose);

}  // namespace berth::extension
