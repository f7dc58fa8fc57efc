#include "hypervisor/qemu/channel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "host/fd.h"
#include "hypervisor/driver.h"

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace berth::qemu {
namespace {

constexpr auto no_throw = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t chunk = 256 << 10;

Error unavailable(const std::string& happened) {
  return Error(ErrorKind::unavailable, "HypervisorUnavailable", happened);
}

/// Cancels what an object waits for once a time has come, as long as this lives.
template <class Waiting>
class Deadline {
 public:
  Deadline(Waiting& waiting, std::chrono::steady_clock::time_point until)
      : timer_(waiting.get_executor(), until) {
    timer_.async_wait([&waiting, weak = std::weak_ptr(over_)](boost::system::error_code canceled) {
      const auto over = weak.lock();
      if (canceled || !over) return;
      *over = true;
      boost::system::error_code ignored;
      waiting.cancel(ignored);
    });
  }
  /// What begins now would not be cancelled.
  bool over() const { return *over_; }

 private:
  std::shared_ptr<bool> over_ = std::make_shared<bool>(false);
  asio::steady_timer timer_;
};

void write_all(const Fd& file, std::string_view bytes, const fs::path& name) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      throw unavailable(fmt::format("{} cannot be written: {}.", name.string(), std::strerror(errno)));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace

Channel::Channel(const asio::any_io_executor& executor, fs::path socket)
    : speaking_(executor), socket_(executor), path_(std::move(socket)) {
  boost::system::error_code error;
  socket_.connect(asio::local::stream_protocol::endpoint(path_.string()), error);
  if (error) throw unavailable(fmt::format("{}: {}.", path_.string(), error.message()));
}

asio::awaitable<std::string> Channel::converse(Secret line, std::chrono::milliseconds limit) {
  const auto turn = co_await speaking_.take();
  if (!is_open()) throw unavailable("The machine answered nothing before.");
  const Deadline deadline(socket_, std::chrono::steady_clock::now() + limit);
  boost::system::error_code error;
  if (!line.empty()) {
    const Secret whole(line.reveal() + "\n");
    std::tie(error, std::ignore) =
        co_await asio::async_write(socket_, asio::buffer(whole.reveal()), no_throw);
  }
  std::size_t size = 0;
  if (!error && deadline.over()) error = asio::error::operation_aborted;
  if (!error)
    std::tie(error, size) =
        co_await asio::async_read_until(socket_, asio::dynamic_buffer(heard_, longest_word), '\n', no_throw);
  if (!error) {
    std::string said = heard_.substr(0, size - 1);
    heard_.erase(0, size);
    co_return said;
  }
  boost::system::error_code ignored;
  socket_.close(ignored);
  throw unavailable(error == asio::error::operation_aborted
                        ? fmt::format("The machine did not answer within {} s.",
                                      std::chrono::duration<double>(limit).count())
                    : error == asio::error::not_found
                        ? "The machine answered with more than a line."
                        : fmt::format("The machine was not told who it is: {}.", error.message()));
}

asio::awaitable<void> receive_file(asio::posix::stream_descriptor listening, fs::path file,
                                   std::uintmax_t most, std::chrono::steady_clock::time_point until) {
  const Fd target(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!target) throw unavailable(fmt::format("{} cannot be made: {}.", file.string(), std::strerror(errno)));
  bool whole = false;
  const std::shared_ptr<void> no_part(nullptr, [&](void*) {
    if (!whole) ::unlink(file.c_str());
  });
  {
    const Deadline deadline(listening, until);
    const auto [error] = co_await listening.async_wait(listening.wait_read, no_throw);
    if (error) throw unavailable("The machine did not begin to say what it stands at.");
  }
  const int peer = ::accept4(listening.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (peer < 0) throw unavailable(fmt::format("No connection was taken: {}.", std::strerror(errno)));
  asio::posix::stream_descriptor stream(listening.get_executor(), peer);
  const Deadline deadline(stream, until);
  std::string part(chunk, '\0');
  for (std::uintmax_t taken = 0;;) {
    const auto [error, size] = co_await stream.async_read_some(asio::buffer(part), no_throw);
    if (error == asio::error::eof) break;
    if (deadline.over()) throw unavailable("The machine did not end to say what it stands at.");
    if (error)
      throw unavailable(fmt::format("What the machine stands at was not heard: {}.", error.message()));
    taken += size;
    if (taken > most) throw unavailable("What the machine stands at is too large.");
    write_all(target, std::string_view(part).substr(0, size), file);
  }
  if (::fsync(target.get()) != 0)
    throw unavailable(fmt::format("{} cannot be written: {}.", file.string(), std::strerror(errno)));
  whole = true;
}

}  // namespace berth::qemu
