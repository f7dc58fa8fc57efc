#pragma once

#include <time.h>

#include <cstdio>
#include <cstdlib>

/// Ends the fuzzer when one input took more processor time than any may. Sanitizers make all of it slower.
class CostLimit {
 public:
  explicit CostLimit(double seconds) : seconds_(seconds), began_(now()) {}
  ~CostLimit() {
    const double took = now() - began_;
    if (took <= seconds_) return;
    std::fprintf(stderr, "an input took %.1f s of processor time; %.1f s are allowed\n", took, seconds_);
    std::abort();
  }
  CostLimit(const CostLimit&) = delete;
  CostLimit& operator=(const CostLimit&) = delete;

 private:
  static double now() {
    timespec time{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  }

  const double seconds_, began_;
};
