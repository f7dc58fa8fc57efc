#include "region/port_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth {
namespace {

SecurityRule rule(const std::string& access, const std::string& ports, int priority,
                  const std::string& from = "*") {
  return {.name = "r" + std::to_string(priority),
          .protocol = "Tcp",
          .access = access,
          .priority = priority,
          .source_prefixes = {from},
          .destination_ports = {ports}};
}
SecurityGroup group(std::vector<SecurityRule> rules) {
  SecurityGroup made;
  made.rules = std::move(rules);
  return made;
}
std::vector<int> numbers(const std::vector<OpenPort>& open) {
  std::vector<int> out;
  for (const OpenPort& port : open) out.push_back(port.public_port);
  return out;
}

TEST(OpenPorts, AreThoseThatARuleAllows) {
  const SecurityGroup rules = group({rule("Allow", "22", 100), rule("Allow", "8000-8002", 200)});
  EXPECT_THAT(numbers(open_ports({}, &rules, nullptr, {})), testing::ElementsAre(22, 8000, 8001, 8002));
}

TEST(OpenPorts, FollowTheFirstRuleThatSpeaksOfThem) {
  const SecurityGroup rules = group(
      {rule("Allow", "22", 300), rule("Deny", "22", 200), rule("Allow", "80", 100), rule("Deny", "*", 101)});
  EXPECT_THAT(numbers(open_ports({}, &rules, nullptr, {})), testing::ElementsAre(80));
}

TEST(OpenPorts, NeedBothGroups) {
  const SecurityGroup outer = group({rule("Allow", "22", 100), rule("Allow", "80", 101)}),
                      inner = group({rule("Allow", "80", 100)});
  EXPECT_THAT(numbers(open_ports({}, &outer, &inner, {})), testing::ElementsAre(80));
}

TEST(OpenPorts, KeepTheSourcesOfARule) {
  const SecurityGroup rules = group({rule("Allow", "22", 100, "10.0.0.0/8")});
  EXPECT_THAT(open_ports({}, &rules, nullptr, {}).at(0).sources, testing::ElementsAre("10.0.0.0/8"));
}

TEST(OpenPorts, AreTheWellKnownAndTheServedOnesWithoutAGroup) {
  const auto open = numbers(open_ports({}, nullptr, nullptr, {5999}));
  EXPECT_THAT(open, testing::IsSupersetOf({22, 80, 443, 4243, 5999}));
}

TEST(OpenPorts, OfEndpointsLeadToTheirOwnPrivatePort) {
  NetworkInterface nic;
  nic.endpoints = {{"ssh", "tcp", 2222, 22, {}}};
  EXPECT_THAT(open_ports(nic, nullptr, nullptr, {}), testing::ElementsAre(OpenPort{"tcp", 2222, 22, {}}));
}

TEST(SecurityRules, ThatMakeNoSenseAreRefused) {
  EXPECT_EQ(rule_problem(rule("Allow", "22", 100)), "");
  EXPECT_NE(rule_problem(rule("Allow", "70000", 100)), "");
  EXPECT_NE(rule_problem(rule("Allow", "30-20", 100)), "");
  EXPECT_NE(rule_problem(rule("Allow", "22", 99)), "");
  EXPECT_NE(rule_problem(rule("Maybe", "22", 100)), "");
  EXPECT_NE(rule_problem(rule("Allow", "22", 100, "10.0.0.0/33")), "");
}

}  // namespace
}  // namespace berth
