#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "extension/apply.h"
#include "extension/bounded_probe.h"
#include "extension/reports.h"
#include "handler/allowance.h"
#include "handler/invocation.h"
#include "handler/lock.h"

namespace berth::extension {

/// The handler's folder for what a boot forgets.
inline constexpr std::string_view run_folder = "/run/docker-ext";

/// The operations that the guest agent calls, as `bin/docker-extension OPERATION`.
class Handler {
 public:
  Handler(Invocation invocation, Machine machine);
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

  /// Runs one: install, enable, disable, update, uninstall, or work (enable's own, in the background).
  /// Returns the exit code: 0; 1 when it failed (the status says why, where the operation has one); 2 when it
  /// is none.
  int run(const std::string& operation);

  /// How long enable waits for another one to finish before it hands over to a worker.
  std::chrono::milliseconds lock_limit{60'000};
  std::chrono::milliseconds worker_lock_limit{3'600'000};
  /// How long disable and uninstall wait for an enable that they called off. The agent gives them 900 and
  /// 300 s.
  std::chrono::milliseconds disable_lock_limit{600'000};
  std::chrono::milliseconds uninstall_lock_limit{100'000};

 private:
  int install();
  int enable(bool in_background);
  int disable();
  int update();
  int uninstall();

  /// False when it would take too long for the agent: nothing is done then.
  bool apply(const Sequence& sequence, const std::string& text, bool in_background);
  bool nothing_to_do(const Sequence& sequence, const std::string& text);
  void start_worker(const Sequence& sequence, const std::string& job);
  EnableLock call_off(const std::string& operation, std::chrono::milliseconds limit);
  void report(std::uint64_t number, const Report& report);
  bool may_be_updating() const;
  bool looks_after_machine() const;
  void yield_to_other_handler() const;
  std::string job(const Sequence& sequence, const std::string& text) const;

  Invocation invocation_;
  Allowance allowance_;
  BoundedRunner runner_;
  BoundedProbe probe_;
  Machine machine_;  ///< whose runner and probe are the two above
  State state_;
  std::vector<Substatus> parts_;  ///< of the report, as they come
};

}  // namespace berth::extension
