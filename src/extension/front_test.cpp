// Machines whose image has a front: it opens the port, and the engine keeps to its unix socket.
#include "extension/front.h"

#include <gmock/gmock.h>

#include "extension/fake_machine.h"
#include "extension/security_report.h"
#include "extension/state.h"

namespace berth::extension {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* tls_elsewhere = R"({"docker":{"port":4243}})";

class WithFront : public testing::Test {
 protected:
  WithFront() { machine.install_front(); }

  void enable(std::uint64_t number, const std::string& public_json, const TestCertificates& served) {
    machine.settings(number, public_json, served);
    machine.commands.clear();
    EXPECT_EQ(machine.operate("enable"), 0) << machine.message(number);
  }
  /// That somebody did something to a service.
  std::vector<std::string> touched() const {
    std::vector<std::string> found;
    for (const std::string& command : machine.commands)
      for (const char* verb : {"start", "stop", "restart", "reload", "reload-or-restart"})
        if (command.starts_with(std::string("systemctl ") + verb + " ")) found.push_back(command.substr(10));
    return found;
  }
  /// As a handler of before there were fronts left it.
  void make_host_of_an_older_handler() {
    std::filesystem::remove(machine.at(front_template));
    enable(0, tls_on, certificates);
    machine.install_front();
    machine.unpack("1.3.1");
    EXPECT_EQ(machine.operate("update"), 0);
    EXPECT_EQ(machine.engine->port, 2376);
  }

  FakeMachine machine;
  const TestCertificates certificates;
};

TEST_F(WithFront, TheEngineKeepsToItsSocketAndTheFrontOpensThePort) {
  enable(0, tls_on, certificates);

  ASSERT_TRUE(machine.engine);
  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_FALSE(machine.engine->verifies_clients);
  EXPECT_FALSE(machine.exists(drop_in));
  ASSERT_TRUE(machine.front);
  EXPECT_EQ(machine.front->listener, "0.0.0.0:2376");
  EXPECT_EQ(machine.front->certificate, certificates.certificate.to_pem());
  EXPECT_THAT(machine.substatus(0, "tls"), HasSubstr("docker-tls.service opens the port"));
}

TEST_F(WithFront, ListensOnAnIpv6AddressWithoutBrackets) {
  enable(0, R"({"docker":{"port":2376,"address":"[::]"}})", certificates);
  EXPECT_EQ(machine.front->listener, ":::2376");
  enable(1, R"({"docker":{"port":2376,"address":"::1"}})", certificates);
  EXPECT_EQ(machine.front->listener, "::1:2376");
}

TEST_F(WithFront, RunsNoProgramWhenNothingChanged) {
  enable(0, tls_on, certificates);
  machine.commands.clear();
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
}

TEST_F(WithFront, WantsNothingOfAMachineThatHasItAllAlready) {
  enable(0, tls_on, certificates);
  std::filesystem::remove_all(machine.at("/var/lib/docker-ext"));  // somebody else wrote the same files
  const int before = machine.front->generation;

  enable(1, tls_on, certificates);

  EXPECT_THAT(touched(), testing::IsEmpty());
  EXPECT_EQ(machine.front->generation, before);
  EXPECT_EQ(machine.count("/usr/sbin/dockerd --validate"), 0);
}

TEST_F(WithFront, APortThatWasOpenedBeforeWithCertificatesThatAreRefusedIsClosed) {
  enable(0, tls_on, certificates);
  std::filesystem::remove_all(machine.at("/var/lib/docker-ext"));  // somebody else opened it
  machine.now += std::chrono::days(4000);

  machine.settings(0, tls_on, certificates);
  EXPECT_NE(machine.operate("enable"), 0);

  EXPECT_THAT(machine.message(0), HasSubstr("expired"));
  EXPECT_FALSE(machine.front);
  EXPECT_FALSE(machine.exists(front_file));
}

TEST_F(WithFront, APortThatServesOthersIsNoneOfTheRefusedOnesBusiness) {
  enable(0, tls_on, certificates);
  machine.now += std::chrono::days(4000);

  machine.settings(1, tls_on, TestCertificates());
  EXPECT_NE(machine.operate("enable"), 0);

  EXPECT_TRUE(machine.front);
}

TEST_F(WithFront, ARotationLeavesEngineAndConnectionsAlone) {
  enable(0, tls_on, certificates);
  const int before = machine.front->generation;
  const TestCertificates renewed = certificates.renewed();

  enable(1, tls_on, renewed);

  EXPECT_THAT(touched(), testing::ElementsAre("reload-or-restart docker-tls.service"));
  EXPECT_EQ(machine.front->certificate, renewed.certificate.to_pem());
  EXPECT_EQ(machine.front->generation, before);
}

TEST_F(WithFront, WhoCameInByAnAuthorityThatGoesHasToGo) {
  enable(0, tls_on, certificates);
  const int before = machine.front->generation;

  enable(1, tls_on, TestCertificates());

  EXPECT_THAT(touched(), testing::ElementsAre("restart docker-tls.service"));
  EXPECT_GT(machine.front->generation, before);
}

TEST_F(WithFront, OneMoreAuthorityEndsNoConnection) {
  enable(0, tls_on, certificates);
  const TestCertificates other;
  EXPECT_FALSE(loses_authority(certificates.ca.to_pem(), other.ca.to_pem() + certificates.ca.to_pem()));
  EXPECT_TRUE(loses_authority(other.ca.to_pem() + certificates.ca.to_pem(), certificates.ca.to_pem()));
  EXPECT_TRUE(loses_authority("what was that", certificates.ca.to_pem()));
}

TEST_F(WithFront, AnotherPortRestartsTheFrontOnly) {
  enable(0, tls_on, certificates);
  enable(1, tls_elsewhere, certificates);
  EXPECT_THAT(touched(), testing::ElementsAre("restart docker-tls.service"));
  EXPECT_EQ(machine.front->listener, "0.0.0.0:4243");
}

TEST_F(WithFront, TheEngineRestartsForItsOwnOptionsAndTheFrontFollows) {
  enable(0, tls_on, certificates);
  enable(1, R"({"docker":{"port":2376,"options":["--exec-opt=a=b"]}})", certificates);
  EXPECT_THAT(touched(), testing::ElementsAre("restart docker.service"));
  ASSERT_TRUE(machine.front);
  EXPECT_EQ(machine.front->listener, "0.0.0.0:2376");
}

TEST_F(WithFront, AFrontThatDiedIsStartedAgain) {
  enable(0, tls_on, certificates);
  machine.front.reset();
  machine.commands.clear();
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_THAT(touched(), testing::ElementsAre("start docker-tls.service"));
  EXPECT_TRUE(machine.front);
}

TEST_F(WithFront, IsRestartedWhenItServesSomethingElseThanItsFilesSay) {
  enable(0, tls_on, certificates);
  machine.front->certificate = TestCertificates().certificate.to_pem();
  machine.commands.clear();
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_THAT(touched(), testing::ElementsAre("restart docker-tls.service"));
  EXPECT_EQ(machine.front->certificate, certificates.certificate.to_pem());
}

TEST_F(WithFront, ComesBackWithTheEngineAtBoot) {
  enable(0, tls_on, certificates);
  machine.reboot();
  ASSERT_TRUE(machine.front);
  machine.commands.clear();
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
}

// -- closed, not open -------------------------------------------------------------------------------------

TEST_F(WithFront, WhatItSaysWhenItDoesNotStartIsTheMessageAndThePortStaysClosed) {
  machine.settings(0, tls_on, certificates);
  machine.answers["systemctl start docker-tls.service"] = {1, "", "Job for docker-tls.service failed."};
  machine.answers["journalctl --unit=docker-tls.service"] = {
      0,
      "[ ] Initializing inetd mode configuration\n[!] of the last start\n"
      "[ ] Initializing inetd mode configuration\n[!] Binding service [docker] to 0.0.0.0:2376: Address "
      "already in use (98)\n[!] Configuration failed\n",
      ""};

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_THAT(machine.message(0), HasSubstr("(docker-tls.service) did not start: Binding service [docker]"));
  EXPECT_THAT(machine.message(0), Not(HasSubstr("last start")));
  EXPECT_FALSE(machine.front);
  EXPECT_FALSE(machine.exists(front_file));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
}

TEST_F(WithFront, GoesBackToItsOldFilesWhenTheEngineRefusesNewOptions) {
  enable(0, tls_on, certificates);
  machine.settings(1, R"({"docker":{"port":4243,"options":["--storage-driver=nonsense"]}})",
                   TestCertificates());
  int starts = 0;
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv[0] != "systemctl" || argv[1] != "restart" || argv[2] != "docker.service") return;
    machine.refuse_to_start =
        ++starts == 1 ? std::optional<std::string>("unknown storage driver") : std::nullopt;
  };

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_THAT(machine.message(1), HasSubstr("unknown storage driver"));
  ASSERT_TRUE(machine.front);
  EXPECT_EQ(machine.front->listener, "0.0.0.0:2376");
  EXPECT_EQ(machine.front->certificate, certificates.certificate.to_pem());
}

TEST_F(WithFront, ARotationThatItDoesNotTakeUpIsUndone) {
  enable(0, tls_on, certificates);
  machine.settings(1, tls_on, certificates.renewed());
  machine.answers["systemctl reload-or-restart"] = {};
  machine.answers["systemctl restart docker-tls.service"] = {1, "", "failed"};

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_EQ(machine.read(certificate_file), certificates.certificate.to_pem());
  ASSERT_TRUE(machine.front);
  EXPECT_EQ(machine.front->certificate, certificates.certificate.to_pem());
  EXPECT_THAT(machine.message(1), HasSubstr("did not restart"));
}

TEST_F(WithFront, ACrashBetweenFilesAndFrontIsMadeGood) {
  enable(0, tls_on, certificates);
  machine.settings(1, tls_on, TestCertificates());
  machine.on_run = [](const std::vector<std::string>& argv) {
    if (argv.back() == "docker-tls.service" && argv[1] == "restart") throw std::string("power cut");
  };
  EXPECT_THROW(machine.operate("enable"), std::string);
  machine.on_run = nullptr;
  EXPECT_EQ(read_state(machine.root()).pending_front, EngineAction::restart);
  machine.commands.clear();

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_THAT(touched(), testing::ElementsAre("restart docker-tls.service"));
  EXPECT_EQ(read_state(machine.root()).pending_front, EngineAction::none);
}

TEST_F(WithFront, OpensNothingForAPortWithoutCertificates) {
  machine.settings(0, tls_on);
  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_FALSE(machine.front);
  EXPECT_FALSE(machine.exists(front_file));
}

// -- the way there and back -------------------------------------------------------------------------------

TEST_F(WithFront, TakesThePortOverFromAnEngineThatServedItItself) {
  make_host_of_an_older_handler();
  machine.running_containers = 1;

  enable(1, tls_on, certificates);

  EXPECT_THAT(touched(), testing::ElementsAre("restart docker.service", "start docker-tls.service"));
  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_FALSE(machine.engine->daemon.contains("tlsverify"));
  ASSERT_TRUE(machine.front);
  EXPECT_FALSE(machine.exists(drop_in));
  EXPECT_EQ(machine.container_generation, 1);
}

TEST_F(WithFront, TakesThePortOverAlsoWhenNobodyRemembersWhoseFilesTheyAre) {
  make_host_of_an_older_handler();
  std::filesystem::remove_all(machine.at("/var/lib/docker-ext"));

  enable(1, tls_on, certificates);

  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_FALSE(machine.engine->daemon.contains("tlsverify"));
  EXPECT_TRUE(machine.front);
}

TEST_F(WithFront, AtNoMomentOfTakingOverDoesTheEngineServeWithoutTls) {
  make_host_of_an_older_handler();
  machine.settings(1, tls_on, certificates);
  // Whatever is on disk when somebody looks: a listener of the engine only beside its TLS keys.
  machine.on_run = [&](const std::vector<std::string>&) {
    if (machine.read(drop_in).find("tcp://") != std::string::npos)
      EXPECT_THAT(machine.read(daemon_file), HasSubstr("tlsverify"));
  };
  EXPECT_EQ(machine.operate("enable"), 0);
}

TEST_F(WithFront, GivesThePortBackWhenItCannotTakeItOver) {
  make_host_of_an_older_handler();
  machine.settings(1, tls_on, certificates);
  machine.answers["systemctl start docker-tls.service"] = {1, "", "failed"};

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_FALSE(machine.front);
  ASSERT_TRUE(machine.engine);
  EXPECT_EQ(machine.engine->port, 2376);
  EXPECT_TRUE(machine.engine->verifies_clients);
}

TEST_F(WithFront, ClosesThePortWhenTheSettingsNoLongerHaveOne) {
  enable(0, tls_on, certificates);
  machine.write(front_file, "somebody's own\naccept = 0.0.0.0:2376\n");
  machine.settings(1, "{}");
  machine.commands.clear();

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_THAT(touched(), testing::ElementsAre("stop docker-tls.service"));
  EXPECT_FALSE(machine.front);
  EXPECT_FALSE(machine.exists(front_file));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
  EXPECT_TRUE(machine.engine);
}

TEST_F(WithFront, UninstallTakesItAlongAndLeavesEngineAndContainers) {
  enable(0, tls_on, certificates);
  machine.running_containers = 1;

  EXPECT_EQ(machine.operate("disable"), 0);
  EXPECT_TRUE(machine.front);
  EXPECT_EQ(machine.operate("uninstall"), 0) << machine.log();

  EXPECT_FALSE(machine.front);
  EXPECT_FALSE(machine.exists(front_file));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
  EXPECT_FALSE(machine.exists("/etc/docker/daemon.json"));
  EXPECT_TRUE(machine.engine);
  EXPECT_EQ(machine.container_generation, 1);
}

TEST_F(WithFront, UninstallClosesThePortAlsoWhenDaemonJsonCannotBeRead) {
  enable(0, tls_on, certificates);
  machine.write(daemon_file, "{ broken");
  EXPECT_EQ(machine.operate("uninstall"), 1);
  EXPECT_FALSE(machine.front);
  EXPECT_FALSE(machine.exists(front_file));
}

TEST_F(WithFront, UninstallLeavesOneAloneThatItNeverConfigured) {
  enable(0, tls_on, certificates);
  std::filesystem::remove_all(machine.at("/var/lib/docker-ext"));
  machine.settings(1, R"({"docker":{"port":2375}})");  // refused: no certificates
  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_EQ(machine.operate("uninstall"), 0);
  EXPECT_TRUE(machine.front);
  EXPECT_TRUE(machine.exists(front_file));
}

TEST_F(WithFront, DisableStopsItWithTheEngineWhereThatIsAskedFor) {
  enable(0, R"({"docker":{"port":2376},"disableStopsEngine":true})", certificates);
  EXPECT_EQ(machine.operate("disable"), 0);
  EXPECT_FALSE(machine.front);
  EXPECT_FALSE(machine.engine);
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_TRUE(machine.front);
}

TEST_F(WithFront, AnUpdateInTheAgentsOrderLeavesItAlone) {
  enable(0, tls_on, certificates);
  machine.commands.clear();
  machine.unpack("1.3.1");
  EXPECT_EQ(machine.operate("disable", "1.3.0"), 0);
  EXPECT_EQ(machine.operate("update"), 0);
  EXPECT_EQ(machine.operate("uninstall", "1.3.0"), 0);
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(touched(), testing::IsEmpty());
  EXPECT_TRUE(machine.front);
}

// -- what others configured -------------------------------------------------------------------------------

TEST_F(WithFront, AUsersListenerOnTheSamePortMakesRoom) {
  machine.write("/etc/default/docker", "DOCKER_OPTS=\"-H tcp://0.0.0.0:2376 --tls --mtu=1400\"\n");
  enable(0, tls_on, certificates);
  ASSERT_TRUE(machine.front);
  EXPECT_EQ(machine.engine->port, std::nullopt);
  EXPECT_THAT(machine.engine->words, Contains("--mtu=1400"));
  EXPECT_THAT(machine.engine->words, Not(Contains("--tls")));
}

TEST_F(WithFront, BesideAUsersOtherListenerTheEngineItselfServesTlsOnBoth) {
  machine.write("/etc/default/docker", "DOCKER_OPTS=\"-H tcp://0.0.0.0:2375\"\n");
  machine.settings(0, tls_on, certificates);
  std::string tried;  // by the engine; this one has one port only, and is put back
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv[0] == "systemctl" && argv[1] == "start" && tried.empty()) tried = machine.read(daemon_file);
  };
  machine.operate("enable");
  EXPECT_THAT(tried, HasSubstr("tlsverify"));
  EXPECT_FALSE(machine.front);
  EXPECT_FALSE(machine.exists(front_file));
  EXPECT_THAT(machine.log(), HasSubstr("opens another TCP port"));
}

TEST_F(WithFront, HostsInDaemonJsonAreRefusedByName) {
  machine.write(daemon_file, R"({"hosts": ["tcp://0.0.0.0:2376"]})");
  machine.settings(0, tls_on, certificates);
  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_THAT(machine.message(0), HasSubstr("sets 'hosts'"));
  EXPECT_FALSE(machine.front);
}

TEST_F(WithFront, AnAuthorityWithoutItsOwnIssuerIsNoneForTheFront) {
  EXPECT_EQ(front_refusal(certificates.ca.to_pem()), "");
  EXPECT_THAT(front_refusal(certificates.certificate.to_pem()), HasSubstr("the issuer of the CA"));
  EXPECT_EQ(front_refusal(certificates.certificate.to_pem() + certificates.ca.to_pem()), "");
}

TEST_F(WithFront, OfTwoAuthoritiesWithOneNameTheFrontWouldTryOnlyOne) {
  const std::string ca = certificates.ca.to_pem();
  EXPECT_THAT(front_refusal(ca + TestCertificates().ca.to_pem()), HasSubstr("two CAs are called"));
  EXPECT_EQ(front_refusal(ca + ca), "");
}

TEST_F(WithFront, ATemplateThatHasNoPlaceForAListenerIsNone) {
  machine.write(front_template, "accept = 0.0.0.0:1\n");
  enable(0, tls_on, certificates);
  EXPECT_FALSE(machine.front);
  EXPECT_EQ(machine.engine->port, 2376);
}

TEST_F(WithFront, TheSecurityReportLooksAtIt) {
  enable(0, tls_on, certificates);
  EXPECT_THAT(machine.substatus(0, "security"),
              HasSubstr("2.7-tls: pass port 2376 demands a client certificate, of "
                        "docker-tls.service"));
  Settings settings;
  settings.port = 2376;
  settings.ca = certificates.ca.to_pem();
  machine.write(front_file, "verifyChain = no\naccept = 0.0.0.0:2376\n");
  EXPECT_THAT(security_text(check_security(machine.root(), settings, "")), HasSubstr("2.7-tls: fail"));
}

}  // namespace
}  // namespace berth::extension
