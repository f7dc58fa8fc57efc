// One test for each thing that the published versions of this extension had to learn: the date of their
// change log's entry and its issue stand in the name. Source: docs/wire/docker-extension.md.
#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "extension/fake_machine.h"
#include "extension/workload.h"
#include "handler/lock.h"
#include "host/files.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::AnyOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr const char* tls_by_text = R"({"docker":{"port":"2376"}})";

/// apt-get install, as it changes the machine.
void let_apt_install(FakeMachine& machine, const std::string& host = "debian-12") {
  machine.write("/usr/bin/apt-get", "");
  machine.on_run = [&machine, host](const std::vector<std::string>& argv) {
    if (argv[0] != "apt-get" || std::find(argv.begin(), argv.end(), "install") == argv.end()) return;
    for (const std::string& word : argv) {
      if (word.starts_with("docker.io") || word.starts_with("docker-ce="))
        fs::copy(fs::path(BERTH_FIXTURES) / "hosts" / host / "usr", machine.at("/usr"),
                 fs::copy_options::recursive | fs::copy_options::skip_existing);
      if (word == "docker-compose") machine.write("/usr/bin/docker-compose", "");
    }
  };
}

TEST(Lesson, Of20150609StatusFieldNamesAreExact) {
  FakeMachine machine;
  machine.operate("enable");
  const json status = machine.status(0)[0]["status"];
  EXPECT_TRUE(status["formattedMessage"].contains("lang") && status["formattedMessage"].contains("message"));
  EXPECT_THAT(machine.status(0)[0]["timestampUTC"].get<std::string>(),
              testing::MatchesRegex("....-..-..T..:..:..Z"));
}

TEST(Lesson, Of20150627PemIsAcceptedAsItIsAndOldFileNamesGo) {
  FakeMachine machine;
  const TestCertificates some;
  machine.settings(0, tls_by_text,
                   json{{"certs",
                         {{"ca", some.ca.to_pem()},
                          {"cert", some.certificate.to_pem()},
                          {"key", some.key.to_pem().reveal()}}}}
                       .dump());
  machine.write("/etc/docker/server-key.pem", some.key.to_pem().reveal());
  machine.write("/etc/docker/server-cert.pem", "somebody's own");
  machine.operate("enable");
  EXPECT_EQ(machine.engine->certificate, some.certificate.to_pem());
  EXPECT_FALSE(machine.exists("/etc/docker/server-key.pem"));
  EXPECT_TRUE(machine.exists("/etc/docker/server-cert.pem"));
  fs::remove(machine.at("/etc/docker/cert.pem"));
  machine.operate("enable");
  EXPECT_EQ(machine.read("/etc/docker/cert.pem"), some.certificate.to_pem());
}

TEST(Lesson, Of20150701TheAgentsTimeLimitDoesNotKillAnInstallation) {
  FakeMachine machine("debian-12-plain");
  let_apt_install(machine);
  machine.settings(7, tls_by_text, TestCertificates());
  bool lock_was_free = false;
  const auto install = machine.on_run;
  machine.on_run = [&](const std::vector<std::string>& argv) {
    install(argv);
    if (argv[0] == "systemd-run")
      lock_was_free = EnableLock::take(machine.root()(run_folder), "7", std::chrono::milliseconds(0)).held();
  };

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(machine.status_word(7), "transitioning");
  EXPECT_EQ(machine.count("apt-get"), 0);
  EXPECT_TRUE(lock_was_free);
  EXPECT_THAT(machine.commands,
              Contains(AllOf(testing::StartsWith("systemd-run --unit=docker-ext-enable-"),
                             HasSubstr(machine.handler + "-1.3.0-7-"), HasSubstr(" --collect "),
                             HasSubstr("--setenv=ConfigSequenceNumber=7"),
                             testing::EndsWith("bin/docker-extension work"))));

  EXPECT_EQ(machine.operate("work"), 0) << machine.log();
  EXPECT_EQ(machine.status_word(7), "success");
  EXPECT_EQ(machine.engine->port, 2376);
}

TEST(Lesson, Of20150701NoSecondSetOfContainersAfterAReboot) {
  FakeMachine machine;
  machine.write("/usr/bin/docker-compose", "");
  machine.settings(0, R"({"compose":{"web":{"image":"nginx"}}})");
  machine.operate("work");
  EXPECT_EQ(machine.count("docker-compose"), 1);

  machine.reboot();
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.workers, testing::SizeIs(1));
  EXPECT_EQ(machine.operate("work"), 0);

  EXPECT_EQ(machine.count("docker-compose"), 2);
  EXPECT_THAT(machine.projects, testing::ElementsAre(testing::Pair("compose", testing::Each("running"))));
  for (const auto& [argv, options] : machine.runs) {
    if (argv[0] != "docker-compose") continue;
    EXPECT_EQ(options.environment.at("COMPOSE_PROJECT_NAME"), "compose");
    EXPECT_EQ(options.environment.at("COMPOSE_HTTP_TIMEOUT"), "600");
    EXPECT_THAT(argv, Contains("/etc/docker/compose/docker-compose.yml"));
  }
}

TEST(Lesson, Of20150710Gh38InstallDoesNothingThatCouldMeetEnable) {
  FakeMachine machine("debian-12-plain");
  machine.write("/usr/bin/apt-get", "");
  EXPECT_EQ(machine.operate("install"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
  EXPECT_EQ(machine.status_word(0), "");
}

TEST(Lesson, Of20150711ComposeOutputGoesToTheLogAndNotToAClosedPipe) {
  FakeMachine machine;
  machine.write("/usr/bin/docker-compose", "");
  machine.settings(0, R"({"compose":{"web":{"image":"nginx"}}})");
  machine.operate("work");
  for (const auto& [argv, options] : machine.runs)
    if (argv[0] == "docker-compose") EXPECT_TRUE(options.on_line);
}

TEST(Lesson, Of20150715Gh41TheLoginHasTheFormOfTodaysClient) {
  FakeMachine machine;
  machine.settings(
      0, "{}", R"({"login":{"server":"registry:5000","username":"me","password":"hunter22","email":"a@b"}})");
  machine.operate("enable");
  EXPECT_THAT(machine.commands, Contains("docker login --username me --password-stdin registry:5000"));
}

TEST(Lesson, Of20160414Gh80BothGenerationsOfComposeAreUsed) {
  FakeMachine plugin, program;
  plugin.write("/usr/libexec/docker/cli-plugins/docker-compose", "");
  program.write("/usr/bin/docker-compose", "");
  EXPECT_THAT(find_compose(plugin.root()), testing::ElementsAre("docker", "compose"));
  EXPECT_THAT(find_compose(program.root()), testing::ElementsAre("docker-compose"));
  EXPECT_THAT(find_compose(FakeMachine().root()), testing::IsEmpty());
}

TEST(Lesson, Of20150723UninstallDoesNotDependOnThePackagesName) {
  FakeMachine machine("debian-12-plain");
  let_apt_install(machine);
  machine.settings(0, R"({"removeEngineOnUninstall":true})");
  machine.operate("work");
  machine.answers["dpkg --status docker.io"] = {1, "", ""};
  machine.operate("disable");
  EXPECT_EQ(machine.operate("uninstall"), 0);
  EXPECT_THAT(machine.commands, Contains(AllOf(HasSubstr("remove"), HasSubstr("docker-ce"))));
  EXPECT_THAT(machine.commands, Not(Contains(AllOf(HasSubstr("remove"), HasSubstr("docker.io")))));
}

TEST(Lesson, Of20150812Gh50And20160819TheDaemonsVerbIsThatOfTheUnit) {
  FakeMachine machine;
  for (const char* verb : {"/usr/sbin/dockerd -H fd://", "/usr/bin/docker daemon -H fd://",
                           "/usr/bin/docker -d -H fd://", "/usr/bin/env X=1 /usr/sbin/dockerd -H fd://"}) {
    machine.write("/etc/systemd/system/docker.service", std::string("[Service]\nExecStart=") + verb + "\n");
    Settings settings;
    settings.port = 2376;
    EXPECT_THAT(*drop_in_text(*look_at_system(machine.root()).unit, settings, {}),
                HasSubstr(std::string("\nExecStart=") + verb + " -H tcp://0.0.0.0:2376\n"));
  }
}

TEST(Lesson, Of20150916TwoEnablesOfOneNumberDoTheWorkOnce) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  int second = -1;
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv[0] == "systemctl" && argv[1] == "start") {
      machine.on_run = nullptr;
      second = machine.operate("enable");  // the agent again, while the first one is at work
    }
  };
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(second, 0);
  EXPECT_EQ(machine.count("systemctl start"), 1);
  EXPECT_EQ(machine.status_word(0), "success");
}

TEST(Lesson, Of20150916ANewerNumberIsNeverDropped) {
  FakeMachine machine;
  const TestCertificates newer;
  machine.settings(0, tls_by_text, TestCertificates());
  machine.lock_limit = std::chrono::milliseconds(50);
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv[0] == "systemctl" && argv[1] == "start") {
      machine.on_run = nullptr;
      machine.settings(1, R"({"docker":{"port":2377}})", newer);
      fs::last_write_time(machine.at("/var/lib/waagent/" + machine.handler + "-1.3.0/config/1.settings"),
                          fs::file_time_type::clock::now() + std::chrono::seconds(5));
      EXPECT_EQ(machine.operate("enable"), 0);
    }
  };
  machine.operate("enable");
  EXPECT_EQ(machine.status_word(1), "transitioning");
  EXPECT_THAT(machine.workers, testing::ElementsAre(HasSubstr("-1.3.0-1-")));
  machine.operate("work");
  EXPECT_EQ(machine.engine->port, 2377);
}

TEST(Lesson, Of20150916AWorkerThatWasOvertakenLeavesTheNewerSettings) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  machine.settings(1, R"({"docker":{"port":2377}})", TestCertificates());
  machine.told = "1";
  machine.operate("enable");
  machine.told = "0";
  EXPECT_EQ(machine.operate("work"), 0);
  EXPECT_EQ(machine.engine->port, 2377);
}

TEST(Lesson, Of20150918AnInstallationLongerThanFiveMinutesSurvives) {
  FakeMachine machine("debian-12-plain");
  let_apt_install(machine);
  machine.operate("work");
  for (const auto& [argv, options] : machine.runs)
    if (argv[0] == "apt-get") EXPECT_GT(options.limit, std::chrono::minutes(10));
}

TEST(Lesson, Of20151014Gh87LongPullsHaveTheTimeTheyNeed) {
  FakeMachine machine;
  machine.write("/usr/bin/docker-compose", "");
  machine.settings(0, R"({"compose":{"web":{"image":"nginx"}}})");
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(machine.status_word(0), "transitioning");
  EXPECT_EQ(machine.count("systemd-run"), 1);
  EXPECT_EQ(machine.count("docker-compose"), 0);
}

TEST(Lesson, Of20160609Gh86AnErrorNamesTheLog) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2375}})");
  machine.operate("enable");
  EXPECT_THAT(machine.message(0), HasSubstr("/var/log/azure/Microsoft.Azure.Extensions.DockerExtension"));
}

TEST(Lesson, Of20160609Gh86ALongErrorNamesTheLogAsWell) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  machine.refuse_to_start = std::string(5000, 'x');
  machine.operate("enable");
  EXPECT_LE(machine.message(0).size(), 1000u);
  EXPECT_THAT(machine.message(0), testing::EndsWith("/var/log/azure/" + machine.handler + ")"));
}

TEST(Lesson, Of20151201Gh60AHeldPackageLockIsWaitedFor) {
  FakeMachine machine("debian-12-plain");
  let_apt_install(machine);
  int tries = 0;
  const auto install = machine.on_run;
  machine.on_run = [&](const std::vector<std::string>& argv) {
    if (argv[0] == "apt-get" && argv.back() == "update") {
      if (++tries < 60)
        machine.answers["apt-get"] = {
            100, "", "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 4711 (apt-get)"};
      else
        machine.answers.clear();
    }
    install(argv);
  };
  EXPECT_EQ(machine.operate("work"), 0) << machine.message(0);
  EXPECT_GE(machine.paused, std::chrono::minutes(4));
  EXPECT_EQ(machine.status_word(0), "success");
  EXPECT_THAT(machine.commands, Contains(HasSubstr("DPkg::Lock::Timeout=600")));
}

TEST(Lesson, Of20151209ProtectedEnvironmentReachesComposeAndNothingElse) {
  FakeMachine machine;
  machine.write("/usr/bin/docker-compose", "");
  machine.settings(0, R"({"compose":{"web":{"image":"nginx"}},"compose-environment":{"A":"open"}})",
                   R"({"environment":{"TOP":"sesame-street"}})");
  machine.answers["docker-compose"] = {1, "", "web: TOP is sesame-street, and that is wrong"};

  machine.operate("work");

  for (const auto& [argv, options] : machine.runs) {
    EXPECT_THAT(argv, Not(Contains(HasSubstr("sesame-street"))));
    if (argv[0] == "docker-compose")
      EXPECT_EQ(options.environment.at("TOP"), "sesame-street");
    else
      EXPECT_EQ(options.environment.count("TOP"), 0u);
  }
  EXPECT_THAT(machine.log(), Not(HasSubstr("sesame-street")));
  EXPECT_THAT(machine.message(0), AllOf(HasSubstr("[secret]"), Not(HasSubstr("sesame-street"))));
  EXPECT_THAT(machine.read("/var/lib/docker-ext/state.json"), Not(HasSubstr("sesame-street")));
  EXPECT_THAT(machine.read("/etc/docker/compose/docker-compose.yml"), Not(HasSubstr("sesame-street")));
}

TEST(Lesson, Of20151217NoCredentialsInTheLogOrOnACommandLine) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"options":["--x-token=abcdefgh"]}})",
                   R"({"login":{"username":"me","password":"hunter22"}})");
  machine.answers["docker login"] = {1, "", "Error response: hunter22 is wrong"};
  machine.operate("enable");
  for (const std::string& command : machine.commands) EXPECT_THAT(command, Not(HasSubstr("hunter22")));
  for (const std::string& text :
       {machine.log(), machine.message(0), machine.read("/var/lib/docker-ext/state.json")})
    EXPECT_THAT(text, Not(AnyOf(HasSubstr("hunter22"), HasSubstr("abcdefgh"))));
  for (const auto& [argv, options] : machine.runs)
    if (argv[0] == "docker") EXPECT_EQ(options.input, "hunter22");
}

TEST(Lesson, Of20160106NothingRestartsAtBootWhenNothingChanged) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  machine.operate("enable");
  machine.reboot();
  ASSERT_TRUE(machine.engine);
  machine.commands.clear();
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
}

TEST(Lesson, Of20160113AStatusIsThereBeforeEnableReturns) {
  FakeMachine plain("debian-12-plain");
  let_apt_install(plain);
  plain.settings(5, "{}");
  plain.operate("enable");
  EXPECT_EQ(plain.status_word(5), "transitioning");
}

TEST(Lesson, Of20160228OutputOfAnySizeAndKindIsBorne) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  machine.refuse_to_start = std::string(2'000'000, '\xff');
  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_EQ(machine.status_word(0), "error");
  EXPECT_LE(machine.message(0).size(), 1000u);
}

TEST(Lesson, Of20160819Gh104NoSocketNoFd) {
  FakeMachine machine("rhel-9");
  fs::remove(machine.at("/usr/lib/systemd/system/docker.socket"));
  machine.settings(0, tls_by_text, TestCertificates());
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_THAT(machine.read(drop_in), AllOf(Not(HasSubstr("fd://")), HasSubstr("-H unix:///run/docker.sock")));
}

TEST(Lesson, Of20161115Gh112TheSourceOfPackagesIsASetting) {
  FakeMachine machine("debian-12-plain");
  let_apt_install(machine);
  machine.settings(
      0,
      R"({"docker":{"channel":"docker-ce","version":"24.0.7","repository":"https://mirror.example/debian bookworm stable","repositoryKey":"KEY"}})");
  EXPECT_EQ(machine.operate("work"), 0) << machine.message(0);
  EXPECT_EQ(
      machine.read("/etc/apt/sources.list.d/docker-ext.list"),
      "deb [signed-by=/etc/apt/keyrings/docker-ext.asc] https://mirror.example/debian bookworm stable\n");
  EXPECT_EQ(machine.read("/etc/apt/keyrings/docker-ext.asc"), "KEY");
  EXPECT_THAT(machine.commands,
              Contains(AllOf(HasSubstr("docker-ce=5:24.0.7*"), HasSubstr("docker-ce-cli=5:24.0.7*"))));
}

TEST(Lesson, Of20170121Gh116ARenamedOrQuotedDistributionWorks) {
  for (const char* id :
       {"ID=\"centos\"\nVERSION_ID=\"9\"\n", "ID='rocky'\n", "NAME=\"CentOS Stream\"\nVERSION=\"9\"\n", ""}) {
    FakeMachine machine("rhel-9");
    machine.write("/etc/os-release", id);
    machine.settings(0, tls_by_text, TestCertificates());
    EXPECT_EQ(machine.operate("enable"), 0) << id;
  }
}

// -- from its issues --------------------------------------------------------------------------------------

TEST(Lesson, OfIssue4CertificatesReplacedByHandStayUntilTheSettingsChange) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  machine.operate("enable");
  const TestCertificates own;
  fs::permissions(machine.at("/etc/docker"), fs::perms(0755));
  for (const auto& [file, text] : {std::pair<const char*, std::string>{"/etc/docker/ca.pem", own.ca.to_pem()},
                                   {"/etc/docker/cert.pem", own.certificate.to_pem()},
                                   {"/etc/docker/key.pem", own.key.to_pem().reveal()}})
    machine.write(file, text);

  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_EQ(machine.engine->certificate, own.certificate.to_pem());
  EXPECT_THAT(machine.substatus(0, "tls"), HasSubstr("by hand"));

  const TestCertificates renewed;
  machine.settings(1, tls_by_text, renewed);
  machine.operate("enable");
  EXPECT_EQ(machine.engine->certificate, renewed.certificate.to_pem());
}

TEST(Lesson, OfIssue44CertificatesInPublicSettingsNeverMeanPlainTcp) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376},"certs":{"ca":"x","cert":"y","key":"z"}})");
  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_FALSE(machine.engine);
  EXPECT_THAT(machine.message(0), HasSubstr("'certs' stands in the public settings"));
}

TEST(Lesson, OfIssues57And113And135AMissingComposeComesFromTheMachinesSources) {
  FakeMachine machine;
  let_apt_install(machine);
  machine.answers
      ["apt-get --quiet -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o Dpkg::Options::=--force-confold "
       "-o Dpkg::Use-Pty=0 install --yes --no-install-recommends docker-compose-v2"] = {
      100, "", "E: Unable to locate package docker-compose-v2"};
  machine.settings(0, R"({"compose":{"web":{"image":"nginx"}}})");
  EXPECT_EQ(machine.operate("work"), 0) << machine.message(0);
  EXPECT_EQ(machine.count("docker-compose --file"), 1);
}

TEST(Lesson, OfIssues82And129ChangedSettingsAreReallyApplied) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  machine.operate("enable");
  machine.settings(1, R"({"docker":{"port":"2377","options":["--dns=10.0.0.9"]}})", TestCertificates());
  machine.operate("enable");
  EXPECT_EQ(machine.engine->port, 2377);
  EXPECT_EQ(machine.engine->daemon["dns"], json({"10.0.0.9"}));
}

TEST(Lesson, OfIssue351AFailedNumberIsTriedAgain) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  machine.refuse_to_start = "no space left on device";
  EXPECT_EQ(machine.operate("enable"), 1);
  machine.refuse_to_start.reset();
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(machine.status_word(0), "success");
}

TEST(Lesson, OfClassicIssues1493And3530VerifyingClientsWorkAtOnce) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates({"host1.cloudapp.net"}));
  machine.operate("enable");
  EXPECT_THAT(machine.substatus(0, "tls"), Not(HasSubstr("subject alternative name")));
  EXPECT_EQ(machine.engine->daemon["tlsverify"], true);
}

TEST(Lesson, OfTheUnitThatThePackageReplacesOnUpgrade) {
  FakeMachine machine;
  machine.settings(0, tls_by_text, TestCertificates());
  const std::string unit = machine.read("/usr/lib/systemd/system/docker.service");
  machine.operate("enable");
  EXPECT_EQ(machine.read("/usr/lib/systemd/system/docker.service"), unit);
  machine.write("/usr/lib/systemd/system/docker.service",
                "[Service]\nExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/new.sock\n");
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.read(drop_in), HasSubstr("--containerd=/run/new.sock -H tcp://0.0.0.0:2376"));
}

TEST(Lesson, OfThePredecessorsEditOfTheUnit) {
  FakeMachine machine("ubuntu-22.04");
  machine.write(
      "/usr/lib/systemd/system/docker.service",
      "[Service]\nExecStart=/usr/bin/dockerd -H=unix:///var/run/docker.sock -H=0.0.0.0:2376 --tlsverify "
      "--tlscacert=/etc/docker/ca.pem --tlscert=/etc/docker/cert.pem --tlskey=/etc/docker/key.pem\n");
  machine.settings(0, tls_by_text, TestCertificates());
  EXPECT_EQ(machine.operate("update"), 0);
  EXPECT_EQ(machine.operate("enable"), 0) << machine.message(0);
  EXPECT_EQ(machine.engine->port, 2376);
}

}  // namespace
}  // namespace berth::extension
