#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "crypto/test_support.h"
#include "host/files.h"
#include "host/temporary_folder.h"
#include "vm_access/handler.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr const char* some_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeFakeFake ops@here";
constexpr const char* other_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOtherOther ops@there";

const Certificate& access_certificate() {
  static const Certificate certificate = self_signed(CertificateUse::encryption, rsa_key()).first;
  return certificate;
}

/// A machine with its tools for accounts, on a folder.
class FakeAccounts final : public Runner {
 public:
  explicit FakeAccounts(fs::path top) : top_(std::move(top)) {}

  RunResult run(const std::vector<std::string>& argv, const RunOptions& options) override {
    std::string command;
    for (const std::string& word : argv) command += (command.empty() ? "" : " ") + word;
    commands.push_back(command);
    if (!options.input.empty()) inputs[argv[0]] = options.input;
    for (const auto& [start, answer] : answers)
      if (command.starts_with(start)) return answer;
    if (argv[0] == "getent") return lookup(argv.back());
    if (argv[0] == "useradd") {
      users[argv.back()] = next_number++;
      fs::create_directories(home(argv.back()));
    }
    if (argv[0] == "userdel") users.erase(argv.back());
    if (argv[0] == "runuser") return berth::run({argv.begin() + 4, argv.end()}, options);
    return {};
  }
  void detach(const std::vector<std::string>&) override {}

  fs::path home(const std::string& user) const { return top_ / "home" / user; }

  std::map<std::string, int> users{{"root", 0}, {"ops", 1000}, {"nobody", 65534}};
  int next_number = 1001;
  std::map<std::string, RunResult> answers;
  std::map<std::string, std::string> inputs;
  std::vector<std::string> commands;

 private:
  RunResult lookup(const std::string& user) const {
    const auto found = users.find(user);
    if (found == users.end()) return {2, "", ""};
    return {0,
            fmt::format("{}:x:{}:{}::{}:/bin/sh\n", user, found->second, found->second, home(user).string()),
            ""};
  }
  fs::path top_;
};

class VmAccess : public testing::Test {
 protected:
  VmAccess() {
    for (const char* name : {"etc/ssh", "etc/sudoers.d", "usr/sbin", "home/ops", "home/eve",
                             "var/lib/waagent/h-1.5.25/config", "var/lib/waagent/h-1.5.25/status"})
      fs::create_directories(folder_ / name);
    write_file(folder_ / "etc/ssh/sshd_config", "Port 2222\n");
    write_file(folder_ / "usr/sbin/sshd", "");
    write_file(folder_ / "var/lib/waagent" / (access_certificate().thumbprint() + ".crt"),
               access_certificate().to_pem());
    write_file(folder_ / "var/lib/waagent" / (access_certificate().thumbprint() + ".prv"),
               rsa_key().to_pem().reveal());
  }

  /// A new number of settings, and the operation `enable`.
  int enable(const json& closed, const json& open = json::object()) {
    const json inner = {{"publicSettings", open},
                        {"protectedSettings", base64_encode(cms_encrypt(closed.dump(), access_certificate(),
                                                                        ContentCipher::aes_256_cbc))},
                        {"protectedSettingsCertThumbprint", access_certificate().thumbprint()}};
    write_file(handler_ / fmt::format("config/{}.settings", ++number_),
               json{{"runtimeSettings", {{{"handlerSettings", inner}}}}}.dump());
    return again();
  }
  int again() {
    machine_.commands.clear();
    Invocation invocation{
        .environment = {}, .executable = "/handler", .told_sequence = std::to_string(number_)};
    invocation.environment = {.name = "h",
                              .handler_folder = handler_,
                              .version = "1.5.25",
                              .log_folder = folder_ / "log",
                              .config_folder = handler_ / "config",
                              .status_folder = handler_ / "status"};
    Log log(folder_ / "log/extension.log");
    log.quiet = true;
    return AccessHandler(std::move(invocation), Root(folder_.path()), machine_, log).run("enable");
  }
  std::string message() const {
    return json::parse(read_file(
        handler_ / fmt::format("status/{}.status", number_)))[0]["status"]["formattedMessage"]["message"];
  }
  std::string read(const char* name) const { return read_file(folder_ / name); }

  TemporaryFolder folder_;
  fs::path handler_ = folder_ / "var/lib/waagent/h-1.5.25";
  FakeAccounts machine_{folder_.path()};
  int number_ = -1;
};

TEST_F(VmAccess, MakesAUserWithAKey) {
  EXPECT_EQ(enable({{"username", "eve"}, {"ssh_key", some_key}, {"expiration", "2030-01-31"}}), 0);

  EXPECT_EQ(message(), "Enable succeeded.");
  EXPECT_THAT(machine_.commands,
              Contains(AllOf(StartsWith("useradd --create-home"), HasSubstr("--expiredate 2030-01-31 eve"))));
  EXPECT_EQ(read("home/eve/.ssh/authorized_keys"), std::string(some_key) + "\n");
  EXPECT_EQ(read("etc/sudoers.d/90-vmaccess-eve"), "#1001 ALL=(ALL) NOPASSWD: ALL\n");
  EXPECT_EQ(read("etc/ssh/sshd_config"), "Port 2222\n");
}

TEST_F(VmAccess, GivesSudoToNobodyElseWhateverTheUserIsCalled) {
  int number = 1001;
  for (const char* name : {"ALL", "Defaults", "User_Alias", "OPS"}) {
    EXPECT_EQ(enable({{"username", name}, {"ssh_key", some_key}}), 0);
    EXPECT_EQ(read_file(folder_ / fmt::format("etc/sudoers.d/90-vmaccess-{}", name)),
              fmt::format("#{} ALL=(ALL) NOPASSWD: ALL\n", number++));
  }
}

TEST_F(VmAccess, KeepsTheSudoOfUsersWithLikeNamesApart) {
  for (const char* name : {"a.b", "a_b"}) EXPECT_EQ(enable({{"username", name}, {"ssh_key", some_key}}), 0);

  EXPECT_EQ(enable({{"remove_user", "a.b"}}), 0);

  EXPECT_FALSE(fs::exists(folder_ / "etc/sudoers.d/90-vmaccess-a%2Eb"));
  EXPECT_EQ(read("etc/sudoers.d/90-vmaccess-a_b"), "#1002 ALL=(ALL) NOPASSWD: ALL\n");
}

TEST_F(VmAccess, GivesSudoToNobodyWhoseKeyCannotBePut) {
  machine_.answers["runuser"] = {1, "", "no space left"};

  EXPECT_EQ(enable({{"username", "eve"}, {"ssh_key", some_key}}), 1);

  EXPECT_THAT(message(), HasSubstr("no space left"));
  EXPECT_TRUE(fs::is_empty(folder_ / "etc/sudoers.d"));
}

TEST_F(VmAccess, SetsAPasswordWhereThereIsNoSshServer) {
  fs::remove(folder_ / "usr/sbin/sshd");

  EXPECT_EQ(enable({{"username", "ops"}, {"password", "hunter22!"}}), 0);

  EXPECT_EQ(message(), "Enable succeeded.");
  EXPECT_EQ(read("etc/sudoers.d/90-vmaccess-ops"), "#1000 ALL=(ALL) ALL\n");
  EXPECT_THAT(machine_.commands, Not(Contains(StartsWith("sshd"))));
}

TEST_F(VmAccess, ResetsNoSshServerThatIsNotThere) {
  fs::remove(folder_ / "usr/sbin/sshd");

  EXPECT_EQ(enable({{"reset_ssh", true}}), 1);

  EXPECT_THAT(message(), HasSubstr("no ssh server"));
  EXPECT_EQ(read("etc/ssh/sshd_config"), "Port 2222\n");
}

TEST_F(VmAccess, AddsAKeyOnceOrPutsItInPlaceOfAll) {
  enable({{"username", "ops"}, {"ssh_key", some_key}});
  enable({{"username", "ops"}, {"ssh_key", std::string(other_key) + "\n"}});
  enable({{"username", "ops"}, {"ssh_key", other_key}});
  EXPECT_EQ(read("home/ops/.ssh/authorized_keys"), fmt::format("{}\n{}\n", some_key, other_key));

  enable({{"username", "ops"}, {"ssh_key", some_key}, {"remove_prior_keys", true}});

  EXPECT_EQ(read("home/ops/.ssh/authorized_keys"), std::string(some_key) + "\n");
  EXPECT_THAT(machine_.commands, Not(Contains(StartsWith("useradd"))));
}

TEST_F(VmAccess, SetsAPasswordThatIsOnNoCommandLineAndInNoLog) {
  machine_.answers["sshd -T"] = {0, "port 22\npasswordauthentication no\n", ""};

  EXPECT_EQ(enable({{"username", "ops"}, {"password", "hunter22!"}}), 0);

  EXPECT_EQ(machine_.inputs["chpasswd"], "ops:hunter22!\n");
  EXPECT_THAT(machine_.commands, Not(Contains(HasSubstr("hunter22"))));
  EXPECT_THAT(read("log/extension.log"), Not(HasSubstr("hunter22")));
  EXPECT_THAT(read("etc/ssh/sshd_config"),
              AllOf(HasSubstr("PasswordAuthentication yes\n"), HasSubstr("Port 2222\n")));
  EXPECT_THAT(machine_.commands, Contains("systemctl restart ssh"));
}

TEST_F(VmAccess, DoesNothingAgainForTheSameNumber) {
  enable({{"username", "ops"}, {"password", "hunter22!"}});

  EXPECT_EQ(again(), 0);

  EXPECT_THAT(machine_.commands, IsEmpty());
}

TEST_F(VmAccess, LeavesSystemUsersAlone) {
  for (const char* user : {"root", "nobody"}) {
    EXPECT_EQ(enable({{"username", user}, {"password", "hunter22!"}}), 1);
    EXPECT_THAT(message(), HasSubstr("system user"));
    EXPECT_EQ(enable({{"remove_user", user}}), 1);
  }
  EXPECT_THAT(machine_.inputs, Not(Contains(testing::Key("chpasswd"))));
  EXPECT_THAT(machine_.users, Contains(testing::Key("root")));
}

TEST_F(VmAccess, RemovesAUser) {
  enable({{"username", "eve"}, {"ssh_key", some_key}});

  EXPECT_EQ(enable({{"remove_user", "eve"}}), 0);

  EXPECT_THAT(machine_.commands, Contains("userdel --force --remove eve"));
  EXPECT_FALSE(fs::exists(folder_ / "etc/sudoers.d/90-vmaccess-eve"));
  EXPECT_EQ(enable({{"remove_user", "eve"}}), 0) << "gone already";
}

TEST_F(VmAccess, ResetsTheSshServerAndPutsItBack) {
  EXPECT_EQ(enable({{"reset_ssh", true}}), 0);
  EXPECT_THAT(read("etc/ssh/sshd_config"), HasSubstr("Port 22\n"));

  EXPECT_EQ(enable({{"restore_backup_ssh", true}}), 0);
  EXPECT_EQ(read("etc/ssh/sshd_config"), "Port 2222\n");
}

TEST_F(VmAccess, KeepsAConfigurationThatTheServerDoesNotTakeOut) {
  machine_.answers["sshd -t"] = {255, "", "bad line 3"};

  EXPECT_EQ(enable({{"reset_ssh", true}}), 1);

  EXPECT_THAT(message(), HasSubstr("bad line 3"));
  EXPECT_EQ(read("etc/ssh/sshd_config"), "Port 2222\n");
  EXPECT_THAT(machine_.commands, Not(Contains(StartsWith("systemctl"))));
}

TEST_F(VmAccess, ChecksDisksThatAreNotMounted) {
  EXPECT_EQ(enable(json::object(), {{"repair_disk", true}}), 0);
  EXPECT_THAT(machine_.commands, Contains("fsck -A -M -R -y"));
  machine_.answers["fsck"] = {4, "", "errors left"};
  EXPECT_EQ(enable(json::object(), {{"check_disk", true}}), 1);
  EXPECT_THAT(message(), HasSubstr("repair_disk"));
}

std::string access_refusal(const json& closed, const json& open = json::object()) {
  try {
    parse_access_settings(open.dump(), Secret(closed.dump()));
  } catch (const Error& error) {
    return error.what();
  }
  return "it was accepted";
}

TEST(VmAccessSettings, RefuseWhatCannotBeMeant) {
  EXPECT_THAT(access_refusal({{"username", "eve"}}), HasSubstr("No password or ssh_key"));
  EXPECT_THAT(access_refusal({{"password", "x"}}), HasSubstr("need a username"));
  for (const char* name : {"-r", "a b", "a:b", "../x", ".x", "1a", "a\nb"})
    EXPECT_THAT(access_refusal({{"username", name}, {"ssh_key", some_key}}), Not("it was accepted")) << name;
  for (const char* key :
       {"x", "ssh-rsa", "ssh-rsa notbase64notbase64", "command=\"x\" ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB",
        "-----BEGIN CERTIFICATE-----\nAA"})
    EXPECT_THAT(access_refusal({{"username", "eve"}, {"ssh_key", key}}), HasSubstr("ssh_key")) << key;
  EXPECT_THAT(access_refusal({{"username", "eve"}, {"ssh_key", std::string(some_key) + "\n" + other_key}}),
              HasSubstr("several lines"));
  EXPECT_THAT(access_refusal({{"username", "e"}, {"password", "a\nroot:b"}}), HasSubstr("control character"));
  EXPECT_THAT(access_refusal({{"username", "e"}, {"password", "a"}, {"expiration", "tomorrow"}}),
              HasSubstr("expiration"));
  EXPECT_THAT(access_refusal(json::object(), {{"password", "a"}}), HasSubstr("shown in clear"));
  EXPECT_THAT(access_refusal(json::object(), {{"check_disk", true}, {"repair_disk", true}}),
              HasSubstr("both"));
  EXPECT_THAT(access_refusal({{"user", "eve"}}), HasSubstr("user is not known"));
}

}  // namespace
}  // namespace berth::extension
