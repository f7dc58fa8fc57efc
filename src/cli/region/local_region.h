#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/arm/arm_client.h"
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
  struct Start {
    bool now = false;
    std::string warning;  ///< what the user should hear of the home folder; mostly empty
  };

  /// `daemon` is the program to start.
  LocalRegion(std::filesystem::path home, std::filesystem::path daemon)
      : home_(std::move(home)), daemon_(std::move(daemon)) {}

  const std::filesystem::path& home() const { return home_; }
  std::filesystem::path log_file() const { return home_ / "berthd.log"; }
  /// False when there never was one, or it was deleted.
  bool exists() const;

  /// nullopt when no berthd serves this home. Throws Error(conflict) when it belongs to another user.
  std::optional<RegionInfo> find_running() const;

  /// Starts berthd with these arguments after --home, and waits until it serves. When one serves already,
  /// that one. `start` tells which. Throws Error(unavailable) with the last lines of its log, and as
  /// claim_folder() when the home is not ours.
  RegionInfo start(const std::vector<std::string>& arguments, Start& start);

  /// Asks it to leave and waits; false when none was running.
  bool stop();

  /// Removes what Berth made in the home folder, and the folder when nothing else is there. Returns what
  /// stays. Throws Error(conflict) while berthd runs.
  std::vector<std::filesystem::path> remove();

 private:
  std::filesystem::path home_, daemon_;
};

/// Reads the secret's file. Throws Error(unavailable) naming it.
ArmEndpoint arm_endpoint(const RegionInfo& region);

}  // namespace berth
