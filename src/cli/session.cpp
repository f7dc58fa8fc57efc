#include "cli/session.h"

#include <fmt/format.h>

#include <utility>

#include "cli/account/environments.h"
#include "cli/account/profile.h"
#include "cli/terminal/phases.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/host_ports.h"
#include "cli/vm/image_list.h"

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

const std::optional<ArmEndpoint>& Session::elsewhere() {
  if (!elsewhere_) {
    elsewhere_.emplace();
    const auto chosen = stays_local_ ? std::nullopt : signed_in_subscription();
    if (chosen) {
      *elsewhere_ = account_endpoint(*chosen->account, chosen->id);
      out.info(fmt::format("Using the subscription {} of {}", chosen->name, chosen->account->environment));
    }
  }
  return *elsewhere_;
}

bool Session::is_local() {
  return !elsewhere();
}

bool Session::is_azure() {
  if (!is_azure_) is_azure_ = !is_local() && has_marketplace(arm());
  return *is_azure_;
}

std::string Session::subscription() {
  return is_local() ? region().subscription : elsewhere()->subscription;
}

Listener Session::listener() {
  return {[this](const std::string& exchange) { out.verbose(exchange); },
          [this](const std::string& text) { out.warn(text); }};
}

ArmClient& Session::arm() {
  if (!arm_) {
    arm_ = std::make_unique<ArmClient>(is_local() ? arm_endpoint(region()) : *elsewhere(),
                                       &interrupt::requested);
    arm_->listener() = listener();
    if (std::exchange(just_started_, false)) follow_all_ports(*this);
  }
  return *arm_;
}

void Session::persist(const std::function<void()>& work) {
  using Clock = std::chrono::steady_clock;
  constexpr int start_limit = 4;                               // the first one is no restart
  const std::chrono::seconds patience(is_local() ? 20 : 120);  // a network comes back later than a process
  std::optional<Clock::time_point> lost_since;
  while (true) {
    const int starts_before = starts_;
    try {
      return work();
    } catch (const Error& error) {
      if (!is_connection_loss(error) || interrupt::requested() || starts_ >= start_limit) throw;
      if (!is_local() && error.code == "TlsFailed")
        throw;  // the region changes its certificate when it starts
      if (!lost_since || starts_ != starts_before) {
        lost_since = Clock::now();
        out.warn(fmt::format("{} went away ({}); looking for it again.",
                             is_local() ? "The local region" : "Resource Manager", error.what()));
      }
      if (Clock::now() - *lost_since > patience) throw;
    }
    losses_ += 1 + (arm_ ? arm_->repeated_changes() : 0);
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
