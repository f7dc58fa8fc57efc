#include "api/arm/members.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "api/arm/member_tables.h"
#include "base/error.h"
#include "model/names.h"

namespace berth::arm {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr std::string_view vm = "Microsoft.Compute/virtualMachines";

std::optional<Error> refusal_of(std::string_view type, const json& body) {
  try {
    kept_members(type, body);
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

TEST(Members, WhatHasNoEffectIsKeptInAzuresSpelling) {
  const json body = {
      {"Zones", {"1"}},
      {"properties",
       {{"hardwareProfile", {{"vmSize", "Standard_B1s"}}},
        {"SecurityProfile", {{"securityType", "TrustedLaunch"}, {"uefiSettings", {{"vTpmEnabled", true}}}}},
        {"priority", "Spot"}}}};

  EXPECT_EQ(json::parse(kept_members(vm, body)),
            (json{{"zones", {"1"}},
                  {"properties",
                   {{"securityProfile",
                     {{"securityType", "TrustedLaunch"}, {"uefiSettings", {{"vTpmEnabled", true}}}}},
                    {"priority", "Spot"}}}}));
}

TEST(Members, OnlyHonouredOnesLeaveNothingToKeep) {
  EXPECT_EQ(kept_members(vm, {{"location", "westus"}, {"tags", {{"anything", "1"}}}, {"name", "x"}}), "");
}

TEST(Members, WhatTheTypeHasNotIsRefusedByName) {
  const auto error = refusal_of(vm, {{"properties", {{"hardwareProfil", {{"vmSize", "x"}}}}}});

  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, "BadRequest");
  EXPECT_THAT(error->what(), HasSubstr("'hardwareProfil' on object of type 'virtualMachines'"));
  EXPECT_THAT(error->what(), HasSubstr("'properties.hardwareProfil'"));
}

TEST(Members, WhatWouldOpenAPortIsRefusedUnlessItSaysNothing) {
  constexpr std::string_view rule = "Microsoft.Network/networkSecurityGroups/securityRules";
  const auto with = [](json groups) {
    return json{{"properties", {{"sourceApplicationSecurityGroups", std::move(groups)}}}};
  };

  EXPECT_FALSE(refusal_of(rule, with(json::array())));
  EXPECT_FALSE(refusal_of(rule, with(nullptr)));
  const auto error = refusal_of(rule, with({{{"id", "/x"}}}));
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, "OperationNotAllowed");
  EXPECT_THAT(error->what(), HasSubstr("sourceApplicationSecurityGroups"));
}

TEST(Members, KeptOnesAreGivenBackOverWhatTheRegionWouldSay) {
  EXPECT_EQ(json::parse(with_kept(R"({"a":{"b":1,"c":2}})", R"({"a":{"c":3},"d":[1]})")),
            (json{{"a", {{"b", 1}, {"c", 3}}}, {"d", {1}}}));
}

TEST(Members, ReferencesInThemAreFoundAtAnyDepth) {
  const std::string id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/routeTables/r";
  EXPECT_THAT(kept_references(
                  json{{"properties", {{"routeTable", {{"id", id}}}, {"x", {{{"id", "no id"}}}}}}}.dump()),
              testing::ElementsAre(id));
}

/// Each line can be reached, stands once, and says why it refuses; what is kept stands in no list, whose
/// elements could not be told apart when they are given back.
TEST(Members, TheTablesAreSound) {
  for (const Document& document : documents()) {
    std::set<std::string> lines;
    for (const Member& member : document.members) {
      const std::string where = std::string(document.type) + " " + std::string(member.path);
      EXPECT_TRUE(lines.insert(lower(member.path)).second) << where;
      EXPECT_EQ(member.use == Use::refused, !member.why.empty()) << where;
      if (member.use == Use::kept) {
        EXPECT_THAT(where, testing::Not(HasSubstr("networkInterfaces."))) << where;
      }
    }
    for (const Member& above : document.members)
      for (const Member& below : document.members)
        EXPECT_FALSE(below.path.starts_with(std::string(above.path) + "."))
            << document.type << ": " << below.path << " lies below " << above.path;
  }
}

std::string rendered() {
  std::string text =
      "# The members of Resource Manager's documents\n\n"
      "What becomes of each: *honoured* does here what it does on Azure; *kept* is given back as it was sent "
      "and has no\n"
      "effect here; *told* is what the region says itself, and is passed over when it is sent back; "
      "*refused* is refused by\n"
      "name unless it says nothing (null, false, empty). A line covers what is below it. A member that has "
      "no line is\n"
      "refused. Written by a test from src/api/arm/member_tables.cpp: `BERTH_WRITE_DOCS=1 api_arm_test\n"
      "--gtest_filter=Members.TheirTable*`.\n";
  const auto add = [&](std::string_view title, std::span<const Member> members) {
    text += "\n## " + std::string(title) + "\n\n| member | |\n|---|---|\n";
    for (const Member& member : members) {
      constexpr std::string_view words[] = {"honoured", "kept", "told", "refused"};
      text += "| `" + std::string(member.path) + "` | " +
              std::string(words[static_cast<std::size_t>(member.use)]) +
              (member.why.empty() ? "" : ": " + std::string(member.why)) + " |\n";
    }
  };
  add("Every resource", members_of_every_resource());
  for (const Document& document : documents()) add(document.type, document.members);
  return text;
}

TEST(Members, TheirTableInTheDocumentsIsThisOne) {
  const std::string file = BERTH_FIXTURES "/../../../docs/wire/arm-members.md";
  if (::getenv("BERTH_WRITE_DOCS")) std::ofstream(file) << rendered();
  std::ifstream in(file);
  const std::string written{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(written, rendered());
}

}  // namespace
}  // namespace berth::arm
