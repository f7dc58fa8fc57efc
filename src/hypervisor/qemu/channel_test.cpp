#include "hypervisor/qemu/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

#include "host/files.h"
#include "host/temporary_folder.h"
#include "hypervisor/driver.h"
#include "hypervisor/test_loop.h"

namespace berth::qemu {
namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using namespace std::chrono_literals;
using testing::HasSubstr;

/// A guest's unit at the other end of the socket that says `answer` to whatever it hears, or without a word.
class ChannelTest : public testing::Test {
 protected:
  void plays(std::string answer, bool listens) {
    asio::co_spawn(
        loop.context,
        [](stream_protocol::acceptor& listening, std::string text, bool first_hears,
           std::string& line) -> asio::awaitable<void> {
          stream_protocol::socket peer = co_await listening.async_accept(asio::use_awaitable);
          if (first_hears)
            co_await asio::async_read_until(peer, asio::dynamic_buffer(line), '\n', asio::use_awaitable);
          boost::system::error_code gone;
          asio::write(peer, asio::buffer(text), gone);
          co_await peer.async_wait(peer.wait_error, asio::use_awaitable);
        }(acceptor, std::move(answer), listens, heard),
        asio::detached);
  }

  TestLoop loop;
  TemporaryFolder folder;
  stream_protocol::acceptor acceptor{loop.context, stream_protocol::endpoint((folder / "sock").string())};
  std::string heard;
};

}  // namespace

TEST_F(ChannelTest, SendsALineAndReturnsTheOneThatComesBack) {
  plays("{\"state\":\"done\"}\n", true);
  Channel channel(loop.context.get_executor(), folder / "sock");

  EXPECT_EQ(loop.run(channel.converse(Secret("who you are"), 10s)), "{\"state\":\"done\"}");
  EXPECT_EQ(heard, "who you are\n");
}

TEST_F(ChannelTest, WithoutALineOfItsOwnOnlyListens) {
  plays("waiting\nand more\n", false);
  Channel channel(loop.context.get_executor(), folder / "sock");

  EXPECT_EQ(loop.run(channel.converse({}, 10s)), "waiting");
  EXPECT_EQ(loop.run(channel.converse({}, 10s)), "and more");
}

TEST_F(ChannelTest, AMachineThatSaysNothingIsNotWaitedForForEver) {
  plays("half a line", true);
  Channel channel(loop.context.get_executor(), folder / "sock");

  const Error error = loop.error_of([&] { loop.run(channel.converse(Secret("hello"), 50ms)); });

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_FALSE(channel.is_open());
}

TEST_F(ChannelTest, AMachineCannotFillTheHostsMemory) {
  plays(std::string(2 * longest_word, 'x'), false);
  Channel channel(loop.context.get_executor(), folder / "sock");

  const Error error = loop.error_of([&] { loop.run(channel.converse({}, 10s)); });

  EXPECT_THAT(error.what(), HasSubstr("more than a line"));
}

TEST_F(ChannelTest, WhereNobodyListensThereIsNoChannel) {
  EXPECT_EQ(loop.error_of([&] { Channel(loop.context.get_executor(), folder / "nobody"); }).kind,
            ErrorKind::unavailable);
}

TEST_F(ChannelTest, TakesAFileFromTheOneThatConnects) {
  asio::posix::stream_descriptor listening(loop.context, ::dup(acceptor.native_handle()));
  stream_protocol::socket sender(loop.context);
  sender.connect(stream_protocol::endpoint((folder / "sock").string()));
  asio::write(sender, asio::buffer(std::string("devices")));
  sender.close();

  loop.run(
      receive_file(std::move(listening), folder / "file", 1 << 20, std::chrono::steady_clock::now() + 10s));

  EXPECT_EQ(read_file(folder / "file"), "devices");
}

TEST_F(ChannelTest, LeavesNoPartOfAFileThatDoesNotEnd) {
  asio::posix::stream_descriptor listening(loop.context, ::dup(acceptor.native_handle()));
  stream_protocol::socket sender(loop.context);
  sender.connect(stream_protocol::endpoint((folder / "sock").string()));
  asio::write(sender, asio::buffer(std::string("half")));

  const Error error = loop.error_of([&] {
    loop.run(receive_file(std::move(listening), folder / "file", 1 << 20,
                          std::chrono::steady_clock::now() + 50ms));
  });

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_FALSE(std::filesystem::exists(folder / "file"));
}

}  // namespace berth::qemu
