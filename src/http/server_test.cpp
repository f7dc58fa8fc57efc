#include "http/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <set>

#include "http/client.h"
#include "http/test_server.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

/// Answers with what it was asked.
boost::asio::awaitable<Response> echo(Request request) {
  Response response;
  response.body = request.method + " " + request.path + " " + request.body;
  response.headers["X-Origin"] = request.origin;
  co_return response;
}

/// A client that sends bytes as they are.
class RawClient {
 public:
  explicit RawClient(const std::filesystem::path& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.string().copy(address.sun_path, sizeof address.sun_path - 1);
    connected = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { ::close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool send(std::string_view bytes) const {
    return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }
  /// All that comes until `end` appears or the server closes; at most 30 s.
  std::string read_until(std::string_view end) {
    std::string text;
    pollfd poll{fd_, POLLIN, 0};
    char chunk[4096];
    while (text.find(end) == std::string::npos && ::poll(&poll, 1, 30'000) > 0) {
      const ssize_t count = ::recv(fd_, chunk, sizeof chunk, 0);
      if (count <= 0) break;
      text.append(chunk, static_cast<std::size_t>(count));
    }
    return text;
  }
  std::string read_all() { return read_until("\x01 never \x01"); }
  bool connected = false;

 private:
  int fd_;
};

class UnixServer : public testing::Test {
 protected:
  void serve(Handler handler, ServerLimits limits = {}) { serve(open_gate(handler), limits); }
  void serve(Gate gate, ServerLimits limits = {}) { thread.unix_socket(socket, gate, limits); }
  std::string exchange(std::string_view bytes) {
    RawClient client(socket);
    client.send(bytes);
    return client.read_all();
  }
  TemporaryFolder folder;
  std::filesystem::path socket = folder.path() / "s";
  ServerThread thread;
};

}  // namespace

TEST_F(UnixServer, AnswersAndClosesWhenAsked) {
  serve(echo);
  const std::string answer = exchange("GET /a?b=c HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\nDate: "));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 7\r\n"));
  EXPECT_THAT(answer, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(answer, HasSubstr("X-Origin: http://h\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\nGET /a "));
}

TEST_F(UnixServer, KeepsTheConnectionOpenOtherwise) {
  serve(echo);
  RawClient client(socket);
  for (int i = 0; i < 3; ++i) {
    client.send("POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nx-" + std::to_string(i));
    EXPECT_THAT(client.read_until("POST /a x-"), HasSubstr("Connection: keep-alive"));
  }
}

TEST_F(UnixServer, AnswersPipelinedRequestsInTheirOrder) {
  serve(echo);
  const std::string answer = exchange(
      "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPUT /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"
      "GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const auto first = answer.find("GET /1"), second = answer.find("PUT /2 hi"), third = answer.find("GET /3");
  EXPECT_LT(first, second);
  EXPECT_LT(second, third);
  EXPECT_NE(third, std::string::npos);
}

TEST_F(UnixServer, ReadsChunkedBodies) {
  serve(echo);
  EXPECT_THAT(exchange("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
                       "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"),
              HasSubstr("PUT /a abcdefg"));
}

TEST_F(UnixServer, AsksForTheBodyThatTheClientHoldsBack) {
  serve(echo);
  RawClient client(socket);
  client.send("PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hi");
  EXPECT_THAT(client.read_until("PUT /a hi"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(UnixServer, DoesNotAskForABodyThatIsTooLarge) {
  serve(open_gate(echo, 10));
  EXPECT_THAT(exchange("PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(UnixServer, HeadHasTheLengthButNotTheBody) {
  serve([](Request) -> boost::asio::awaitable<Response> {
    Response response;
    response.body = "12345";
    co_return response;
  });
  const std::string answer = exchange("HEAD /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n"));
}

TEST_F(UnixServer, ANoContentAnswerHasNoLength) {
  serve([](Request) -> boost::asio::awaitable<Response> {
    Response response;
    response.status = 204;
    co_return response;
  });
  EXPECT_THAT(exchange("DELETE /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 204 "), Not(HasSubstr("Content-Length"))));
}

TEST_F(UnixServer, EveryAnswerHasARequestId) {
  serve(echo);
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              testing::ContainsRegex("x-ms-request-id: [0-9a-f]{32}\r\n"));
  EXPECT_THAT(exchange("garbage\r\n\r\n"), testing::ContainsRegex("x-ms-request-id: [0-9a-f]{32}\r\n"));
}

TEST_F(UnixServer, TheHandlersOwnRequestIdStays) {
  serve([](Request) -> boost::asio::awaitable<Response> {
    Response response;
    response.headers["X-MS-Request-Id"] = "mine";
    co_return response;
  });
  const std::string answer = exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, AllOf(HasSubstr("X-MS-Request-Id: mine\r\n"), Not(HasSubstr("x-ms-request-id: "))));
}

TEST_F(UnixServer, AHeaderValueCannotStartALineOfItsOwn) {
  serve([](Request) -> boost::asio::awaitable<Response> {
    Response response;
    response.headers["Location"] = "/a\r\nSet-Cookie: x";
    co_return response;
  });
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              HasSubstr("Location: /a  Set-Cookie: x\r\n"));
}

TEST_F(UnixServer, GarbageIsABadRequest) {
  serve(echo);
  for (const char* garbage :
       {"\x16\x03\x01\x02\x01\x01\xfc\x03\x03\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\nNo colon\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"})
    EXPECT_THAT(exchange(garbage), StartsWith("HTTP/1.1 400 ")) << garbage;
}

TEST_F(UnixServer, AbsoluteTargetsAreUnderstood) {
  serve(echo);
  EXPECT_THAT(exchange("GET http://168.63.129.16:80/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              AllOf(HasSubstr("GET /x "), HasSubstr("X-Origin: http://168.63.129.16:80\r\n")));
}

TEST_F(UnixServer, OldClientsWithoutHostAreServedAndClosed) {
  serve(echo);
  EXPECT_THAT(exchange("GET /x HTTP/1.0\r\n\r\n"),
              AllOf(HasSubstr("GET /x "), HasSubstr("Connection: close")));
}

TEST_F(UnixServer, ABodyAboveTheLimitIsRefusedAndTheAnswerArrivesWhileTheClientStillSends) {
  serve(open_gate(echo, 1000));
  RawClient client(socket);
  client.send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
  const std::string piece(1000, 'x');
  for (int i = 0; i < 20; ++i) client.send(piece);
  EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(UnixServer, AChunkedBodyAboveTheLimitIsRefused) {
  serve(open_gate(echo, 1000));
  EXPECT_THAT(exchange("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n" +
                       std::string(1500, 'x') + "\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(UnixServer, SomeRequestsMayHaveALargerBody) {
  serve([](Request& head) {
    const bool file = head.method == "PUT" && head.path == "/file";
    return Admission{.handler = echo, .refusal = {}, .largest_body = file ? 1000U : 10U};
  });
  const std::string body(1000, 'x');
  const auto put = [&](const std::string& target, const std::string& more) {
    return exchange("PUT " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: " +
                    std::to_string(body.size() + more.size()) + "\r\n\r\n" + body + more);
  };
  EXPECT_THAT(put("/file?a=b", ""), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(put("/file", "x"), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(put("/other", ""), StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(exchange("PUT /file HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n" +
                       std::string(1500, 'x') + "\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(UnixServer, AHeaderAboveTheLimitIsRefused) {
  serve(echo, {.header = 2000});
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'x') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 431 "));
  EXPECT_THAT(exchange("GET /" + std::string(5000, 'x')), StartsWith("HTTP/1.1 431 "));
}

TEST_F(UnixServer, ARequestThatDripsInIsCut) {
  serve(echo, {.head = 1s});
  RawClient client(socket);
  client.send("GET / HTTP/1.1\r\nHost: h\r\n");
  std::thread drip([&] {
    for (int i = 0; i < 300 && client.send("X: y\r\n"); ++i) std::this_thread::sleep_for(100ms);
  });
  EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 408 "));
  drip.join();
}

TEST_F(UnixServer, AConnectionWithoutRequestsIsClosed) {
  serve(echo, {.idle = 1s, .head = 1s});
  RawClient silent(socket);
  EXPECT_EQ(silent.read_all(), "");
  RawClient kept(socket);
  kept.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(kept.read_all(), testing::EndsWith("GET /a "));
}

TEST_F(UnixServer, AHandlerMayTakeLongerThanAnyLimit) {
  serve(
      [](Request) -> boost::asio::awaitable<Response> {
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 3s);
        co_await timer.async_wait(boost::asio::use_awaitable);
        Response response;
        response.body = "late";
        co_return response;
      },
      {.read = 1s, .idle = 1s, .head = 1s});
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), testing::EndsWith("late"));
}

TEST_F(UnixServer, AClientThatGoesAwayDoesNoHarm) {
  std::promise<void> asked, done;
  serve([&](Request request) -> boost::asio::awaitable<Response> {
    if (request.path == "/slow") {
      asked.set_value();
      boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 200ms);
      co_await timer.async_wait(boost::asio::use_awaitable);
      done.set_value();
    }
    Response response;
    response.body.assign(1'000'000, 'x');
    co_return response;
  });
  {
    RawClient client(socket);
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
    asked.get_future().wait();
  }
  done.get_future().wait();
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
}

TEST_F(UnixServer, AHandlerThatThrowsBecomesAnEmpty500AndTheConnectionGoesOn) {
  serve([](Request request) -> boost::asio::awaitable<Response> {
    if (request.path == "/bug") throw std::runtime_error("secret detail");
    co_return Response{};
  });
  const std::string answer =
      exchange("GET /bug HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer,
              AllOf(StartsWith("HTTP/1.1 500 "), HasSubstr("HTTP/1.1 200 OK"), Not(HasSubstr("secret"))));
}

TEST_F(UnixServer, WhenItIsFullTheConnectionThatIsIdleLongestGoes) {
  serve(echo, {.connections = 2});
  RawClient first(socket), second(socket);
  for (RawClient* client : {&first, &second, &first}) {
    client->send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
    client->read_until("GET /1");
  }
  RawClient third(socket);
  EXPECT_EQ(second.read_all(), "");
  for (RawClient* client : {&first, &third}) {
    client->send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_THAT(client->read_until("GET /2"), HasSubstr("GET /2"));
  }
}

TEST_F(UnixServer, ConnectionsThatAreAtWorkStayAndANewOneIsClosed) {
  std::promise<void> asked, go_on;
  serve(
      [&, waiting = go_on.get_future().share()](Request) -> boost::asio::awaitable<Response> {
        asked.set_value();
        boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
        while (waiting.wait_for(0s) != std::future_status::ready) {
          timer.expires_after(5ms);
          co_await timer.async_wait(boost::asio::use_awaitable);
        }
        co_return Response{};
      },
      {.connections = 1});
  RawClient first(socket);
  first.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  asked.get_future().wait();
  RawClient second(socket);
  EXPECT_EQ(second.read_all(), "");
  go_on.set_value();
  EXPECT_THAT(first.read_all(), StartsWith("HTTP/1.1 200 "));
}

/// Lets in who says the word; what others send is refused by its head.
Admission ask_for_the_word(Request& head) {
  Admission admission;
  admission.known = head.header("Word") == "open";
  admission.refusal.status = 401;
  if (admission.known || head.path == "/public") admission.handler = echo;
  admission.largest_body = admission.known ? 1'000'000 : 1000;
  return admission;
}

TEST_F(UnixServer, ABodyIsNotReadOfAClientThatIsNotLetIn) {
  serve(ask_for_the_word);
  for (const char* body : {"Content-Length: 500000\r\n", "Transfer-Encoding: chunked\r\n",
                           "Content-Length: 500000\r\nExpect: 100-continue\r\n"}) {
    RawClient client(socket);
    client.send("PUT /a HTTP/1.1\r\nHost: h\r\n" + std::string(body) + "\r\n");
    EXPECT_THAT(client.read_all(), AllOf(StartsWith("HTTP/1.1 401 "), HasSubstr("Connection: close")));
  }
  // Without a body there is nothing that could be taken for a request, and the next one may be let in.
  EXPECT_THAT(exchange("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
                       "GET /b HTTP/1.1\r\nHost: h\r\nWord: open\r\nConnection: close\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 401 "), HasSubstr("HTTP/1.1 200 OK")));
}

TEST_F(UnixServer, WhatFollowsARefusedBodyIsNotTakenForARequest) {
  serve(ask_for_the_word);
  const std::string answer = exchange(
      "PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 60\r\n\r\n"
      "GET /b HTTP/1.1\r\nHost: h\r\nWord: open\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 401 "), Not(HasSubstr("200 OK"))));
}

TEST_F(UnixServer, AGateThatThrowsBecomesA500) {
  serve([](Request&) -> Admission { throw std::runtime_error("secret detail"); });
  EXPECT_THAT(exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 500 "), Not(HasSubstr("secret"))));
}

TEST_F(UnixServer, AKnownClientIsNotClosedForUnknownOnes) {
  serve(ask_for_the_word, {.connections = 4, .unknown = 2});
  RawClient known(socket);
  known.send("GET /1 HTTP/1.1\r\nHost: h\r\nWord: open\r\n\r\n");
  known.read_until("GET /1");
  std::vector<std::unique_ptr<RawClient>> silent;
  for (int i = 0; i < 50; ++i) {
    silent.push_back(std::make_unique<RawClient>(socket));
    silent.back()->send("GET /public HTTP/1.1\r\nHost: h\r\n\r\n");
    silent.back()->read_until("GET /public");
  }
  for (int i = 0; i < 48; ++i) EXPECT_EQ(silent[static_cast<std::size_t>(i)]->read_all(), "");
  known.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.1\r\nHost: h\r\nWord: open\r\n\r\n");
  EXPECT_THAT(known.read_until("GET /3"), HasSubstr("GET /3"));
}

TEST_F(UnixServer, AnUnknownClientHasLessTimeThanAKnownOne) {
  serve(ask_for_the_word, {.read = 3600s, .idle = 3600s, .head = 1s});
  const std::string put = "PUT /public HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n";
  RawClient known(socket), unknown(socket), idle(socket);
  known.send(put + "Word: open\r\n\r\n12345");
  unknown.send(put + "\r\n12345");
  idle.send("GET /public HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(unknown.read_all(), StartsWith("HTTP/1.1 408 "));
  EXPECT_THAT(idle.read_all(), testing::EndsWith("GET /public "));
  known.send("67890");
  EXPECT_THAT(known.read_until("1234567890"), HasSubstr("1234567890"));
}

TEST_F(UnixServer, TheBodiesOfAllRequestsTogetherHaveALimit) {
  serve(ask_for_the_word, {.bodies = 1'500'000});
  const std::string put = "PUT /a HTTP/1.1\r\nHost: h\r\nWord: open\r\n";
  RawClient first(socket);
  first.send(put + "Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n");
  first.read_until("100 Continue\r\n\r\n");
  EXPECT_THAT(exchange(put + "Content-Length: 600000\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("Retry-After: 1")));
  EXPECT_THAT(exchange(put + "Transfer-Encoding: chunked\r\n\r\n"), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(exchange(put + "Connection: close\r\nContent-Length: 5\r\n\r\nhello"),
              HasSubstr("PUT /a hello"));
  first.send(std::string(999'996, 'x') + "done");
  first.read_until("done");
  // What was read is given back once it is answered.
  first.send(put + "Connection: close\r\nContent-Length: 1000000\r\n\r\n" + std::string(999'996, 'y') +
             "done");
  EXPECT_TRUE(first.read_until("done").find("200 OK") != std::string::npos);
}

TEST_F(UnixServer, AChunkWhoseLineNeverEndsIsCut) {
  serve(ask_for_the_word);
  for (const char* beginning : {"5;x=", "0\r\nX: "}) {
    RawClient client(socket);
    client.send("PUT /public HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
                std::string(beginning));
    const std::string more(10'000, 'x');
    for (int i = 0; i < 100 && client.send(more); ++i) {
    }
    EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 4")) << beginning;
  }
}

TEST_F(UnixServer, ALengthThatPromisesMoreThanComesTakesNoMemory) {
  serve(ask_for_the_word);
  for (const char* length : {"1001", "4294967296", "18446744073709551615", "99999999999999999999999"})
    EXPECT_THAT(
        exchange("PUT /public HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::string(length) + "\r\n\r\nx"),
        AnyOf(StartsWith("HTTP/1.1 413 "), StartsWith("HTTP/1.1 400 ")))
        << length;
}

TEST_F(UnixServer, TheHandlerLearnsWhoseProcessAsks) {
  std::int64_t seen = -1;
  serve([&](Request request) -> boost::asio::awaitable<Response> {
    seen = request.account;
    co_return Response{};
  });
  exchange("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(seen, ::geteuid());
}

TEST_F(UnixServer, TheSocketIsForItsOwnerAndGoesWithTheServer) {
  serve(echo);
  struct stat status {};
  ASSERT_EQ(::stat(socket.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  RawClient client(socket);
  client.send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  client.read_until("GET /a");

  thread.stop();

  EXPECT_EQ(client.read_all(), "");
  EXPECT_FALSE(std::filesystem::exists(socket));
}

TEST_F(UnixServer, ASuccessorsSocketStaysWhenThePredecessorGoes) {
  serve(echo);
  serve(echo);  // the second one is made before the first one is destroyed
  EXPECT_TRUE(RawClient(socket).connected);
}

TEST_F(UnixServer, APathThatIsTooLongIsNamed) {
  try {
    serve(echo);
    thread.unix_socket(folder.path() / std::string(120, 'x'), open_gate(echo));
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::unavailable);
    EXPECT_THAT(error.what(), HasSubstr("xxxx"));
  }
}

TEST(TcpServer, TwoHundredClientsAtOnceAreAllServed) {
  ServerThread thread;
  const TemporaryFolder folder;
  const auto ca = folder.write("ca.pem", thread.identity.certificate);
  const auto port = thread.tcp(open_gate(echo));
  std::atomic<int> served = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 200; ++i)
    clients.emplace_back([&, i] {
      Client client({.ca_file = ca, .connect_limit = 60s});
      ClientRequest request{.url = "https://127.0.0.1:" + std::to_string(port) + "/n/" + std::to_string(i)};
      if (client.send(request).body == "GET /n/" + std::to_string(i) + " ") ++served;
    });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(served, 200);
}

TEST(TcpServer, GivesTheHandlerTheClientsCertificateUnchecked) {
  ServerThread thread;
  const TemporaryFolder folder;
  const auto ca = folder.write("ca.pem", thread.identity.certificate);
  const TestIdentity unknown = make_test_identity("nobody knows me");
  const auto pem = folder.write("client.pem", unknown.certificate + unknown.key);
  std::string seen = "nothing";
  const auto port = thread.tcp(open_gate([&seen](Request request) -> boost::asio::awaitable<Response> {
                                 seen = request.client_certificate;
                                 co_return Response{};
                               }),
                               {}, true);
  const ClientRequest request{.url = "https://127.0.0.1:" + std::to_string(port) + "/"};

  Client({.ca_file = ca, .certificate_file = pem}).send(request);
  EXPECT_EQ(seen, unknown.der);

  Client({.ca_file = ca}).send(request);
  EXPECT_EQ(seen, "");
}

TEST(Server, DoesNotHandItsSocketsToChildren) {
  ServerThread thread;
  std::set<int> before;
  for (int fd = 0; fd < 100; ++fd)
    if (::fcntl(fd, F_GETFD) >= 0) before.insert(fd);
  int checked = 0;
  const auto check_new_descriptors = [&](const Request&) {
    for (int fd = 0; fd < 100; ++fd) {
      const int flags = before.contains(fd) ? -1 : ::fcntl(fd, F_GETFD);
      if (flags < 0) continue;
      EXPECT_TRUE(flags & FD_CLOEXEC) << fd;
      ++checked;
    }
  };
  const TemporaryFolder folder;
  const auto socket = folder.path() / "s";
  thread.unix_socket(socket, open_gate([&](Request request) -> boost::asio::awaitable<Response> {
                       check_new_descriptors(request);
                       co_return Response{};
                     }));
  RawClient client(socket);
  client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  client.read_all();
  EXPECT_GE(checked, 3);  // listener, its connection, and ours
}

TEST(TcpServer, APortInUseIsNamed) {
  ServerThread thread;
  const auto port = thread.tcp(open_gate(echo));
  ServerThread other;
  try {
    other.do_there([&] {
      Server::on_tcp(other.executor(), "127.0.0.1", port,
                     {other.identity.certificate, Secret(other.identity.key)}, open_gate(echo));
    });
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, "CannotListen");
    EXPECT_THAT(error.what(), HasSubstr("127.0.0.1 port " + std::to_string(port)));
  }
}

TEST(TcpServer, AKeyThatDoesNotFitIsRefused) {
  ServerThread thread;
  const TestIdentity other = make_test_identity("other");
  EXPECT_THROW(Server::on_tcp(thread.executor(), "127.0.0.1", 0,
                              {thread.identity.certificate, Secret(other.key)}, open_gate(echo)),
               Error);
}

/// A client over TLS by hand: it takes any certificate.
class TlsClient {
 public:
  /// Offers only this version and, of TLS 1.2, these ciphers.
  explicit TlsClient(std::uint16_t port, int version = TLS1_3_VERSION, const char* ciphers = "ALL")
      : context_(SSL_CTX_new(TLS_client_method())) {
    SSL_CTX_set_security_level(context_, 0);
    SSL_CTX_set_min_proto_version(context_, version);
    SSL_CTX_set_max_proto_version(context_, version);
    EXPECT_EQ(SSL_CTX_set_cipher_list(context_, ciphers), 1) << ciphers;
    bio_ = BIO_new_ssl_connect(context_);
    BIO_set_conn_hostname(bio_, ("127.0.0.1:" + std::to_string(port)).c_str());
    connected = BIO_do_handshake(bio_) == 1;
  }
  ~TlsClient() {
    BIO_free_all(bio_);
    SSL_CTX_free(context_);
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;

  /// What comes until `end` appears or the server closes.
  std::string ask(std::string_view bytes, std::string_view end) {
    std::string text;
    char chunk[4096];
    int count = BIO_write(bio_, bytes.data(), static_cast<int>(bytes.size()));
    while (count > 0 && text.find(end) == text.npos) {
      count = BIO_read(bio_, chunk, sizeof chunk);
      if (count > 0) text.append(chunk, static_cast<std::size_t>(count));
    }
    return text;
  }
  bool connected = false;

 private:
  SSL_CTX* context_;
  BIO* bio_ = nullptr;
};

bool handshake(std::uint16_t port, int version, const char* ciphers) {
  return TlsClient(port, version, ciphers).connected;
}

TEST(TcpServer, RefusesOldTls) {
  ServerThread thread;
  const auto port = thread.tcp(open_gate(echo));
  EXPECT_FALSE(handshake(port, TLS1_1_VERSION, "ALL"));
  EXPECT_TRUE(handshake(port, TLS1_2_VERSION, "ALL"));
  EXPECT_TRUE(handshake(port, TLS1_3_VERSION, "ALL"));
}

TEST(TcpServer, RefusesWhatHasNoForwardSecrecyOrAuthenticatesTooLate) {
  ServerThread thread;
  thread.identity = make_test_identity("server", true);  // only RSA keys can do without forward secrecy
  const auto port = thread.tcp(open_gate(echo));
  for (const char* bad : {"AES128-GCM-SHA256", "AES256-SHA", "ECDHE-RSA-AES128-SHA",
                          "ECDHE-RSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256", "AES128-CCM"})
    EXPECT_FALSE(handshake(port, TLS1_2_VERSION, bad)) << bad;
  for (const char* good :
       {"ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305"})
    EXPECT_TRUE(handshake(port, TLS1_2_VERSION, good)) << good;
}

/// A region on TCP that knows its names, and a client that trusts it.
class NamedServer : public testing::Test {
 protected:
  NamedServer() {
    port = std::to_string(thread.tcp(ask_for_the_word, {}, false, {"127.0.0.1", "localhost"}));
  }
  Response get(std::map<std::string, std::string> headers) {
    headers["Word"] = "open";
    ClientRequest request{.url = "https://127.0.0.1:" + port + "/a"};
    for (const auto& [name, value] : headers) request.headers[name] = value;
    return Client({.ca_file = folder.write("ca.pem", thread.identity.certificate)}).send(request);
  }
  ServerThread thread;
  const TemporaryFolder folder;
  std::string port;
};

TEST_F(NamedServer, IsCalledByItsNamesOnly) {
  EXPECT_THAT(thread.origins(),
              testing::ElementsAre("https://127.0.0.1:" + port, "https://localhost:" + port));
  for (const std::string& host : {"127.0.0.1:" + port, "LocalHost:" + port, std::string("localhost")})
    EXPECT_EQ(get({{"Host", host}}).status, 200) << host;
  EXPECT_EQ(get({{"Host", "LOCALHOST:" + port}}).headers["X-Origin"], "https://localhost:" + port);
  for (const std::string& host :
       {std::string("evil.example"), "evil.example:" + port, std::string("127.0.0.1:1"),
        "127.0.0.1:" + port + ".evil.example", "x@127.0.0.1:" + port, "localhost.:" + port,
        "127.0.0.1:" + port + "/x", "localhost:" + port + ", a"}) {
    const Response answer = get({{"Host", host}});
    EXPECT_EQ(answer.status, 421) << host;
    EXPECT_THAT(answer.body, AllOf(HasSubstr("localhost:" + port), Not(HasSubstr("evil")))) << host;
  }
}

TEST_F(NamedServer, DoesNothingForTheWebPagesOfOthers) {
  EXPECT_EQ(get({{"Origin", "https://127.0.0.1:" + port}}).status, 200);
  for (const std::string& origin :
       {std::string("https://evil.example"), std::string("null"), "http://127.0.0.1:" + port,
        std::string("https://127.0.0.1"), "https://localhost:" + port})
    EXPECT_EQ(get({{"Origin", origin}}).status, 403) << origin;
}

/// Connections over TCP that say nothing, opened by a process of `uid`.
class Flood {
 public:
  Flood(std::uint16_t port, uid_t uid, int count) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    EXPECT_EQ(::pipe(end_), 0);
    child_ = ::fork();
    if (child_ == 0) {
      if (uid != ::geteuid() && ::setuid(uid) != 0) ::_exit(1);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(port);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      for (int i = 0; i < count; ++i) {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) break;
        if (i % 2 && ::send(fd, "\x16", 1, MSG_NOSIGNAL) != 1)
          break;  // and half of them the first byte of a hello
      }
      ::close(ready[1]);
      ::close(end_[1]);
      char byte;
      ::_exit(::read(end_[0], &byte, 1) == 0 ? 0 : 1);
    }
    ::close(ready[1]);
    char byte;
    EXPECT_EQ(::read(ready[0], &byte, 1), 0);  // once all are open
    ::close(ready[0]);
  }
  ~Flood() {
    ::close(end_[0]);
    ::close(end_[1]);
    ::waitpid(child_, nullptr, 0);
  }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

 private:
  int end_[2] = {-1, -1};
  pid_t child_ = -1;
};

TEST(TcpServer, ConnectionsThatSayNothingKeepNobodyOut) {
  ServerThread thread;
  const auto port = thread.tcp(ask_for_the_word, {.head = 3600s, .connections = 100, .unknown = 50});
  const Flood flood(port, ::geteuid(), 400);
  EXPECT_THAT(TlsClient(port).ask("GET /public HTTP/1.1\r\nHost: h\r\n\r\n", "GET /public"),
              StartsWith("HTTP/1.1 200 "));
}

TEST(TcpServer, AnotherUsersConnectionsDoNotPushOutOurs) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can connect as somebody else";
  ServerThread thread;
  const auto port = thread.tcp(ask_for_the_word, {.head = 3600s, .connections = 100, .unknown = 2});
  TlsClient ours(port);  // it has proved nothing yet
  const std::string request = "GET /public HTTP/1.1\r\nHost: h\r\n\r\n";
  ours.ask(request, "GET /public");

  const Flood flood(port, 65534, 100);

  EXPECT_THAT(ours.ask(request, "GET /public"), StartsWith("HTTP/1.1 200 "));
}

}  // namespace berth
