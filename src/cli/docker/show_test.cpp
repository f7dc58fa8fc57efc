#include "cli/docker/show.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/docker/certificates.h"
#include "cli/docker/look_inside.h"
#include "cli/fake_region.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DockerShow : public testing::Test {
 protected:
  void SetUp() override {
    region.extension_view = json::parse(R"({"name": "DockerExtension",
      "type": "Microsoft.Azure.Extensions.DockerExtension", "typeHandlerVersion": "1.3.0",
      "statuses": [{"code": "ProvisioningState/succeeded", "message": "Enable Docker succeeded"}],
      "substatuses": [
        {"code": "ComponentStatus/tls/succeeded", "message": "The server certificate is valid for 824 days."},
        {"code": "ComponentStatus/group/warning", "message": "There is no group docker."},
        {"code": "ComponentStatus/security/succeeded", "message":
          "2 pass, 1 fail, 1 n/a\n2.7-tls: pass port 4243 demands a client certificate\n2.2-icc: fail containers reach each other\n5.3-selinux: n/a the kernel has no SELinux\ncgroups: pass version 2"}]})");
    create();
  }
  void create() {
    const Ran ran = run_program(
        {"vm", "docker", "create", "-e", "22", "-l", "West US", "web1", "Debian-12", "ops", "Str0ng!pass"});
    ASSERT_EQ(ran.exit_code, 0) << ran.err << ran.out;
  }

  FakeRegion region;
};

TEST_F(DockerShow, ShowsTheHostItsEngineAndEachItemOfTheSecurityReport) {
  const Ran ran = run_program({"vm", "docker", "show", "web1"});

  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              AllOf(HasSubstr("tcp://127.0.0.1:"), HasSubstr("4243, open as "),
                    HasSubstr("Docker 20.10.24, API 1.41, overlay2"), HasSubstr("both sides verified"),
                    HasSubstr("3, 2 running"), HasSubstr("DockerExtension 1.3.0:")));
  EXPECT_THAT(ran.out, AllOf(HasSubstr("valid for 824 days"), HasSubstr("warning: There is no group docker."),
                             HasSubstr("Security: 2 pass, 1 fail, 1 not applicable\n")));
  EXPECT_THAT(ran.out, testing::ContainsRegex("2.2-icc +fail +containers reach each other\n"));
  EXPECT_THAT(ran.out, testing::ContainsRegex("5.3-selinux +not applicable +the kernel has no SELinux\n"));
}

TEST_F(DockerShow, JsonModePrintsTheSameAsOneDocument) {
  const json host = json::parse(run_program({"vm", "docker", "show", "web1", "--json"}).out);

  EXPECT_EQ(host["name"], "web1");
  EXPECT_EQ(host["port"], 4243);
  EXPECT_NE(host["hostPort"], 4243);
  EXPECT_EQ(host["engine"]["version"], "20.10.24");
  EXPECT_EQ(host["tls"]["verified"], true);
  EXPECT_EQ(host["containers"], json({{"total", 3}, {"running", 2}}));
  EXPECT_EQ(host["extension"]["parts"].size(), 2u);
  EXPECT_EQ(host["security"]["fail"], 1);
  EXPECT_EQ(
      host["security"]["items"][2],
      json({{"id", "5.3-selinux"}, {"verdict", "not applicable"}, {"reason", "the kernel has no SELinux"}}));
}

TEST_F(DockerShow, AnEngineThatDoesNotAnswerIsShownAsSuch) {
  std::filesystem::remove(region.docker() / "key.pem");

  const Ran ran = run_program({"vm", "docker", "show", "web1"});

  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("does not answer: "), Not(HasSubstr("both sides verified")),
                             HasSubstr("Security: 2 pass")));
  const json host = json::parse(run_program({"vm", "docker", "show", "web1", "--json"}).out);
  EXPECT_EQ(host["engine"]["answers"], false);
  EXPECT_EQ(host["containers"], nullptr);
}

TEST_F(DockerShow, OtherCertificatesAreNamedInPlainWords) {
  TemporaryFolder other;
  EXPECT_THAT(
      run_program({"vm", "docker", "show", "web1", "-C", other.path().string()}).out,
      AllOf(HasSubstr("there is no client certificate in " + other.path().string() + " (ca.pem is missing)"),
            HasSubstr("advice"), HasSubstr("--docker-cert-dir")));
  DockerCertificates::load_or_make(other.path());
  EXPECT_THAT(run_program({"vm", "docker", "show", "web1", "-C", other.path().string()}).out,
              AllOf(HasSubstr("its certificate was not issued by " + (other.path() / "ca.pem").string()),
                    Not(HasSubstr("SSL"))));
}

TEST(InsideAHost, AFullDiskAndADeadEngineAreSaid) {
  EXPECT_EQ(explain_inside("Filesystem 1024-blocks Used Available Capacity Mounted on\n"
                           "/dev/sda1 30000000 30000000 0 100% /\n/dev/sda1 30000000 30000000 0 100% /\n"
                           "inodes Filesystem Inodes IUsed IFree IUse% Mounted on\ninodes /dev/sda1 100 100 "
                           "0 100% /\nservice failed\n"),
            "the disk at / is full. the disk at / has no room for more files. the service docker is failed.");
  EXPECT_EQ(explain_inside("/dev/sda1 30000000 10 29999990 1% /\nservice active\n"), "");
}

TEST_F(DockerShow, AHostWhoseExtensionHasNotReportedHasNoSecurityReport) {
  FakeRegion silent;
  create();
  const Ran ran = run_program({"vm", "docker", "show", "web1"});
  EXPECT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("has made no security report"));
  EXPECT_EQ(json::parse(run_program({"vm", "docker", "show", "web1", "--json"}).out)["security"], nullptr);
}

TEST_F(DockerShow, AnUnknownHostIsNotFound) {
  const Ran ran = run_program({"vm", "docker", "show", "nobody"});
  EXPECT_EQ(ran.exit_code, 4);
  EXPECT_THAT(ran.err, HasSubstr("No VM named \"nobody\""));
}

TEST(SecurityReport, KeepsWhatItUnderstandsAndSkipsTheRest) {
  const SecurityReport report =
      parse_security_report("1 pass, 0 fail, 0 n/a\n2.7-tls: pass\nno verdict: here\n\n3.6: n/a a: b");
  ASSERT_EQ(report.items.size(), 2u);
  EXPECT_EQ(report.items[0].reason, "");
  EXPECT_EQ(report.items[1].verdict, "not applicable");
  EXPECT_EQ(report.items[1].reason, "a: b");
}

}  // namespace
}  // namespace berth
