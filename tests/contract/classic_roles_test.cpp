#include "classic_documents.h"

namespace berth {

using testing::HasSubstr;

TEST_F(ClassicContract, NamesCompareWithoutCaseAndComeBackAsTheyWereFirstWritten) {
  create("MyDocker");
  EXPECT_EQ(world.read("services/hostedservices/MYDOCKER", "//ServiceName"), "MyDocker");
  EXPECT_EQ(world.read("services/hostedservices/mydocker/deployments/mydocker/roles/MYDOCKER", "//RoleName"),
            "MyDocker");
}

TEST_F(ClassicContract, ARoleIsShutDownStartedAndRestarted) {
  create();
  const auto status = [&] { return world.read(slot(), "//InstanceStatus"); };
  const auto operation = [&](const std::string& name) {
    return world.do_it("POST", operations,
                       fmt::format("<{0} {1}><OperationType>{0}</OperationType></{0}>", name, xmlns));
  };
  EXPECT_EQ(world.do_it("POST", operations, shutdown("Stopped")), "Succeeded");
  EXPECT_EQ(status(), "StoppedVM");
  EXPECT_EQ(world.do_it("POST", operations, shutdown("StoppedDeallocated")), "Succeeded");
  EXPECT_EQ(status(), "StoppedDeallocated");
  EXPECT_EQ(world.count(slot(), "//IpAddress"), 0u);
  EXPECT_EQ(operation("StartRoleOperation"), "Succeeded");
  EXPECT_EQ(operation("RestartRoleOperation"), "Succeeded");
  EXPECT_EQ(status(), "ReadyRole");
  EXPECT_THAT(operation("DanceRoleOperation"), HasSubstr("is not known"));
}

TEST_F(ClassicContract, ACaptureWithDeleteLeavesTheImageAndNoVirtualMachine) {
  create();
  world.do_it("POST", operations, shutdown("Stopped"));
  ASSERT_EQ(world.do_it("POST", operations, capture_os("mine")), "Succeeded");
  EXPECT_EQ(world.read("services/images/mine", "/OSImage/Category"), "User");
  EXPECT_EQ(world.send("GET", slot()).status, 404);
  EXPECT_EQ(world.send("DELETE", "services/images/mine").status, 200);
}

TEST_F(ClassicContract, ARunningRoleIsNotCaptured) {
  create();
  const Response refused = world.send("POST", operations, capture_os("mine"));
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("azure vm shutdown"));
}

TEST_F(ClassicContract, ASpecializedVmImageStartsWithoutAnybodySetUp) {
  create();
  world.do_it("POST", operations, shutdown("Stopped"));
  ASSERT_EQ(
      world.do_it(
          "POST", operations,
          fmt::format("<CaptureRoleAsVMImageOperation "
                      "{}><OperationType>CaptureRoleAsVMImageOperation</OperationType><OSState>Specialized"
                      "</OSState><VMImageName>special</VMImageName><VMImageLabel>l</VMImageLabel></"
                      "CaptureRoleAsVMImageOperation>",
                      xmlns)),
      "Succeeded");
  EXPECT_EQ(world.read("services/vmimages", "//VMImage/Name"), "special");
  EXPECT_EQ(world.read("services/vmimages", "//OSState"), "Specialized");
  EXPECT_EQ(world.send("GET", "services/images/special").status, 404);

  world.send("POST", "services/hostedservices", create_service("copy"));
  const std::string body = fmt::format(
      "<Deployment {}><Name>copy</Name><RoleList><Role><RoleName>copy</RoleName>"
      "<VMImageName>special</VMImageName><RoleSize>Small</RoleSize></Role></RoleList></Deployment>",
      xmlns);
  EXPECT_EQ(world.do_it("POST", "services/hostedservices/copy/deployments", body), "Succeeded");
  EXPECT_EQ(world.do_it("DELETE", "services/vmimages/special"), "Succeeded");
  EXPECT_EQ(world.read("services/hostedservices/copy/deploymentslots/Production", "//InstanceStatus"),
            "ReadyRole");
}

TEST_F(ClassicContract, AnImageGoesThoughAMachineWasMadeOfIt) {
  create();
  EXPECT_EQ(world.send("DELETE", "services/images/tiny").status, 200);
  EXPECT_EQ(world.send("GET", "services/images/tiny").status, 404);
  EXPECT_EQ(world.read(slot(), "//InstanceStatus"), "ReadyRole");
}

TEST_F(ClassicContract, APrivateAddressIsKeptFromTheStartOrChangedWhileTheMachineIsOff) {
  create();
  const auto put = [&](const std::string& address) {
    std::string text = RoleText().persistent();
    const std::string end = "<SubnetNames/>";
    text.insert(text.find(end) + end.size(),
                "<StaticVirtualNetworkIPAddress>" + address + "</StaticVirtualNetworkIPAddress>");
    return world.do_it("PUT", role(), text);
  };
  EXPECT_EQ(world.count(role(), "//StaticVirtualNetworkIPAddress"), 0u);
  ASSERT_EQ(put("10.0.0.4"), "Succeeded");
  EXPECT_EQ(world.read(role(), "//StaticVirtualNetworkIPAddress"), "10.0.0.4");
  EXPECT_THAT(put("10.0.0.77"), HasSubstr("Shut it down first"));
  ASSERT_EQ(world.do_it("POST", "services/hostedservices/web/deployments/web/roleinstances/web/Operations",
                        "<ShutdownRoleOperation><PostShutdownAction>StoppedDeallocated</PostShutdownAction>"
                        "</ShutdownRoleOperation>"),
            "Succeeded");
  ASSERT_EQ(put("10.0.0.77"), "Succeeded");
  EXPECT_EQ(
      world.region().networks().list<NetworkInterface>("web").at(0)->configurations.at(0).private_address,
      "10.0.0.77");
  ASSERT_EQ(world.do_it("PUT", role(), RoleText().persistent()), "Succeeded");
  EXPECT_EQ(world.count(role(), "//StaticVirtualNetworkIPAddress"), 0u);
}

TEST_F(ClassicContract, ARoleHasOneInterface) {
  world.send("POST", "services/hostedservices", create_service("web"));
  std::string text = RoleText().deployment();
  const std::string none = "<NetworkInterfaces/>";
  text.replace(
      text.find(none), none.size(),
      "<NetworkInterfaces><NetworkInterface><Name>eth1</Name></NetworkInterface></NetworkInterfaces>");
  const Response refused = world.send("POST", "services/hostedservices/web/deployments", text);
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("more than one network interface"));
}

TEST_F(ClassicContract, ThereIsNothingToMigrate) {
  create();
  for (const char* path : {"services/hostedservices/web/deployments/web/migration?comp=prepare",
                           "services/storageservices/any/migration?comp=commit"})
    EXPECT_THAT(ClassicWorld::message(world.send("POST", path)), HasSubstr("nothing to migrate"));
}

}  // namespace berth
