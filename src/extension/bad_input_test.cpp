// What must not happen to a machine, whatever comes in. Each test leaves the machine as it was, and says why.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "crypto/encoding.h"
#include "extension/fake_machine.h"
#include "handler/lock.h"
#include "host/files.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class BadInput : public testing::Test {
 protected:
  /// Bytes of N.settings as they stand.
  void raw_settings(std::uint64_t number, const std::string& bytes) {
    machine.write(
        "/var/lib/waagent/" + machine.handler + "-1.3.0/config/" + std::to_string(number) + ".settings",
        bytes);
  }
  /// Enable refuses, says so, and has touched nothing.
  void expect_refusal(std::uint64_t number, const testing::Matcher<std::string>& why) {
    const int starts = machine.count("systemctl start") + machine.count("systemctl restart");
    const std::string daemon = machine.read("/etc/docker/daemon.json");
    EXPECT_EQ(machine.operate("enable"), 1);
    EXPECT_EQ(machine.status_word(number), "error");
    EXPECT_THAT(machine.message(number), why);
    EXPECT_EQ(machine.count("systemctl start") + machine.count("systemctl restart"), starts);
    EXPECT_EQ(machine.read("/etc/docker/daemon.json"), daemon);
    EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
    EXPECT_FALSE(machine.exists(drop_in));
  }
  void certificates(const std::string& ca, const std::string& certificate, const std::string& key) {
    machine.settings(0, R"({"docker":{"port":2376}})",
                     json{{"certs", {{"ca", ca}, {"cert", certificate}, {"key", key}}}}.dump());
  }

  FakeMachine machine;
  TestCertificates good;
};

TEST_F(BadInput, TruncatedSettings) {
  raw_settings(0, R"({"runtimeSettings":[{"handlerSettings":{"publicSettings":{"docker":{"port":"23)");
  expect_refusal(0, HasSubstr("not valid JSON"));
}

TEST_F(BadInput, HugeSettings) {
  raw_settings(0, "{\"a\":\"" + std::string(9 * 1024 * 1024, 'x') + "\"}");
  expect_refusal(0, HasSubstr("limit"));
}

TEST_F(BadInput, SettingsThatAreNoText) {
  raw_settings(0,
               "{\"runtimeSettings\":[{\"handlerSettings\":{\"publicSettings\":{\"docker\":{\"address\":"
               "\"\xff\xfe\x80\"}}}}]}");
  expect_refusal(0, HasSubstr("UTF-8"));
}

TEST_F(BadInput, HostileNesting) {
  raw_settings(0, std::string(3'000'000, '['));
  expect_refusal(0, HasSubstr("nested deeper"));
}

TEST_F(BadInput, ALineBreakThatWouldAddToTheUnit) {
  machine.settings(0, json{{"docker", {{"options", {"--label=a\nExecStartPost=/bin/evil"}}}}}.dump());
  expect_refusal(0, HasSubstr("control character"));
}

TEST_F(BadInput, ProtectedSettingsForAnotherCertificate) {
  const PrivateKey other_key = PrivateKey::generate_rsa();
  CertificateOrder order;
  order.use = CertificateUse::encryption;
  order.common_name = "Other";
  const Certificate other = issue_certificate(order, other_key);
  const json inner = {{"protectedSettings", base64_encode(cms_encrypt(FakeMachine::protected_json(good),
                                                                      other, ContentCipher::aes_256_cbc))},
                      {"protectedSettingsCertThumbprint", machine.transport.thumbprint()}};
  raw_settings(0, json{{"runtimeSettings", json::array({{{"handlerSettings", inner}}})}}.dump());
  expect_refusal(0, Not(HasSubstr("succeeded")));
}

TEST_F(BadInput, ProtectedSettingsThatAreNoEnvelope) {
  for (const std::string& blob : {std::string("!!!"), base64_encode("no DER"), std::string("AAAA")}) {
    raw_settings(
        0, json{{"runtimeSettings",
                 json::array({{{"handlerSettings",
                                {{"protectedSettings", blob},
                                 {"protectedSettingsCertThumbprint", machine.transport.thumbprint()}}}}})}}
               .dump());
    expect_refusal(0, Not(testing::IsEmpty()));
  }
}

TEST_F(BadInput, AKeyThatDoesNotMatch) {
  certificates(good.ca.to_pem(), good.certificate.to_pem(), PrivateKey::generate_ec().to_pem().reveal());
  expect_refusal(0, HasSubstr("does not belong"));
}

TEST_F(BadInput, AnExpiredCertificate) {
  machine.now += std::chrono::hours(24 * 366);
  certificates(good.ca.to_pem(), good.certificate.to_pem(), good.key.to_pem().reveal());
  expect_refusal(0, HasSubstr("expired on"));
}

TEST_F(BadInput, ACertificateOfTomorrow) {
  machine.now -= std::chrono::hours(24);
  certificates(good.ca.to_pem(), good.certificate.to_pem(), good.key.to_pem().reveal());
  expect_refusal(0, HasSubstr("not valid before"));
}

TEST_F(BadInput, ACertificateOfAnotherAuthority) {
  certificates(TestCertificates().ca.to_pem(), good.certificate.to_pem(), good.key.to_pem().reveal());
  expect_refusal(0, HasSubstr("not issued by"));
}

TEST_F(BadInput, ACertificateForClientsOnly) {
  CertificateOrder order;
  order.use = CertificateUse::client;
  order.common_name = "client";
  const Certificate client = issue_certificate(order, good.key, &good.ca, &good.ca_key);
  certificates(good.ca.to_pem(), client.to_pem(), good.key.to_pem().reveal());
  expect_refusal(0, HasSubstr("serverAuth"));
}

TEST_F(BadInput, CertificatesThatAreNone) {
  certificates("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", good.certificate.to_pem(),
               good.key.to_pem().reveal());
  expect_refusal(0, HasSubstr("CA certificate"));
}

TEST_F(BadInput, ACertificateWithOnlyACommonNameIsServedWithAWarning) {
  const TestCertificates common_name_only(std::vector<std::string>{});
  machine.settings(0, R"({"docker":{"port":2376}})", common_name_only);

  EXPECT_EQ(machine.operate("enable"), 0);

  EXPECT_EQ(machine.status_word(0), "success");
  EXPECT_THAT(machine.substatus(0, "tls"), HasSubstr("no subject alternative name"));
}

TEST_F(BadInput, ADaemonFileThatIsNoJson) {
  machine.write("/etc/docker/daemon.json", "{ debug: true }");
  machine.settings(0, R"({"docker":{"port":2376}})", good);
  expect_refusal(0, HasSubstr("daemon.json is not a JSON object"));
}

TEST_F(BadInput, ADaemonFileInConflictWithTheUnit) {
  machine.write("/etc/docker/daemon.json", R"({"hosts":["tcp://0.0.0.0:2375"]})");
  machine.settings(0, R"({"docker":{"port":2376}})", good);
  expect_refusal(0, AllOf(HasSubstr("hosts"), HasSubstr("docker.service")));
}

TEST_F(BadInput, AFlagInADropInAgainstAnOption) {
  machine.write("/etc/systemd/system/docker.service.d/20-logs.conf",
                "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// --log-driver=journald\n");
  machine.settings(0, R"({"docker":{"options":["--log-driver=local"]}})");
  expect_refusal(0, HasSubstr("20-logs.conf"));
}

TEST_F(BadInput, AMaskedUnit) {
  fs::create_directories(machine.at("/etc/systemd/system"));
  fs::create_symlink("/dev/null", machine.at("/etc/systemd/system/docker.service"));
  machine.settings(0, "{}");
  expect_refusal(0, HasSubstr("masked"));
}

TEST_F(BadInput, NoEngineAndNoneWanted) {
  FakeMachine plain("debian-12-plain");
  plain.settings(0, R"({"docker":{"channel":"none"}})");
  EXPECT_EQ(plain.operate("enable"), 1);
  EXPECT_THAT(plain.message(0), HasSubstr("no Docker Engine"));
}

// -- this machine's own troubles --------------------------------------------------------------------------

TEST_F(BadInput, AFullDiskLeavesTheOldConfigurationAndHealsLater) {
  machine.settings(0, R"({"docker":{"port":2376}})", good);
  ASSERT_EQ(machine.operate("enable"), 0);
  const std::string before = machine.read("/etc/docker/cert.pem");
  const TestCertificates renewed;
  machine.settings(1, R"({"docker":{"port":2376}})", renewed);

  ::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit none{0, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &none);  // every write fails, as on a full disk
  const int code = machine.operate("enable");
  ::setrlimit(RLIMIT_FSIZE, &old);

  EXPECT_EQ(code, 1);
  EXPECT_EQ(machine.read("/etc/docker/cert.pem"), before);
  EXPECT_EQ(machine.engine->certificate, good.certificate.to_pem());
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(machine.engine->certificate, renewed.certificate.to_pem());
}

TEST_F(BadInput, AnUnwritableFolderInEtcPutsBackWhatWasWrittenBefore) {
  machine.write("/etc/systemd/system/docker.service.d", "a file where a folder belongs");
  machine.settings(0, R"({"docker":{"port":2376}})", good);

  EXPECT_EQ(machine.operate("enable"), 1);

  EXPECT_THAT(machine.message(0), HasSubstr("docker.service.d"));
  EXPECT_FALSE(machine.exists("/etc/docker/daemon.json"));
  EXPECT_FALSE(machine.exists("/etc/docker/key.pem"));
  EXPECT_FALSE(machine.engine);
}

TEST_F(BadInput, AMissingStatusFolderIsMade) {
  fs::remove_all(machine.at("/var/lib/waagent/" + machine.handler + "-1.3.0/status"));
  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(machine.status_word(0), "success");
}

TEST_F(BadInput, ALockOfADeadProcessIsNoLock) {
  fs::create_directories(machine.at("/run/docker-ext"));
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = EnableLock::take(machine.root()(run_folder), "0", std::chrono::milliseconds(0));
    ::_exit(lock.held() ? 0 : 1);  // without letting go
  }
  int code = 0;
  ::waitpid(child, &code, 0);
  ASSERT_EQ(code, 0);
  ASSERT_TRUE(machine.exists("/run/docker-ext/lock"));

  EXPECT_EQ(machine.operate("enable"), 0);
  EXPECT_EQ(machine.status_word(0), "success");
}

TEST_F(BadInput, ABrokenStateFileIsForgotten) {
  machine.settings(0, R"({"docker":{"port":2376}})", good);
  machine.operate("enable");
  for (const char* text : {"", "{", "[]", R"({"files":7,"daemonKeys":[],"sequence":"x"})"}) {
    machine.write("/var/lib/docker-ext/state.json", text);
    EXPECT_EQ(machine.operate("enable"), 0) << text;
    EXPECT_EQ(machine.engine->port, 2376);
  }
}

TEST_F(BadInput, AnUnknownOperationHasAnExitCodeOfItsOwn) {
  EXPECT_EQ(machine.operate("explode"), 2);
}

}  // namespace
}  // namespace berth::extension
