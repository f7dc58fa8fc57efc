#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace berth::arm {

/// For long work on the region's thread, between its parts: others are served after each 20 ms of it. What is in the
/// region may be another afterwards.
class Turns {
 public:
  boost::asio::awaitable<void> next() {
    if (std::chrono::steady_clock::now() - began_ < std::chrono::milliseconds(20)) co_return;
    co_await boost::asio::post(boost::asio::use_awaitable);
    began_ = std::chrono::steady_clock::now();
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
};

}  // namespace berth::arm
