#include "extension/workload.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/encoding.h"
#include "extension/engine_install.h"
#include "extension/fake_machine.h"
#include "extension/security_report.h"
#include "host/files.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// -- packages ---------------------------------------------------------------------------------------------

TEST(Pin, IsAnExactVersionOrTheBeginningOfOne) {
  EXPECT_EQ(pinned_package(PackageTool::apt, "docker.io", ""), "docker.io");
  EXPECT_EQ(pinned_package(PackageTool::apt, "docker.io", "20.10"), "docker.io=20.10*");
  EXPECT_EQ(pinned_package(PackageTool::apt, "docker.io", "20.10.24+dfsg1-1"), "docker.io=20.10.24+dfsg1-1");
  EXPECT_EQ(pinned_package(PackageTool::apt, "docker-ce", "24.0.7"), "docker-ce=5:24.0.7*");
  EXPECT_EQ(pinned_package(PackageTool::apt, "docker-ce", "5:24.0.7-1~x"), "docker-ce=5:24.0.7-1~x");
  EXPECT_EQ(pinned_package(PackageTool::dnf, "docker-ce", "24.0.7"), "docker-ce-24.0.7*");
}

class Installing : public testing::Test {
 protected:
  Installing() {
    machine.write("/usr/bin/apt-get", "");
    log.quiet = true;
  }
  std::string install(const Settings& settings) {
    const Root root = machine.root();
    Packages packages(root, machine, log, [this](std::chrono::milliseconds time) { machine.paused += time; });
    try {
      install_engine(root, machine, log, packages, settings, files);
    } catch (const Error& error) {
      return error.what();
    }
    return "installed";
  }

  FakeMachine machine{"debian-12-plain"};
  Log log;
  std::map<std::string, std::string> files;
};

TEST_F(Installing, GivesUpAtOnceOnAPackageThatIsNotThere) {
  machine.answers["apt-get"] = {100, "", "E: Version '99*' for 'docker.io' was not found"};
  machine.on_run = [&](const auto& argv) {
    if (argv.back() == "update")
      machine.answers.clear();
    else
      machine.answers["apt-get"] = {100, "", "E: Version '99*' for 'docker.io' was not found"};
  };
  Settings settings;
  settings.version = "99";
  EXPECT_THAT(install(settings), HasSubstr("docker.io=99*"));
  EXPECT_EQ(machine.paused.count(), 0);
}

TEST_F(Installing, TriesAgainOnNetworkTroubleButNotForEver) {
  machine.answers["apt-get"] = {100, "",
                                "E: Failed to fetch http://mirror/x  Temporary failure resolving 'mirror'"};
  EXPECT_THAT(install({}), HasSubstr("Temporary failure"));
  EXPECT_GE(machine.paused, std::chrono::minutes(20));
  EXPECT_LE(machine.paused, std::chrono::minutes(22));
}

constexpr const char* unreached =
    "W: Failed to fetch http://mirror/x/InRelease  Temporary failure resolving 'mirror'\n"
    "W: Some index files failed to download. They have been ignored, or old ones used instead.";

TEST_F(Installing, TakesNoPackageForMissingWhileASourceDoesNotAnswer) {
  machine.answers["apt-get"] = {100, "", "E: Unable to locate package docker.io"};
  int updates = 0;
  machine.on_run = [&](const auto& argv) {
    if (argv.back() == "update")
      machine.answers["apt-get"] = {0, "", ++updates < 3 ? unreached : ""};
    else if (updates < 3)
      machine.answers["apt-get"] = {100, "", "E: Unable to locate package docker.io"};
    else
      machine.answers.clear();
  };
  EXPECT_THAT(install({}), HasSubstr("no dockerd"));  // this apt installs nothing, but it did run
  EXPECT_EQ(updates, 3);
  EXPECT_EQ(machine.paused, std::chrono::seconds(3));
}

TEST_F(Installing, GivesUpOnASourceThatNeverAnswersAndNamesIt) {
  machine.on_run = [&](const auto& argv) {
    machine.answers["apt-get"] = argv.back() == "update"
                                     ? RunResult{0, "", unreached}
                                     : RunResult{100, "", "E: Unable to locate package docker.io"};
  };
  EXPECT_THAT(install({}), AllOf(HasSubstr("could not be read"), HasSubstr("http://mirror/x/InRelease")));
  EXPECT_GE(machine.paused, std::chrono::minutes(20));
  EXPECT_LE(machine.paused, std::chrono::minutes(22));
}

TEST_F(Installing, WaitsForNoSourceThatTheOthersMakeUpFor) {
  machine.on_run = [&](const auto& argv) {
    if (argv.back() == "update")
      machine.answers["apt-get"] = {0, "", unreached};
    else
      machine.answers.clear();
  };
  EXPECT_THAT(install({}), HasSubstr("no dockerd"));
  EXPECT_EQ(machine.paused.count(), 0);
}

TEST_F(Installing, FinishesWhatAnInterruptedDpkgLeft) {
  machine.answers["apt-get"] = {
      100, "",
      "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."};
  machine.on_run = [&](const auto& argv) {
    if (argv[0] == "dpkg") machine.answers.clear();
  };
  EXPECT_THAT(install({}), HasSubstr("no dockerd"));  // this apt installs nothing, but it did run
  EXPECT_THAT(machine.commands, Contains("dpkg --configure -a"));
}

TEST_F(Installing, NeverRunsAShellAndAsksForNothing) {
  install({});
  for (const auto& [argv, options] : machine.runs) {
    EXPECT_THAT(argv[0], Not(testing::AnyOf("sh", "bash", "/bin/sh")));
    if (argv[0] == "apt-get") EXPECT_EQ(options.environment.at("DEBIAN_FRONTEND"), "noninteractive");
  }
}

class Archive : public Installing {
 protected:
  Archive() {
    machine.write("/usr/bin/curl", "");
    settings.channel = Channel::archive;
    settings.archive_url = "https://mirror.example/docker.tgz";
    settings.archive_sha256 = sha256_hex("archive");
    machine.on_run = [](const std::vector<std::string>& argv) {
      if (argv[0] == "curl") write_file(argv[8], "archive");
      if (argv[0] != "tar") return;
      const fs::path tree = argv.back();
      fs::create_directories(tree / "docker");
      for (const char* name : {"dockerd", "containerd", "runc"}) write_file(tree / "docker" / name, name);
    };
  }
  Settings settings;
};

TEST_F(Archive, IsUnpackedOnlyWithTheRightChecksum) {
  settings.archive_sha256 = std::string(64, '0');
  EXPECT_THAT(install(settings), HasSubstr("SHA-256"));
  EXPECT_EQ(machine.count("tar"), 0);
  EXPECT_FALSE(machine.exists("/usr/local/bin/dockerd"));
}

TEST_F(Archive, BringsProgramsAndUnits) {
  EXPECT_EQ(install(settings), "installed");
  EXPECT_EQ(machine.read("/usr/local/bin/dockerd"), "dockerd");
  EXPECT_THAT(machine.read("/etc/systemd/system/docker.service"),
              HasSubstr("ExecStart=/usr/local/bin/dockerd -H fd://"));
  EXPECT_TRUE(files.contains("/usr/local/bin/runc"));
  EXPECT_TRUE(fs::is_empty(machine.at("/var/lib/docker-ext")));
}

TEST_F(Archive, OfProgramsOfAnySizeIsLookedAtWithoutReadingThem) {
  machine.on_run = [before = machine.on_run](const std::vector<std::string>& argv) {
    before(argv);
    if (argv[0] == "tar") fs::resize_file(fs::path(argv.back()) / "docker/dockerd", 65u << 20);
  };
  machine.settings(0, nlohmann::json{{"docker",
                                      {{"channel", "static"},
                                       {"archiveUrl", settings.archive_url},
                                       {"archiveSha256", settings.archive_sha256}}},
                                     {"removeEngineOnUninstall", true}}
                          .dump());
  ASSERT_EQ(machine.operate("work"), 0) << machine.message(0);
  machine.commands.clear();
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
  EXPECT_EQ(machine.operate("uninstall"), 0) << machine.log();
  EXPECT_FALSE(machine.exists("/usr/local/bin/dockerd"));
  EXPECT_FALSE(machine.exists("/etc/systemd/system/docker.service"));
}

TEST_F(Archive, ThatCannotBeDownloadedIsNoEngine) {
  machine.answers["curl"] = {22, "", "curl: (22) The requested URL returned error: 404"};
  EXPECT_THAT(install(settings), HasSubstr("404"));
}

// -- compose and login ------------------------------------------------------------------------------------

TEST(Compose, FileIsForRootOnly) {
  FakeMachine machine;
  machine.write("/usr/bin/docker-compose", "");
  machine.settings(0, R"({"compose":{"web":{"image":"nginx"}}})");
  machine.operate("work");
  EXPECT_EQ(fs::status(machine.at("/etc/docker/compose/docker-compose.yml")).permissions(), fs::perms(0640));
}

TEST(Compose, RunsAfterTheEnginesRestart) {
  FakeMachine machine;
  machine.write("/usr/bin/docker-compose", "");
  machine.run({"systemctl", "start", "docker.service"}, {});
  machine.settings(0, R"({"docker":{"port":2376},"compose":{"web":{"image":"nginx"}}})", TestCertificates());
  machine.operate("work");
  const auto place = [&](const std::string& start) {
    return std::find_if(machine.commands.begin(), machine.commands.end(),
                        [&](const std::string& command) { return command.starts_with(start); });
  };
  EXPECT_LT(place("systemctl restart"), place("docker-compose"));
}

TEST(Compose, FailureIsAnErrorButLeavesTheEngineWithItsTls) {
  FakeMachine machine;
  machine.write("/usr/bin/docker-compose", "");
  machine.answers["docker-compose"] = {1, "", "pull access denied for nginx"};
  machine.settings(0, R"({"docker":{"port":2376},"compose":{"web":{"image":"nginx"}}})", TestCertificates());
  EXPECT_EQ(machine.operate("work"), 1);
  EXPECT_THAT(machine.message(0), HasSubstr("pull access denied"));
  EXPECT_EQ(machine.engine->port, 2376);
  EXPECT_THAT(machine.substatus(0, "engine"), HasSubstr("TCP port 2376")) << machine.status(0).dump(1);
}

class UpProject : public testing::Test {
 protected:
  UpProject() {
    machine.write("/usr/bin/docker-compose", "");
    machine.settings(0, R"({"compose":{"web":{"image":"nginx"},"job":{"image":"job"}}})");
    machine.operate("work");
    machine.commands.clear();
  }
  FakeMachine machine;
};

TEST_F(UpProject, CostsNoProgram) {
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
}

TEST_F(UpProject, ThatTheEngineBroughtUpAfterTheBootCostsNoProgram) {
  machine.reboot();
  machine.projects["compose"] = {"running", "running"};
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
}

TEST_F(UpProject, IsBroughtUpAgainWhenTheBootLeftAContainerDown) {
  machine.reboot();
  machine.projects["compose"] = {"running", "exited"};
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.workers, testing::SizeIs(1));
  EXPECT_EQ(machine.operate("work"), 0);
  EXPECT_EQ(machine.count("docker-compose"), 1);
}

TEST_F(UpProject, IsLeftAloneWhenAContainerEndedByItself) {
  machine.projects["compose"] = {"running", "exited"};
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.commands, testing::IsEmpty());
}

TEST_F(UpProject, IsBroughtUpAgainWhenItsContainersAreGone) {
  machine.projects.clear();
  EXPECT_EQ(machine.operate("work"), 0);
  EXPECT_EQ(machine.count("docker-compose"), 1);
}

TEST(Login, IsTakenBackWhenTheSettingsNoLongerHaveIt) {
  FakeMachine machine;
  machine.settings(0, "{}", R"({"login":{"server":"registry:5000","username":"me","password":"hunter22"}})");
  machine.operate("enable");
  machine.settings(1, "{}", R"({"login":{"username":"me","password":"hunter22"}})");
  machine.operate("enable");
  EXPECT_EQ(machine.count("docker logout registry:5000"), 1);
  machine.settings(2, "{}");
  machine.operate("enable");
  EXPECT_THAT(machine.commands, Contains("docker logout"));
}

TEST(Login, IsTakenBackByUninstall) {
  FakeMachine machine;
  machine.settings(0, "{}", R"({"login":{"server":"registry:5000","username":"me","password":"hunter22"}})");
  machine.operate("enable");
  EXPECT_EQ(machine.operate("uninstall"), 0);
  EXPECT_EQ(machine.count("docker logout registry:5000"), 1);
  for (const auto& [argv, options] : machine.runs)
    if (argv[0] == "docker") EXPECT_EQ(options.environment.at("HOME"), "/root");
}

TEST(Login, IsNotRepeatedForTheSameAccount) {
  FakeMachine machine;
  const char* login = R"({"login":{"username":"me","password":"hunter22"}})";
  machine.settings(0, "{}", login);
  machine.operate("enable");
  machine.write("/root/.docker/config.json", "{}");
  machine.settings(1, "{}", login);
  machine.operate("enable");
  EXPECT_EQ(machine.count("docker login"), 1);
  machine.settings(2, "{}", R"({"login":{"username":"me","password":"hunter23"}})");
  machine.operate("enable");
  EXPECT_EQ(machine.count("docker login"), 2);
}

TEST(Login, FailureNamesTheServerOnly) {
  FakeMachine machine;
  machine.answers["docker login"] = {1, "", "unauthorized: me"};
  machine.settings(0, "{}",
                   R"({"login":{"server":"registry:5000","username":"someone","password":"hunter22"}})");
  EXPECT_EQ(machine.operate("enable"), 1);
  EXPECT_THAT(machine.message(0), AllOf(HasSubstr("registry:5000"), Not(HasSubstr("someone"))));
}

TEST(Group, GetsTheUserThatTheMachineWasMadeWith) {
  FakeMachine machine;
  machine.operate("enable");
  EXPECT_THAT(machine.commands, Contains("usermod --append --groups docker azureuser"));
  machine.settings(1, "{}");
  machine.operate("enable");
  EXPECT_EQ(machine.count("usermod"), 1);
}

TEST(Group, IsLeftAloneOnRequest) {
  FakeMachine machine;
  machine.settings(0, R"({"addUserToDockerGroup":false})");
  machine.operate("enable");
  EXPECT_EQ(machine.count("usermod"), 0);
}

TEST(Group, WithoutAUserIsAWarningAndNoFailure) {
  FakeMachine machine;
  fs::remove(machine.at("/var/lib/waagent/ovf-env.xml"));
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_THAT(machine.substatus(0, "group"), HasSubstr("not known"));
}

// -- security report --------------------------------------------------------------------------------------

std::string line_of(const std::string& report, const std::string& id) {
  const std::size_t at = report.find("\n" + id + ": ");
  return at == std::string::npos ? "no item " + id
                                 : report.substr(at + 1, report.find('\n', at + 1) - at - 1);
}

TEST(SecurityReport, ComesWithTheStatus) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"port":2376}})", TestCertificates());
  machine.operate("enable");
  const std::string report = machine.substatus(0, "security");
  EXPECT_THAT(report, testing::MatchesRegex("[0-9]+ pass, [0-9]+ fail, [0-9]+ n/a\n(.|\n)*"));
  EXPECT_EQ(line_of(report, "2.7-tls"), "2.7-tls: pass port 2376 demands a client certificate");
  EXPECT_EQ(line_of(report, "2.15-live-restore"),
            "2.15-live-restore: pass containers outlive an engine restart");
  EXPECT_THAT(line_of(report, "3.13-server-key"), HasSubstr("pass /etc/docker/key.pem is 0400"));
  EXPECT_THAT(line_of(report, "2.2-icc"), HasSubstr("fail"));
  EXPECT_THAT(line_of(report, "1.1.3-audit"), HasSubstr("n/a auditd"));
  EXPECT_THAT(line_of(report, "1.1.2-docker-group"), HasSubstr("pass only azureuser"));
}

TEST(SecurityReport, PassesMoreWithProfileCis) {
  FakeMachine machine;
  machine.settings(0, R"({"docker":{"hardening":"cis"}})");
  fs::create_directories(machine.at("/etc/audit/rules.d"));
  machine.operate("enable");
  const std::string report = machine.substatus(0, "security");
  for (const char* id :
       {"2.2-icc", "2.14-no-new-privileges", "2.16-userland-proxy", "2.8-default-ulimits", "1.1.3-audit"})
    EXPECT_THAT(line_of(report, id), HasSubstr(": pass")) << id;
  EXPECT_THAT(line_of(report, "2.7-tls"), HasSubstr("n/a"));
  EXPECT_EQ(machine.count("augenrules --load"), 1);
}

TEST(SecurityReport, SeesWhatIsWrong) {
  FakeMachine machine;
  machine.write("/etc/docker/daemon.json",
                R"({"insecure-registries":["r:5000"],"iptables":false,"live-restore":false})");
  machine.write("/etc/group", "root:x:0:\ndocker:x:996:azureuser,mallory\n");
  fs::permissions(machine.at("/usr/lib/systemd/system/docker.service"), fs::perms(0666));
  machine.operate("enable");
  const std::string report = machine.substatus(0, "security");
  for (const char* id : {"2.5-insecure-registries", "2.4-iptables", "2.15-live-restore", "3.1-service-file"})
    EXPECT_THAT(line_of(report, id), HasSubstr(": fail")) << id;
  EXPECT_THAT(line_of(report, "1.1.2-docker-group"), HasSubstr("mallory can become root"));
}

TEST(SecurityReport, SurvivesAnEngineThatSaysNothing) {
  FakeMachine machine;
  for (const char* info : {"", "[]", "{\"SecurityOptions\":7}"})
    EXPECT_FALSE(check_security(machine.root(), {}, info).empty());
}

}  // namespace
}  // namespace berth::extension
