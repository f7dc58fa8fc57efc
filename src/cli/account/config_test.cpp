#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_region.h"
#include "cli/settings.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ConfigCommands : public testing::Test {
 protected:
  FakeRegion region;
};

TEST_F(ConfigCommands, ADefaultIsChosenUsedAndTakenBack) {
  EXPECT_EQ(run_program({"config", "set", "vm-size", "Standard_A1"}).out,
            "info:    Executing command config set\ninfo:    vm-size is Standard_A1 from now on\ninfo:    "
            "config set command OK\n");
  EXPECT_THAT(run_program({"config", "list"}).out,
              HasSubstr("data:    vm-size          Standard_A1  --vm-size of"));
  EXPECT_EQ(json::parse(run_program({"config", "list", "--json"}).out),
            json({{"location", nullptr}, {"vm-size", "Standard_A1"}, {"docker-cert-dir", nullptr}}));
  const Ran ran =
      run_program({"vm", "docker", "create", "-l", "West US", "web1", "Debian-12", "ops", "Str0ng!pass"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(region.deployment.dump(), HasSubstr("Standard_A1"));
  EXPECT_THAT(ran.out, Not(HasSubstr("--vm-size has not been specified")));
  EXPECT_THAT(run_program({"config", "delete", "vm-size"}).out, HasSubstr("vm-size is as it was before"));
  EXPECT_THAT(run_program({"config", "delete", "vm-size"}).out, HasSubstr("vm-size was not set"));
}

TEST_F(ConfigCommands, AnUnknownSettingGetsItsNeighbour) {
  const Ran ran = run_program({"config", "set", "vmsize", "x"});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("'vmsize' is no setting"), HasSubstr("Did you mean vm-size?")));
  EXPECT_EQ(run_program({"config", "set", "location", ""}).exit_code, 2);
}

TEST_F(ConfigCommands, ABrokenFileIsNamed) {
  make_folder(config_folder());
  write_file(config_folder() / "config.json", "{");
  EXPECT_THAT(run_program({"config", "list"}).err,
              HasSubstr((config_folder() / "config.json").string() + " is not a JSON object."));
}

TEST_F(ConfigCommands, TwoCommandsThatChangeItAtOnceLoseNothing) {
  std::vector<std::thread> threads;
  for (const char* name : {"location", "vm-size", "docker-cert-dir"})
    threads.emplace_back([name] { change_setting(name, "x"); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(read_settings().size(), 3U);
}

TEST_F(ConfigCommands, DetailsOfACommandThatFailedAreKept) {
  const Ran ran = run_program({"vm", "show", "nobody"});
  const std::size_t at = ran.err.find("error:   Details are in ");
  ASSERT_NE(at, std::string::npos) << ran.err;
  const std::string file = ran.err.substr(at + 24, ran.err.find('\n', at) - at - 24);
  EXPECT_THAT(file, HasSubstr(region.folder.path().string() + "/.local/state/berth/azure-"));
  EXPECT_THAT(read_file(file),
              AllOf(HasSubstr("azure vm show at "), HasSubstr("verbose: GET https://127.0.0.1:"),
                    HasSubstr("error:   No VM named \"nobody\" was found\n"), Not(HasSubstr("s3cret")),
                    Not(HasSubstr("t0ken"))));
  EXPECT_THAT(run_program({"vm", "shwo"}).err, Not(HasSubstr("Details are in"))) << "nobody was asked";
}

}  // namespace
}  // namespace berth
