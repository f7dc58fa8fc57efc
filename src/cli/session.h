#pragma once

#include <functional>
#include <memory>
#include <optional>

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

  /// Runs `work`; when the region goes away under it, starts the region again and repeats the work, up to
  /// three times in the whole session. So `work` must be safe to repeat.
  void persist(const std::function<void()>& work);
  /// How often the region had to be started again.
  int restarts() const { return restarts_; }

  /// Overrides the location of the argument vector for wiping secrets.
  int argc = 0;
  char** argv = nullptr;

 private:
  std::optional<RegionInfo> info_;
  std::unique_ptr<ArmClient> arm_;
  int restarts_ = 0;
};

}  // namespace berth
