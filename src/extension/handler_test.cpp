#include "extension/handler.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "extension/fake_machine.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using testing::HasSubstr;
using testing::Not;

mode_t mode_of(const std::filesystem::path& file) {
  struct stat status {};
  EXPECT_EQ(::stat(file.c_str(), &status), 0) << file;
  return status.st_mode & 07777;
}

TEST(Enable, MakesATlsHostOfAMachineWhoseEngineIsNotStarted) {
  FakeMachine machine;
  const TestCertificates certificates;
  machine.settings(0, R"({"docker":{"port":"4243"}})", certificates);

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(machine.status_word(0), "success") << machine.log();
  ASSERT_TRUE(machine.engine);
  EXPECT_EQ(machine.engine->port, 4243);
  EXPECT_TRUE(machine.engine->verifies_clients);
  EXPECT_EQ(machine.engine->certificate, certificates.certificate.to_pem());
  EXPECT_EQ(mode_of(machine.at("/etc/docker/key.pem")), 0400u);
  EXPECT_EQ(mode_of(machine.at("/etc/docker/cert.pem")), 0444u);
  EXPECT_EQ(mode_of(machine.at("/etc/docker/ca.pem")), 0444u);
  EXPECT_EQ(machine.count("systemctl enable docker.service"), 1);
  EXPECT_THAT(machine.read(drop_in),
              HasSubstr("ExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock "
                        "$DOCKER_OPTS -H tcp://0.0.0.0:4243\n"));
}

TEST(Enable, TakesTheSettingsOf2014) {
  FakeMachine machine("debian-12", "MSOpenTech.Extensions.DockerExtension", "0.7.0");
  const TestCertificates certificates;
  machine.settings(0, R"({"dockerport":4243})",
                   nlohmann::json{{"ca", certificates.ca.to_pem()},
                                  {"server-cert", certificates.certificate.to_pem()},
                                  {"server-key", certificates.key.to_pem().reveal()}}
                       .dump());

  EXPECT_EQ(machine.operate("enable"), 0);

  ASSERT_TRUE(machine.engine) << machine.log();
  EXPECT_EQ(machine.engine->port, 4243);
  EXPECT_EQ(machine.status(0)[0]["status"]["operation"], "Enabling Docker");
  EXPECT_EQ(machine.message(0), "Enabling Docker Completed.");
}

TEST(Enable, WithoutSettingsStartsTheEngineOnItsUnixSocket) {
  FakeMachine machine;

  EXPECT_EQ(machine.operate("enable"), 0);

  ASSERT_TRUE(machine.engine) << machine.log();
  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_EQ(machine.status_word(0), "success");
  EXPECT_FALSE(machine.exists(drop_in));
}

TEST(Enable, RunsNoProgramWhenNothingChanged) {
  FakeMachine machine;
  machine.settings(3, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  const nlohmann::json before = machine.status(3);
  machine.commands.clear();
  machine.now += std::chrono::seconds(60);

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_THAT(machine.commands, testing::IsEmpty());
  EXPECT_EQ(machine.status(3), before);
}

TEST(Enable, RestartsForANewCertificateAndKeepsContainers) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  machine.running_containers = 2;
  const TestCertificates renewed;
  machine.settings(1, R"({"docker":{"port":2376}})", renewed);
  machine.commands.clear();

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(machine.engine->certificate, renewed.certificate.to_pem());
  EXPECT_EQ(machine.count("systemctl restart docker.service"), 1);
  EXPECT_EQ(machine.container_generation, 1);
}

TEST(Enable, TurnsLiveRestoreOnBeforeTheFirstRestartOfAnEngineWithContainers) {
  FakeMachine machine;
  machine.run({"systemctl", "start", "docker.service"}, {});
  machine.running_containers = 1;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(machine.container_generation, 1);
  EXPECT_EQ(machine.engine->port, 2376);
}

TEST(Enable, AsksARunningEngineAboutItsNewConfigurationBeforeThereAreTlsFiles) {
  FakeMachine machine("debian-13");
  machine.run({"systemctl", "start", "docker.service"}, {});
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());

  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);

  EXPECT_EQ(machine.count("/usr/sbin/dockerd --validate"), 1);
  EXPECT_EQ(machine.engine->port, 2376);
  EXPECT_FALSE(machine.exists("/var/lib/docker-ext/daemon.json.candidate"));
}

TEST(Enable, OnlyReloadsForAKeyThatTheEngineTakesUpRunning) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"options":["--log-driver=json-file"]}})");
  machine.operate("enable");
  machine.settings(1, R"({"docker":{"options":["--log-driver=json-file","--label=a=b"]}})");
  machine.commands.clear();

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(machine.count("systemctl reload"), 1);
  EXPECT_EQ(machine.count("systemctl restart"), 0);
}

TEST(Enable, PutsTheFilesBackWhenTheEngineDoesNotComeUp) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  const std::string drop_in_before = machine.read(drop_in);
  const std::string daemon_before = machine.read("/etc/docker/daemon.json");
  const std::string certificate_before = machine.read("/etc/docker/cert.pem");
  machine.settings(1, R"({"docker":{"port":2377,"options":["--storage-driver=nonsense"]}})",
                   TestCertificates());
  int starts = 0;
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv[0] != "systemctl" || argv[1] != "restart") return;
    machine.refuse_to_start =
        ++starts == 1 ? std::optional<std::string>("unknown storage driver") : std::nullopt;
  };

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_EQ(machine.status_word(1), "error");
  EXPECT_THAT(machine.message(1), HasSubstr("unknown storage driver"));
  EXPECT_EQ(machine.read(drop_in), drop_in_before);
  EXPECT_EQ(machine.read("/etc/docker/daemon.json"), daemon_before);
  EXPECT_EQ(machine.read("/etc/docker/cert.pem"), certificate_before);
  ASSERT_TRUE(machine.engine);
  EXPECT_EQ(machine.engine->port, 2376);
}

TEST(Enable, LeavesNothingRunningWhenAFirstStartServesTheWrongCertificate) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.serve_old_certificate = true;

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_EQ(machine.status_word(0), "error");
  EXPECT_THAT(machine.message(0), HasSubstr("serves another certificate"));
  EXPECT_FALSE(machine.engine);
  EXPECT_FALSE(machine.exists(drop_in));
}

TEST(Enable, HealsACrashBetweenTheFilesAndTheRestart) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  const TestCertificates renewed;
  machine.settings(1, R"({"docker":{"port":2376}})", renewed);
  machine.on_run = [](const std::vector<std::string>& argv) {
    if (argv[0] == "systemctl" && argv[1] == "reset-failed") throw std::string("power cut");
  };
  EXPECT_THROW(machine.operate("enable"), std::string);
  machine.on_run = nullptr;

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(machine.engine->certificate, renewed.certificate.to_pem());
  EXPECT_EQ(machine.status_word(1), "success");
}

TEST(Enable, OpensNothingForAPortWithoutCertificates) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":"2375"}})");

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_EQ(machine.status_word(0), "error");
  EXPECT_FALSE(machine.engine);
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_FALSE(machine.exists("/etc/docker/daemon.json"));
}

TEST(Enable, ClosesThePortWhenTheSettingsNoLongerHaveOne) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  machine.settings(1, "{}");

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
  EXPECT_THAT(machine.read("/etc/docker/daemon.json"), Not(HasSubstr("tlsverify")));
}

TEST(Enable, RepairsAKeyThatBecameReadableForOthers) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  std::filesystem::permissions(machine.at("/etc/docker/key.pem"), std::filesystem::perms(0644));

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(mode_of(machine.at("/etc/docker/key.pem")), 0400u);
}

TEST(Enable, StartsAStoppedEngineAgain) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  machine.run({"systemctl", "stop", "docker.service"}, {});

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_TRUE(machine.engine);
}

TEST(Enable, AtBootWaitsForTheEngineThatIsStartingWithTheOldFiles) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  machine.run({"systemctl", "stop", "docker.service"}, {});
  const TestCertificates renewed;
  machine.settings(1, R"({"docker":{"port":2376}})", renewed);
  machine.starting_at_boot = true;

  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(1);

  EXPECT_EQ(machine.engine->certificate, renewed.certificate.to_pem());
}

TEST(Enable, LeavesAMachineToTheOtherHandlerThatLooksAfterIt) {
  FakeMachine machine;
  machine.operate("enable");
  machine.handler = "MSOpenTech.Extensions.DockerExtension";
  machine.unpack("0.7.0");
  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_THAT(machine.message(0), HasSubstr("Microsoft.Azure.Extensions.DockerExtension looks after"));

  std::filesystem::remove_all(
      machine.at("/var/lib/waagent/Microsoft.Azure.Extensions.DockerExtension-1.3.0"));
  EXPECT_EQ(machine.operate("enable"), 0);
}

TEST(Enable, TakesBackTheInterimConfigurationWhenTheReloadForItFails) {
  FakeMachine machine;
  machine.write("/etc/docker/daemon.json", "{\"dns\": [\"10.0.0.2\"]}");
  machine.run({"systemctl", "start", "docker.service"}, {});
  machine.running_containers = 1;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.answers["systemctl reload"] = {1, "", "reload failed"};

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_EQ(machine.read("/etc/docker/daemon.json"), "{\"dns\": [\"10.0.0.2\"]}");
  EXPECT_EQ(machine.container_generation, 1);  // nothing was restarted to undo a reload
}

// -- without systemd --------------------------------------------------------------------------------------

class InitScripts : public testing::Test {
 protected:
  InitScripts() {
    std::filesystem::remove_all(machine.at("/run/systemd"));
    machine.write("/etc/init.d/docker", "");
    machine.write("/etc/default/docker", defaults);
    machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  }
  static constexpr const char* defaults = "# Docker's defaults\n#DOCKER_OPTS=\"--dns 8.8.8.8\"\nexport X=1\n";
  FakeMachine machine;
};

TEST_F(InitScripts, StartTheEngineWithItsPort) {
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_EQ(machine.engine->port, 2376);
  EXPECT_TRUE(machine.engine->verifies_clients);
  EXPECT_EQ(machine.count("systemctl"), 0);
  EXPECT_FALSE(machine.exists(drop_in));
  machine.commands.clear();
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
}

TEST_F(InitScripts, ReloadBySignalAndRestartWithContainersRunning) {
  machine.run({"service", "docker", "start"}, {});
  machine.running_containers = 1;
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_EQ(machine.engine->port, 2376);
  EXPECT_EQ(machine.container_generation, 1);
}

TEST_F(InitScripts, HaveTheirDefaultsFileBackAsItWas) {
  machine.operate("enable");
  EXPECT_EQ(machine.operate("uninstall"), 0) << machine.log();
  EXPECT_EQ(machine.read("/etc/default/docker"), defaults);
  EXPECT_EQ(machine.engine->port, std::nullopt);

  machine.operate("enable");
  machine.settings(1, "{}");
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(machine.read("/etc/default/docker"), defaults);
  EXPECT_EQ(machine.engine->port, std::nullopt);
}

TEST_F(InitScripts, HandOverToAProcessOfItsOwn) {
  std::filesystem::remove(machine.at("/usr/sbin/dockerd"));
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(machine.status_word(0), "transitioning");
  ASSERT_EQ(machine.detached.size(), 1u);
  EXPECT_EQ(machine.detached[0].back(), "work");
}

TEST_F(InitScripts, AreNamedWhenThereIsNothingThatRunsServices) {
  std::filesystem::remove_all(machine.at("/etc/init.d"));
  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_THAT(machine.message(0), HasSubstr("Neither systemd nor init scripts"));
  EXPECT_EQ(machine.read("/etc/default/docker"), defaults);
}

TEST(Enable, InstallOnlyStopsAfterTheEngine) {
  FakeMachine machine;
  machine.settings(0, R"({"installonly":true,"docker":{"port":2376}})", TestCertificates());
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(machine.status_word(0), "success");
  EXPECT_FALSE(machine.engine);
  EXPECT_FALSE(machine.exists(drop_in));
}

TEST(Disable, LeavesTheEngineAloneUnlessAskedTo) {
  FakeMachine machine;
  machine.settings(0, "{}");
  machine.operate("enable");
  EXPECT_EQ(machine.operate("disable"), 0);
  EXPECT_TRUE(machine.engine);
  EXPECT_EQ(machine.message(0), "Disabling Docker succeeded");

  machine.settings(1, R"({"disableStopsEngine":true})");
  machine.operate("enable");
  EXPECT_EQ(machine.operate("disable"), 0);
  EXPECT_FALSE(machine.engine);
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_TRUE(machine.engine);
}

TEST(Disable, NeverStopsTheEngineWhileAnUpdateMayBeRunning) {
  FakeMachine machine;
  machine.settings(0, R"({"disableStopsEngine":true})");
  machine.operate("enable");
  machine.unpack("1.3.1");
  EXPECT_EQ(machine.operate("disable", "1.3.0"), 0);
  EXPECT_TRUE(machine.engine);
}

TEST(Update, InTheAgentsOrderKeepsEngineAndContainers) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  machine.running_containers = 1;
  machine.commands.clear();

  machine.unpack("1.3.1");
  std::filesystem::copy(
      machine.at("/var/lib/waagent/" + machine.handler + "-1.3.0/status"),
      machine.at("/var/lib/waagent/" + machine.handler + "-1.3.1/status"),
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(machine.operate("disable", "1.3.0"), 0);
  EXPECT_EQ(machine.operate("update"), 0);
  EXPECT_EQ(machine.operate("uninstall", "1.3.0"), 0);
  std::filesystem::remove_all(machine.at("/var/lib/waagent/" + machine.handler + "-1.3.0"));
  EXPECT_EQ(machine.operate("enable"), 0);

  ASSERT_TRUE(machine.engine);
  EXPECT_EQ(machine.container_generation, 1);
  EXPECT_EQ(machine.count("systemctl restart"), 0);
  EXPECT_EQ(machine.count("systemctl stop"), 0);
  EXPECT_EQ(machine.status_word(0), "success");
  EXPECT_EQ(machine.message(0), "Enable Docker succeeded");
}

TEST(Update, WhileTheOldVersionsWorkerIsBusyWaitsForItAndReportsInItsOwnFolder) {
  FakeMachine machine("debian-12-plain");
  machine.write("/usr/bin/apt-get", "");
  machine.lock_limit = std::chrono::milliseconds(50);
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv[0] != "apt-get" || argv.back() != "update") return;
    machine.on_run = nullptr;
    std::filesystem::copy(std::filesystem::path(BERTH_FIXTURES) / "hosts/debian-12/usr", machine.at("/usr"),
                          std::filesystem::copy_options::recursive);
    machine.unpack("1.3.1");
    machine.operate("disable", "1.3.0");
    machine.operate("update");
    machine.operate("uninstall", "1.3.0");
    std::filesystem::remove_all(machine.at("/var/lib/waagent/" + machine.handler + "-1.3.0"));
    EXPECT_EQ(machine.operate("enable"), 0);
  };
  machine.operate("work");
  EXPECT_EQ(machine.count("systemd-run"), 1);  // the new version's, which waits for the lock
  EXPECT_FALSE(machine.exists("/var/lib/waagent/" + machine.handler + "-1.3.0"));

  EXPECT_EQ(machine.operate("work"), 0);

  EXPECT_EQ(machine.status_word(0), "success");
  EXPECT_EQ(machine.message(0), "Enable Docker succeeded");
}

}  // namespace
}  // namespace berth::extension
