#pragma once

#include <algorithm>
#include <chrono>

namespace berth::network {

/// So many a second, and as many at once.
class Rate {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit Rate(double per_second) : per_second_(per_second), left_(per_second) {}

  /// False when there have been too many.
  bool take(Time now) {
    if (now > last_) {
      left_ = std::min(per_second_, left_ + per_second_ * std::chrono::duration<double>(now - last_).count());
      last_ = now;
    }
    if (left_ < 1) return false;
    --left_;
    return true;
  }

 private:
  double per_second_, left_;
  Time last_{};
};

}  // namespace berth::network
