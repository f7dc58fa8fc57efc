#include "api/wire/goal_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <sstream>

#include "api/wire/sample_view.h"

namespace berth::wire {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string fixture(const std::string& name) {
  std::ifstream file(std::string(BERTH_FIXTURES) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_FALSE(text.str().empty()) << name;
  return text.str();
}

/// The RuntimeSettings of the only plugin, as the agent reads them.
nlohmann::json settings_of(const GuestPlugin& plugin) {
  GuestView view = sample_view();
  view.plugins = {plugin};
  pugi::xml_document document;
  document.load_string(extensions_config_xml(view, sample_thumbprint).c_str());
  const auto text =
      document.child("Extensions").child("PluginSettings").child("Plugin").child_value("RuntimeSettings");
  return nlohmann::json::parse(text).at("runtimeSettings").at(0).at("handlerSettings");
}

}  // namespace

TEST(WireDocuments, AreThoseOfTheFixtures) {
  const GuestView view = sample_view();
  EXPECT_EQ(versions_xml(), fixture("versions.xml"));
  EXPECT_EQ(goal_state_xml(view, true), fixture("goal_state.xml"));
  EXPECT_EQ(hosting_environment_xml(view, sample_thumbprint), fixture("hosting_environment.xml"));
  EXPECT_EQ(shared_config_xml(view), fixture("shared_config.xml"));
  EXPECT_EQ(extensions_config_xml(view, sample_thumbprint), fixture("extensions_config.xml"));
  EXPECT_EQ(certificates_xml(view, std::string(100, 'x')), fixture("certificates.xml"));
  EXPECT_EQ(manifest_xml("Contoso.Test.ShellHandler", {"1.0.0", "1.0.1"}), fixture("manifest.xml"));
}

TEST(WireDocuments, GoalStateLeavesTheCertificatesOut) {
  EXPECT_THAT(goal_state_xml(sample_view(), false), Not(HasSubstr("Certificates")));
}

TEST(WireDocuments, ANewIncarnationShowsEverywhere) {
  GuestView view = sample_view();
  view.incarnation = 4'000'000'000u;
  EXPECT_THAT(goal_state_xml(view, true), HasSubstr("<Incarnation>4000000000</Incarnation>"));
  EXPECT_THAT(extensions_config_xml(view, ""), HasSubstr("inSvdSeqNo=\"4000000000\""));
  EXPECT_THAT(shared_config_xml(view), HasSubstr("goalStateIncarnation=\"4000000000\""));
}

TEST(WireDocuments, AVmWithoutExtensionsHasNoPluginLists) {
  GuestView view = sample_view();
  view.plugins.clear();
  view.nics.clear();
  EXPECT_THAT(extensions_config_xml(view, ""), Not(HasSubstr("Plugin")));
  EXPECT_THAT(shared_config_xml(view), HasSubstr("address=\"\""));
}

TEST(WireDocuments, NamesAreEscaped) {
  GuestView view = sample_view();
  view.role = "a<&\"b";
  pugi::xml_document document;
  ASSERT_TRUE(document.load_string(hosting_environment_xml(view, "").c_str()));
  EXPECT_STREQ(document.child("HostingEnvironmentConfig").child("Role").attribute("name").value(), "a<&\"b");
  ASSERT_TRUE(document.load_string(goal_state_xml(view, true).c_str()));
  ASSERT_TRUE(document.load_string(extensions_config_xml(view, "").c_str()));
}

TEST(WireDocuments, SettingsOfBothKindsReachTheHandler) {
  const nlohmann::json settings = settings_of(sample_view().plugins.front());
  EXPECT_EQ(settings.at("publicSettings").at("docker").at("port"), "4243");
  EXPECT_EQ(settings.at("publicSettings").at("note"), "a < b & \"c\"");
  EXPECT_EQ(settings.at("protectedSettings"), "MIIB5AYJKoZI");
  EXPECT_EQ(settings.at("protectedSettingsCertThumbprint"), sample_thumbprint);
}

TEST(WireDocuments, WithoutProtectedSettingsThereIsNoThumbprint) {
  GuestPlugin plugin = sample_view().plugins.front();
  plugin.protected_settings.clear();
  EXPECT_FALSE(settings_of(plugin).contains("protectedSettings"));
  EXPECT_FALSE(settings_of(plugin).contains("protectedSettingsCertThumbprint"));
}

TEST(WireDocuments, SettingsThatAreNoObjectCountAsNone) {
  GuestPlugin plugin = sample_view().plugins.front();
  for (const char* text : {"", "[1]", "nonsense", "null", "{\"a\":\"\xff\"}"}) {
    plugin.settings = text;
    EXPECT_EQ(settings_of(plugin).at("publicSettings"), nlohmann::json::object()) << text;
  }
}

TEST(WireDocuments, ControlCharactersInSettingsStayEscaped) {
  GuestPlugin plugin = sample_view().plugins.front();
  plugin.settings = R"({"a":"\u0001\u0000 é"})";
  EXPECT_EQ(settings_of(plugin).at("publicSettings").at("a"), std::string("\x01\0 \xc3\xa9", 5));
}

TEST(WireDocuments, PluginAndSettingsNameTheSameVersion) {
  pugi::xml_document document;
  document.load_string(extensions_config_xml(sample_view(), "").c_str());
  const pugi::xml_node root = document.child("Extensions");
  for (const pugi::xml_node plugin : root.child("Plugins").children())
    EXPECT_STREQ(root.child("PluginSettings")
                     .find_child_by_attribute("name", plugin.attribute("name").value())
                     .attribute("version")
                     .value(),
                 plugin.attribute("version").value());
}

TEST(WireDocuments, OfTwoExtensionsOfOneHandlerTheFirstCounts) {
  GuestView view = sample_view();
  view.plugins[1].handler = "contoso.test.shellhandler";
  pugi::xml_document document;
  document.load_string(extensions_config_xml(view, "").c_str());
  const pugi::xml_node plugins = document.child("Extensions").child("Plugins");
  EXPECT_EQ(std::distance(plugins.begin(), plugins.end()), 1);
}

TEST(PackagePaths, AreReadBack) {
  EXPECT_EQ(parse_package_path(manifest_path("A.B.C")).handler, "A.B.C");
  EXPECT_EQ(parse_package_path(manifest_path("A.B.C")).version, "");
  EXPECT_EQ(parse_package_path(package_path("A.B__C", "1.0.0")).handler, "A.B__C");
  EXPECT_EQ(parse_package_path(package_path("A.B__C", "1.0.0")).version, "1.0.0");
}

TEST(PackagePaths, WhatIsNoneNamesNoHandler) {
  for (const char* path : {"", "/", "/pkg/", "/pkg/_manifest.xml", "/pkg/a.zip", "/pkg/a__.zip",
                           "/pkg/x/y__1.zip", "/pkg/../a__1.zip", "/machine/a__1.zip"})
    EXPECT_EQ(parse_package_path(path).handler, "") << path;
}

}  // namespace berth::wire
