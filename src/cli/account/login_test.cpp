#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "cli/account/environments.h"
#include "cli/fake_region.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// Another Resource Manager than the local region, which does not run.
class Login : public testing::Test {
 protected:
  void SetUp() override {
    const json region = json::parse(read_file(cloud.home() / "region.json"));
    origin = region["managementEndpoint"];
    ca = region["caCertificate"];
    ::setenv("BERTH_HOME", (cloud.folder.path() / "no-region").c_str(), 1);
    write_file(secret, "s3cret\n");
    cloud.on_request = [this](const Request& request) -> std::optional<Response> {
      const auto reply = [](const json& body, int status = 200) {
        return Response{.status = status, .headers = {}, .body = body.dump()};
      };
      if (request.path == "/metadata/endpoints")
        return reply({{"resourceManager", origin + "/"},
                      {"authentication",
                       {{"loginEndpoint", origin + "/adfs/"}, {"audiences", {"https://management/"}}}}});
      if (request.path == "/adfs/oauth2/token") {
        ++sign_ins;
        if (request.body.find("client_secret=s3cret") == std::string::npos)
          return reply({{"error", "invalid_client"}, {"error_description", "bad secret"}}, 401);
        return reply({{"access_token", "t0ken"}, {"expires_in", 3600}});
      }
      if (request.path == "/subscriptions")
        return reply({{"value", {{{"subscriptionId", "sub-1"}, {"displayName", "Theirs"}}}}});
      if (refuse_next && request.method == "GET") {
        refuse_next = false;
        return reply({{"error", {{"code", "ExpiredAuthenticationToken"}, {"message", "Expired."}}}}, 401);
      }
      return std::nullopt;
    };
  }
  Ran add() {
    return run_program({"account", "env", "add", "theirs", "--metadata",
                        origin + "/metadata/endpoints?api-version=2022-09-01", "--ca-file", ca});
  }
  Ran sign_in() {
    return run_program({"login", "-e", "theirs", "--service-principal", "-u", "me", "--password-file", secret,
                        "--tenant", "t"});
  }
  std::filesystem::path config() const { return cloud.folder.path() / ".config/berth"; }

  FakeRegion cloud;
  const std::string secret = cloud.folder / "secret";
  std::string origin, ca;
  std::atomic<int> sign_ins{0};
  std::atomic<bool> refuse_next{false};
};

}  // namespace

TEST_F(Login, AfterItCommandsGoThereUntilTheLocalRegionIsChosen) {
  ASSERT_EQ(add().exit_code, 0);
  const Ran ran = sign_in();
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("info:    Added subscription Theirs (sub-1)\n"));
  const Ran listed = run_program({"vm", "list"});
  EXPECT_EQ(listed.exit_code, 0) << listed.err;
  EXPECT_THAT(listed.out, HasSubstr("info:    Using the subscription Theirs of theirs\n"));
  EXPECT_THAT(run_program({"account", "show", "--json"}).out, HasSubstr("\"environmentName\": \"theirs\""));
  EXPECT_EQ(json::parse(run_program({"region", "status", "--json"}).out)["state"], "absent")
      << "that is about this machine";
  EXPECT_EQ(run_program({"account", "set", "Local"}).exit_code, 0);
  EXPECT_EQ(json::parse(read_file(config() / "profile.json"))["current"], "");
  EXPECT_EQ(run_program({"account", "set", "Theirs"}).exit_code, 0);
  EXPECT_EQ(run_program({"vm", "list"}).exit_code, 0);
}

TEST_F(Login, ATokenIsKeptForLaterCommandsAndRenewedWhenItIsTooOld) {
  ASSERT_EQ(add().exit_code, 0);
  ASSERT_EQ(sign_in().exit_code, 0);
  EXPECT_EQ(sign_ins, 1);
  ASSERT_EQ(run_program({"vm", "list"}).exit_code, 0);
  EXPECT_EQ(sign_ins, 1) << "the kept one is good";

  const auto tokens = config() / "tokens.json";
  struct stat status {};
  ASSERT_EQ(::stat(tokens.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  json kept = json::parse(read_file(tokens));
  for (auto& [account, token] : kept.items()) token["goodUntil"] = 1;
  write_file(tokens, kept.dump());
  ASSERT_EQ(run_program({"vm", "list"}).exit_code, 0);
  EXPECT_EQ(sign_ins, 2);

  refuse_next = true;  // the clock of the other side is another one
  ASSERT_EQ(run_program({"vm", "list"}).exit_code, 0);
  EXPECT_EQ(sign_ins, 3);
  write_file(tokens, "{ damaged");
  ASSERT_EQ(run_program({"vm", "list"}).exit_code, 0);
}

TEST_F(Login, TheSecretStaysInItsFile) {
  ASSERT_EQ(add().exit_code, 0);
  ASSERT_EQ(sign_in().exit_code, 0);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(config()))
    if (entry.is_regular_file()) {
      EXPECT_THAT(read_file(entry.path()), Not(HasSubstr("s3cret"))) << entry.path();
    }
  write_file(secret, "wrong\n");
  const Ran ran = sign_in();
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.err,
              AllOf(HasSubstr("did not let us in (bad secret)"),
                    HasSubstr("Is the secret in " + secret + " still right"), Not(HasSubstr("wrong"))));
  std::filesystem::remove(secret);
  EXPECT_EQ(sign_in().exit_code, 4);
}

TEST_F(Login, LogoutForgetsSubscriptionsAndTokens) {
  ASSERT_EQ(add().exit_code, 0);
  ASSERT_EQ(sign_in().exit_code, 0);
  EXPECT_THAT(run_program({"logout"}).out, AllOf(HasSubstr("1 subscriptions and their tokens are forgotten"),
                                                 HasSubstr("Commands go to the local region")));
  EXPECT_THAT(read_file(config() / "tokens.json"), Not(HasSubstr("t0ken")));
  EXPECT_THAT(run_program({"logout"}).out, HasSubstr("Nobody was signed in"));
}

TEST_F(Login, EnvironmentsAreListedShownChangedAndDeleted) {
  EXPECT_THAT(run_program({"account", "env", "list"}).out,
              AllOf(HasSubstr("AzureCloud         https://management.azure.com"),
                    HasSubstr("AzureChinaCloud"), HasSubstr("AzureUSGovernment")));
  ASSERT_EQ(add().exit_code, 0);
  EXPECT_EQ(add().exit_code, 5);
  EXPECT_EQ(
      json::parse(
          run_program({"account", "env", "show", "THEIRS", "--json"}).out)["activeDirectoryEndpointUrl"],
      origin + "/adfs");
  EXPECT_EQ(run_program({"account", "env", "set", "theirs"}).exit_code, 0);
  EXPECT_EQ(run_program({"account", "env", "set", "AzureCloud"}).exit_code, 5);
  EXPECT_EQ(run_program({"account", "env", "delete", "theirs"}).exit_code, 0);
  EXPECT_EQ(run_program({"account", "env", "show", "theirs"}).exit_code, 4);
  EXPECT_EQ(sign_in().exit_code, 4);
}

TEST_F(Login, WhatIsNoCloudIsRefused) {
  EXPECT_EQ(run_program({"account", "env", "add", "x", "--metadata", "http://127.0.0.1/"}).exit_code, 2);
  EXPECT_EQ(run_program({"account", "env", "add", "x"}).exit_code, 2);
  EXPECT_EQ(
      run_program({"account", "env", "add", "x", "--metadata", origin + "/metadata/endpoints"}).exit_code, 6)
      << "its authority is not known";
  for (const char* wrong :
       {"", "[]", "{}", "7", R"({"authentication":{"loginEndpoint":"http://h","audiences":["a"]}})",
        R"({"authentication":{"loginEndpoint":"https://host","audiences":[]}})"})
    EXPECT_THROW(parse_environment(wrong), Error) << wrong;
  EXPECT_EQ(
      parse_environment(
          R"([{"resourceManager":"https://rm.example/","authentication":{"loginEndpoint":"https://login.example/","audiences":["https://a/"]}}])")
          .resource_manager,
      "https://rm.example");
}

TEST_F(Login, ABrokenProfileIsNamedAndClearMakesItWhole) {
  make_folder(config());
  write_file(config() / "profile.json", "[1");
  const Ran ran = run_program({"vm", "list"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr((config() / "profile.json").string() + " is not a JSON object."));
  EXPECT_EQ(run_program({"account", "clear", "-q"}).exit_code, 0);
  EXPECT_EQ(run_program({"account", "list"}).exit_code, 0);
}

TEST_F(Login, ContradictionsAreRefusedBeforeAnybodyIsAsked) {
  const auto error_of = [](std::vector<std::string> words) {
    words.insert(words.begin(), "login");
    const Ran ran = run_program(words);
    EXPECT_EQ(ran.exit_code, 2) << ran.err;
    return ran.err;
  };
  EXPECT_THAT(error_of({"--service-principal", "-u", "x"}),
              HasSubstr("needs -u, --password-file or --certificate, and --tenant"));
  EXPECT_THAT(error_of({"--service-principal", "--identity"}), HasSubstr("different ways to sign in"));
  EXPECT_THAT(error_of({"--service-principal", "-u", "x", "-p", "s3cret", "--tenant", "t"}),
              AllOf(HasSubstr("the secret has to be in a file"), Not(HasSubstr("s3cret"))));
  EXPECT_THAT(error_of({"--service-principal", "-u", "x", "--password-file", "-", "--tenant", "t"}),
              HasSubstr("the secret has to be in a file"));
  EXPECT_THAT(error_of({"--service-principal", "-u", "x", "--password-file", "a", "--certificate", "b",
                        "--tenant", "t"}),
              HasSubstr("give one of them"));
  EXPECT_THAT(error_of({"--certificate", "b"}), HasSubstr("are for --service-principal"));
  EXPECT_THAT(error_of({"--object-id", "b"}), HasSubstr("are for --identity"));
  EXPECT_THAT(error_of({"--identity", "--tenant", "t"}), HasSubstr("the machine knows them"));
  EXPECT_THAT(error_of({"--identity", "--client-id", "a", "--object-id", "b"}),
              HasSubstr("give one of them"));
  EXPECT_THAT(error_of({"--tenant", "a/../b"}), HasSubstr("is an id or a domain"));
  EXPECT_EQ(run_program({"login", "-e", "nowhere"}).exit_code, 4);
}

TEST_F(Login, AKnownCloudTakesAnotherAuthorityForItsCertificates) {
  EXPECT_EQ(run_program({"account", "env", "set", "azurecloud", "--ca-file", ca}).exit_code, 0);
  EXPECT_THAT(run_program({"account", "env", "show", "AzureCloud"}).out,
              AllOf(HasSubstr(ca), HasSubstr("https://management.azure.com")));
  EXPECT_EQ(json::parse(run_program({"account", "env", "list", "--json"}).out).size(), 3U);
  EXPECT_EQ(run_program({"account", "env", "set", "AzureCloud", "--ca-file", "/none"}).exit_code, 4);
  EXPECT_EQ(run_program({"account", "env", "set", "AzureCloud", "--ca-file", "system"}).exit_code, 0);
  EXPECT_THAT(run_program({"account", "env", "show", "AzureCloud"}).out, Not(HasSubstr("CA file")));
}

}  // namespace berth
