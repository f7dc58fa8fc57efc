#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "network/virtual_network.h"

namespace berth {

/// What berthd was told. The settings of the region are checked here, before anything keeps them.
struct DaemonOptions {
  std::filesystem::path home;  ///< absolute
  bool fake = false;
  std::uint16_t port = 0;  ///< 0: the one it had, else a free one
  std::optional<std::string> dns_suffix, egress, hosts_file;
};

/// What "--help" and "--version" print; nullopt for every other command line.
std::optional<std::string> asked_words(int argc, char** argv);

/// Throws Error(invalid) naming the option and its value.
DaemonOptions parse_daemon_options(int argc, char** argv);

/// "internet", "full", "none", or hosts separated by commas: names, addresses, blocks. Throws Error(invalid)
/// naming the part that is none.
Egress parse_egress(const std::string& text);

}  // namespace berth
