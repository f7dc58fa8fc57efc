#include "extension/system.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

/// A copy of a host's file tree that a test may change.
class Host {
 public:
  explicit Host(const std::string& name) {
    fs::copy(fs::path(BERTH_FIXTURES) / "hosts" / name, folder_.path(), fs::copy_options::recursive);
    fs::create_directories(folder_ / "run/systemd/system");
  }
  Root root() const { return Root(folder_.path()); }
  System look() const { return look_at_system(root()); }
  void write(const std::string& file, const std::string& text) {
    fs::create_directories(root()(file).parent_path());
    write_file(root()(file), text, 0644);
  }
  void remove(const std::string& file) { fs::remove_all(root()(file)); }

 private:
  TemporaryFolder folder_;
};

struct Expected {
  const char* host;
  const char* id;
  const char* family;
  const char* version;
  const char* dockerd;
};

class Distributions : public testing::TestWithParam<Expected> {};

TEST_P(Distributions, AreKnownByWhatIsReallyThere) {
  const Expected& expected = GetParam();

  const System system = Host(expected.host).look();

  EXPECT_EQ(system.distribution.id, expected.id);
  EXPECT_TRUE(system.distribution.is_like(expected.family));
  EXPECT_EQ(system.distribution.version, expected.version);
  EXPECT_EQ(system.init, Init::systemd);
  EXPECT_EQ(system.dockerd, expected.dockerd);
  ASSERT_TRUE(system.unit);
  EXPECT_TRUE(system.unit->has_socket);
  EXPECT_THAT(system.unit->exec_start, testing::StartsWith(expected.dockerd));
  EXPECT_FALSE(system.enabled);
}

INSTANTIATE_TEST_SUITE_P(
    Hosts, Distributions,
    testing::Values(Expected{"debian-12", "debian", "debian", "12", "/usr/sbin/dockerd"},
                    Expected{"debian-13", "debian", "debian", "13", "/usr/sbin/dockerd"},
                    Expected{"ubuntu-22.04", "ubuntu", "debian", "22.04", "/usr/bin/dockerd"},
                    Expected{"ubuntu-24.04", "ubuntu", "debian", "24.04", "/usr/bin/dockerd"},
                    Expected{"rhel-9", "rhel", "fedora", "9.4", "/usr/bin/dockerd"},
                    Expected{"flatcar", "flatcar", "coreos", "3815.2.5", "/usr/bin/dockerd"}),
    [](const auto& info) {
      std::string name = info.param.host;
      std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
      return name;
    });

TEST(System, WithTheClientAloneHasNoEngine) {
  Host host("debian-12-plain");
  host.write("/usr/bin/docker", "");
  EXPECT_EQ(host.look().dockerd, std::nullopt);
}

TEST(System, OfAnUnknownDistributionWorksIfItHasSystemdAndDockerd) {
  Host host("ubuntu-22.04");
  host.remove("/etc/os-release");
  const System system = host.look();
  EXPECT_EQ(system.distribution.id, "linux");
  EXPECT_EQ(system.dockerd, "/usr/bin/dockerd");
}

TEST(System, WithoutSystemdHasScripts) {
  Host host("debian-12");
  host.remove("/run/systemd");
  host.write("/etc/init.d/docker", "");
  EXPECT_EQ(host.look().init, Init::sysv);
}

TEST(System, KnowsAMaskedUnit) {
  Host host("debian-12");
  fs::create_directories(host.root()("/etc/systemd/system"));
  fs::create_symlink("/dev/null", host.root()("/etc/systemd/system/docker.service"));
  EXPECT_TRUE(host.look().masked);
}

TEST(System, KnowsASwarm) {
  Host host("debian-12");
  host.write("/var/lib/docker/swarm/docker-state.json", "{}");
  EXPECT_TRUE(host.look().swarm);
}

TEST(Unit, IsThatOfTheStrongestFolder) {
  Host host("debian-12");
  host.write("/etc/systemd/system/docker.service", "[Service]\nExecStart=/opt/bin/dockerd -H fd://\n");
  EXPECT_EQ(host.look().unit->exec_start, "/opt/bin/dockerd -H fd://");
}

TEST(Unit, TakesDropInsInTheirOrderButNotOurs) {
  Host host("debian-12");
  const std::string folder = "/etc/systemd/system/docker.service.d/";
  host.write(folder + "10-docker-ext.conf", "[Service]\nExecStart=\nExecStart=/ours\n");
  host.write(folder + "05-early.conf", "[Service]\nExecStart=\nExecStart=/early\n");
  EXPECT_EQ(host.look().unit->exec_start, "/early");
  EXPECT_FALSE(host.look().unit->later_drop_in);

  host.write(folder + "override.conf",
             "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd \\\n  --debug \\\n  -H fd://\n");
  EXPECT_THAT(host.look().unit->exec_start, testing::MatchesRegex("/usr/sbin/dockerd +--debug +-H fd://"));
  EXPECT_TRUE(host.look().unit->later_drop_in);
}

TEST(Unit, KnowsItsVariablesAndWhereTheyComeFrom) {
  Host host("debian-12");
  host.write("/etc/default/docker", "# x\nDOCKER_OPTS=\"--dns 10.0.0.2 --debug\"\n");
  const EngineUnit unit = *host.look().unit;
  EXPECT_EQ(unit.variables.at("DOCKER_OPTS"), "--dns 10.0.0.2 --debug");
  EXPECT_EQ(unit.origins.at("DOCKER_OPTS"), "/etc/default/docker");
  EXPECT_EQ(Host("flatcar").look().unit->variables.at("DOCKER_SELINUX"), "--selinux-enabled=true");
}

TEST(OsRelease, MayQuoteItsValuesOrNot) {
  EXPECT_EQ(parse_os_release("ID=debian\n").id, "debian");
  EXPECT_EQ(parse_os_release("ID=\"centos\"\nVERSION_ID='9'\n").version, "9");
  EXPECT_THAT(parse_os_release("ID=rocky\nID_LIKE=\"rhel centos fedora\"\n").like,
              ElementsAre("rhel", "centos", "fedora"));
}

TEST(OsRelease, SkipsLinesThatAreNone) {
  const Distribution distribution =
      parse_os_release("garbage\n= \nID\n#ID=x\n\n ID = y\nID=debian\n\xff\xfe=\n");
  EXPECT_EQ(distribution.id, "debian");
  EXPECT_EQ(parse_os_release("").id, "linux");
  EXPECT_EQ(parse_os_release("ID=\"unterminated").id, "unterminated");
}

TEST(UnitWords, KeepTheirQuotesInRaw) {
  const auto words = split_unit_words(R"(/usr/bin/dockerd "--label=a b" --x='c "d"' e\ f $OPTS)");
  std::vector<std::string> texts, raws;
  for (const UnitWord& word : words) texts.push_back(word.text), raws.push_back(word.raw);
  EXPECT_THAT(texts, ElementsAre("/usr/bin/dockerd", "--label=a b", "--x=c \"d\"", "e f", "$OPTS"));
  EXPECT_THAT(raws, ElementsAre("/usr/bin/dockerd", "\"--label=a b\"", "--x='c \"d\"'", "e\\ f", "$OPTS"));
}

TEST(UnitWords, ComeBackFromQuoting) {
  for (const std::string& word : {std::string("--label=a"), std::string("a b"), std::string("q\"uo\\te"),
                                  std::string(), std::string("semi;colon")}) {
    const auto words = split_unit_words(quote_unit_word(word));
    ASSERT_EQ(words.size(), 1u) << word;
    EXPECT_EQ(words[0].text, word);
  }
  EXPECT_EQ(quote_unit_word("50%$x"), "50%%$$x");
}

TEST(ProvisionedUser, IsReadWhateverTheNamespace) {
  EXPECT_EQ(provisioned_user("<wa:UserName>azureuser</wa:UserName>"), "azureuser");
  EXPECT_EQ(provisioned_user("<UserName>\n  ops </UserName>"), "ops");
  EXPECT_EQ(provisioned_user(read_file(Host("debian-12").root()("/var/lib/waagent/ovf-env.xml"))),
            "azureuser");
}

TEST(ProvisionedUser, IsNotGuessed) {
  for (const char* text : {"", "<UserName/>", "<UserName></UserName>", "<UserName>",
                           "<OtherUserName>x</OtherUserName>", "</UserName>x<", "<UserName>-rf</UserName>",
                           "<UserName>a b</UserName>", "UserName", "<!-- UserName -->"})
    EXPECT_EQ(provisioned_user(text), std::nullopt) << text;
}

TEST(Account, IsFoundByItsWholeName) {
  Host host("debian-12");
  host.write("/etc/group", "docker2:x:1:\ndocker:x:996:me,you\nlast:x:2:");
  EXPECT_THAT(*find_account(host.root(), "/etc/group", "docker"),
              ElementsAre("docker", "x", "996", "me,you"));
  EXPECT_THAT(*find_account(host.root(), "/etc/group", "last"), ElementsAre("last", "x", "2", ""));
  EXPECT_EQ(find_account(host.root(), "/etc/group", "none"), std::nullopt);
}

}  // namespace
}  // namespace berth::extension
