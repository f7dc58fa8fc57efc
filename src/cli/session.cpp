#include "cli/session.h"

#include <fmt/format.h>

#include "cli/terminal.h"

namespace berth {

const RegionInfo& Session::region() {
  if (!info_) {
    bool started = false;
    info_ = local.start({}, started);
    out.info(started ? fmt::format("Using the local region (started now; log {})", local.log_file().string())
                     : std::string("Using the local region"));
  }
  return *info_;
}

ArmClient& Session::arm() {
  if (!arm_) {
    arm_ = std::make_unique<ArmClient>(arm_endpoint(region()), &interrupt::requested);
    arm_->trace = [this](const std::string& exchange) { out.verbose(exchange); };
  }
  return *arm_;
}

void Session::persist(const std::function<void()>& work) {
  constexpr int limit = 3;
  while (true) {
    try {
      return work();
    } catch (const Error& error) {
      if (!is_connection_loss(error) || restarts_ == limit || interrupt::requested()) throw;
      out.warn(fmt::format("The local region went away ({}); starting it again.", error.what()));
    }
    ++restarts_;
    arm_.reset();
    info_.reset();
    interrupt::sleep(std::chrono::milliseconds(200));
  }
}

}  // namespace berth
