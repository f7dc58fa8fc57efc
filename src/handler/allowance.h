#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "handler/runner.h"

namespace berth::extension {

/// How long the work may take, and whether it is still wanted. Without a limit and a reason to stop, it is.
class Allowance {
 public:
  using Clock = std::chrono::steady_clock;
  explicit Allowance(std::function<Clock::time_point()> clock) : clock_(std::move(clock)) {}

  /// Time from now on; the end of it is Error(unavailable, "OutOfTime").
  void limit(std::chrono::milliseconds time) { end_ = clock_() + time; }
  /// While `stopped` says so, going on is Error(conflict, "Stopped").
  void stop_when(std::function<bool()> stopped) { stopped_ = std::move(stopped); }
  /// Time to leave things in order, out of time or called off as we may be.
  void last_stretch(std::chrono::milliseconds time);

  /// Throws one of the two when the work must not go on.
  void check() const;
  /// Checks; then `wanted`, or what is left if that is less.
  std::chrono::milliseconds bound(std::chrono::milliseconds wanted) const;

 private:
  std::function<Clock::time_point()> clock_;
  std::function<bool()> stopped_;
  std::optional<Clock::time_point> end_;
};

/// Starts no program, and waits for none, beyond the allowance.
class BoundedRunner final : public Runner {
 public:
  BoundedRunner(Runner& inner, const Allowance& allowance) : inner_(inner), allowance_(allowance) {}
  RunResult run(const std::vector<std::string>& argv, const RunOptions& options) override;
  void detach(const std::vector<std::string>& argv) override { inner_.detach(argv); }

 private:
  Runner& inner_;
  const Allowance& allowance_;
};

}  // namespace berth::extension
