#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace berth {

/// Watches the one thread of a loop: how long single steps keep all others waiting, by the processor time of
/// the thread, which does not grow because the machine does other things too. Steps above `tell` are logged
/// with the request that began last; those before the first request are passed over.
class LoopWatch {
 public:
  explicit LoopWatch(std::chrono::milliseconds tell = std::chrono::milliseconds(100)) : tell_(tell) {}

  /// Runs one step.
  template <class Step>
  auto step(Step run) {
    begin();
    const auto result = run();
    end();
    return result;
  }

  std::chrono::microseconds longest() const { return longest_; }
  const std::string& longest_request() const { return longest_request_; }

  /// What this thread works on from here: for the log. Called where a request begins.
  static void note(std::string_view method, std::string_view path);

 private:
  void begin();
  void end();

  const std::chrono::milliseconds tell_;
  std::chrono::nanoseconds began_{0};
  std::chrono::microseconds longest_{0};
  std::string longest_request_;
};

}  // namespace berth
