#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/arm_client.h"
#include "cli/local_region.h"
#include "cli/output.h"

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
  const RegionInfo& region();

  /// Runs `work`; when the region goes away under it, finds it again (starts it, if it is dead, up to three
  /// times in the whole session) and repeats the work. So `work` must be safe to repeat.
  void persist(const std::function<void()>& work);
  /// Waits for the end of what the region accepted, shown as one phase named `doing`. Throws as
  /// ArmClient::wait.
  void await(const ArmAccepted& accepted, const std::string& path, const std::string& doing,
             std::chrono::seconds limit);
  /// How often the region went away.
  int losses() const { return losses_; }

  /// The program's arguments, for wiping secrets out of them.
  int argc = 0;
  char** argv = nullptr;

 private:
  std::optional<RegionInfo> info_;
  std::unique_ptr<ArmClient> arm_;
  int losses_ = 0, starts_ = 0;
  bool just_started_ = false;  ///< the region, by us: its hosts' ports may have moved
};

}  // namespace berth
