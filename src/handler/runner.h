#pragma once

#include <string>
#include <vector>

#include "handler/log.h"
#include "host/process.h"

namespace berth::extension {

/// Runs other programs. The only way to one, so that a test can play the machine.
class Runner {
 public:
  virtual ~Runner() = default;
  /// As berth::run: no shell, waits for the end, Error(unavailable) when it cannot start or takes too long.
  virtual RunResult run(const std::vector<std::string>& argv, const RunOptions& options = {}) = 0;
  /// Starts a program in a session of its own that outlives us.
  virtual void detach(const std::vector<std::string>& argv) = 0;
};

/// The real one; every program is logged with its exit code and time.
class ProcessRunner final : public Runner {
 public:
  explicit ProcessRunner(Log& log) : log_(log) {}
  RunResult run(const std::vector<std::string>& argv, const RunOptions& options) override;
  void detach(const std::vector<std::string>& argv) override;

 private:
  Log& log_;
};

/// The last lines of what a program printed, for a message.
std::string last_lines(const RunResult& result, std::size_t lines = 3);

}  // namespace berth::extension
