#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/arm/arm_client.h"
#include "cli/region/local_region.h"
#include "cli/terminal/output.h"

namespace berth {

/// One run of `azure`: where its output goes, and the region it speaks to. The region is found, or started,
/// when it is first needed.
class Session {
 public:
  Session(Output& out, LocalRegion region) : out(out), local(std::move(region)) {}

  Output& out;
  LocalRegion local;

  /// Signed in when first used. The reference is good until the region had to be started again.
  ArmClient& arm();
  /// What goes on in exchanges is told to `out`.
  Listener listener();
  /// The local one, started if it does not run.
  const RegionInfo& region();
  /// The subscription that arm() works in: the one that was signed in to and chosen, else the local region's.
  std::string subscription();
  /// False when that is another Resource Manager's.
  bool is_local();
  /// True when there are no Docker extension and no images of a region: on Azure, and on all that is no region of Berth's.
  bool is_azure();
  /// For commands about the local region itself, whatever was chosen.
  void stay_local() { stays_local_ = true; }

  /// Runs `work`; when the region goes away under it, finds it again (starts it, if it is dead, up to three
  /// times in the whole session) and repeats the work. So `work` must be safe to repeat.
  void persist(const std::function<void()>& work);
  /// Waits for the end of what the region accepted, shown as one phase named `doing`. Throws as
  /// ArmClient::wait.
  void await(const ArmAccepted& accepted, const std::string& path, const std::string& doing,
             std::chrono::seconds limit);
  /// How often the region went away, or a change was sent again: what was asked may have been done without our hearing of it.
  int losses() const { return losses_ + (arm_ ? arm_->repeated_changes() : 0); }

  /// The program's arguments, for wiping secrets out of them.
  int argc = 0;
  char** argv = nullptr;
  std::string version;  ///< of this program
  /// What the program ends with when the command ended without an Error: that of the program it ran.
  int exit_code = 0;

 private:
  std::optional<RegionInfo> info_;
  std::unique_ptr<ArmClient> arm_;
  int losses_ = 0, starts_ = 0;
  bool stays_local_ = false;
  std::optional<bool> is_azure_;                         ///< once it was asked
  std::optional<std::optional<ArmEndpoint>> elsewhere_;  ///< once it was looked for
  const std::optional<ArmEndpoint>& elsewhere();
  bool just_started_ = false;  ///< the region, by us: its hosts' ports may have moved
};

}  // namespace berth
