#pragma once

#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "cli/terminal/output.h"
#include "model/resources.h"

namespace berth {

/// Shows the phases of long work with their times: on a terminal the running one is a live line, else each
/// phase is one line when it begins and one when it ends.
class PhaseDisplay {
 public:
  explicit PhaseDisplay(Output& out) : out_(out) {}

  // Phases of our own.
  void begin(const std::string& name);
  void end();
  void tick();  ///< redraws the running one's time

  /// Those of the region's operation, all of them each time.
  void update(const std::vector<Phase>& phases);
  /// The operation was begun anew: what it tells next is new.
  void restart() { ended_.clear(); }

  /// Name of the phase that runs; "" between phases.
  std::string current() const { return running_ ? name_ : ""; }

 private:
  void show(const std::string& name, const std::string& detail);
  void close(const std::string& name, std::chrono::milliseconds took);

  Output& out_;
  std::string name_, detail_;
  bool running_ = false;
  std::chrono::steady_clock::time_point began_;
  std::set<std::string> ended_;  ///< of the operation: name and beginning
};

/// Time between two UTC times in ISO 8601 ("2026-11-24T19:53:12.345Z"); 0 when either is none.
std::chrono::milliseconds time_between(const std::string& began, const std::string& ended);

}  // namespace berth
