#pragma once

#include <algorithm>
#include <chrono>

namespace berth {

/// What one guest may ask for: `burst` at once, `rate` a second in the long run.
class TokenBucket {
 public:
  using Clock = std::chrono::steady_clock;

  TokenBucket(double rate, double burst) : rate_(rate), burst_(burst), tokens_(burst) {}

  /// False, and nothing is taken, when there are fewer than `cost`.
  bool take(double cost, Clock::time_point now) {
    if (known_) tokens_ += rate_ * std::chrono::duration<double>(now - last_).count();
    known_ = true;
    last_ = now;
    tokens_ = std::min(tokens_, burst_);
    if (cost > tokens_) return false;
    tokens_ -= cost;
    return true;
  }

 private:
  double rate_, burst_, tokens_;
  Clock::time_point last_;
  bool known_ = false;
};

}  // namespace berth
