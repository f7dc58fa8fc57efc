#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include "cli/played_azure.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

/// Signing in to a played Azure, and what commands do with it afterwards.
class AzureLogin : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "MSI_SECRET"})
      ::unsetenv(name);
    ASSERT_EQ(azure.add_environment().exit_code, 0);
  }
  static Ran login(std::vector<std::string> words = {}) {
    words.insert(words.begin(), {"login", "-e", "played"});
    return run_program(words);
  }
  /// By password: nobody has to be waited for.
  Ran person(std::vector<std::string> words = {}) {
    const std::string file = azure.file("password", azure.password + "\n");
    words.insert(words.begin(), {"-u", azure.user, "--password-file", file});
    return login(words);
  }
  Ran application(std::vector<std::string> words) {
    words.insert(words.begin(), {"--service-principal", "-u", azure.application, "--tenant", "tenant-1"});
    return login(words);
  }
  json accounts() { return json::parse(run_program({"account", "list", "--json"}).out); }
  json kept_tokens() { return json::parse(read_file(azure.config() / "tokens.json")); }
  /// Every kept access token is taken for too old.
  void age_tokens() {
    json kept = kept_tokens();
    for (auto& [account, token] : kept.items()) token["goodUntil"] = 1;
    write_file(azure.config() / "tokens.json", kept.dump());
  }
  static PrivateKey rsa_key() {
    static const PrivateKey key = PrivateKey::generate_rsa();
    return key;
  }
  /// Registers a certificate, and returns the file with it and its key.
  std::string certificate_file(std::chrono::days lifetime = std::chrono::days(30)) {
    azure.certificate = issue_certificate(
        {.use = CertificateUse::client, .common_name = "app", .lifetime = lifetime}, rsa_key());
    return azure.file("app.pem", rsa_key().to_pem().reveal() + azure.certificate->to_pem());
  }

  PlayedAzure azure;
};

}  // namespace

TEST_F(AzureLogin, ByDeviceCodeAsksUntilTheUserHasConfirmedIt) {
  azure.polls = {"authorization_pending"};
  const Ran ran = login();
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("open https://played.example/device in a browser"),
                             HasSubstr("enter the code ABCD1234"), Not(HasSubstr("Ignore me")),
                             HasSubstr("Added subscription Work (sub-1)")));
  EXPECT_EQ(azure.count("urn:ietf:params:oauth:grant-type:device_code"), 2U);
  EXPECT_EQ(accounts()[0]["user"], (json{{"name", "ops@contoso.com"}, {"type", "user"}}));
  const Ran listed = run_program({"vm", "list"});
  EXPECT_EQ(listed.exit_code, 0) << listed.err;
  EXPECT_THAT(listed.out, HasSubstr("Using the subscription Work of played"));
}

TEST_F(AzureLogin, InJsonTheCodeIsOnTheErrorStream) {
  const Ran ran = login({"--json"});
  EXPECT_EQ(json::parse(ran.out)[0]["tenantId"], "tenant-1");
  EXPECT_THAT(ran.err, HasSubstr("ABCD1234"));
}

TEST_F(AzureLogin, ADeclinedOrExpiredCodeIsToldApart) {
  azure.polls = {"authorization_declined"};
  const Ran declined = login();
  EXPECT_EQ(declined.exit_code, 3);
  EXPECT_THAT(declined.err, HasSubstr("was declined in the browser"));
  azure.polls = {"expired_token"};
  EXPECT_THAT(login().err, HasSubstr("Nobody confirmed the code"));
  azure.polls = {"bad_verification_code"};
  EXPECT_THAT(login().err, HasSubstr("did not let us in (AADSTS70016: bad_verification_code)"));
  EXPECT_TRUE(accounts().empty());
}

TEST_F(AzureLogin, CtrlCEndsTheWaitingForTheUser) {
  azure.polls = std::deque<std::string>(100, "authorization_pending");
  azure.trouble = [](const Request& request) -> std::optional<Response> {
    if (request.path.ends_with("/token")) ::kill(::getpid(), SIGINT);
    return std::nullopt;
  };
  EXPECT_EQ(login().exit_code, 130);
  EXPECT_FALSE(std::filesystem::exists(azure.config() / "tokens.json"));
}

TEST_F(AzureLogin, FindsTheSubscriptionsOfAllTenants) {
  azure.tenants = {{"tenant-1", {{"Old", "sub-0", "Disabled"}, {"Work", "sub-1"}}},
                   {"tenant-2", {{"Theirs", "sub-2"}, {"Work", "sub-1"}}},
                   {"tenant-3", {}},
                   {"tenant-4", {{"Strict", "sub-4"}}}};
  azure.strict_tenants = {"tenant-4"};
  const Ran ran = person();
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              AllOf(HasSubstr("warn:    The tenant-4 (tenant-4) wants a sign-in of its own (AADSTS50076"),
                    HasSubstr("azure login -e played --tenant tenant-4"),
                    HasSubstr("Commands go to Work from now on")));
  const json all = accounts();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0]["state"], "Disabled");
  EXPECT_EQ(all[1]["isCurrent"], true);
  EXPECT_EQ(all[2]["tenantId"], "tenant-2");
  EXPECT_EQ(kept_tokens().size(), 2U) << "of tenants that have nothing, nothing is kept";

  EXPECT_THAT(run_program({"account", "set", "old"}).out, HasSubstr("\"Old\" is disabled"));
  ASSERT_EQ(run_program({"account", "set", "Theirs"}).exit_code, 0);
  EXPECT_THAT(run_program({"vm", "list"}).out, HasSubstr("Using the subscription Theirs of played"));
}

TEST_F(AzureLogin, ATenantThatMisbehavesDoesNotKeepOneFromTheOthers) {
  azure.tenants = {{"tenant-1", {{"Work", "sub-1"}}},
                   {"tenant-2", {{"Theirs", "sub-2"}}},
                   {"tenant-3", {{"Third", "sub-3"}}}};
  azure.trouble = [](const Request& request) -> std::optional<Response> {
    if (!request.path.starts_with("/tenant-2/")) return std::nullopt;
    return Response{.status = 400, .headers = {}, .body = "<html>blocked</html>"};
  };
  const Ran ran = person();
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("warn:    The tenant-2 (tenant-2) could not be looked into ("),
                             HasSubstr("azure login -e played --tenant tenant-2")));
  EXPECT_EQ(accounts().size(), 2U);
}

TEST_F(AzureLogin, CtrlCWhileTenantsAreLookedIntoEndsTheSignIn) {
  azure.trouble = [](const Request& request) -> std::optional<Response> {
    if (request.path.starts_with("/tenant-1/")) ::kill(::getpid(), SIGINT);
    return std::nullopt;
  };
  EXPECT_EQ(person().exit_code, 130);
}

TEST_F(AzureLogin, AnotherSignInToOneTenantKeepsTheOthers) {
  azure.tenants = {{"tenant-1", {{"Work", "sub-1"}}}, {"tenant-2", {{"Theirs", "sub-2"}}}};
  azure.strict_tenants = {"tenant-2"};
  ASSERT_EQ(person().exit_code, 0);
  azure.strict_tenants.clear();
  ASSERT_EQ(person({"--tenant", "tenant-2"}).exit_code, 0);
  EXPECT_EQ(accounts().size(), 2U);
  azure.tenants["tenant-1"].clear();
  ASSERT_EQ(person().exit_code, 0);
  EXPECT_EQ(accounts().size(), 1U) << "what is no longer there goes with a sign-in to all";
}

TEST_F(AzureLogin, ChoosesTheSubscriptionThatIsNamed) {
  azure.tenants["tenant-1"].push_back({"Play", "sub-9"});
  ASSERT_EQ(person({"-s", "play"}).exit_code, 0);
  EXPECT_EQ(accounts()[1]["isCurrent"], true);
  ASSERT_EQ(person().exit_code, 0);
  EXPECT_EQ(accounts()[1]["isCurrent"], true) << "the one before stays";
  EXPECT_EQ(person({"-s", "nothing"}).exit_code, 4);
}

TEST_F(AzureLogin, TheUsersTokenIsRenewedWithoutHim) {
  ASSERT_EQ(person().exit_code, 0);
  ASSERT_EQ(run_program({"vm", "list"}).exit_code, 0);
  const std::size_t before = azure.forms().size();
  age_tokens();
  ASSERT_EQ(run_program({"vm", "list"}).exit_code, 0);
  EXPECT_EQ(azure.forms().size(), before + 1);
  EXPECT_EQ(azure.forms().back()["grant_type"], "refresh_token");
  EXPECT_EQ(azure.forms().back()["scope"], "https://played//.default offline_access openid profile");
  azure.expire_tokens();  // sooner than was said
  const Ran ran = run_program({"vm", "list"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(azure.forms().size(), before + 2);
}

TEST_F(AzureLogin, ATokenThatEndsWhileACommandRunsIsRenewedInTheMiddle) {
  ASSERT_EQ(person().exit_code, 0);
  std::atomic<bool> once{true};
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (request.path.ends_with("/virtualMachines") && once.exchange(false)) azure.expire_tokens();
    return std::nullopt;
  };
  const std::size_t before = azure.count("refresh_token");
  const Ran ran = run_program({"vm", "list"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_GT(azure.count("refresh_token"), before);
}

TEST_F(AzureLogin, WhenTheRefreshTokenIsRevokedTheUserIsAskedToSignInAgain) {
  ASSERT_EQ(person().exit_code, 0);
  azure.revoke();
  const Ran ran = run_program({"vm", "list"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.err,
              AllOf(HasSubstr("wants ops@contoso.com to sign in again (AADSTS50173: The grant was revoked.)"),
                    HasSubstr("azure login -e played --tenant tenant-1")));
  std::filesystem::remove(azure.config() / "tokens.json");
  EXPECT_THAT(run_program({"vm", "list"}).err,
              HasSubstr("ops@contoso.com is not signed in to played any more."));
}

TEST_F(AzureLogin, WhereRefreshTokensAreGoodOnceTheNewestIsKept) {
  azure.rotates_refresh_tokens = true;
  ASSERT_EQ(person({"--tenant", "tenant-1"}).exit_code, 0);
  for (int i = 0; i < 3; ++i) {
    age_tokens();
    const Ran ran = run_program({"vm", "list"});
    ASSERT_EQ(ran.exit_code, 0) << ran.err;
  }
}

TEST_F(AzureLogin, WhatResourceManagerWantsProvedGoesToTheAuthority) {
  ASSERT_EQ(person().exit_code, 0);
  azure.trouble = [](const Request& request) -> std::optional<Response> {
    if (!request.path.ends_with("/virtualMachines")) return std::nullopt;
    Response response{.status = 401};
    response.headers["WWW-Authenticate"] = "Bearer realm=\"\", error=\"insufficient_claims\", claims=\"" +
                                           base64_encode("{\"access_token\":{}}") + "\"";
    return response;
  };
  const Ran ran = run_program({"vm", "list"});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_EQ(azure.forms().back()["claims"], "{\"access_token\":{}}");
  EXPECT_THAT(ran.err, AllOf(HasSubstr("AADSTS50076"), HasSubstr("azure login -e played --tenant tenant-1")));
}

TEST_F(AzureLogin, WhatIsNoChallengeIsRefused) {
  for (const char* wrong : {"!", "e30x", "W10="}) {
    const Ran ran = person({"--claims-challenge", wrong});
    EXPECT_EQ(ran.exit_code, 2) << wrong;
    EXPECT_THAT(ran.err, HasSubstr("--claims-challenge is no challenge"));
  }
  EXPECT_EQ(person({"--claims-challenge", "e30"}).exit_code, 0) << "{}, without its padding";
  EXPECT_THAT(login({"--identity", "--claims-challenge", "e30="}).err, HasSubstr("is for people"));
  EXPECT_TRUE(azure.count("password") == 1);
}

TEST_F(AzureLogin, ByPasswordWhereTheTenantAllowsIt) {
  const std::string file = azure.file("password", azure.password + "\n");
  ASSERT_EQ(login({"-u", azure.user, "--password-file", file}).exit_code, 0);
  EXPECT_EQ(azure.forms().front()["grant_type"], "password");
  EXPECT_EQ(accounts()[0]["user"]["name"], azure.user);
  azure.password = "another";
  const Ran ran = login({"-u", azure.user, "--password-file", file});
  EXPECT_EQ(ran.exit_code, 3);
  EXPECT_THAT(ran.err,
              AllOf(HasSubstr("AADSTS50126"), HasSubstr("Is the password right?"), Not(HasSubstr("Str0ng"))));
  EXPECT_EQ(accounts().size(), 1U) << "the sign-in before stays";
}

TEST_F(AzureLogin, ByCertificateAsEntraWantsIt) {
  const std::string file = certificate_file();
  const Ran ran = application({"--certificate", file});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(azure.forms().back()["client_assertion_type"],
              testing::EndsWith("client-assertion-type:jwt-bearer"));
  EXPECT_FALSE(azure.forms().back().contains("client_secret"));
  age_tokens();
  ASSERT_EQ(run_program({"vm", "list"}).exit_code, 0);
  EXPECT_EQ(azure.count("client_credentials"), 2U);

  azure.trusts_issuers = true;
  EXPECT_EQ(application({"--certificate", file}).exit_code, 3);
  EXPECT_EQ(application({"--certificate", file, "--use-cert-sn-issuer"}).exit_code, 0);
  azure.certificate.reset();
  EXPECT_THAT(application({"--certificate", file}).err,
              AllOf(HasSubstr("AADSTS700027"), HasSubstr("Is this certificate registered")));
}

TEST_F(AzureLogin, ACertificateThatCannotWorkIsRefusedBeforeAnybodyIsAsked) {
  const std::string good = certificate_file();
  const auto refused = [&](const std::string& file, const char* why) {
    const Ran ran = application({"--certificate", file});
    EXPECT_EQ(ran.exit_code, 2) << why;
    EXPECT_THAT(ran.err, AllOf(HasSubstr(file), HasSubstr(why)));
  };
  const std::string certificate = azure.certificate->to_pem();
  refused(azure.file("no-key.pem", certificate), "is not a private key");
  refused(azure.file("no-cert.pem", rsa_key().to_pem().reveal()), "certificate");
  refused(azure.file("other.pem", certificate + PrivateKey::generate_rsa().to_pem().reveal()),
          "belongs to none of the certificates");
  const PrivateKey ec = PrivateKey::generate_ec();
  refused(azure.file("ec.pem", ec.to_pem().reveal() + issue_certificate({.common_name = "x"}, ec).to_pem()),
          "is not an RSA key");
  refused(certificate_file(std::chrono::days(-1)), "was valid until");
  EXPECT_EQ(application({"--certificate", "/none.pem"}).exit_code, 4);
  EXPECT_EQ(azure.count("client_credentials"), 0U);
}

TEST_F(AzureLogin, ByATokenOfAnotherAuthority) {
  const std::string file = azure.file("token", "e30.e30.c2ln\n");
  EXPECT_EQ(application({"--federated-token-file", file}).exit_code, 3);
  EXPECT_EQ(azure.forms().back()["client_assertion"], "e30.e30.c2ln");
}

TEST_F(AzureLogin, AsTheIdentityOfTheMachine) {
  ::setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.origin.c_str(), 1);
  azure.identity_troubles = {404};
  const Ran ran = login({"--identity"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_EQ(azure.identity_resource, "https://played/");
  EXPECT_EQ(accounts()[0]["user"]["type"], "managedIdentity");
  EXPECT_EQ(run_program({"vm", "list"}).exit_code, 0);
  EXPECT_EQ(login({"--identity", "--client-id", azure.application}).exit_code, 0);
  const Ran none = login({"--identity", "--client-id", "nobody"});
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, HasSubstr("Identity not found"));
  ::setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1", 1);
  EXPECT_THAT(login({"--identity"}).err, HasSubstr("There is no identity service at 127.0.0.1"));
  ::unsetenv("AZURE_POD_IDENTITY_AUTHORITY_HOST");
}

TEST_F(AzureLogin, NoSecretIsInAnyOutputFileOrLog) {
  const std::string secret_file = azure.file("secret", azure.secret);
  std::string all;
  const auto run = [&](std::vector<std::string> words) {
    const Ran ran = run_program(std::move(words));
    all += ran.out + ran.err;
  };
  run({"login", "-e", "played", "-v"});
  run({"vm", "list", "-v"});
  run({"login", "-e", "played", "-v", "-u", azure.user, "-p", azure.password});
  run({"login", "-e", "played", "-v", "--service-principal", "-u", azure.application, "--tenant", "tenant-1",
       "--password-file", secret_file});
  run({"login", "-e", "played", "-v", "--service-principal", "-u", azure.application, "--tenant", "tenant-1",
       "--certificate", certificate_file()});
  // An authority that repeats what it was sent, with what would steer a terminal.
  azure.trouble = [](const Request& request) -> std::optional<Response> {
    if (!request.path.ends_with("/token")) return std::nullopt;
    return Response{
        .status = 400,
        .headers = {},
        .body = json{{"error", "invalid\x1b[2J"}, {"error_description", "You sent " + request.body}}.dump()};
  };
  run({"login", "-e", "played", "-v", "--service-principal", "-u", azure.application, "--tenant", "tenant-1",
       "--password-file", secret_file});
  azure.revoke();
  run({"vm", "list", "-v"});
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(azure.region.folder.path() / ".local"))
    if (entry.is_regular_file()) all += read_file(entry.path());
  EXPECT_THAT(
      all, AllOf(HasSubstr("/oauth2/v2.0/token"), HasSubstr("x-ms") /* nothing else proves that -v was on */))
      << "it looked at something";
  for (const std::string& secret :
       {std::string("at-"), std::string("rt-"), std::string("dev1ce-c0de"), azure.password, azure.secret,
        std::string("PRIVATE KEY"), std::string("\x1b")})
    EXPECT_THAT(all, Not(HasSubstr(secret))) << secret;

  struct stat status {};
  ASSERT_EQ(::stat((azure.config() / "tokens.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(AzureLogin, AnAuthorityThatIsBusyIsAskedAgain) {
  std::atomic<int> left{2};
  azure.trouble = [&](const Request& request) -> std::optional<Response> {
    if (!request.path.ends_with("/token") || left-- <= 0) return std::nullopt;
    Response busy{.status = 503};
    busy.headers["Retry-After"] = "0";
    return busy;
  };
  EXPECT_EQ(person().exit_code, 0);
}

TEST_F(AzureLogin, WhatIsNoAuthorityIsTold) {
  azure.trouble = [](const Request& request) -> std::optional<Response> {
    if (!request.path.ends_with("/token") && !request.path.ends_with("/devicecode")) return std::nullopt;
    return Response{.status = 200, .headers = {}, .body = "<html>Sign in to the guest network</html>"};
  };
  const Ran ran = application({"--password-file", azure.file("secret", azure.secret)});
  EXPECT_EQ(ran.exit_code, 6);
  EXPECT_THAT(ran.err, HasSubstr("The answer of 127.0.0.1 holds no token."));
  EXPECT_EQ(login().exit_code, 6);
}

TEST_F(AzureLogin, TokensThatCannotBeKeptAreNoSignIn) {
  make_folder(azure.config() / "tokens.json/in-the-way");
  const Ran ran = person();
  EXPECT_NE(ran.exit_code, 0);
  EXPECT_THAT(ran.err, HasSubstr("tokens.json"));
  EXPECT_TRUE(accounts().empty());
}

TEST_F(AzureLogin, LogoutIsForOneOrForAll) {
  ASSERT_EQ(person().exit_code, 0);
  azure.tenants["tenant-1"].push_back({"Play", "sub-9"});
  ASSERT_EQ(application({"--password-file", azure.file("secret", azure.secret)}).exit_code, 0);
  EXPECT_THAT(run_program({"logout", "nobody"}).out, HasSubstr("nobody was not signed in"));
  ASSERT_EQ(person().exit_code, 0);
  EXPECT_EQ(run_program({"logout", azure.user}).exit_code, 0);
  EXPECT_TRUE(accounts().empty()) << "the user's sign-in had taken them over";
  EXPECT_THAT(kept_tokens().dump(), Not(HasSubstr("rt-")));
  EXPECT_EQ(run_program({"logout"}).exit_code, 0);
  EXPECT_TRUE(kept_tokens().empty());
}

TEST_F(AzureLogin, LogoutForgetsTheTokensOfWhomAnotherHasTakenTheSubscriptionFrom) {
  ASSERT_EQ(person().exit_code, 0);
  azure.user = "dev@contoso.com";
  ASSERT_EQ(person().exit_code, 0);
  ASSERT_EQ(kept_tokens().size(), 2U);
  EXPECT_THAT(run_program({"logout", "OPS@contoso.com"}).out,
              HasSubstr("The tokens of OPS@contoso.com are forgotten; no subscription was left"));
  ASSERT_EQ(kept_tokens().size(), 1U);
  EXPECT_THAT(kept_tokens().begin().key(), testing::EndsWith(" dev@contoso.com"));
  EXPECT_THAT(run_program({"logout", "ops@contoso.com"}).out, HasSubstr("ops@contoso.com was not signed in"));
  EXPECT_EQ(run_program({"vm", "list"}).exit_code, 0) << "the other one still is";
}

TEST_F(AzureLogin, OfATenantThatHasNothingAnyMoreTheTokensAreForgotten) {
  azure.tenants = {{"tenant-1", {{"Work", "sub-1"}}}, {"tenant-2", {{"Theirs", "sub-2"}}}};
  ASSERT_EQ(person().exit_code, 0);
  ASSERT_EQ(kept_tokens().size(), 2U);
  azure.tenants["tenant-2"].clear();
  ASSERT_EQ(person().exit_code, 0);
  ASSERT_EQ(kept_tokens().size(), 1U);
  EXPECT_THAT(kept_tokens().begin().key(), HasSubstr(" tenant-1 "));
}

TEST_F(AzureLogin, LogoutKnowsAnIdentityByItsName) {
  ::setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.origin.c_str(), 1);
  const Ran ran = login({"--identity"});
  ::unsetenv("AZURE_POD_IDENTITY_AUTHORITY_HOST");
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(run_program({"logout", "the managed identity"}).out, HasSubstr("1 subscriptions"));
  EXPECT_TRUE(kept_tokens().empty());
}

TEST_F(AzureLogin, OfTwoSubscriptionsWithOneNameTheIdIsAskedFor) {
  azure.tenants["tenant-1"].push_back({"Work", "sub-9"});
  ASSERT_EQ(person().exit_code, 0);
  const Ran ran = run_program({"account", "set", "work"});
  EXPECT_EQ(ran.exit_code, 5);
  EXPECT_THAT(ran.err, HasSubstr("Name it by its id: sub-1, sub-9."));
  EXPECT_EQ(run_program({"account", "set", "sub-9"}).exit_code, 0);
}

}  // namespace berth
