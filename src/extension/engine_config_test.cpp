#include "extension/engine_config.h"

#include <gmock/gmock.h>

#include "base/error.h"

namespace berth::extension {
namespace {

using nlohmann::ordered_json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* debian_command =
    "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS";

EngineUnit unit_with(const std::string& command, bool socket = true) {
  EngineUnit unit;
  unit.file = "/usr/lib/systemd/system/docker.service";
  unit.exec_start = command;
  unit.has_socket = socket;
  return unit;
}

Settings tls_settings(std::uint16_t port) {
  Settings settings;
  settings.port = port;
  settings.ca = settings.certificate = "pem";
  settings.key = Secret("pem");
  return settings;
}

/// The last line of the drop-in, without "ExecStart=".
std::string command_of(const std::optional<std::string>& text) {
  if (!text) return "no drop-in";
  const std::size_t last = text->rfind("ExecStart=");
  return text->substr(last + 10, text->size() - last - 11);
}

template <class Call>
std::string refusal_by(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return std::string(error.what()) + " " + error.advice;
  }
  return "it was accepted";
}

// -- options ----------------------------------------------------------------------------------------------

TEST(DaemonOptions, BecomeKeysWhereThereIsOne) {
  const DaemonOptions sorted = sort_options({"-D", "--dns=10.0.0.2", "--dns", "10.0.0.3", "--log-opt=tag=x",
                                             "--icc=false", "--mtu=1400", "--unknown-flag=1"});

  ordered_json keys;
  for (const DaemonKey& key : sorted.keys) keys[key.name] = key.value;
  EXPECT_EQ(
      keys,
      ordered_json::parse(
          R"({"debug":true,"dns":["10.0.0.2","10.0.0.3"],"log-opts":{"tag":"x"},"icc":false,"mtu":1400})"));
  EXPECT_THAT(sorted.words, ElementsAre("--unknown-flag=1"));
}

TEST(DaemonOptions, MayNotOpenListenersOrChangeTls) {
  for (const char* word : {"-H", "-Htcp://0.0.0.0:1", "-H=tcp://0.0.0.0:1", "--host=fd://", "--tls",
                           "--tlsverify=false", "--tlscacert=/x"})
    EXPECT_THAT(refusal_by([&] { sort_options({word}); }), HasSubstr("listeners and TLS")) << word;
}

TEST(DaemonOptions, MayNotNameAnotherConfigurationFile) {
  for (const char* word : {"--config-file=/srv/engine.json", "--config-file"})
    EXPECT_THAT(refusal_by([&] {
                  sort_options({word, "/srv/engine.json"});
                }),
                HasSubstr("/etc/docker/daemon.json"))
        << word;
}

TEST(DaemonOptions, HaveLimitsAsDaemonJsonWritesThem) {
  const DaemonOptions sorted =
      sort_options({"--default-ulimit=nofile=1024:4096", "--default-ulimit", "nproc=-1"});
  ASSERT_EQ(sorted.keys.size(), 1u);
  EXPECT_EQ(sorted.keys[0].name, "default-ulimits");
  EXPECT_EQ(sorted.keys[0].value, ordered_json::parse(R"({"nofile":{"Name":"nofile","Hard":4096,"Soft":1024},
                                                          "nproc":{"Name":"nproc","Hard":-1,"Soft":-1}})"));
  for (const char* word : {"--default-ulimit=nofile", "--default-ulimit=nofile=many",
                           "--default-ulimit=nofile=1:", "--default-ulimit==1"})
    EXPECT_THAT(refusal_by([&] { sort_options({word}); }), HasSubstr("NAME=SOFT")) << word;
}

TEST(DaemonOptions, AreOneWordEach) {
  EXPECT_THAT(refusal_by([] { sort_options({"--dns 10.0.0.2"}); }), HasSubstr("two words"));
  EXPECT_NO_THROW(sort_options({"--log-opt=tag=a b"}));
}

TEST(DaemonOptions, HaveValuesOfTheirType) {
  EXPECT_THAT(refusal_by([] { sort_options({"--icc=maybe"}); }), HasSubstr("true or false"));
  EXPECT_THAT(refusal_by([] { sort_options({"--mtu=big"}); }), HasSubstr("not a number"));
  EXPECT_THAT(refusal_by([] { sort_options({"--log-opt=x"}); }), HasSubstr("NAME=VALUE"));
  EXPECT_THAT(refusal_by([] { sort_options({"--dns"}); }), HasSubstr("needs a value"));
}

// -- daemon.json ------------------------------------------------------------------------------------------

TEST(DaemonFile, KeepsTheUsersKeysTheirOrderAndTheIndent) {
  const std::string users =
      "{\n    \"zeta\": 1,\n    \"dns\": [\n        \"10.0.0.2\"\n    ],\n    \"alpha\": true\n}\n";

  const DaemonFile merged = merge_daemon_file(users, {{"tlsverify", true}}, {});

  EXPECT_EQ(merged.text,
            "{\n    \"zeta\": 1,\n    \"dns\": [\n        \"10.0.0.2\"\n    ],\n    \"alpha\": true,\n    "
            "\"tlsverify\": true\n}\n");
  EXPECT_THAT(merged.changed, ElementsAre("tlsverify"));
}

TEST(DaemonFile, IsNotTouchedWhenItSaysWhatIsWanted) {
  const std::string users = R"({"tlsverify":true})";
  EXPECT_EQ(merge_daemon_file(users, {{"tlsverify", true}}, {}).text, users);
  EXPECT_THAT(merge_daemon_file(users, {{"tlsverify", true}}, {}).changed, IsEmpty());
}

TEST(DaemonFile, LetsTheUsersValueStandWhereOursIsADefault) {
  const std::string users = R"({"live-restore":false})";
  const DaemonFile merged = merge_daemon_file(users, {{"live-restore", true, false}}, {});
  EXPECT_EQ(merged.text, users);
  EXPECT_TRUE(merged.owned.empty());
}

TEST(DaemonFile, GoesBackToWhatItWasWhenAKeyIsNoLongerWanted) {
  const std::string users = R"({"icc":true})";
  const DaemonFile with = merge_daemon_file(users, {{"icc", false}, {"debug", true}}, {});

  const DaemonFile without = merge_daemon_file(with.text, {}, with.owned);

  EXPECT_EQ(ordered_json::parse(without.text), ordered_json::parse(users));
  EXPECT_THAT(without.changed, ElementsAre("icc", "debug"));
}

TEST(DaemonFile, LeavesAKeyThatWasTheUsersBeforeItWasOurs) {
  const DaemonFile with = merge_daemon_file(R"({"icc":false})", {{"icc", false}}, {});
  EXPECT_EQ(merge_daemon_file(with.text, {}, with.owned).text, R"({"icc":false})");
}

TEST(DaemonFile, TakesItsTlsKeysAwayEvenWhenItForgotThatTheyAreOurs) {
  const std::vector<DaemonKey> tls = {{"tlsverify", true}, {"tlscacert", "/etc/docker/ca.pem"}};
  const DaemonFile with = merge_daemon_file(merge_daemon_file(std::nullopt, tls, {}).text, tls, {});
  EXPECT_EQ(ordered_json::parse(merge_daemon_file(with.text, {}, with.owned).text), ordered_json::object());
}

TEST(DaemonFile, LeavesAKeyOfOursThatTheUserChangedSince) {
  const DaemonFile with = merge_daemon_file(std::nullopt, {{"debug", true}}, {});
  const DaemonFile later = merge_daemon_file(R"({"debug":false})", {}, with.owned);
  EXPECT_EQ(later.text, R"({"debug":false})");
}

TEST(DaemonFile, IsNotMadeWhenNothingIsWantedInIt) {
  EXPECT_EQ(merge_daemon_file(std::nullopt, {}, {}).text, "");
}

TEST(DaemonFile, ThatIsNoJsonObjectIsLeftAlone) {
  for (const char* text : {"{", "[]", "debug: true", "{\"a\":1,}"})
    EXPECT_THAT(refusal_by([&] {
                  merge_daemon_file(text, {{"tlsverify", true}}, {});
                }),
                HasSubstr("left as it is"))
        << text;
}

TEST(WantedKeys, NeverTurnVerificationOffAndNeverSetHosts) {
  for (const Settings& settings : {Settings{}, tls_settings(2376)})
    for (const DaemonKey& key : wanted_daemon_keys(settings, {}, false)) {
      EXPECT_NE(key.name, "hosts");
      EXPECT_FALSE(key.name == "tlsverify" && key.value == false);
    }
}

TEST(WantedKeys, TurnLiveRestoreOffInASwarm) {
  const auto keys = wanted_daemon_keys(Settings{}, {}, true);
  EXPECT_EQ(keys.front().name, "live-restore");
  EXPECT_EQ(keys.front().value, false);
}

TEST(WantedKeys, AreWhatCostsNothingAndInProfileCisMore) {
  Settings settings;
  const auto names = [&] {
    std::vector<std::string> found;
    for (const DaemonKey& key : wanted_daemon_keys(settings, {}, false)) found.push_back(key.name);
    return found;
  };
  EXPECT_THAT(names(),
              ElementsAre("live-restore", "log-driver", "log-opts", "userland-proxy", "default-ulimits"));
  settings.hardening = Hardening::cis;
  EXPECT_THAT(names(), ElementsAre("live-restore", "log-driver", "log-opts", "userland-proxy",
                                   "default-ulimits", "no-new-privileges", "icc"));
}

TEST(WantedKeys, LeaveTheProxyWhereTheUserTurnedThePacketFilterOff) {
  std::vector<DaemonKey> wanted = wanted_daemon_keys(Settings{}, {}, false);
  EXPECT_THAT(merge_daemon_file(R"({"iptables":false})", wanted, {}).text, Not(HasSubstr("userland-proxy")));
  settle_flags(unit_with("/usr/bin/dockerd --iptables=false"), ordered_json::object(), false, wanted);
  for (const DaemonKey& key : wanted) EXPECT_NE(key.name, "userland-proxy");
}

TEST(WantedKeys, LeaveTheUsersLogDriverItsOwnOptions) {
  const DaemonFile merged =
      merge_daemon_file(R"({"log-driver":"journald"})", wanted_daemon_keys(Settings{}, {}, false), {});
  EXPECT_THAT(merged.text, Not(HasSubstr("max-size")));
  const auto keys = wanted_daemon_keys(Settings{}, sort_options({"--log-driver=journald"}), false);
  for (const DaemonKey& key : keys) EXPECT_NE(key.name, "log-opts");
  // Also one that replaces ours later.
  const DaemonFile ours = merge_daemon_file(std::nullopt, wanted_daemon_keys(Settings{}, {}, false), {});
  ordered_json changed = ordered_json::parse(ours.text);
  changed["log-driver"] = "journald";
  EXPECT_THAT(merge_daemon_file(changed.dump(), wanted_daemon_keys(Settings{}, {}, false), ours.owned).text,
              AllOf(HasSubstr("journald"), Not(HasSubstr("max-size"))));
}

// -- flags against keys -----------------------------------------------------------------------------------

TEST(Conflicts, BetweenAUsersFlagAndAUsersKeyNameBothFiles) {
  EngineUnit unit = unit_with("/usr/bin/dockerd -H fd:// --log-driver=journald");
  unit.file = "/etc/systemd/system/docker.service.d/override.conf";
  std::vector<DaemonKey> wanted;
  EXPECT_THAT(refusal_by([&] {
                settle_flags(unit, ordered_json{{"log-driver", "local"}}, false, wanted);
              }),
              AllOf(HasSubstr("override.conf"), HasSubstr("daemon.json"), HasSubstr("log-driver")));
}

TEST(Conflicts, WithHostsInDaemonJsonAreFound) {
  std::vector<DaemonKey> wanted;
  EXPECT_THAT(
      refusal_by([&] {
        settle_flags(unit_with(debian_command), ordered_json{{"hosts", {"tcp://0.0.0.0:1"}}}, false, wanted);
      }),
      HasSubstr("hosts"));
  EXPECT_THAT(
      refusal_by([&] {
        settle_flags(unit_with("/usr/bin/dockerd"), ordered_json{{"hosts", {"unix:///x"}}}, true, wanted);
      }),
      HasSubstr("listeners are set by flags"));
}

TEST(Conflicts, WithAnotherConfigurationFileAreFound) {
  std::vector<DaemonKey> wanted;
  EngineUnit unit = unit_with(debian_command);
  unit.variables["DOCKER_OPTS"] = "--config-file /srv/engine.json";
  unit.origins["DOCKER_OPTS"] = "/etc/sysconfig/docker";
  EXPECT_THAT(refusal_by([&] { settle_flags(unit, ordered_json::object(), true, wanted); }),
              AllOf(HasSubstr("/etc/sysconfig/docker"), HasSubstr("/srv/engine.json"),
                    HasSubstr("/etc/docker/daemon.json")));
  unit.variables["DOCKER_OPTS"] = "--config-file=/etc/docker/daemon.json";
  EXPECT_NO_THROW(settle_flags(unit, ordered_json::object(), true, wanted));
}

TEST(Conflicts, InTheDefaultsFileAreFound) {
  EngineUnit unit = unit_with(debian_command);
  unit.variables["DOCKER_OPTS"] = "--dns 10.0.0.2";
  unit.origins["DOCKER_OPTS"] = "/etc/default/docker";
  std::vector<DaemonKey> wanted = {{"dns", {"10.0.0.3"}}};
  EXPECT_THAT(refusal_by([&] { settle_flags(unit, ordered_json::object(), false, wanted); }),
              HasSubstr("/etc/default/docker"));
}

TEST(Conflicts, OfADefaultOfOursAreAvoided) {
  std::vector<DaemonKey> wanted = {{"log-driver", "json-file", false},
                                   {"log-opts", {{"max-size", "10m"}}, false},  // no option of journald
                                   {"tlsverify", true}};
  settle_flags(unit_with("/usr/bin/dockerd -H fd:// --log-driver=journald"), ordered_json::object(), false,
               wanted);
  ASSERT_EQ(wanted.size(), 1u);
  EXPECT_EQ(wanted[0].name, "tlsverify");
}

// -- drop-in ----------------------------------------------------------------------------------------------

TEST(DropIn, KeepsTheUnitsOwnCommandLine) {
  EXPECT_EQ(command_of(drop_in_text(unit_with(debian_command), tls_settings(2376), {})),
            std::string(debian_command) + " -H tcp://0.0.0.0:2376");
}

TEST(DropIn, IsNotMadeWithoutAPortAndFlags) {
  EXPECT_EQ(drop_in_text(unit_with(debian_command), Settings{}, {}), std::nullopt);
}

TEST(DropIn, AlwaysLeavesALocalListener) {
  EXPECT_EQ(command_of(drop_in_text(unit_with("/usr/bin/dockerd -H fd://", false), tls_settings(2376), {})),
            "/usr/bin/dockerd -H unix:///run/docker.sock -H tcp://0.0.0.0:2376");
  EXPECT_EQ(command_of(drop_in_text(unit_with("/usr/bin/dockerd"), tls_settings(2376), {})),
            "/usr/bin/dockerd -H unix:///run/docker.sock -H tcp://0.0.0.0:2376");
}

TEST(DropIn, TakesThePlaceOfAnEarlierListenerAndItsTlsFlags) {
  const std::string edited =
      "/usr/bin/dockerd -H=unix:///var/run/docker.sock -H=0.0.0.0:2376 --tlsverify --tlscacert=/a --tlscert "
      "/b --tlskey=/c --label=x";
  EXPECT_EQ(command_of(drop_in_text(unit_with(edited), tls_settings(2376), {})),
            "/usr/bin/dockerd -H=unix:///var/run/docker.sock --label=x -H tcp://0.0.0.0:2376");
}

TEST(DropIn, TakesThePlaceOfListenersAndTlsFlagsThatComeFromAVariable) {
  EngineUnit unit = unit_with("/usr/bin/dockerd $OPTIONS ${STORAGE} $MORE");
  const auto give = [&](const std::string& name, const std::string& value) {
    unit.variables[name] = value;
    unit.origins[name] = "/etc/sysconfig/docker";
  };
  give("OPTIONS",
       "--label 'a=b $c' -H tcp://0.0.0.0:2376 --tlsverify --tlscacert /a --tlskey=/k -H unix:///run/x.sock");
  give("STORAGE", "--storage-opt=dm.fs=xfs");
  EXPECT_EQ(
      command_of(drop_in_text(unit, tls_settings(2376), {})),
      "/usr/bin/dockerd --label \"a=b $$c\" -H unix:///run/x.sock ${STORAGE} $MORE -H tcp://0.0.0.0:2376");
  // What needs not make room stays a variable.
  give("OPTIONS", "--label=a -H unix:///run/x.sock");
  EXPECT_EQ(command_of(drop_in_text(unit, tls_settings(2376), {})),
            "/usr/bin/dockerd $OPTIONS ${STORAGE} $MORE -H tcp://0.0.0.0:2376");
  // A flag in the unit, its value in a variable.
  unit.exec_start =
      "/usr/bin/dockerd -H unix:///run/x.sock -H tcp://${ADDRESS}:2376 --tlskey $KEY --label=$$x";
  give("ADDRESS", "10.0.0.4");
  give("KEY", "/k");
  EXPECT_EQ(command_of(drop_in_text(unit, tls_settings(2376), {})),
            "/usr/bin/dockerd -H unix:///run/x.sock --label=$$x -H tcp://0.0.0.0:2376");
}

TEST(DropIn, PassesOptionsThroughSystemdUnchanged) {
  DaemonOptions options;
  options.words = {"--x=tag={{.Name}} $1 50% \"q\" \\"};
  EXPECT_EQ(command_of(drop_in_text(unit_with("/usr/bin/dockerd -H fd://"), Settings{}, options)),
            R"(/usr/bin/dockerd -H fd:// "--x=tag={{.Name}} $$1 50%% \"q\" \\")");
}

TEST(DropIn, BracketsAnIpv6Address) {
  Settings settings = tls_settings(2376);
  settings.address = "::";
  EXPECT_THAT(command_of(drop_in_text(unit_with(debian_command), settings, {})),
              HasSubstr("-H tcp://[::]:2376"));
}

TEST(DropIn, SortsBehindAUsersOverride) {
  EngineUnit unit = unit_with(debian_command);
  EXPECT_THAT(drop_in_file(unit), HasSubstr("/10-docker-ext.conf"));
  unit.later_drop_in = true;
  EXPECT_THAT(drop_in_file(unit), HasSubstr("/zz-docker-ext.conf"));
}

TEST(DefaultsFile, HasItsFirstLineReplacedEvenWhenCommented) {
  const std::string ours = options_line(tls_settings(2376), {});
  EXPECT_EQ(ours, "DOCKER_OPTS=\"-H unix:///var/run/docker.sock -H tcp://0.0.0.0:2376\"");
  const std::string before = "# a\n#DOCKER_OPTS=\"--dns 8.8.8.8\"\nexport X=1\n";
  EXPECT_EQ(find_options_line(before), "#DOCKER_OPTS=\"--dns 8.8.8.8\"");
  const std::string after = with_options_line(before, ours);
  EXPECT_EQ(after, "# a\n" + ours + "\nexport X=1\n");
  EXPECT_EQ(with_options_line(after, find_options_line(before)), before);
  EXPECT_EQ(with_options_line("X=1", ours), "X=1\n" + ours + "\n");
  EXPECT_EQ(with_options_line("X=1\n" + ours + "\n", ""), "X=1\n");
  EXPECT_THAT(refusal_by([] {
                options_line(Settings{}, DaemonOptions{{}, {"--x=$(reboot)"}});
              }),
              HasSubstr("cannot carry"));
}

// -- what must restart ------------------------------------------------------------------------------------

TEST(Action, IsTheSmallestThatMakesTheEngineSeeTheChange) {
  EXPECT_EQ(action_for({}, true), EngineAction::none);
  EXPECT_EQ(action_for({}, false), EngineAction::start);
  EXPECT_EQ(action_for({.daemon_keys = {"labels", "live-restore", "debug"}}, true), EngineAction::reload);
  EXPECT_EQ(action_for({.daemon_keys = {"labels", "log-driver"}}, true), EngineAction::restart);
  EXPECT_EQ(action_for({.tls = true}, true), EngineAction::restart);
  EXPECT_EQ(action_for({.unit = true}, true), EngineAction::restart);
  EXPECT_EQ(action_for({.tls = true}, false), EngineAction::start);
}

}  // namespace
}  // namespace berth::extension
