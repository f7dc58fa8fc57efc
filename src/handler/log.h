#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "handler/redaction.h"
#include "host/fd.h"

namespace berth::extension {

/// The handler's log: one line per event with a UTC time, to a file (0640, turned over at 5 MB, three kept)
/// and to standard error, which the agent shows when the command fails. Nothing gets past the redactor.
class Log {
 public:
  /// Standard error only.
  Log() = default;
  /// A log that cannot be opened is said once on standard error and is no reason to fail.
  explicit Log(const std::filesystem::path& file);

  void line(std::string_view text);

  /// Runs `step` and logs its name with the milliseconds that it took, also when it throws.
  template <class Step>
  auto timed(std::string_view name, Step&& step) {
    const Timer timer{*this, std::string(name)};
    return std::forward<Step>(step)();
  }

  Redactor redactor;
  bool quiet = false;  ///< nothing to standard error

 private:
  struct Timer {
    Log& log;
    std::string name;
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    ~Timer();
  };

  Fd file_;
};

/// "2026-01-02T03:04:05Z", as the agent wants it: no fraction.
std::string utc_text(std::chrono::system_clock::time_point time);

}  // namespace berth::extension
