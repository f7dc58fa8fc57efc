#include "cli/sign_in/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "cli/played_azure.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Authorities : public testing::Test {
 protected:
  Authority authority() {
    const std::string base = azure.origin + "/organizations/oauth2/v2.0/";
    return Authority({base + "token", base + "devicecode", azure.ca}, {}, [this](milliseconds time) {
      waits.push_back(time);
      return false;
    });
  }
  /// Answers device code requests with this.
  void begin_with(const json& answer, int status = 200) {
    azure.trouble = [=](const Request& request) -> std::optional<Response> {
      if (!request.path.ends_with("/devicecode")) return std::nullopt;
      return Response{.status = status, .headers = {}, .body = answer.dump()};
    };
  }
  PlayedAzure azure;
  std::vector<milliseconds> waits;
};

template <class Work>
std::string code_thrown_by(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code;
  }
  return "";
}

}  // namespace

TEST_F(Authorities, ArePolledSlowerWhenTheySaySo) {
  azure.polls = {"authorization_pending", "slow_down", "authorization_pending", "slow_down"};
  Authority one = authority();
  const DeviceCode code = one.begin_device("client", "scope");
  EXPECT_EQ(code.user_code, "ABCD1234");
  EXPECT_TRUE(one.wait_for_user(code, "client").grant);
  EXPECT_THAT(waits, ElementsAre(1s, 1s, 6s, 6s, 11s));
}

TEST_F(Authorities, ACodeThatNobodyConfirmsEndsWhateverTheySay) {
  azure.polls = std::deque<std::string>(1000, "authorization_pending");
  Authority one = authority();
  DeviceCode code = one.begin_device("client", "scope");
  code.expires = 10s;
  const TokenAnswer answer = one.wait_for_user(code, "client");
  EXPECT_FALSE(answer.grant);
  EXPECT_EQ(answer.refusal.error, "expired_token");
  EXPECT_EQ(waits.size(), 10U);
}

TEST_F(Authorities, ALostConnectionDoesNotEndTheWaitingForTheUser) {
  Authority one = authority();
  const DeviceCode code = one.begin_device("client", "scope");
  int asked = 0;
  azure.trouble = [&](const Request&) -> std::optional<Response> {
    return ++asked <= 5 ? std::optional(Response{.status = 502}) : std::nullopt;
  };
  EXPECT_TRUE(one.wait_for_user(code, "client").grant);
  EXPECT_THAT(waits, testing::Contains(2s)) << "it looks less often";
}

TEST_F(Authorities, WhatADeviceCodeMayNotBe) {
  const json good = {{"device_code", "d"}, {"user_code", "u"}, {"verification_uri", "https://x/"}};
  begin_with(good);
  EXPECT_EQ(authority().begin_device("c", "s").interval, 5s);
  json one = good;
  one["verification_uri"] = "http://x/";
  begin_with(one);
  EXPECT_EQ(code_thrown_by([&] { authority().begin_device("c", "s"); }), "AuthorityUnclear");
  one = good;
  one["user_code"] = "\x1b[2JABC\nDEF";
  one["interval"] = -7;
  one["expires_in"] = 1e300;
  begin_with(one);
  const DeviceCode code = authority().begin_device("c", "s");
  EXPECT_EQ(code.user_code, "[2JABC");
  EXPECT_EQ(code.interval, 1s);
  EXPECT_EQ(code.expires, 1h);
  begin_with({{"error", "unauthorized_client"}, {"error_description", "AADSTS700016: No."}}, 400);
  EXPECT_EQ(code_thrown_by([&] { authority().begin_device("c", "s"); }), "AuthenticationFailed");
}

TEST(TokenAnswers, AreLimitedAndPrintable) {
  const auto parse = [](int status, const json& body) {
    return parse_token_answer(status, body.dump(), "x");
  };
  EXPECT_EQ(parse(200, {{"access_token", "a"}, {"expires_in", "17"}}).grant->lifetime, 17s);
  EXPECT_EQ(parse(200, {{"access_token", "a"}, {"expires_in", -5}}).grant->lifetime, 0s);
  EXPECT_EQ(parse(200, {{"access_token", "a"}, {"expires_in", 99999999}}).grant->lifetime, 24h);
  EXPECT_EQ(parse(200, {{"access_token", "a"}}).grant->lifetime, 1h);
  const auto end = std::to_string(::time(nullptr) + 600);
  EXPECT_GT(parse(200, {{"access_token", "a"}, {"expires_on", end}}).grant->lifetime, 500s);
  for (const json& token :
       {json("a\r\nX-Evil: 1"), json("ü"), json(""), json(7.5e3), json(std::string(100000, 'a'))})
    if (!token.is_number()) {
      EXPECT_EQ(code_thrown_by([&] { parse(200, {{"access_token", token}}); }), "AuthorityUnclear");
    }
  EXPECT_EQ(code_thrown_by([] { parse_token_answer(200, "[]", "x"); }), "AuthorityUnclear");
  EXPECT_EQ(code_thrown_by([] { parse_token_answer(502, "<html>", "x"); }), "AuthorityUnclear");
  const Refusal refusal =
      parse(400,
            {{"error", "invalid_grant"},
             {"error_description", "AADSTS50076: More\x1b]0;evil\x07\nTrace ID: 1" + std::string(9000, 'x')}})
          .refusal;
  EXPECT_EQ(refusal.description, "AADSTS50076: More]0;evil");
  EXPECT_EQ(refusal.number, 50076);
  EXPECT_TRUE(refusal.wants_user());
  EXPECT_THAT(refusal.advice(), HasSubstr("'azure login' alone"));
}

TEST(IdTokens, SayWhoSignedIn) {
  const auto of = [](const std::string& claims) {
    return who_signed_in("e30." + base64url_encode(claims) + ".x");
  };
  EXPECT_EQ(of(R"({"upn":"a@b","tid":"t"})").user, "a@b");
  EXPECT_EQ(of(R"({"upn":"a@b","tid":"t"})").tenant, "t");
  EXPECT_EQ(of(R"({"preferred_username":7})").user, "7");
  for (const char* wrong : {"", "x", "a.b.c", "..", "a.!!.c"})
    EXPECT_EQ(who_signed_in(wrong).user, "") << wrong;
  EXPECT_EQ(of("[").user, "");
}

}  // namespace berth
