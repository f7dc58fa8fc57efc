#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/arm_client.h"
#include "host/process.h"

namespace berth {

/// What a running berthd says of itself in HOME/region.json. The document is its contract with every client;
/// `document` is its text, as `azure region status --json` prints it.
struct RegionInfo {
  std::string management_endpoint;
  std::filesystem::path ca_certificate;
  std::string publish_settings, tenant, client_id, subscription, portal, accelerator, version, dns_suffix,
      egress;
  std::filesystem::path client_secret_file, data_directory;
  ProcessId process;
  std::string document;
};

/// The local region of this user, seen from outside: one berthd per home folder.
class LocalRegion {
 public:
  /// `daemon` is the program to start.
  LocalRegion(std::filesystem::path home, std::filesystem::path daemon)
      : home_(std::move(home)), daemon_(std::move(daemon)) {}

  const std::filesystem::path& home() const { return home_; }
  std::filesystem::path log_file() const { return home_ / "berthd.log"; }
  /// False when there never was one, or it was deleted.
  bool exists() const;

  /// nullopt when no berthd serves this home.
  std::optional<RegionInfo> find_running() const;

  /// Starts berthd with these arguments after --home, and waits until it serves. When one serves already,
  /// that one. `started` tells which. Throws Error(unavailable) with the last lines of its log.
  RegionInfo start(const std::vector<std::string>& arguments, bool& started);

  /// Asks it to leave and waits; false when none was running.
  bool stop();

  /// Removes the home folder with everything in it. Throws Error(conflict) while berthd runs.
  void remove();

 private:
  std::filesystem::path home_, daemon_;
};

/// Reads the secret's file. Throws Error(unavailable) naming it.
ArmEndpoint arm_endpoint(const RegionInfo& region);

}  // namespace berth
