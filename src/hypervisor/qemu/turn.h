#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>

namespace berth::qemu {

/// Coroutines of one thread take turns; the others wait. Outlives whoever waits or holds it.
class Turn {
 public:
  explicit Turn(const boost::asio::any_io_executor& executor) : over_(executor) {
    over_.expires_at(boost::asio::steady_timer::time_point::max());
  }

  /// The turn is over when the result goes.
  class Held {
   public:
    explicit Held(Turn* turn) : turn_(turn) {}

   private:
    struct End {
      void operator()(Turn* turn) const {
        turn->taken_ = false;
        turn->over_.cancel_one();
      }
    };
    std::unique_ptr<Turn, End> turn_;
  };

  boost::asio::awaitable<Held> take() {
    while (taken_) co_await over_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    taken_ = true;
    co_return Held(this);
  }

 private:
  bool taken_ = false;
  boost::asio::steady_timer over_;
};

}  // namespace berth::qemu
