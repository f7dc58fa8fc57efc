#include "http/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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
  void serve(Handler handler, ServerLimits limits = {}) { thread.unix_socket(socket, handler, limits); }
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
  serve(echo, {.body = 10});
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
  serve(echo, {.body = 1000});
  RawClient client(socket);
  client.send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 500000\r\n\r\n");
  const std::string piece(1000, 'x');
  for (int i = 0; i < 20; ++i) client.send(piece);
  EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 413 "));
}

TEST_F(UnixServer, AChunkedBodyAboveTheLimitIsRefused) {
  serve(echo, {.body = 1000});
  EXPECT_THAT(exchange("PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5dc\r\n" +
                       std::string(1500, 'x') + "\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
}

TEST_F(UnixServer, SomeRequestsMayHaveALargerBody) {
  serve(echo, {.body = 10, .body_of = [](std::string_view method, std::string_view path) {
                 return std::size_t{method == "PUT" && path == "/file" ? 1000U : 10U};
               }});
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
  serve(echo, {.read = 1s});
  RawClient client(socket);
  client.send("GET / HTTP/1.1\r\nHost: h\r\n");
  std::thread drip([&] {
    for (int i = 0; i < 300 && client.send("X: y\r\n"); ++i) std::this_thread::sleep_for(100ms);
  });
  EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 408 "));
  drip.join();
}

TEST_F(UnixServer, AConnectionWithoutRequestsIsClosed) {
  serve(echo, {.read = 1s, .idle = 1s});
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
      {.read = 1s, .idle = 1s});
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

TEST_F(UnixServer, ConnectionsAboveTheLimitAreClosed) {
  serve(echo, {.connections = 1});
  RawClient first(socket);
  first.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n");
  first.read_until("GET /1");
  RawClient second(socket);
  EXPECT_EQ(second.read_all(), "");
  first.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_THAT(first.read_until("GET /2"), HasSubstr("GET /2"));
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
    thread.unix_socket(folder.path() / std::string(120, 'x'), echo);
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
  const auto port = thread.tcp(echo);
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
  const auto port = thread.tcp(
      [&seen](Request request) -> boost::asio::awaitable<Response> {
        seen = request.client_certificate;
        co_return Response{};
      },
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
  thread.unix_socket(socket, [&](Request request) -> boost::asio::awaitable<Response> {
    check_new_descriptors(request);
    co_return Response{};
  });
  RawClient client(socket);
  client.send("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  client.read_all();
  EXPECT_GE(checked, 3);  // listener, its connection, and ours
}

TEST(TcpServer, APortInUseIsNamed) {
  ServerThread thread;
  const auto port = thread.tcp(echo);
  ServerThread other;
  try {
    other.do_there([&] {
      Server::on_tcp(other.executor(), "127.0.0.1", port,
                     {other.identity.certificate, Secret(other.identity.key)}, echo);
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
                              {thread.identity.certificate, Secret(other.key)}, echo),
               Error);
}

TEST(TcpServer, RefusesOldTls) {
  ServerThread thread;
  const auto port = thread.tcp(echo);
  const auto handshake = [port](int version) {
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_security_level(context, 0);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    BIO* bio = BIO_new_ssl_connect(context);
    BIO_set_conn_hostname(bio, ("127.0.0.1:" + std::to_string(port)).c_str());
    const bool done = BIO_do_handshake(bio) == 1;
    BIO_free_all(bio);
    SSL_CTX_free(context);
    return done;
  };
  EXPECT_FALSE(handshake(TLS1_1_VERSION));
  EXPECT_TRUE(handshake(TLS1_2_VERSION));
  EXPECT_TRUE(handshake(TLS1_3_VERSION));
}

}  // namespace berth
