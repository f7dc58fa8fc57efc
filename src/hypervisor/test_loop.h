#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <stdexcept>

#include "base/error.h"

/// For the tests of this folder: runs coroutines on the test's own thread.
namespace berth {

class TestLoop {
 public:
  boost::asio::io_context context;

  template <class T>
  T run(boost::asio::awaitable<T> work) {
    std::future<T> result = boost::asio::co_spawn(context, std::move(work), boost::asio::use_future);
    if (!until([&] { return result.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }))
      throw std::runtime_error("it did not end within the test's limit");
    return result.get();
  }

  /// Runs what there is to run until `done`; false when that takes too long.
  bool until(const std::function<bool()>& done, std::chrono::milliseconds limit = std::chrono::seconds(60)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    context.restart();
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      if (context.stopped()) context.restart();
      context.run_one_for(std::chrono::milliseconds(10));
    }
    return true;
  }

  /// The Error that it ends in. Throws when it ends well.
  Error error_of(const std::function<void()>& act) {
    try {
      act();
    } catch (const Error& error) {
      return error;
    }
    throw std::runtime_error("no Error was thrown");
  }
};

}  // namespace berth
