#include "network/switch_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace berth::network {
namespace {

using nlohmann::json;

SwitchConfig whole_config() {
  SwitchConfig config;
  config.subnet = "10.1.0.0/24";
  config.egress = {Egress::Policy::hosts, {"pkg.mirror.lan", "192.0.2.0/24"}};
  config.ports.push_back({"0123456789ab",
                          "00:0d:3a:00:00:01",
                          "10.1.0.4",
                          "web1",
                          "/run/m.sock",
                          "/run/w.sock",
                          "/run/p.sock",
                          "/run/i.sock",
                          "/run/k.sock",
                          {{Forward::Protocol::udp, "127.0.0.2", 53, 5353, {"127.0.0.0/8"}},
                           {Forward::Protocol::tcp, "127.0.0.2", 22, 22, {}}}});
  return config;
}

TEST(SwitchConfigJson, SurvivesTheWayThroughAFile) {
  const SwitchConfig config = whole_config();
  EXPECT_EQ(parse_config(json::parse(to_json(config).dump())), config);
  for (const auto policy : {Egress::Policy::internet, Egress::Policy::full, Egress::Policy::none}) {
    SwitchConfig other;
    other.egress.policy = policy;
    EXPECT_EQ(parse_config(to_json(other)), other);
  }
}

TEST(SwitchReportJson, SurvivesTheWayThroughASocket) {
  SwitchReport report;
  report.refused = {{"0123456789ab", whole_config().ports[0].forwards[0], "address in use"}};
  report.connected = {{"0123456789ab", true}, {"ba9876543210", false}};
  const SwitchReport back = parse_report(json::parse(to_json(report).dump()));
  ASSERT_EQ(back.refused.size(), 1u);
  EXPECT_EQ(back.refused[0].port, report.refused[0].port);
  EXPECT_EQ(back.refused[0].forward, report.refused[0].forward);
  EXPECT_EQ(back.refused[0].why, report.refused[0].why);
  EXPECT_EQ(back.connected, report.connected);
}

TEST(SwitchConfigJson, SaysWhatIsMissingOrWrong) {
  const json whole = to_json(whole_config());
  const auto trouble = [](const json& document) -> std::string {
    try {
      parse_config(document);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind, ErrorKind::invalid);
      return error.what();
    }
    return "no error";
  };
  for (const auto& [key, value] : whole.items()) {
    json without = whole;
    without.erase(key);
    EXPECT_THAT(trouble(without), testing::HasSubstr(key));
  }
  for (const auto& [key, value] : whole["ports"][0].items()) {
    if (key == "wake") continue;  // an earlier version wrote none
    json without = whole;
    without["ports"][0].erase(key);
    EXPECT_THAT(trouble(without), testing::HasSubstr(key));
  }
  json wrong = whole;
  wrong["egress"]["policy"] = "some";
  EXPECT_THAT(trouble(wrong), testing::HasSubstr("'some'"));
  EXPECT_NE(trouble(json::array()), "no error");
}

}  // namespace
}  // namespace berth::network
