#include "host/workers.h"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <latch>
#include <thread>

#include "base/error.h"

namespace berth {
namespace {

namespace asio = boost::asio;
using testing::ElementsAre;

class WorkersTest : public testing::Test {
 protected:
  template <class Work>
  void begin(Workers& workers, const std::string& client, Work work) {
    asio::co_spawn(
        loop,
        [](Workers& own, std::string name, Work job, WorkersTest& test) -> asio::awaitable<void> {
          try {
            test.done.push_back(co_await own.run(name, std::move(job)));
          } catch (const Error& error) {
            test.done.push_back(error.code);
          }
        }(workers, client, std::move(work), *this),
        asio::detached);
  }

  asio::io_context loop;
  std::vector<std::string> done;
};

TEST_F(WorkersTest, ReturnResultsAndErrorsToTheLoop) {
  Workers workers(loop.get_executor());
  const auto here = std::this_thread::get_id();
  begin(workers, "a", [=]() -> std::string { return std::this_thread::get_id() == here ? "loop" : "other"; });
  loop.run();
  loop.restart();
  begin(workers, "a", []() -> std::string { throw Error(ErrorKind::invalid, "Bad", "bad"); });
  loop.run();

  EXPECT_THAT(done, ElementsAre("other", "Bad"));
}

TEST_F(WorkersTest, LetNoClientStarveAnother) {
  Workers workers(loop.get_executor(), {.threads = 2});
  std::latch release(1);
  begin(workers, "greedy", [&]() -> std::string {
    release.wait();
    return "greedy";
  });
  for (int i = 0; i < 20; ++i) begin(workers, "greedy", [&]() -> std::string { return "greedy"; });
  begin(workers, "modest", [&]() -> std::string { return "modest"; });
  while (done.empty()) loop.run_one();

  EXPECT_THAT(done, ElementsAre("modest"));
  release.count_down();
  loop.run();
  EXPECT_EQ(done.size(), 22u);
}

TEST_F(WorkersTest, RefuseWhatWouldWaitTooLong) {
  Workers workers(loop.get_executor(), {.threads = 2, .waiting = 10, .waiting_of_one = 2});
  std::latch release(1);
  std::latch started(1);
  begin(workers, "a", [&]() -> std::string {
    started.count_down();
    release.wait();
    return "a";
  });
  loop.run_one();
  started.wait();
  for (int i = 0; i < 3; ++i) begin(workers, "a", [&]() -> std::string { return "a"; });
  while (done.empty()) loop.run_one();

  EXPECT_THAT(done, ElementsAre("TooManyRequests"));
  release.count_down();
  loop.run();
}

TEST_F(WorkersTest, AskTheLoopAndGiveUpWhenTheyStop) {
  auto workers = std::make_unique<Workers>(loop.get_executor());
  const auto here = std::this_thread::get_id();
  begin(*workers, "a", [&]() -> std::string {
    return workers->ask(
        [here] { return std::string(std::this_thread::get_id() == here ? "loop" : "other"); });
  });
  loop.run();
  EXPECT_THAT(done, ElementsAre("loop"));

  loop.restart();
  std::latch started(1), loop_stands(1);
  begin(*workers, "a", [&]() -> std::string {
    started.count_down();
    loop_stands.wait();
    return workers->ask([] { return std::string("never"); });
  });
  begin(*workers, "a", []() -> std::string { return "never"; });
  loop.poll();
  started.wait();
  loop_stands.count_down();
  workers->stop();  // returns, though nobody answers
  loop.run();
  EXPECT_THAT(done, ElementsAre("loop", "RegionStops"));
}

}  // namespace
}  // namespace berth
