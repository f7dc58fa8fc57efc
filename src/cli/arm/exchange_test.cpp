#include "cli/arm/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>

#include "base/error.h"
#include "cli/fake_region.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Exchanges : public testing::Test {
 protected:
  Exchanges() {
    const auto document = nlohmann::json::parse(read_file(region.home() / "region.json"));
    origin = document["managementEndpoint"];
    region.on_request = [this](const Request&) -> std::optional<Response> {
      const std::lock_guard lock(mutex);
      if (answers.empty()) return Response{.status = 200};
      Response next = answers.front();
      answers.pop_front();
      return next;
    };
  }
  Exchange exchange(bool far = false) {
    Exchange one(
        {.client = {.ca_file = region.home() / "tls/ca.pem"}, .far = far, .sleep = [this](milliseconds time) {
           waits.push_back(time);
           return false;
         }});
    one.listener = {[this](const std::string& text) { traces.push_back(text); },
                    [this](const std::string& text) { warnings.push_back(text); }};
    return one;
  }
  static Response busy(int status, const std::string& header = {}, const std::string& value = {}) {
    Response response{.status = status};
    if (!header.empty()) response.headers[header] = value;
    return response;
  }

  FakeRegion region;
  std::string origin;
  std::mutex mutex;
  std::deque<Response> answers;
  std::vector<milliseconds> waits;
  std::vector<std::string> traces, warnings;
};

}  // namespace

TEST_F(Exchanges, WaitAsLongAsRetryAfterSaysAndSaySo) {
  answers = {busy(429, "Retry-After", "17"), busy(503, "x-ms-retry-after-ms", "40"), busy(500)};
  EXPECT_EQ(exchange().send({.url = origin + "/x"}).status, 200);
  EXPECT_THAT(waits, ElementsAre(17s, 40ms, 2400ms));
  EXPECT_THAT(warnings, ElementsAre("127.0.0.1 is busy (HTTP 429); asking again in 17.0 s."));
}

TEST_F(Exchanges, DoNotWaitForHours) {
  answers = {busy(429, "Retry-After", "7200")};
  EXPECT_EQ(exchange().send({.url = origin + "/x"}).status, 429);
  EXPECT_THAT(waits, IsEmpty());
}

TEST_F(Exchanges, GiveUpInTheEnd) {
  for (int i = 0; i < 40; ++i) answers.push_back(busy(503));
  EXPECT_EQ(exchange().send({.url = origin + "/x"}).status, 503);
  EXPECT_EQ(waits.size(), 3U);
}

TEST_F(Exchanges, APostThatMayHaveWorkedIsNotRepeated) {
  answers = {busy(500), busy(503)};
  EXPECT_EQ(exchange().send({.method = "POST", .url = origin + "/x"}).status, 500);
  EXPECT_EQ(exchange().send({.method = "POST", .url = origin + "/x"}).status, 200) << "503: it did nothing";
  answers = {busy(500)};
  EXPECT_EQ(exchange().send({.method = "POST", .url = origin + "/x"}, true).status, 200);
}

TEST_F(Exchanges, ALostConnectionIsTriedAgainWithWhatIsFarAway) {
  EXPECT_THROW(exchange().send({.url = "https://127.0.0.1:1/x"}), Error);
  EXPECT_THAT(waits, IsEmpty());
  EXPECT_THROW(exchange(true).send({.url = "https://127.0.0.1:1/x"}), Error);
  EXPECT_THAT(waits, ElementsAre(600ms, 1200ms, 2400ms));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("the connection was refused. Trying again.")));
}

TEST_F(Exchanges, SilenceIsTriedAgainWithWhatIsFarAway) {
  region.on_request = [calls = 0](const Request&) mutable -> std::optional<Response> {
    if (calls++ == 0) std::this_thread::sleep_for(400ms);
    return Response{.status = 200};
  };
  const ClientRequest request{.url = origin + "/x", .headers = {}, .body = "", .bearer = {}, .limit = 300ms};
  EXPECT_EQ(exchange(true).send(request).status, 200);
  EXPECT_THAT(waits, ElementsAre(600ms));
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("no answer within 1 s. Trying again.")));
}

TEST_F(Exchanges, CtrlCEndsTheWait) {
  answers = {busy(429, "Retry-After", "60")};
  Exchange one(
      {.client = {.ca_file = region.home() / "tls/ca.pem"}, .sleep = [](milliseconds) { return true; }});
  try {
    one.send({.url = origin + "/x"});
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, "OperationCanceled");
  }
}

TEST_F(Exchanges, ATraceHasTheIdsForSupportAndNoKey) {
  Response answer{.status = 200};
  answer.headers["x-ms-request-id"] = "r-1";
  answer.headers["x-ms-correlation-request-id"] = "c-1";
  answers = {answer};
  exchange().send(
      {.url = origin + "/operations/7?api-version=2022-01-01&t=1&s=s1gnature", .bearer = Secret("t0ken")});
  ASSERT_EQ(traces.size(), 1U);
  EXPECT_THAT(traces[0], testing::StartsWith("GET " + origin + "/operations/7?api-version=2022-01-01 200 ("));
  EXPECT_THAT(traces[0], testing::EndsWith(" x-ms-request-id=r-1 x-ms-correlation-request-id=c-1"));
}

TEST(Clock, ThatIsFarFromTheirsIsTold) {
  Response response;
  response.headers["Date"] = "Sun, 06 Nov 1994 08:49:37 GMT";
  const auto theirs = std::chrono::system_clock::from_time_t(784111777);
  EXPECT_EQ(clock_trouble(response, "h", theirs + 4min), "");
  EXPECT_EQ(clock_trouble(response, "h", theirs - 4min), "");
  EXPECT_THAT(clock_trouble(response, "h", theirs + 10min),
              HasSubstr("The clock of this machine is 10 min 00 s ahead of that of h."));
  EXPECT_THAT(clock_trouble(response, "h", theirs - 24h), HasSubstr("behind that of h"));
  for (const char* wrong :
       {"yesterday", "", "Sun, 06 Nov 1194 08:49:37 GMT", "Sun, 06 Nov 9994 08:49:37 GMT"}) {
    response.headers["Date"] = wrong;
    EXPECT_EQ(clock_trouble(response, "h", theirs), "") << wrong;
  }
}

TEST(RetryAfter, IsSecondsOrADateByTheirClock) {
  const auto of = [](CaseInsensitiveMap headers) {
    return retry_after(Response{.status = 429, .headers = std::move(headers), .body = ""});
  };
  EXPECT_EQ(of({{"Retry-After", "5"}}), milliseconds(5000));
  EXPECT_EQ(of({{"Retry-After", "5"}, {"retry-after-ms", "7"}}), milliseconds(7));
  EXPECT_EQ(of({{"Date", "Sun, 06 Nov 1994 08:49:37 GMT"}, {"Retry-After", "Sun, 06 Nov 1994 08:49:57 GMT"}}),
            milliseconds(20000));
  EXPECT_EQ(of({{"Retry-After", "99999999999999999999"}}), std::nullopt);
  EXPECT_EQ(of({{"Retry-After", "999999999"}}), milliseconds(24h));
  for (const char* wrong : {"-5", "soon", "5s", ""})
    EXPECT_EQ(of({{"Retry-After", wrong}}), std::nullopt) << wrong;
}

TEST(Urls, HaveAHost) {
  EXPECT_EQ(host_of_url("https://Management.Azure.com:443/x"), "management.azure.com");
  EXPECT_EQ(host_of_url("https://management.azure.com@evil.example/x"), "evil.example");
  EXPECT_EQ(host_of_url("https://[::1]:8/x"), "[::1]");
  EXPECT_EQ(host_of_url("https://a?x=@b"), "a");
}

}  // namespace berth
