#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <type_traits>
#include <utility>

namespace berth {

namespace asio = boost::asio;

/// Who does a region's work.
struct Threads {
  asio::any_io_executor executor;  ///< the region's one thread
  asio::any_io_executor pool;      ///< slow work: seconds
  asio::any_io_executor builds;    ///< what takes minutes: images
};

/// Other threads run `work`; what it returns or throws comes back to the thread that waits.
template <class F>
asio::awaitable<std::invoke_result_t<F>> on(asio::any_io_executor threads, F work) {
  co_return co_await asio::co_spawn(
      threads,
      [](F inner) -> asio::awaitable<std::invoke_result_t<F>> { co_return inner(); }(std::move(work)),
      asio::use_awaitable);
}

}  // namespace berth
