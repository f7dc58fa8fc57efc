#include "base/loop_watch.h"

#include <gmock/gmock.h>
#include <time.h>

namespace berth {
namespace {

using namespace std::chrono_literals;

void burn(std::chrono::milliseconds time) {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  const auto until = std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec) + time;
  while (std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec) < until)
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
}

TEST(LoopWatch, KeepsTheLongestStepAndTheRequestThatBeganLast) {
  LoopWatch watch;
  LoopWatch::note("GET", "/quick");
  watch.step([] { return 1; });
  LoopWatch::note("PUT", "/slow");
  EXPECT_EQ(watch.step([] {
    burn(20ms);
    return 7;
  }),
            7);
  LoopWatch::note("GET", "/after");
  watch.step([] { return 1; });

  EXPECT_GE(watch.longest(), 20ms);
  EXPECT_LT(watch.longest(), 10s);
  EXPECT_EQ(watch.longest_request(), "PUT /slow");
}

}  // namespace
}  // namespace berth
