// Machines whose engine others have configured: flags in units and variables, swarms, old engines, odd
// owners.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "extension/fake_machine.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* unit = "/usr/lib/systemd/system/docker.service";

std::string service(const std::string& command) {
  return "[Service]\nEnvironmentFile=-/etc/sysconfig/docker\nExecStart=" + command + "\n";
}

TEST(ForeignSettings, AnotherLogDriverInTheUnitKeepsItsOwnOptions) {
  FakeMachine machine("rhel-9");
  machine.write(unit, service("/usr/bin/dockerd -H fd:// --log-driver=journald"));
  machine.settings(0, tls_on, TestCertificates());

  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);

  EXPECT_THAT(machine.read("/etc/docker/daemon.json"), Not(HasSubstr("max-size")));
  EXPECT_EQ(machine.engine->port, 2376);
}

TEST(ForeignSettings, ListenersAndTlsInTheSysconfigFileMakeRoomAndTheRestStays) {
  FakeMachine machine("rhel-9");
  machine.write(unit, service("/usr/bin/dockerd $OPTIONS"));
  machine.write("/etc/sysconfig/docker",
                "OPTIONS='-H unix:///run/docker.sock -H tcp://0.0.0.0:2376 --tlsverify --tlscacert=/a "
                "--tlscert=/b --tlskey=/c --label=rack=7'\n");
  machine.settings(0, tls_on, TestCertificates());

  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);

  EXPECT_EQ(machine.engine->port, 2376);
  EXPECT_TRUE(machine.engine->verifies_clients);
  EXPECT_THAT(machine.engine->words, Contains("--label=rack=7"));

  machine.write("/etc/sysconfig/docker", "OPTIONS='-H unix:///run/docker.sock --label=rack=8'\n");
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_THAT(machine.engine->words, Contains("--label=rack=8"));
}

TEST(ForeignSettings, AnEngineWithAnotherConfigurationFileIsNotGivenAPort) {
  FakeMachine machine("rhel-9");
  machine.write(unit, service("/usr/bin/dockerd -H fd:// $OPTIONS"));
  machine.write("/etc/sysconfig/docker", "OPTIONS=--config-file=/srv/engine.json\n");
  machine.settings(0, tls_on, TestCertificates());

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_THAT(machine.message(0), AllOf(HasSubstr("/srv/engine.json"), HasSubstr("/etc/sysconfig/docker")));
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_EQ(machine.count("systemctl start"), 0);
}

TEST(ForeignSettings, HostsInDaemonJsonAreNamedBeforeTheEngineStumblesOverThem) {
  FakeMachine machine;
  machine.write(unit, service("/usr/sbin/dockerd"));
  machine.write("/etc/docker/daemon.json", R"({"hosts":["unix:///run/docker.sock"]})");
  machine.settings(0, tls_on, TestCertificates());

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_THAT(machine.message(0), HasSubstr("Remove hosts from /etc/docker/daemon.json"));
  EXPECT_EQ(machine.count("systemctl start"), 0);
}

TEST(ForeignSettings, ANodeOfASwarmGetsNoLiveRestoreWhereverItsDataLie) {
  FakeMachine machine;
  machine.operate("enable");
  EXPECT_TRUE(machine.engine->live_restore);
  machine.engine->live_restore = false;
  machine.swarm_state = "active";
  machine.settings(1, tls_on, TestCertificates());

  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(1);

  EXPECT_FALSE(machine.engine->live_restore);
  EXPECT_EQ(machine.engine->port, 2376);
  EXPECT_THAT(machine.substatus(1, "security"), HasSubstr("2.15-live-restore: n/a"));
}

TEST(ForeignSettings, AnEngineThatStartsNoContainerHereIsRefused) {
  FakeMachine machine;
  machine.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
  machine.answers["/usr/sbin/dockerd --version"] = {0, "Docker version 19.03.15, build 99e3ed8\n", ""};
  machine.settings(0, tls_on, TestCertificates());

  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_THAT(machine.message(0), AllOf(HasSubstr("19.03"), HasSubstr("cgroup v2")));
  EXPECT_FALSE(machine.exists(drop_in));

  machine.answers["/usr/sbin/dockerd --version"] = {0, "Docker version 20.10.24+dfsg1, build 297e128\n", ""};
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
}

TEST(ForeignSettings, TheListenerIsGoneBeforeTlsIs) {
  FakeMachine machine;
  machine.settings(0, tls_on, TestCertificates());
  machine.operate("enable");
  machine.settings(1, "{}");
  int looked = 0;
  // Whatever ends the handler here: the service manager knows of no port any more, and TLS is still asked
  // for.
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv != std::vector<std::string>{"systemctl", "daemon-reload"} || looked++ > 0) return;
    EXPECT_FALSE(machine.exists(drop_in));
    EXPECT_EQ(json::parse(machine.read("/etc/docker/daemon.json")).value("tlsverify", false), true);
    EXPECT_TRUE(machine.exists("/etc/docker/key.pem"));
  };

  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(1);

  EXPECT_GT(looked, 0);
  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
}

TEST(ForeignSettings, AnotherOwnerOfTheKeyIsSetRight) {
  if (::geteuid() != 0) return;  // only root can give a file away; docker.real_engine does so, too
  FakeMachine machine;
  machine.settings(0, tls_on, TestCertificates());
  machine.operate("enable");
  const std::string key = machine.at("/etc/docker/key.pem");
  struct stat status {};
  for (const auto& [owner, group] : {std::pair<uid_t, gid_t>{1000, 0}, {0, 1000}}) {
    ASSERT_EQ(::chown(key.c_str(), owner, group), 0);

    EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);

    ASSERT_EQ(::stat(key.c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 0u);
    EXPECT_EQ(status.st_gid, 0u);
    EXPECT_EQ(status.st_mode & 07777, 0400u);
  }
  EXPECT_EQ(machine.count("systemctl restart"), 0);
}

}  // namespace
}  // namespace berth::extension
