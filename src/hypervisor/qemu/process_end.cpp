#include "hypervisor/qemu/process_end.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace asio = boost::asio;

namespace berth::qemu {

asio::awaitable<bool> has_ended(ProcessId process, std::chrono::milliseconds limit) {
  using namespace asio::experimental::awaitable_operators;
  const auto executor = co_await asio::this_coro::executor;
  Fd pidfd = open_process(process);
  if (!pidfd) co_return true;
  asio::posix::stream_descriptor end(executor, pidfd.release());
  asio::steady_timer too_long(executor, limit);
  const auto first = co_await (end.async_wait(end.wait_read, asio::use_awaitable) ||
                               too_long.async_wait(asio::use_awaitable));
  co_return first.index() == 0;
}

}  // namespace berth::qemu
