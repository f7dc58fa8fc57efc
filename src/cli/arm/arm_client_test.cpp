#include "cli/arm/arm_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "cli/fake_region.h"
#include "cli/region/local_region.h"
#include "cli/terminal/terminal.h"

namespace berth {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class Arm : public testing::Test {
 protected:
  Arm() {
    interrupt::install();
    const LocalRegion local(region.home(), "/none");
    arm = std::make_unique<ArmClient>(arm_endpoint(local.find_running().value()), &interrupt::requested);
  }
  /// Answers paths that end in `path`, one document after the other; the last one stays.
  void script(const std::string& path, std::vector<Response> answers) {
    scripts.emplace_back(path, std::move(answers));
    region.on_request = [this](const Request& request) -> std::optional<Response> {
      for (auto& [end, list] : scripts) {
        if (!request.path.ends_with(end)) continue;
        Response next = list.front();
        if (list.size() > 1) list.erase(list.begin());
        return next;
      }
      return std::nullopt;
    };
  }
  static Response answer(int status, const json& body, CaseInsensitiveMap headers = {}) {
    return {.status = status, .headers = std::move(headers), .body = body.is_null() ? "" : body.dump()};
  }
  /// The same region as if it were far away: it cannot be started anew.
  ArmClient far_away() {
    ArmEndpoint endpoint = arm_endpoint(LocalRegion(region.home(), "/none").find_running().value());
    endpoint.far = true;
    ArmClient client(std::move(endpoint), &interrupt::requested);
    client.listener().warn = [this](const std::string& text) { warnings.push_back(text); };
    return client;
  }
  template <class Work>
  Error error_of(Work work) {
    try {
      work();
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "nothing was thrown";
    return Error(ErrorKind::internal, "", "");
  }
  std::size_t count(const std::string& request) {
    const auto all = region.requests();
    return static_cast<std::size_t>(std::count(all.begin(), all.end(), request));
  }

  FakeRegion region;
  std::vector<std::pair<std::string, std::vector<Response>>> scripts;
  std::unique_ptr<ArmClient> arm;
  std::vector<std::string> warnings;
};

const CaseInsensitiveMap soon = {{"x-ms-retry-after-ms", "5"}};

}  // namespace

TEST_F(Arm, SignsInOnceForManyRequests) {
  arm->list("locations");
  arm->list("locations");
  EXPECT_EQ(count("POST /adfs/oauth2/token"), 1U);
}

TEST_F(Arm, ATokenThatIsNoLongerTakenIsRenewedOnce) {
  script("/locations", {answer(401, json::object()), answer(200, {{"value", json::array()}})});
  arm->list("locations");
  EXPECT_EQ(count("POST /adfs/oauth2/token"), 2U);
}

TEST_F(Arm, WrongCredentialsAreToldAsSuch) {
  write_file(region.home() / "access/client-secret", "wrong");
  const LocalRegion local(region.home(), "/none");
  ArmClient stranger(arm_endpoint(local.find_running().value()), {});
  const Error error = error_of([&] { stranger.list("locations"); });
  EXPECT_EQ(error.kind, ErrorKind::unauthorized);
  EXPECT_THAT(error.what(), HasSubstr("bad secret"));
}

TEST_F(Arm, FollowsAsyncOperationsAndTellsTheirPhases) {
  script("/group",
         {answer(201, {{"id", "x"}}, {{"Azure-AsyncOperation", "https://localhost:1/operations/7"}})});
  script(
      "/operations/7",
      {answer(
           200,
           json::parse(
               R"({"status":"InProgress","properties":{"phases":[{"name":"one","detail":"d","began":"b","ended":""}]}})"),
           soon),
       answer(200, json::parse(R"({"status":"Succeeded"})"), soon)});
  const ArmAccepted accepted = arm->put("group", {{"a", 1}});
  EXPECT_TRUE(accepted.created);
  std::vector<std::string> names;
  arm->wait(accepted, "group", 30s, [&](const std::vector<Phase>& phases) {
    for (const Phase& phase : phases) names.push_back(phase.name + " " + phase.detail);
  });
  EXPECT_THAT(names, ElementsAre("one d"));
}

TEST_F(Arm, FollowsLocationsUntilTheyAreNo202) {
  script("/group", {answer(202, nullptr, {{"Location", "https://localhost:1/results/7"}})});
  script("/results/7", {answer(202, nullptr, soon), answer(202, nullptr, soon), answer(204, nullptr)});
  arm->wait(arm->remove("group"), "group", 30s);
  EXPECT_EQ(count("GET /results/7"), 3U);
}

TEST_F(Arm, WithoutHeadersLooksAtTheProvisioningStateOfTheResource) {
  script("/thing", {answer(201, {{"properties", {{"provisioningState", "Creating"}}}}),
                    answer(200, {{"properties", {{"provisioningState", "Updating"}}}}, soon),
                    answer(200, {{"properties", {{"provisioningState", "Succeeded"}}}}, soon)});
  arm->wait(arm->put("thing", json::object()), "thing", 30s);
  EXPECT_EQ(count("GET /thing"), 2U);
}

TEST_F(Arm, WhatIsDoneAtOnceIsNotPolled) {
  script("/thing", {answer(200, {{"properties", {{"provisioningState", "Succeeded"}}}})});
  arm->wait(arm->put("thing", json::object()), "thing", 30s);
  EXPECT_EQ(count("GET /thing"), 0U);
}

TEST_F(Arm, AFailedOperationThrowsItsInnermostReasons) {
  script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", "https://127.0.0.1:1/operations/1"}})});
  script("/operations/1",
         {answer(200, json::parse(R"({"status":"Failed","error":{"code":"DeploymentFailed","message":"outer",
     "details":[{"code":"Conflict","message":"inner one"},{"code":"X","message":"inner two"}]}})"))});
  const Error error = error_of([&] { arm->wait(arm->put("thing", json::object()), "thing", 30s); });
  EXPECT_EQ(error.code, "Conflict");
  EXPECT_STREQ(error.what(), "inner one\ninner two");
}

TEST_F(Arm, AnOperationThatDoesNotEndIsGivenUp) {
  script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", "https://127.0.0.1:1/operations/1"}})});
  script("/operations/1", {answer(200, {{"status", "Running"}}, soon)});
  const Error error = error_of([&] { arm->wait(arm->put("thing", json::object()), "thing", 100ms); });
  EXPECT_EQ(error.code, "OperationNotEnded");
  EXPECT_STREQ(error.what(), "It did not end within 0 seconds.");
}

TEST_F(Arm, AnOutageSaysNothingOfAnOperationThatIsFarAway) {
  script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", "https://127.0.0.1:1/operations/1"}})});
  std::vector<Response> answers(9, answer(503, nullptr, soon));
  answers.push_back(answer(500, nullptr, soon));
  answers.push_back(answer(429, nullptr, soon));
  answers.push_back(answer(200, {{"status", "Succeeded"}}));
  script("/operations/1", answers);
  ArmClient client = far_away();
  client.wait(client.put("thing", json::object()), "thing", 60s);
  EXPECT_EQ(count("GET /operations/1"), 12U);
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("was answered with HTTP 503. What was asked for may go on")));
}

TEST_F(Arm, AServiceThatNamesALongTimeIsLookedAtAgainWhenItIsOver) {
  script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", "https://127.0.0.1:1/operations/1"}})});
  script("/operations/1",
         {answer(429, nullptr, {{"Retry-After", "600"}}), answer(200, {{"status", "Succeeded"}})});
  ArmClient client = far_away();
  client.wait(client.put("thing", json::object()), "thing", 300ms);  // which is over earlier: a last look
  EXPECT_EQ(count("GET /operations/1"), 2U);
}

TEST_F(Arm, AnOutageThatOutlastsTheLimitIsTold) {
  script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", "https://127.0.0.1:1/operations/1"}})});
  script("/operations/1", {answer(503, nullptr, {{"Retry-After", "600"}})});
  ArmClient client = far_away();
  const Error error = error_of([&] { client.wait(client.put("thing", json::object()), "thing", 100ms); });
  EXPECT_EQ(error.code, "OperationNotEnded");
  EXPECT_THAT(error.what(), HasSubstr("as far as is known: GET /operations/1 was answered with HTTP 503."));
}

TEST_F(Arm, AnOperationThatFailedAsUnavailableHasFailed) {
  script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", "https://127.0.0.1:1/operations/1"}})});
  script("/operations/1",
         {answer(200,
                 json::parse(
                     R"({"status":"Failed","error":{"code":"AllocationFailed","message":"It is full."}})"))});
  ArmClient client = far_away();
  EXPECT_EQ(error_of([&] { client.wait(client.put("thing", json::object()), "thing", 60s); }).code,
            "AllocationFailed");
}

TEST_F(Arm, WhatTheLocalRegionSaysIsTrueAtOnce) {
  script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", "https://127.0.0.1:1/operations/1"}})});
  script("/operations/1", {answer(503, nullptr, soon)});
  EXPECT_EQ(error_of([&] { arm->wait(arm->put("thing", json::object()), "thing", 60s); }).code,
            "RequestFailed");
  region.on_request = {};
  region.stop();
  EXPECT_TRUE(is_connection_loss(
      error_of([&] { arm->wait({.operation = "https://127.0.0.1:1/operations/1"}, "thing", 60s); })));
}

TEST_F(Arm, ALostConnectionDoesNotEndAWaitForWhatIsFarAway) {
  ArmClient client = far_away();
  client.list("locations");  // signed in
  region.stop();
  const Error error =
      error_of([&] { client.wait({.operation = "https://127.0.0.1:1/operations/1"}, "thing", 100ms); });
  EXPECT_EQ(error.code, "OperationNotEnded");
  EXPECT_THAT(error.what(), HasSubstr("the connection was refused"));
}

TEST_F(Arm, CtrlCEndsTheWaiting) {
  script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", "https://127.0.0.1:1/operations/1"}})});
  script("/operations/1", {answer(200, {{"status", "Running"}}, {{"Retry-After", "10"}})});
  const ArmAccepted accepted = arm->put("thing", json::object());
  std::thread user([] {
    std::this_thread::sleep_for(100ms);
    ::kill(::getpid(), SIGINT);
  });
  const auto began = std::chrono::steady_clock::now();
  const Error error = error_of([&] { arm->wait(accepted, "thing", 60s); });
  user.join();
  EXPECT_EQ(error.code, "OperationCanceled");
  EXPECT_LT(std::chrono::steady_clock::now() - began, 8s);  // not the ten seconds of Retry-After
}

TEST_F(Arm, TroubleThatPassesIsTriedAgain) {
  script("/thing", {answer(503, nullptr), answer(429, nullptr), answer(200, {{"ok", true}})});
  EXPECT_EQ(arm->get("thing"), (json{{"ok", true}}));
}

TEST_F(Arm, RefusalsAreNotTriedAgainAndKeepAzuresCode) {
  script("/thing", {answer(409, {{"error", {{"code", "DnsRecordInUse"}, {"message", "web1 is taken."}}}})});
  const Error error = error_of([&] { arm->put("thing", json::object()); });
  EXPECT_EQ(error.kind, ErrorKind::conflict);
  EXPECT_EQ(error.code, "DnsRecordInUse");
  EXPECT_STREQ(error.what(), "web1 is taken.");
  EXPECT_EQ(count("PUT /thing"), 1U);
}

TEST_F(Arm, AnAnswerThatIsNotAzuresIsStillAnError) {
  script("/thing", {Response{.status = 400, .headers = {}, .body = "<html>no</html>"}});
  const Error error = error_of([&] { arm->get("thing"); });
  EXPECT_EQ(error.kind, ErrorKind::invalid);
  EXPECT_THAT(error.what(), HasSubstr("HTTP 400"));
}

TEST_F(Arm, CollectsAllPages) {
  script("/things", {answer(200, {{"value", {1, 2}}, {"nextLink", "https://localhost:1/more"}})});
  script("/more", {answer(200, {{"value", {3}}})});
  EXPECT_EQ(arm->list("things").size(), 3U);
}

TEST_F(Arm, ATokenGoesToNoHostThatAnAnswerNames) {
  for (const char* where : {"https://evil.example/steal", "http://127.0.0.1.evil.example/"}) {
    script("/things", {answer(200, {{"value", {1}}, {"nextLink", where}})});
    EXPECT_EQ(error_of([&] { arm->list("things"); }).code, "ForeignAddress") << where;
    scripts.clear();
    script("/thing", {answer(202, nullptr, {{"Azure-AsyncOperation", where}})});
    EXPECT_EQ(error_of([&] { arm->wait(arm->put("thing", json::object()), "thing", 30s); }).code,
              "ForeignAddress")
        << where;
    scripts.clear();
  }
}

TEST_F(Arm, AListThatNeverEndsIsGivenUp) {
  script("/things", {answer(200, {{"value", json::array()}, {"nextLink", "https://localhost:1/things"}})});
  EXPECT_THAT(error_of([&] { arm->list("things"); }).what(), HasSubstr("more than 1000 pages"));
}

TEST_F(Arm, AServiceThatIsBusyForLongSaysForHowLong) {
  script("/thing", {answer(429, {{"error", {{"code", "TooManyRequests"}, {"message", "Slowly."}}}},
                           {{"Retry-After", "3600"}})});
  const Error error = error_of([&] { arm->get("thing"); });
  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_EQ(error.advice, "Try again in 60 min 00 s.");
}

TEST_F(Arm, WhatIsNotThereIsNothing) {
  EXPECT_FALSE(arm->find("resourcegroups/none"));
  arm->wait(arm->remove("resourcegroups/none"), "resourcegroups/none", 1s);
}

}  // namespace berth
