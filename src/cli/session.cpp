#include "cli/session.h"

#include <fmt/format.h>

#include <utility>

#include "cli/host_ports.h"
#include "cli/phases.h"
#include "cli/terminal.h"

namespace berth {

const RegionInfo& Session::region() {
  if (!info_) {
    LocalRegion::Start start;
    info_ = local.start({}, start);
    starts_ += start.now ? 1 : 0;
    just_started_ = start.now;
    if (!start.warning.empty()) out.warn(start.warning);
    out.info(start.now
                 ? fmt::format("Using the local region (started now; log {})", local.log_file().string())
                 : std::string("Using the local region"));
  }
  return *info_;
}

ArmClient& Session::arm() {
  if (!arm_) {
    arm_ = std::make_unique<ArmClient>(arm_endpoint(region()), &interrupt::requested);
    arm_->trace = [this](const std::string& exchange) { out.verbose(exchange); };
    if (std::exchange(just_started_, false)) follow_all_ports(*this);
  }
  return *arm_;
}

void Session::persist(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  constexpr int start_limit = 4;  // the first one is no restart
  constexpr std::chrono::seconds patience(20);
  std::optional<Clock::time_point> lost_since;
  while (true) {
    const int starts_before = starts_;
    try {
      return work();
    } catch (const Error& error) {
      if (!is_connection_loss(error) || interrupt::requested() || starts_ >= start_limit) throw;
      if (!lost_since || starts_ != starts_before) {
        lost_since = Clock::now();
        out.warn(fmt::format("The local region went away ({}); looking for it again.", error.what()));
      }
      if (Clock::now() - *lost_since > patience) throw;
    }
    ++losses_;
    arm_.reset();
    info_.reset();
    interrupt::sleep(std::chrono::milliseconds(200));
  }
}

void Session::await(const ArmAccepted& accepted, const std::string& path, const std::string& doing,
                    std::chrono::seconds limit) {
  PhaseDisplay phases(out);
  phases.begin(doing);
  persist(
      [&] { arm().wait(accepted, path, limit, [&phases](const std::vector<Phase>&) { phases.tick(); }); });
  phases.end();
}

}  // namespace berth
