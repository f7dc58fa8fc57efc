#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

/// Threads for what a client or guest can make slow: see docs/decisions/0012-what-a-request-may-cost.md.
namespace berth {

struct WorkerLimits {
  unsigned threads = 2;
  std::size_t waiting = 4096;         ///< jobs in the queue
  std::size_t waiting_of_one = 1024;  ///< of one client
};

/// Works on jobs beside the loop that hands them in. Clients take turns, and one never has all threads: who
/// asks for much waits for himself. Jobs have their data by value; what they share they guard themselves.
class Workers {
 public:
  /// `loop`: the thread that owns the state that ask() is about.
  explicit Workers(boost::asio::any_io_executor loop, const WorkerLimits& limits = {});
  /// As stop().
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Runs `work` when it is the client's turn; what it returns or throws comes back to the caller's executor.
  /// The state may have changed by then. Throws Error(unavailable, "TooManyRequests") when too much waits.
  template <class Work>
  boost::asio::awaitable<std::invoke_result_t<Work&>> run(std::string client, Work work) {
    using Result = std::invoke_result_t<Work&>;
    struct Outcome {
      std::optional<Result> result;
      std::exception_ptr thrown;
    };
    auto outcome = std::make_shared<Outcome>();
    auto job = [outcome, work = std::make_shared<Work>(std::move(work))] {
      try {
        outcome->result.emplace((*work)());
      } catch (...) {
        outcome->thrown = std::current_exception();
      }
    };
    const auto executor = co_await boost::asio::this_coro::executor;
    co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>, void()>(
        [&](auto handler) {
          auto waiting = std::make_shared<decltype(handler)>(std::move(handler));
          const auto come_back = [waiting, executor] {
            boost::asio::post(executor, [waiting] { (*waiting)(); });
          };
          try {
            add(client, [job, come_back, busy = boost::asio::make_work_guard(executor)] {
              job();
              come_back();
            });
          } catch (...) {  // thrown from here it would end the loop, not the caller
            outcome->thrown = std::current_exception();
            come_back();
          }
        },
        boost::asio::use_awaitable);
    if (outcome->thrown) std::rethrow_exception(outcome->thrown);
    co_return std::move(*outcome->result);
  }

  /// From a job: what the loop's thread answers. `question` may run after the job has given up: it has its
  /// data by value. Throws what it throws, and Error(unavailable) when the workers stop.
  template <class Question>
  std::invoke_result_t<Question&> ask(Question question) {
    auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Question&>()>>(std::move(question));
    auto answer = task->get_future();
    boost::asio::post(loop_, [task] { (*task)(); });
    while (answer.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready)
      if (stopped()) throw_stopped();
    return answer.get();
  }

  /// Lets the jobs that run end, drops those that wait, takes no more. On the loop's thread.
  void stop();

 private:
  struct State;
  void add(const std::string& client, std::function<void()> job);
  bool stopped() const;
  [[noreturn]] static void throw_stopped();

  boost::asio::any_io_executor loop_;
  std::unique_ptr<State> state_;
};

}  // namespace berth
