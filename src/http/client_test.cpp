#include "http/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "http/test_server.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

boost::asio::awaitable<Response> mirror(Request request) {
  Response response;
  response.status = 299;
  response.body = request.method + " " + request.raw_target + "\n" + request.body;
  for (const auto& [name, value] : request.headers) response.headers["Sent-" + name] = value;
  co_return response;
}

boost::asio::awaitable<Response> never(Request) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, 1h);
  co_await timer.async_wait(boost::asio::use_awaitable);
  co_return Response{};
}

class HttpClient : public testing::Test {
 protected:
  void serve(Handler handler, bool ask = false) {
    port = std::to_string(thread.tcp(open_gate(handler), {}, ask));
    url = "https://127.0.0.1:" + port + "/x?y=1";
  }
  /// The code of the Error that the exchange ends in; "" when it ends well.
  std::string code_of(ClientOptions options, ClientRequest request) {
    try {
      Client(std::move(options)).send(request);
    } catch (const Error& error) {
      what = error.what();
      return error.code;
    }
    return "";
  }
  ServerThread thread;
  TemporaryFolder folder;
  std::filesystem::path ca = folder.write("ca.pem", thread.identity.certificate);
  std::string port, url, what;
};

}  // namespace

TEST_F(HttpClient, SendsMethodBodyAndHeadersAsGiven) {
  serve(mirror);
  Client client({.ca_file = ca});
  for (const char* method : {"GET", "PUT", "POST", "PATCH", "DELETE"}) {
    const std::string body = method == std::string("GET") ? "" : "some text";
    const Response answer =
        client.send({.method = method, .url = url, .headers = {{"X-A", "b"}, {"X-Empty", ""}}, .body = body});
    EXPECT_EQ(answer.status, 299);
    EXPECT_EQ(answer.body, std::string(method) + " /x?y=1\n" + body);
    EXPECT_EQ(answer.headers.at("sent-x-a"), "b");
    EXPECT_EQ(answer.headers.at("sent-x-empty"), "");
    EXPECT_FALSE(answer.headers.contains("sent-content-type"));
    EXPECT_FALSE(answer.headers.contains("sent-authorization"));
  }
}

TEST_F(HttpClient, HeadHasNoBody) {
  serve(mirror);
  EXPECT_EQ(Client({.ca_file = ca}).send({.method = "HEAD", .url = url}).body, "");
}

TEST_F(HttpClient, SendsTheBearerToken) {
  serve(mirror);
  const Response answer = Client({.ca_file = ca}).send({.url = url, .bearer = Secret("t0ken")});
  EXPECT_EQ(answer.headers.at("sent-authorization"), "Bearer t0ken");
}

TEST_F(HttpClient, TheNextRequestKeepsNothingOfTheOneBefore) {
  serve(mirror);
  Client client({.ca_file = ca});
  client.send({.method = "PUT", .url = url, .headers = {{"X-A", "b"}}, .body = "z", .bearer = Secret("t")});
  const Response answer = client.send({.url = url});
  EXPECT_EQ(answer.body, "GET /x?y=1\n");
  EXPECT_FALSE(answer.headers.contains("sent-x-a"));
  EXPECT_FALSE(answer.headers.contains("sent-authorization"));
}

TEST_F(HttpClient, DoesNotFollowRedirects) {
  serve([](Request) -> boost::asio::awaitable<Response> {
    Response response;
    response.status = 302;
    response.headers["Location"] = "https://127.0.0.1:1/";
    co_return response;
  });
  EXPECT_EQ(Client({.ca_file = ca}).send({.url = url}).status, 302);
}

TEST_F(HttpClient, ConnectsToAnotherAddressButChecksTheUrlsName) {
  serve(mirror);
  EXPECT_EQ(Client({.ca_file = ca, .connect_to = "127.0.0.1"})
                .send({.url = "https://web1.test:" + port + "/"})
                .status,
            299);
  EXPECT_EQ(code_of({.ca_file = ca, .connect_to = "127.0.0.1"}, {.url = "https://web2.test:" + port + "/"}),
            "TlsFailed");
}

TEST_F(HttpClient, AServerOfAnotherAuthorityIsNotTrusted) {
  serve(mirror);
  EXPECT_EQ(code_of({}, {.url = url}), "TlsFailed");
  const auto other = folder.write("other.pem", make_test_identity("other").certificate);
  EXPECT_EQ(code_of({.ca_file = other}, {.url = url}), "TlsFailed");
}

TEST_F(HttpClient, NobodyListeningIsARefusedConnection) {
  serve(mirror);
  thread.stop();
  EXPECT_EQ(code_of({.ca_file = ca}, {.url = url}), "ConnectionRefused");
  EXPECT_EQ(what, "Cannot reach 127.0.0.1: the connection was refused.");
}

TEST_F(HttpClient, AnUnknownNameIsToldApart) {
  EXPECT_EQ(code_of({}, {.url = "https://no-such-host.invalid/"}), "HostNotFound");
  EXPECT_THAT(what, HasSubstr("no-such-host.invalid"));
}

TEST_F(HttpClient, WhatIsNoUrlIsInvalid) {
  EXPECT_EQ(code_of({}, {.url = "https://"}), "InvalidUrl");
}

TEST_F(HttpClient, GivesUpAfterItsLimit) {
  serve(never);
  EXPECT_EQ(code_of({.ca_file = ca, .limit = 300ms}, {.url = url}), "TimedOut");
  EXPECT_EQ(code_of({.ca_file = ca}, {.url = url, .headers = {}, .body = "", .bearer = {}, .limit = 300ms}),
            "TimedOut");
}

TEST_F(HttpClient, StopsWhenItIsCancelled) {
  serve(never);
  std::atomic<int> asked = 0;
  EXPECT_EQ(code_of({.ca_file = ca, .cancelled = [&] { return ++asked > 3; }}, {.url = url}),
            "OperationCanceled");
}

TEST_F(HttpClient, AServerThatVanishesIsAFailedTransfer) {
  serve([this](Request) -> boost::asio::awaitable<Response> {
    std::thread([this] { thread.stop(); }).detach();
    co_return co_await never({});
  });
  EXPECT_EQ(code_of({.ca_file = ca}, {.url = url}), "TransferFailed");
}

TEST_F(HttpClient, ProxiesOfTheEnvironmentAreNotForLoopback) {
  serve(mirror);
  ::setenv("https_proxy", "http://127.0.0.1:1", 1);
  EXPECT_EQ(code_of({.ca_file = ca}, {.url = url}), "");
  EXPECT_EQ(code_of({.ca_file = ca, .connect_to = "127.0.0.1"}, {.url = "https://web1.test:" + port + "/"}),
            "");
  EXPECT_EQ(code_of({.ca_file = ca}, {.url = "https://web1.invalid:" + port + "/"}), "ConnectionRefused");
  ::setenv("no_proxy", "web1.invalid", 1);
  EXPECT_EQ(code_of({.ca_file = ca}, {.url = "https://web1.invalid:" + port + "/"}), "HostNotFound");
  ::unsetenv("no_proxy");
  EXPECT_EQ(code_of({.ca_file = ca, .direct = true}, {.url = "https://web1.invalid:" + port + "/"}),
            "HostNotFound");
  ::unsetenv("https_proxy");
}

TEST_F(HttpClient, AProxyThatIsToBlameIsNamedWithoutItsPassword) {
  ::setenv("https_proxy", "http://me:s3cret@127.0.0.1:1/", 1);
  code_of({}, {.url = "https://web1.invalid/"});
  EXPECT_EQ(what, "Cannot reach web1.invalid: the proxy 127.0.0.1:1 (https_proxy) refused the connection.");
  ::setenv("https_proxy", "http://me:s3cret@proxy.invalid:3128", 1);
  EXPECT_EQ(code_of({}, {.url = "https://web1.invalid/"}), "HostNotFound");
  EXPECT_EQ(
      what,
      "Cannot reach web1.invalid: the name of the proxy proxy.invalid:3128 (https_proxy) is not known.");
  serve([](Request request) -> boost::asio::awaitable<Response> {
    co_return Response{.status = request.method == "CONNECT" ? 407 : 500};
  });
  ::setenv("https_proxy", ("https://me:s3cret@127.0.0.1:" + port).c_str(), 1);
  code_of({}, {.url = "https://web1.invalid/"});
  EXPECT_THAT(what, testing::Not(HasSubstr("s3cret")));
  ::unsetenv("https_proxy");
}

TEST_F(HttpClient, TheEnvironmentNamesACompanysAuthority) {
  serve(mirror);
  for (const char* name : {"SSL_CERT_FILE", "CURL_CA_BUNDLE"}) ::unsetenv(name);
  ::setenv("REQUESTS_CA_BUNDLE", ca.c_str(), 1);
  EXPECT_EQ(code_of({}, {.url = url}), "");
  ::setenv("SSL_CERT_FILE", folder.write("other.pem", make_test_identity("other").certificate).c_str(), 1);
  EXPECT_EQ(code_of({}, {.url = url}), "TlsFailed") << "the more special one";
  EXPECT_EQ(code_of({.ca_file = ca}, {.url = url}), "") << "the caller knows better";
  ::unsetenv("REQUESTS_CA_BUNDLE");
  ::unsetenv("SSL_CERT_FILE");
}

}  // namespace berth
