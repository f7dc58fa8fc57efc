// What uninstall takes back, and what it leaves.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "extension/fake_machine.h"
#include "extension/state.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

TEST(Uninstall, OfAVersionThatWasTakenOverFromRemovesNothing) {
  FakeMachine machine;
  machine.settings(0, tls_on, TestCertificates());
  machine.operate("enable");
  machine.unpack("1.3.1");
  machine.operate("update");
  EXPECT_EQ(machine.operate("uninstall", "1.3.0"), 0);
  EXPECT_EQ(machine.engine->port, 2376);
  EXPECT_TRUE(machine.exists(drop_in));
}

TEST(Uninstall, EndsWellWhenEverythingIsGone) {
  FakeMachine machine;
  EXPECT_EQ(machine.operate("uninstall"), 0);
  machine.operate("enable");
  fs::remove_all(machine.at("/etc/docker"));
  fs::remove(machine.at("/usr/sbin/dockerd"));
  EXPECT_EQ(machine.operate("uninstall"), 0);
}

TEST(Uninstall, LeavesAFileThatSomebodyChanged) {
  FakeMachine machine;
  machine.settings(0, tls_on, TestCertificates());
  machine.operate("enable");
  machine.write("/etc/docker/ca.pem", "mine now");
  machine.operate("uninstall");
  EXPECT_EQ(machine.read("/etc/docker/ca.pem"), "mine now");
  EXPECT_FALSE(machine.exists("/etc/docker/cert.pem"));
}

TEST(Uninstall, RemovesWhatIsOursAndLeavesTheEngineRunning) {
  FakeMachine machine;
  machine.write("/etc/docker/daemon.json", "{\n    \"dns\": [\"10.0.0.2\"]\n}\n");
  machine.settings(0, tls_on, TestCertificates());
  machine.operate("enable");
  machine.running_containers = 1;

  EXPECT_EQ(machine.operate("disable"), 0);
  EXPECT_EQ(machine.operate("uninstall"), 0);

  ASSERT_TRUE(machine.engine);
  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_EQ(machine.container_generation, 1);
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
  EXPECT_EQ(nlohmann::json::parse(machine.read("/etc/docker/daemon.json")),
            nlohmann::json::parse(R"({"dns":["10.0.0.2"]})"));
  EXPECT_FALSE(machine.exists("/var/lib/docker-ext"));
}

TEST(Uninstall, AfterAnEnableThatWasKilledTakesItsPortBack) {
  FakeMachine machine;
  machine.settings(0, tls_on, TestCertificates());
  machine.on_run = [](const std::vector<std::string>& argv) {
    if (argv[0] == "systemctl" && argv[1] == "enable") throw std::string("killed");
  };
  EXPECT_THROW(machine.operate("enable"), std::string);
  machine.on_run = nullptr;
  ASSERT_EQ(machine.engine->port, 2376);

  EXPECT_EQ(machine.operate("uninstall"), 0);

  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_FALSE(machine.exists(drop_in));
}

TEST(Uninstall, LeavesAnEngineAloneThatItNeverConfigured) {
  FakeMachine machine;
  machine.run({"systemctl", "start", "docker.service"}, {});
  machine.settings(0, R"({"docker":{"port":2375}})");  // refused: no certificates
  EXPECT_EQ(machine.operate("enable"), 1);
  machine.commands.clear();

  EXPECT_EQ(machine.operate("uninstall"), 0);

  EXPECT_THAT(machine.commands, testing::ElementsAre("systemctl is-active docker.service"));
  EXPECT_FALSE(machine.exists("/var/lib/docker-ext"));
}

TEST(Uninstall, LeavesAStoppedEngineStoppedAndWhatStartsAtBootAsItIs) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376},"disableStopsEngine":true})", TestCertificates());
  machine.operate("enable");
  fs::remove(machine.at("/etc/systemd/system/multi-user.target.wants/docker.service"));
  EXPECT_EQ(machine.operate("disable"), 0);
  ASSERT_FALSE(machine.engine);

  EXPECT_EQ(machine.operate("uninstall"), 0);

  EXPECT_FALSE(machine.engine);
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
  EXPECT_FALSE(machine.exists("/etc/docker/daemon.json"));
  EXPECT_FALSE(fs::is_symlink(machine.at("/etc/systemd/system/multi-user.target.wants/docker.service")));
}

TEST(Uninstall, OfARunningEngineDoesNotEnableItAtBoot) {
  FakeMachine machine;
  machine.settings(0, tls_on, TestCertificates());
  machine.operate("enable");
  fs::remove(machine.at("/etc/systemd/system/multi-user.target.wants/docker.service"));
  EXPECT_EQ(machine.operate("uninstall"), 0);
  EXPECT_TRUE(machine.engine);
  EXPECT_FALSE(fs::is_symlink(machine.at("/etc/systemd/system/multi-user.target.wants/docker.service")));
}

// -- trouble ----------------------------------------------------------------------------------------------

TEST(Uninstall, GoesOnPastTroubleAndKeepsWhatIsLeftOnRecord) {
  FakeMachine machine;
  nlohmann::json secret = nlohmann::json::parse(FakeMachine::protected_json(TestCertificates()));
  secret["login"] = {{"server", "registry:5000"}, {"username", "me"}, {"password", "hunter22"}};
  machine.settings(0, tls_on, secret.dump());
  ASSERT_EQ(machine.operate("enable"), 0) << machine.message(0);
  machine.answers["docker logout"] = {1, "", "config.json: read-only file system"};
  machine.refuse_to_start = "no space left on device";
  machine.on_run = [&](const std::vector<std::string>& argv) {
    static int restarts = 0;
    if (argv[0] == "systemctl" && argv[1] == "restart" && ++restarts > 1) machine.refuse_to_start.reset();
  };

  EXPECT_EQ(machine.operate("uninstall"), 1);

  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
  EXPECT_THAT(machine.log(), AllOf(HasSubstr("left behind: The login to registry:5000 stays"),
                                   HasSubstr("left behind: The engine did not restart")));
  EXPECT_EQ(read_state(machine.root()).login_server, "registry:5000");

  machine.answers.clear();
  EXPECT_EQ(machine.operate("uninstall"), 0);
  EXPECT_EQ(machine.count("docker logout registry:5000"), 2);
  EXPECT_FALSE(machine.exists("/var/lib/docker-ext"));
}

TEST(Uninstall, KeepsTheTlsFilesWhenDaemonJsonCannotBeReadAndSaysSo) {
  FakeMachine machine;
  machine.settings(0, tls_on, TestCertificates());
  machine.operate("enable");
  machine.write("/etc/docker/daemon.json", "{ broken");

  EXPECT_EQ(machine.operate("uninstall"), 1);

  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_TRUE(machine.exists("/etc/docker/key.pem"));
  EXPECT_THAT(machine.log(), HasSubstr("left behind: /etc/docker/daemon.json is not a JSON object"));
  EXPECT_TRUE(read_state(machine.root()).files.contains("/etc/docker/key.pem"));
}

// -- the engine's package ---------------------------------------------------------------------------------

struct Manager {
  const char *host, *program, *package;
};

class RemovedEngine : public testing::TestWithParam<Manager> {
 protected:
  RemovedEngine() {
    machine.write(std::string("/usr/bin/") + GetParam().program, "");
    machine.settings(0, R"({"removeEngineOnUninstall":true})");
    fs::remove(machine.at("/usr/bin/dockerd"));
    machine.on_run = [this](const std::vector<std::string>& argv) {
      if (argv[0] == GetParam().program && std::find(argv.begin(), argv.end(), "install") != argv.end())
        machine.write("/usr/bin/dockerd", "");
      if (argv[0] == "rpm" || argv[0] == "dpkg")
        machine.answers[argv[0]] = {argv.back() == GetParam().package ? 0 : 1, "", ""};
    };
  }
  FakeMachine machine{GetParam().host};
};

TEST_P(RemovedEngine, LeavesByThePackageManagerThatBroughtIt) {
  ASSERT_EQ(machine.operate("work"), 0) << machine.message(0);
  EXPECT_EQ(machine.operate("uninstall"), 0);
  EXPECT_FALSE(machine.engine);
  EXPECT_THAT(machine.commands, Contains(AllOf(testing::StartsWith(GetParam().program), HasSubstr(" remove "),
                                               testing::EndsWith(std::string(" ") + GetParam().package))));
}

TEST_P(RemovedEngine, StaysOnRecordWhenItDidNotLeave) {
  ASSERT_EQ(machine.operate("work"), 0) << machine.message(0);
  const auto before = machine.on_run;
  machine.on_run = [this, before](const std::vector<std::string>& argv) {
    before(argv);
    machine.answers[GetParam().program] = {100, "", "E: the media is full"};
  };
  EXPECT_EQ(machine.operate("uninstall"), 1);
  EXPECT_THAT(machine.log(), HasSubstr("left behind: The engine's package could not be removed"));
  EXPECT_TRUE(read_state(machine.root()).installed_engine);
}

INSTANTIATE_TEST_SUITE_P(Managers, RemovedEngine,
                         testing::Values(Manager{"ubuntu-22.04", "apt-get", "docker.io"},
                                         Manager{"rhel-9", "dnf", "moby-engine"},
                                         Manager{"rhel-9", "zypper", "docker"}),
                         [](const auto& param) {
                           std::string name = param.param.program;
                           std::erase(name, '-');
                           return name;
                         });

}  // namespace
}  // namespace berth::extension
