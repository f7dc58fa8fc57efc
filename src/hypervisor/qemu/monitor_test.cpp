#include "hypervisor/qemu/monitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <nlohmann/json.hpp>

#include "host/temporary_folder.h"
#include "hypervisor/test_loop.h"

namespace asio = boost::asio;

namespace berth::qemu {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string greeting = R"({"QMP": {"version": {}, "capabilities": []}})"
                             "\r\n";
const std::string done = R"({"return": {}, "id": $id})"
                         "\r\n";
const std::string nothing;
const std::string hang_up = "hang up";

/// Plays QEMU from a script: the first line greets, each further one answers a command ("$id" is that
/// command's). At the end of the script it reads on and stays silent.
class MonitorTest : public testing::Test {
 protected:
  void play(std::vector<std::string> lines, std::size_t piece = 1 << 20) {
    script = std::move(lines);
    piece_size = piece;
    asio::co_spawn(loop.context, serve(), asio::detached);
  }
  void play_after_negotiation(std::vector<std::string> answers) {
    answers.insert(answers.begin(), {greeting, done});
    play(std::move(answers));
  }

  std::unique_ptr<Monitor> connect(std::chrono::milliseconds limit = 60s) {
    return loop.run(Monitor::connect(path, limit, [this](const std::string& name, const json& data) {
      events.push_back(name + " " + data.dump());
    }));
  }
  std::string error_of(asio::awaitable<json> command) {
    return loop.error_of([&] { loop.run(std::move(command)); }).what();
  }

  asio::awaitable<void> serve() {
    auto peer = co_await acceptor.async_accept(asio::use_awaitable);
    std::string input;
    for (std::size_t i = 0;; ++i) {
      std::string id;
      if (i > 0) {
        const auto [error, size] = co_await asio::async_read_until(peer, asio::dynamic_buffer(input), '\n',
                                                                   asio::as_tuple(asio::use_awaitable));
        if (error) co_return;
        received.push_back(json::parse(input.substr(0, size)));
        input.erase(0, size);
        id = received.back().at("id").dump();
      }
      if (i >= script.size()) continue;
      if (script[i] == hang_up) co_return;
      std::string answer = script[i];
      for (auto at = answer.find("$id"); at != answer.npos; at = answer.find("$id"))
        answer.replace(at, 3, id);
      for (std::size_t at = 0; at < answer.size(); at += piece_size)
        co_await asio::async_write(peer, asio::buffer(answer.substr(at, piece_size)),
                                   asio::as_tuple(asio::use_awaitable));
    }
  }

  asio::awaitable<void> greet_and_read_no_more(asio::local::stream_protocol::socket& peer) {
    co_await acceptor.async_accept(peer, asio::use_awaitable);
    const std::string hello = greeting + R"({"return": {}, "id": 1})" + "\n";
    co_await asio::async_write(peer, asio::buffer(hello), asio::use_awaitable);
  }

  TestLoop loop;
  TemporaryFolder folder;
  std::filesystem::path path = folder / "qmp.sock";
  asio::local::stream_protocol::acceptor acceptor{loop.context, path.string()};
  std::vector<std::string> script;
  std::size_t piece_size = 1;
  std::vector<json> received;
  std::vector<std::string> events;
};

}  // namespace

TEST_F(MonitorTest, NegotiatesThenReturnsWhatQemuReturns) {
  play_after_negotiation({R"({"return": {"status": "running"}, "id": $id})"
                          "\n"});

  const json answer = loop.run(connect()->execute("query-status", {{"deep", true}}));

  EXPECT_EQ(answer, json::parse(R"({"status": "running"})"));
  ASSERT_EQ(received.size(), 2u);
  EXPECT_EQ(received[0]["execute"], "qmp_capabilities");
  EXPECT_EQ(received[1]["execute"], "query-status");
  EXPECT_EQ(received[1]["arguments"], json::parse(R"({"deep": true})"));
}

TEST_F(MonitorTest, ReadsAPeerThatSendsByteByByte) {
  play({greeting, done, R"({"event": "STOP"})" + ("\n" + done)}, 1);

  EXPECT_EQ(loop.run(connect()->execute("stop")), json::object());
  EXPECT_THAT(events, ElementsAre("STOP {}"));
}

TEST_F(MonitorTest, ARefusalCarriesQemusWords) {
  play_after_negotiation({R"({"error": {"class": "GenericError", "desc": "Node lun3 is in use"}, "id": $id})"
                          "\n"});

  EXPECT_EQ(error_of(connect()->execute("blockdev-del")), "QEMU refused blockdev-del: Node lun3 is in use.");
}

TEST_F(MonitorTest, EventsComeBeforeTheAnswerThatFollowsThem) {
  play_after_negotiation({R"({"event": "SHUTDOWN", "data": {"guest": true}})"
                          "\n" +
                          done});

  loop.run(connect()->execute("query-status"));

  EXPECT_THAT(events, ElementsAre(R"(SHUTDOWN {"guest":true})"));
}

TEST_F(MonitorTest, AnswersFindTheirCommandsInAnyOrder) {
  play_after_negotiation({nothing, R"({"return": "b", "id": 3})"
                                   "\n"
                                   R"({"return": "a", "id": 2})"
                                   "\n"});
  const auto monitor = connect();
  json first, second;
  asio::co_spawn(loop.context, monitor->execute("a"), [&](std::exception_ptr, json value) { first = value; });
  asio::co_spawn(loop.context, monitor->execute("b"),
                 [&](std::exception_ptr, json value) { second = value; });

  EXPECT_TRUE(loop.until([&] { return !first.is_null() && !second.is_null(); }));

  EXPECT_EQ(first, "a");
  EXPECT_EQ(second, "b");
}

TEST_F(MonitorTest, ASilentPeerIsNamedAtTheLimit) {
  play_after_negotiation({nothing, R"({"return": "late", "id": 2})"
                                   "\n"
                                   R"({"return": "mine", "id": 3})"
                                   "\n"});
  const auto monitor = connect();

  EXPECT_THAT(error_of(monitor->execute("first", {}, 50ms)), HasSubstr("did not answer first within 0.05 s"));

  EXPECT_EQ(loop.run(monitor->execute("second")), "mine");
}

TEST_F(MonitorTest, ACommandFailsAtOnceWhenThePeerHangsUp) {
  play_after_negotiation({hang_up});
  const auto monitor = connect();

  EXPECT_THAT(error_of(monitor->execute("query-status", {}, 1h)), HasSubstr("closed its monitor"));

  EXPECT_FALSE(monitor->is_open());
  EXPECT_THAT(error_of(monitor->execute("query-status", {}, 1h)), HasSubstr("closed its monitor"));
  loop.run(monitor->closed(1h));
}

TEST_F(MonitorTest, APeerThatDoesNotGreetIsNoQemu) {
  play({nothing});

  const Error error = loop.error_of([&] { connect(50ms); });

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.what(), HasSubstr("with a greeting"));
}

TEST_F(MonitorTest, NobodyThereIsAnErrorThatNamesTheSocket) {
  acceptor.close();

  EXPECT_THAT(loop.error_of([&] { connect(); }).what(), HasSubstr(path.string()));
  std::filesystem::remove(path);
  EXPECT_THAT(loop.error_of([&] { connect(); }).what(), HasSubstr(path.string()));
}

TEST_F(MonitorTest, WhatIsNoJsonObjectEndsTheConnection) {
  for (const std::string& line : {std::string("QEMU says hello"), std::string("[]"), std::string("{\"a\":"),
                                  std::string("{\"\xff\": 1}"), std::string(1000, '[')}) {
    received.clear();
    play_after_negotiation({line + "\n" + done});
    const auto monitor = connect();

    EXPECT_THAT(error_of(monitor->execute("query-status", {}, 1h)), HasSubstr("not a JSON object")) << line;
    EXPECT_FALSE(monitor->is_open());
  }
}

TEST_F(MonitorTest, ALineWithoutEndEndsTheConnection) {
  play_after_negotiation({std::string(5 << 20, ' ')});

  EXPECT_THAT(error_of(connect()->execute("query-status", {}, 1h)), HasSubstr("more than 4194304 bytes"));
}

TEST_F(MonitorTest, OddMessagesAreSkipped) {
  play_after_negotiation({R"({"return": 1})"
                          "\n"
                          R"({"return": 1, "id": "2"})"
                          "\n"
                          R"({"return": 1, "id": -2})"
                          "\n"
                          R"({"return": 1, "id": 77})"
                          "\n"
                          R"({"event": {}, "data": 7})"
                          "\n"
                          R"({})"
                          "\n" +
                          done});

  EXPECT_EQ(loop.run(connect()->execute("query-status")), json::object());
  EXPECT_THAT(events, ElementsAre(" {}"));
}

TEST_F(MonitorTest, AnAnswerWithoutContentIsNull) {
  play_after_negotiation({R"({"id": $id})"
                          "\n"});

  EXPECT_EQ(loop.run(connect()->execute("query-status")), json());
}

TEST_F(MonitorTest, AHandlerThatThrowsDoesNotBreakIt) {
  play_after_negotiation({R"({"event": "STOP"})"
                          "\n" +
                          done});
  const auto monitor = loop.run(Monitor::connect(
      path, 60s, [](const std::string&, const json& data) { data.at("no such key").get<std::string>(); }));

  EXPECT_EQ(loop.run(monitor->execute("stop")), json::object());
}

TEST_F(MonitorTest, APeerThatNoLongerReadsIsGivenUp) {
  asio::local::stream_protocol::socket peer(loop.context);
  asio::co_spawn(loop.context, greet_and_read_no_more(peer), asio::detached);
  const auto monitor = connect();
  const json large = {{"text", std::string(100'000, 'x')}};
  std::string what;

  for (int i = 0; i < 1000 && monitor->is_open(); ++i) what = error_of(monitor->execute("big", large, 1ms));

  EXPECT_FALSE(monitor->is_open());
  EXPECT_THAT(what, HasSubstr("takes no more commands"));
}

TEST_F(MonitorTest, ACommandThatWaitsEndsWithItsMonitor) {
  play_after_negotiation({nothing});
  auto monitor = connect();
  std::exception_ptr outcome;
  asio::co_spawn(loop.context, monitor->execute("query-status", json::object(), 1h),
                 [&](std::exception_ptr trouble, const json&) { outcome = trouble; });
  ASSERT_TRUE(loop.until([&] { return received.size() == 2; }));

  monitor.reset();

  EXPECT_TRUE(loop.until([&] { return outcome != nullptr; }));
  EXPECT_THROW(std::rethrow_exception(outcome), Error);
}

TEST_F(MonitorTest, OneClientAtATimeTheNextOneWaits) {
  play_after_negotiation({});
  auto first = connect();

  EXPECT_THAT(loop.error_of([&] { connect(50ms); }).what(), HasSubstr("with a greeting"));
}

}  // namespace berth::qemu
