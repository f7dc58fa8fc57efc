#include "base/loop_watch.h"

#include <spdlog/spdlog.h>
#include <time.h>

namespace berth {
namespace {

thread_local std::string request;

std::chrono::nanoseconds thread_time() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

void LoopWatch::note(std::string_view method, std::string_view path) {
  request.assign(method).append(" ").append(path.substr(0, 200));
}

void LoopWatch::begin() {
  began_ = thread_time();
}

void LoopWatch::end() {
  if (request.empty()) return;  // nobody has asked for anything yet: nobody waits
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(thread_time() - began_);
  if (took > longest_) {
    longest_ = took;
    longest_request_ = request;
  }
  if (took > tell_)
    spdlog::warn("blocked loop ms={} after=\"{}\"",
                 std::chrono::duration_cast<std::chrono::milliseconds>(took).count(), request);
}

}  // namespace berth
