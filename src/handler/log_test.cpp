#include "handler/log.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

TEST(Redaction, HidesTheValuesItWasToldOf) {
  Redactor redactor;
  redactor.hide(Secret("hunter22"));
  redactor.hide(Secret("a"));
  EXPECT_EQ(redactor("a hunter22 b hunter22"), "a [secret] b [secret]");
}

TEST(Redaction, HidesShortValuesWhereTheyAreWholeWords) {
  Redactor redactor;
  redactor.hide(Secret("abc"));
  redactor.hide(Secret("x1!"));
  EXPECT_EQ(redactor("TOP is abc, not abcd or _abc; x1!"), "TOP is [secret], not abcd or _abc; [secret]");
  EXPECT_EQ(redactor("abc"), "[secret]");
}

TEST(Redaction, HidesWhatFollowsATellingName) {
  const Redactor redactor;
  EXPECT_EQ(redactor("--x-password=abc --name=b"), "--x-password=[secret] --name=b");
  EXPECT_EQ(redactor("DB_PASSWORD=abc"), "DB_PASSWORD=[secret]");
  EXPECT_EQ(redactor(R"({"accessToken": "abc", "b": 1})"), R"({"accessToken": "[secret]", "b": 1})");
  EXPECT_EQ(redactor("client_secret: abc"), "client_secret: [secret]");
  EXPECT_EQ(redactor("the password is not shown"), "the password is not shown");
  EXPECT_EQ(redactor("password="), "password=");
}

TEST(Redaction, HidesPrivateKeys) {
  const std::string text =
      Redactor()("x -----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\ny");
  EXPECT_THAT(text, AllOf(Not(HasSubstr("MHcC")), HasSubstr("x "), HasSubstr("y")));
  EXPECT_THAT(Redactor()("-----BEGIN PRIVATE KEY-----\nMHcCAQEE"), Not(HasSubstr("MHcC")));
}

TEST(Log, TurnsOverAndKeepsThree) {
  const TemporaryFolder folder;
  const fs::path file = folder / "deep/docker-extension.log";
  for (int round = 0; round < 5; ++round) {
    Log log(file);
    log.quiet = true;
    log.line("round " + std::to_string(round));
    fs::resize_file(file, 5 * 1024 * 1024);
  }
  EXPECT_THAT(std::vector<fs::path>(fs::directory_iterator(folder / "deep"), {}), SizeIs(3));
  struct stat status {};
  ::stat(file.c_str(), &status);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
}

TEST(Log, WritesOneLineForEachStepWithItsTime) {
  const TemporaryFolder folder;
  Log log(folder / "x.log");
  log.quiet = true;
  EXPECT_EQ(log.timed("step", [] { return 7; }), 7);
  EXPECT_THROW(log.timed("worse\nstep", [] { throw 1; }), int);
  const std::string text = read_file(folder / "x.log");
  EXPECT_THAT(text, testing::MatchesRegex(
                        "[-0-9T:]+Z step ms=[0-9.]+\n[-0-9T:]+Z worse step ms=[0-9.]+ outcome=failed\n"));
}

}  // namespace
}  // namespace berth::extension
