#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <filesystem>
#include <string>

#include "base/secret.h"
#include "hypervisor/qemu/turn.h"

namespace berth::qemu {

/// One conversation with the unit of a guest that gives a machine its identity, a line each way.
class Channel {
 public:
  Channel(const boost::asio::any_io_executor& executor, std::filesystem::path socket);

  /// Waits for its turn, sends `line`, none when it is empty, and returns the next line of the guest without its end. Throws
  /// Error(unavailable): nobody listens, nothing came within `limit`, more than longest_word bytes came. It is closed then.
  boost::asio::awaitable<std::string> converse(Secret line, std::chrono::milliseconds limit);
  bool is_open() const { return socket_.is_open(); }

 private:
  Turn speaking_;
  boost::asio::local::stream_protocol::socket socket_;
  std::filesystem::path path_;
  std::string heard_;
};

/// Takes the one connection that comes to `listening`, and writes what it sends to a new file, until it is closed; blocks
/// its thread while it writes. Throws Error(unavailable) when nothing comes before `until`, when there are more than
/// `most` bytes, or the file cannot be written; it is removed then.
boost::asio::awaitable<void> receive_file(boost::asio::posix::stream_descriptor listening,
                                          std::filesystem::path file, std::uintmax_t most,
                                          std::chrono::steady_clock::time_point until);

}  // namespace berth::qemu
