#include "scripts/settings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>

#include "base/error.h"

namespace berth::extension {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

const ScriptKind &custom_script = script_kinds[0], &for_linux = script_kinds[1],
                 &run_command = script_kinds[2];

ScriptOrder parsed(const std::string& open, const std::string& closed = "{}",
                   const ScriptKind& kind = custom_script) {
  return parse_script_settings(kind, open, Secret(closed));
}

std::string script_refusal(const std::string& open, const std::string& closed = "{}",
                           const ScriptKind& kind = custom_script) {
  try {
    parsed(open, closed, kind);
  } catch (const Error& error) {
    return error.what();
  }
  return "it was accepted";
}

TEST(ScriptSettings, TakeACommandFromEitherPart) {
  EXPECT_EQ(parsed(R"({"commandToExecute":"id"})").command.reveal(), "id");
  EXPECT_THAT(parsed(R"({"commandToExecute":"id"})").secrets, SizeIs(0));
  EXPECT_EQ(parsed("{}", R"({"commandToExecute":"id"})").command.reveal(), "id");
  EXPECT_THAT(parsed("{}", R"({"commandToExecute":"id"})").secrets, SizeIs(1));
  EXPECT_EQ(parsed(R"({"commandToExecute":""})", R"({"commandToExecute":"id"})").command.reveal(), "id");
}

TEST(ScriptSettings, RefuseACommandInBothPartsBesideAScriptOrNone) {
  EXPECT_THAT(script_refusal(R"({"commandToExecute":"a"})", R"({"commandToExecute":"a"})"),
              HasSubstr("both in public and protected"));
  EXPECT_THAT(script_refusal(R"({"commandToExecute":"a","script":"aWQ="})"), HasSubstr("both specified"));
  EXPECT_THAT(script_refusal(R"({"fileUris":["http://h/a"]})",
                             R"({"fileUris":["http://h/a"],"commandToExecute":"a"})"),
              HasSubstr("'fileUris'"));
  EXPECT_THAT(script_refusal("{}"), HasSubstr("'commandToExecute' is not specified"));
}

TEST(ScriptSettings, DecodeAScript) {
  EXPECT_EQ(parsed(R"({"script":"ZWNobyBoaQo="})").script.value_or(Secret()).reveal(), "echo hi\n");
  EXPECT_THAT(script_refusal(R"({"script":"!"})"), HasSubstr("base64"));
  EXPECT_THAT(script_refusal(R"({"script":")" + std::string(300'000, 'A') + "\"}"),
              HasSubstr("maximum allowed length"));
}

TEST(ScriptSettings, RefuseByNameWhatNeedsAzuresStorage) {
  EXPECT_THAT(
      script_refusal("{}", R"({"commandToExecute":"a","storageAccountName":"x","storageAccountKey":"eA=="})"),
      HasSubstr("'storageAccountName'"));
  EXPECT_EQ(
      script_refusal("{}", R"({"commandToExecute":"a","storageAccountName":"","storageAccountKey":""})"),
      "it was accepted");
}

TEST(ScriptSettings, TakeAnIdentityForBlobs) {
  EXPECT_TRUE(parsed("{}", R"({"commandToExecute":"a","managedIdentity":{}})").managed_identity);
  EXPECT_THAT(
      script_refusal("{}", R"({"commandToExecute":"a","managedIdentity":{"clientId":"a","objectId":"b"}})"),
      HasSubstr("only one of"));
}

TEST(ScriptSettings, RefuseWhatTheyDoNotKnowAsTheHandlerOfToday) {
  EXPECT_THAT(script_refusal(R"({"commandToExecute":"a","commandToExecut":"b"})"),
              HasSubstr("Additional property commandToExecut is not allowed"));
  EXPECT_EQ(script_refusal(R"({"commandToExecute":"a","enableInternalDNSCheck":true})", "{}", for_linux),
            "it was accepted");
  EXPECT_THAT(script_refusal(R"({"commandToExecute":"a","timestamp":"now"})"), HasSubstr("timestamp"));
  EXPECT_EQ(script_refusal(R"({"commandToExecute":"a","timestamp":123456789,"skipDos2Unix":true})"),
            "it was accepted");
}

TEST(ScriptSettings, NameAFileByTheEndOfItsPath) {
  EXPECT_EQ(parse_file_uri("https://h/a/b/run.sh?sig=a/b#c").name, "run.sh");
  EXPECT_EQ(parse_file_uri("HTTP://h:80/a%20b.sh").name, "a b.sh");
  for (const char* uri : {"https://h", "https://h/", "https://h/..", "https://h/a/%2e%2e", "https://h/a%2fb",
                          "https://h/a%00b", "ftp://h/a", "http", "https:", "file:///etc/shadow",
                          "https://h/a b", "https://h/a\n", "-o /etc/x", ""})
    EXPECT_THROW(parse_file_uri(uri), Error) << uri;
}

TEST(ScriptSettings, DoNotRepeatAnAddressInTheirRefusal) {
  EXPECT_THAT(script_refusal(R"({"commandToExecute":"a","fileUris":["https://h/?sig=hunter2"]})"),
              testing::Not(HasSubstr("hunter2")));
}

TEST(ScriptSettings, ShowNoCredentialsOfAnAddress) {
  EXPECT_THAT(
      script_refusal(R"({"commandToExecute":"a","fileUris":["https://bob:S3cretPw@files.example.com/"]})"),
      testing::AllOf(HasSubstr("on files.example.com."), testing::Not(HasSubstr("S3cret"))));
  EXPECT_EQ(host_of("https://bob:S3@cret@h:8080/a@b"), "h:8080");
  EXPECT_EQ(host_of("https://bob:S3/cret@h/a"), "bob");
  EXPECT_EQ(host_of("http://[::1]/a"), "[::1]");
  const auto secrets = parsed(R"({"commandToExecute":"a","fileUris":["https://bob:S3cretPw@h/a"]})").secrets;
  EXPECT_TRUE(std::any_of(secrets.begin(), secrets.end(),
                          [](const Secret& secret) { return secret.reveal() == "S3cretPw"; }));
}

TEST(ScriptSettings, RefuseAFileWhoseNameHoldsAControlCharacter) {
  for (const char* name : {"a%0Aoutput%20=%20b", "a%0d", "a%00b", "%1b", "a%7F"})
    EXPECT_THAT(
        script_refusal(fmt::format(R"({{"commandToExecute":"a","fileUris":["https://h/{}"]}})", name)),
        HasSubstr("control character"))
        << name;
}

TEST(ScriptSettings, RefuseAFileThatHasTheNameOfOneOfOurs) {
  for (const char* name : {"stdout", "stderr", "std%6Fut"})
    EXPECT_THAT(
        script_refusal(fmt::format(R"({{"commandToExecute":"a","fileUris":["https://h/{}"]}})", name)),
        HasSubstr("named std"))
        << name;
  EXPECT_THAT(script_refusal(R"({"script":"aWQ=","fileUris":["https://h/script.sh"]})"),
              HasSubstr("named script.sh"));
  EXPECT_EQ(script_refusal(R"({"commandToExecute":"sh script.sh","fileUris":["https://h/script.sh"]})"),
            "it was accepted");
}

TEST(ScriptSettings, HaveParametersInRunCommandOnly) {
  const std::string closed = R"({"script":"aWQ=","parameters":[{"name":"a","value":"1"},{"value":"2"}]})";
  const auto parameters = parsed("{}", closed, run_command).parameters;
  ASSERT_THAT(parameters, SizeIs(2));
  EXPECT_EQ(parameters[0].first, "a");
  EXPECT_EQ(parameters[1].second.reveal(), "2");
  EXPECT_THAT(script_refusal("{}", closed), HasSubstr("parameters"));
  EXPECT_THAT(script_refusal("{}",
                             fmt::format(R"({{"script":"aWQ=","parameters":[{{"name":"a","value":"{}"}}]}})",
                                         std::string(140'000, 'x')),
                             run_command),
              HasSubstr("'a' has 140001 bytes"));
}

}  // namespace
}  // namespace berth::extension
