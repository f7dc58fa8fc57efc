#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <vector>

namespace berth {

/// Lets coroutines of one thread wait for "something changed".
class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}
  /// Returns at the next notify(), or after `limit`.
  boost::asio::awaitable<void> wait(std::chrono::milliseconds limit);
  void notify();

 private:
  boost::asio::any_io_executor executor_;
  std::vector<std::shared_ptr<boost::asio::steady_timer>> waiting_;
};

}  // namespace berth
