#include "handler/status.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "extension/reports.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::SizeIs;

const auto some_time = std::chrono::system_clock::from_time_t(1767323045);

TEST(Status, HasTheFieldNamesThatTheAgentInsistsOn) {
  Report report = make_report(Profile::modern, Operation::enable, Phase::succeeded);
  report.substatus.push_back({"engine", Outcome::warning, "runs"});

  const json document = json::parse(status_document(report, some_time, {}));

  EXPECT_EQ(
      document,
      json::parse(R"([{"version":1.0,"timestampUTC":"2026-01-02T03:04:05Z","status":{"name":"DockerExtension",
    "operation":"Enable Docker","configurationAppliedTime":"2026-01-02T03:04:05Z","status":"success","code":0,
    "formattedMessage":{"lang":"en","message":"Enable Docker succeeded"},
    "substatus":[{"name":"engine","status":"warning","code":0,"formattedMessage":{"lang":"en","message":"runs"}}]}}])"));
}

TEST(Status, WordsItsMessagesLikeEachGeneration) {
  EXPECT_EQ(make_report(Profile::modern, Operation::enable, Phase::running).message, "Enable Docker");
  EXPECT_EQ(make_report(Profile::modern, Operation::enable, Phase::failed, "x").message,
            "Enable Docker failed: x");
  EXPECT_EQ(make_report(Profile::modern, Operation::disable, Phase::succeeded).operation, "Disabling Docker");
  EXPECT_EQ(make_report(Profile::modern, Operation::update, Phase::succeeded).operation, "Updating Docker");
  EXPECT_EQ(make_report(Profile::classic, Operation::enable, Phase::running).message, "Enabling Docker.");
  EXPECT_EQ(make_report(Profile::classic, Operation::enable, Phase::succeeded).message,
            "Enabling Docker Completed.");
}

TEST(Status, StaysWithinTheAgentsLimits) {
  Report report = make_report(Profile::modern, Operation::enable, Phase::failed, std::string(5000, '"'));
  for (int i = 0; i < 40; ++i)
    report.substatus.push_back({"security", Outcome::success, std::string(20'000, '\n')});

  const std::string text = status_document(report, some_time, {});

  EXPECT_LE(text.size(), 128u * 1024);
  const json document = json::parse(text);
  EXPECT_LE(document[0]["status"]["formattedMessage"]["message"].get<std::string>().size(), 1000u);
  for (const json& part : document[0]["status"]["substatus"])
    EXPECT_LE(part["formattedMessage"]["message"].get<std::string>().size(), 10u * 1024);
}

TEST(Status, IsValidUtf8WhateverAProgramSaid) {
  const Report report = make_report(Profile::modern, Operation::enable, Phase::failed,
                                    std::string("\xff\xc3(\xe2\x82\0\x1b[31m é €", 18));
  const json document = json::parse(status_document(report, some_time, {}));
  EXPECT_THAT(document[0]["status"]["formattedMessage"]["message"].get<std::string>(), HasSubstr("é €"));
}

TEST(Status, ShowsTheOutputOfTheUsersProgramAsItIs) {
  Report report = make_report(Profile::modern, Operation::enable, Phase::succeeded);
  report.output = ":\ttoken: abc\r\n\xff" + std::string(5000, 'x');

  const json document = json::parse(status_document(report, some_time, {}));

  EXPECT_EQ(document[0]["status"]["formattedMessage"]["message"],
            "Enable Docker succeeded:\ttoken: abc\r\n?" + std::string(5000, 'x'));
}

TEST(Status, IsCutBetweenCharacters) {
  std::string euros;
  for (int i = 0; i < 1000; ++i) euros += "€";
  const std::string cut = printable(euros, 1000);
  EXPECT_LE(cut.size(), 1000u);
  EXPECT_EQ(cut.size() % 3, 0u);
  EXPECT_THAT(cut, testing::EndsWith("…"));
  EXPECT_EQ(printable("short", 1000), "short");
}

class StatusFile : public testing::Test {
 protected:
  bool write(Phase phase) {
    return write_status(folder_ / "status", 4, make_report(Profile::modern, Operation::enable, phase, "x"),
                        some_time, {});
  }
  Outcome outcome() { return read_status(folder_ / "status", 4)->outcome; }
  TemporaryFolder folder_;
};

TEST_F(StatusFile, IsPrivateAndLeavesNoTemporaryBehind) {
  write(Phase::succeeded);
  struct stat status {};
  ASSERT_EQ(::stat((folder_ / "status/4.status").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_THAT(std::vector<fs::path>(fs::directory_iterator(folder_ / "status"), {}), SizeIs(1));
}

TEST_F(StatusFile, ThatIsFinalIsNotReplacedByTransitioning) {
  for (const Phase last : {Phase::succeeded, Phase::failed}) {
    write(last);
    EXPECT_FALSE(write(Phase::running));
    EXPECT_NE(outcome(), Outcome::transitioning);
  }
  EXPECT_TRUE(write(Phase::succeeded));
}

TEST_F(StatusFile, ThatIsBrokenIsReplaced) {
  make_folder(folder_ / "status");
  for (const char* text : {"", "[", "[]", "[{}]", "[{\"status\":{}}]", "[{\"status\":{\"status\":7}}]"}) {
    write_file(folder_ / "status/4.status", text);
    EXPECT_EQ(read_status(folder_ / "status", 4), std::nullopt) << text;
    EXPECT_TRUE(write(Phase::running));
  }
}

}  // namespace
}  // namespace berth::extension
