#include "classic_documents.h"

#include <fstream>

namespace berth {

using testing::HasSubstr;

class ClassicExtensions : public ClassicContract {
 protected:
  ClassicExtensions() {
    std::ofstream(world.folder() / "bundled/Microsoft.Azure.Extensions.DockerExtension_1.3.0.zip") << "zip";
  }
  void create_docker(const std::string& port = "2376") {
    ASSERT_EQ(world.send("POST", "services/hostedservices", create_service("web")).status, 201);
    RoleText text;
    text.extensions =
        extension("enable", R"({"docker":{"port":")" + port + "\"}}", R"({"certs":{"ca":"a"}})");
    created = world.send("POST", "services/hostedservices/web/deployments", text.deployment());
  }
  const Extension& stored() { return world.region().machines().get({"web", "web"}).extensions.at(0); }
  Response created;
};

TEST_F(ClassicExtensions, Gotcha06APutWithoutReferencesLeavesExtensionsAlone) {
  create_docker();
  ASSERT_EQ(world.finish(created), "Succeeded");
  ASSERT_EQ(world.do_it("PUT", role(), RoleText().persistent()), "Succeeded");
  EXPECT_EQ(world.read(role(), "//ResourceExtensionReference/State"), "enable");
  EXPECT_EQ(stored().sequence, 0);
}

TEST_F(ClassicExtensions, Gotcha06APutWithReferencesKeepsPrivateSettingsThatItDoesNotName) {
  create_docker();
  ASSERT_EQ(world.finish(created), "Succeeded");
  const std::string hidden = stored().protected_settings;
  ASSERT_NE(hidden, "");
  RoleText text;
  text.extensions = extension("Enable", R"({"docker":{"port":"2377"}})", "");
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(stored().protected_settings, hidden);
  EXPECT_EQ(stored().settings, R"({"docker":{"port":"2377"}})");
}

TEST_F(ClassicExtensions, PrivateSettingsAreNeverGivenOut) {
  create_docker();
  ASSERT_EQ(world.finish(created), "Succeeded");
  EXPECT_EQ(world.count(slot(), "//ResourceExtensionParameterValue[Type='Private']"), 0u);
  EXPECT_EQ(base64_decode(world.read(slot(), "//ResourceExtensionParameterValue/Value")),
            R"({"docker":{"port":"2376"}})");
  EXPECT_EQ(world.read(slot(), "//ResourceExtensionParameterValue/Key"), "ignored");
}

TEST_F(ClassicExtensions, AnExtensionIsDisabledAndUninstalled) {
  create_docker();
  ASSERT_EQ(world.finish(created), "Succeeded");
  RoleText text;
  text.extensions = extension("Disable", "", "");
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(stored().state, "disabled");
  EXPECT_NE(stored().settings, "");
  text.extensions = extension("Uninstall", "", "");
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(world.count(role(), "//ResourceExtensionReference"), 0u);
}

TEST_F(ClassicExtensions, Gotcha09ADockerPortThatIsNoneIsSaidAtOnce) {
  create_docker("abc");
  EXPECT_EQ(created.status, 400);
  EXPECT_THAT(ClassicWorld::message(created), HasSubstr("docker port 'abc'"));
  EXPECT_EQ(world.send("GET", slot()).status, 404);
}

TEST_F(ClassicExtensions, AReferenceNameIsOneThatResourceManagerCanAddress) {
  ASSERT_EQ(world.send("POST", "services/hostedservices", create_service("web")).status, 201);
  RoleText text;
  for (const std::string bad : {"#RunCommandLinux", "../../x", "a/b"}) {
    text.extensions = extension("enable", R"({"docker":{"port":"2376"}})", "");
    const std::string name = "<ReferenceName>";
    const auto begin = text.extensions.find(name) + name.size();
    text.extensions.replace(begin, text.extensions.find('<', begin) - begin, bad);
    EXPECT_EQ(world.send("POST", "services/hostedservices/web/deployments", text.deployment()).status, 400)
        << bad;
  }
}

TEST_F(ClassicExtensions, Gotcha10NothingIsLeftOfAFailedDeploymentWhenItsOperationSaysSo) {
  world.guests().answer = [](const Vm&, const Extension& asked) {
    HandlerStatus status{
        .handler = asked.handler(), .version = asked.version, .status = "Ready", .sequence = asked.sequence};
    status.settings = StatusItem{.name = "x", .status = "error", .code = 7, .message = "No engine here."};
    return status;
  };
  create_docker();
  EXPECT_THAT(world.finish(created), HasSubstr("VMExtensionProvisioningError : "));
  EXPECT_EQ(world.send("GET", slot()).status, 404);
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
  EXPECT_EQ(world.count("services/disks", "//Disk"), 0u);
  EXPECT_EQ(world.region().groups().find("web"), nullptr);
}

TEST_F(ClassicExtensions, TheGalleryListsTheNewestOfEachAndAllVersionsOfOne) {
  std::ofstream(world.folder() / "bundled/Microsoft.Azure.Extensions.DockerExtension_1.4.0.zip") << "zip";
  EXPECT_EQ(world.count("services/resourceextensions", "//ResourceExtension"), 1u);
  EXPECT_EQ(world.read("services/resourceextensions", "//Version"), "1.4.0");
  EXPECT_EQ(world.count("services/resourceextensions/microsoft.azure.extensions/dockerextension",
                        "//ResourceExtension"),
            2u);
}

}  // namespace berth
