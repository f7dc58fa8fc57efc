#include "handler/environment.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr const char* good =
    R"([{"name":"Microsoft.Azure.Extensions.DockerExtension","version":1.0,"seqNo":"3","handlerEnvironment":{
  "logFolder":"/var/log/azure/x","configFolder":"/var/lib/waagent/x-1.3.0/config","statusFolder":"/var/lib/waagent/x-1.3.0/status",
  "heartbeatFile":"/var/lib/waagent/x-1.3.0/heartbeat.log","eventsFolder":"/e","somethingNew":{"a":1}}}])";

std::string refusal(const std::string& text) {
  try {
    parse_handler_environment(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "it was accepted";
}

TEST(HandlerEnvironment, IsReadWithKeysItDoesNotKnow) {
  const HandlerEnvironment environment = parse_handler_environment(good);
  EXPECT_EQ(environment.config_folder, "/var/lib/waagent/x-1.3.0/config");
  EXPECT_EQ(environment.library_folder(), "/var/lib/waagent");
  EXPECT_EQ(environment.name, "Microsoft.Azure.Extensions.DockerExtension");
}

TEST(HandlerEnvironment, HoldsExactlyOneObject) {
  const std::string one(good);
  EXPECT_THAT(refusal("[]"), HasSubstr("one object"));
  EXPECT_THAT(refusal("[" + one.substr(1, one.size() - 2) + "," + one.substr(1, one.size() - 2) + "]"),
              HasSubstr("one object"));
  EXPECT_THAT(refusal("{}"), HasSubstr("one object"));
  EXPECT_THAT(refusal("[{}]"), HasSubstr("handlerEnvironment"));
  EXPECT_THAT(refusal(R"([{"handlerEnvironment":{"logFolder":"/l","configFolder":7}}])"),
              HasSubstr("configFolder"));
  EXPECT_THAT(refusal(R"([{"handlerEnvironment":{"logFolder":"relative"}}])"), HasSubstr("logFolder"));
  for (std::size_t length = 0; length < one.size(); length += 7)
    EXPECT_THAT(refusal(one.substr(0, length)), HasSubstr("one object"));
}

TEST(HandlerEnvironment, IsFoundBesideTheProgramOrAboveIt) {
  const TemporaryFolder folder;
  const fs::path handler = folder / "Microsoft.Azure.Extensions.DockerExtension-1.3.0";
  fs::create_directories(handler / "bin");
  EXPECT_THROW(find_handler_environment(handler / "bin"), Error);
  write_file(handler / "HandlerEnvironment.json", good);
  EXPECT_EQ(find_handler_environment(handler / "bin").handler_folder, handler);
  EXPECT_EQ(find_handler_environment(handler / "bin").version, "1.3.0");
  EXPECT_EQ(find_handler_environment(handler).handler_folder, handler);
}

class Sequences : public testing::Test {
 protected:
  void make(const std::string& name, int minutes_old) {
    write_file(folder_ / name, "{}");
    fs::last_write_time(folder_ / name, fs::file_time_type::clock::now() - std::chrono::minutes(minutes_old));
  }
  TemporaryFolder folder_;
};

TEST_F(Sequences, GoByWhatTheAgentSays) {
  make("3.settings", 0);
  make("2.settings", 5);
  EXPECT_EQ(choose_sequence(folder_.path(), "2").number, 2u);
}

TEST_F(Sequences, GoByTheNewestFileBecauseNumbersMayFall) {
  make("9.settings", 5);
  make("2.settings", 0);
  EXPECT_EQ(choose_sequence(folder_.path(), std::nullopt).number, 2u);
  EXPECT_EQ(choose_sequence(folder_.path(), "7").number, 2u);
  EXPECT_EQ(choose_sequence(folder_.path(), "garbage").number, 2u);
}

TEST_F(Sequences, TakeTheLargerOfTwoOfOneTime) {
  make("10.settings", 0);
  make("9.settings", 0);
  fs::last_write_time(folder_ / "10.settings", fs::last_write_time(folder_ / "9.settings"));
  EXPECT_EQ(choose_sequence(folder_.path(), std::nullopt).number, 10u);
}

TEST_F(Sequences, IgnoreOtherNames) {
  make("foo.5.settings", 0);
  make("HandlerState", 0);
  make("-1.settings", 0);
  make("99999999999999999999999.settings", 0);
  EXPECT_TRUE(choose_sequence(folder_.path(), std::nullopt).file.empty());
  make("4.settings", 60);
  EXPECT_EQ(choose_sequence(folder_.path(), std::nullopt).number, 4u);
}

TEST_F(Sequences, AreZeroWithoutAnySettings) {
  const Sequence sequence = choose_sequence(folder_ / "missing", "0");
  EXPECT_EQ(sequence.number, 0u);
  EXPECT_TRUE(sequence.file.empty());
}

TEST_F(Sequences, AreRememberedAsAPlainNumber) {
  EXPECT_EQ(read_mrseq(folder_.path()), std::nullopt);
  write_mrseq(folder_.path(), 12);
  EXPECT_EQ(read_file(folder_ / "mrseq"), "12");
  write_file(folder_ / "mrseq", " 7\n");
  EXPECT_EQ(read_mrseq(folder_.path()), 7u);
  write_file(folder_ / "mrseq", "x");
  EXPECT_EQ(read_mrseq(folder_.path()), std::nullopt);
}

}  // namespace
}  // namespace berth::extension
