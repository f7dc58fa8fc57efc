// Enable beside the other operations: what it hands over, what calls it off, what it leaves when it is cut
// off.
#include <gmock/gmock.h>

#include "extension/fake_machine.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr const char* drop_in = "/etc/systemd/system/docker.service.d/10-docker-ext.conf";
constexpr const char* tls_on = R"({"docker":{"port":2376}})";

bool installs(const std::vector<std::string>& argv) {
  return argv[0] == "apt-get" && std::find(argv.begin(), argv.end(), "install") != argv.end();
}

void unpack_engine(FakeMachine& machine) {
  fs::copy(fs::path(BERTH_FIXTURES) / "hosts/debian-12/usr", machine.at("/usr"),
           fs::copy_options::recursive | fs::copy_options::skip_existing);
}

fs::path handler_folder(const FakeMachine& machine) {
  return machine.at("/var/lib/waagent/" + machine.handler + "-1.3.0");
}

class FirstInstallation : public testing::Test {
 protected:
  FirstInstallation() {
    machine.write("/usr/bin/apt-get", "");
    machine.settings(0, tls_on, TestCertificates());
    machine.lock_limit = std::chrono::milliseconds(50);
  }
  /// Runs enable's work; `meanwhile` happens while the package manager is busy.
  template <class Meanwhile>
  int work(Meanwhile&& meanwhile) {
    machine.on_run = [this, meanwhile](const std::vector<std::string>& argv) {
      if (!installs(argv)) return;
      machine.on_run = nullptr;
      meanwhile();
      unpack_engine(machine);
    };
    return machine.operate("work");
  }

  FakeMachine machine{"debian-12-plain"};
};

TEST_F(FirstInstallation, EndsWithoutAPortWhenItIsDisabledMeanwhile) {
  int disabled = -1;

  EXPECT_EQ(work([&] { disabled = machine.operate("disable"); }), 1);

  EXPECT_EQ(disabled, 1);  // it could not wait for the package manager
  EXPECT_FALSE(machine.engine);
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
  EXPECT_THAT(machine.message(0), HasSubstr("disabled or removed"));
  EXPECT_EQ(machine.operate("disable"), 0);
  EXPECT_EQ(machine.operate("uninstall"), 0);
  EXPECT_FALSE(machine.exists("/var/lib/docker-ext"));
}

TEST_F(FirstInstallation, DoesNotBeginAfterADisableThatCameBeforeIt) {
  machine.operate("enable");
  ASSERT_THAT(machine.workers, SizeIs(1));
  EXPECT_EQ(machine.operate("disable"), 0);
  const std::string said = machine.message(0);

  EXPECT_EQ(machine.operate("work"), 0);

  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_FALSE(machine.exists("/usr/bin/dockerd"));
  EXPECT_EQ(machine.message(0), said);
  machine.operate("enable");
  EXPECT_EQ(work([] {}), 0);
  EXPECT_EQ(machine.engine->port, 2376);
}

TEST_F(FirstInstallation, TakesEverythingBackWhenTheHandlerIsGoneMeanwhile) {
  int uninstalled = -1;

  EXPECT_EQ(work([&] {
              machine.operate("disable");
              uninstalled = machine.operate("uninstall");
              fs::remove_all(handler_folder(machine));
            }),
            0);

  EXPECT_EQ(uninstalled, 1);
  EXPECT_FALSE(machine.engine);
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_FALSE(machine.exists("/var/lib/docker-ext"));
  EXPECT_FALSE(fs::exists(handler_folder(machine)));
}

TEST_F(FirstInstallation, GoesOnWhenItIsEnabledAgainAfterTheDisable) {
  EXPECT_EQ(work([&] {
              machine.operate("disable");
              EXPECT_EQ(machine.operate("enable"), 0);
            }),
            0);
  ASSERT_TRUE(machine.engine) << machine.log();
  EXPECT_EQ(machine.engine->port, 2376);
}

TEST_F(FirstInstallation, CutOffBetweenUnpackAndConfigureIsFinishedByTheNextEnable) {
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (!installs(argv)) return;
    unpack_engine(machine);
    throw std::string("power cut");
  };
  EXPECT_THROW(machine.operate("work"), std::string);
  machine.on_run = nullptr;
  machine.commands.clear();

  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.workers, SizeIs(1));
  EXPECT_EQ(machine.operate("work"), 0) << machine.message(0);

  const auto place = [&](const auto& what) {
    return std::find_if(machine.commands.begin(), machine.commands.end(), what) - machine.commands.begin();
  };
  const auto mended = place([](const std::string& command) { return command == "dpkg --configure -a"; });
  EXPECT_LT(mended,
            place([](const std::string& command) { return command.find(" install ") != std::string::npos; }));
  EXPECT_EQ(machine.engine->port, 2376);
  machine.commands.clear();
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, IsEmpty());
}

TEST_F(FirstInstallation, OfANewVersionHasAWorkerOfItsOwn) {
  machine.operate("enable");
  machine.unpack("1.3.1");
  machine.operate("enable");
  EXPECT_THAT(machine.workers, SizeIs(2));
  EXPECT_THAT(machine.workers, Contains(HasSubstr("-1.3.0-0-")));
  EXPECT_THAT(machine.workers, Contains(HasSubstr("-1.3.1-0-")));
}

TEST_F(FirstInstallation, OfOtherSettingsUnderTheSameNumberHasAWorkerOfItsOwn) {
  machine.operate("enable");
  machine.operate("enable");
  EXPECT_THAT(machine.workers, SizeIs(1));
  machine.settings(0, "{}");
  machine.operate("enable");
  EXPECT_THAT(machine.workers, SizeIs(2));
  EXPECT_THAT(machine.detached, IsEmpty());
}

// -- the agent's time limit -------------------------------------------------------------------------------

TEST(InlineEnable, PutsThingsBackAndHandsOverWhenItsTimeIsUp) {
  FakeMachine machine;
  machine.run({"systemctl", "start", "docker.service"}, {});
  machine.settings(0, tls_on, TestCertificates());
  machine.durations["systemctl is-active"] = seconds(50);
  machine.durations["systemctl restart"] = seconds(170);
  int restarts = 0;
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv[0] == "systemctl" && argv[1] == "restart" && ++restarts == 2) machine.durations.clear();
  };

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_LE(machine.spent, seconds(201));
  EXPECT_EQ(machine.status_word(0), "transitioning");
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_THAT(machine.workers, SizeIs(1));
  EXPECT_EQ(machine.operate("work"), 0) << machine.message(0);
  EXPECT_EQ(machine.engine->port, 2376);
}

TEST(InlineEnable, NeverTakesTheTimeThatTheAgentGivesEvenWhenNothingCanBePutBack) {
  FakeMachine machine;
  machine.run({"systemctl", "start", "docker.service"}, {});
  machine.settings(0, tls_on, TestCertificates());
  machine.durations["systemctl is-active"] = seconds(50);
  machine.durations["systemctl restart"] = seconds(170);

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_LE(machine.spent, seconds(290));
  EXPECT_EQ(machine.status_word(0), "transitioning") << machine.log();
}

TEST(Work, HasTheTimeItNeeds) {
  FakeMachine machine;
  machine.settings(0, tls_on, TestCertificates());
  machine.durations["systemctl start"] = seconds(170);
  machine.durations["systemctl daemon-reload"] = seconds(50);
  EXPECT_EQ(machine.operate("work"), 0) << machine.message(0);
  EXPECT_EQ(machine.engine->port, 2376);
}

}  // namespace
}  // namespace berth::extension
