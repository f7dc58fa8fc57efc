#include "classic_documents.h"

#include <fstream>

namespace berth {

using testing::HasSubstr;

TEST_F(ClassicContract, DeletingTheLastRoleEmptiesTheServiceAndThenItGoes) {
  create();

  EXPECT_EQ(world.do_it("DELETE", "services/hostedservices/web/deployments/web?comp=media"), "Succeeded");

  EXPECT_EQ(world.count("services/hostedservices/web?embed-detail=true", "//Deployments/*"), 0u);
  EXPECT_EQ(world.count("services/hostedservices/web?embed-detail=true", "//Deployments"), 1u);
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
  EXPECT_EQ(world.send("GET", "services/hostedservices/web").status, 404);
  EXPECT_EQ(world.region().groups().find("web"), nullptr);
}

TEST_F(ClassicContract, ADiskThatStayedStartsAgainInANewService) {
  create();
  const std::string disk = world.read("services/disks", "//Disk/Name");
  world.do_it("DELETE", "services/hostedservices/web/deployments/web");
  world.send("DELETE", "services/hostedservices/web");
  const std::string file = world.region().disks().list().at(0)->file;

  ASSERT_EQ(world.send("POST", "services/hostedservices", create_service("again")).status, 201);
  const std::string body = fmt::format(
      "<Deployment "
      "{}><Name>again</Name><RoleList><Role><RoleName>again</RoleName><OSVirtualHardDisk><DiskName>{}</"
      "DiskName>"
      "<OS>Linux</OS></OSVirtualHardDisk><RoleSize>Small</RoleSize></Role></RoleList></Deployment>",
      xmlns, disk);
  EXPECT_EQ(world.do_it("POST", "services/hostedservices/again/deployments", body), "Succeeded");
  EXPECT_EQ(world.read("services/disks/" + disk, "//AttachedTo/RoleName"), "again");
  EXPECT_EQ(world.region().disks().list().at(0)->file, file);
  EXPECT_TRUE(std::filesystem::exists(world.folder() / file));
}

TEST_F(ClassicContract, ASecondRoleSharesTheAddressAndGoesAlone) {
  create();
  RoleText second;
  second.name = "web-2";
  const std::string roles = "services/hostedservices/web/deployments/web/roles";
  const Response clash = world.send("POST", roles, second.persistent());
  EXPECT_EQ(clash.status, 409);
  EXPECT_THAT(ClassicWorld::message(clash),
              HasSubstr("Port 22 is already used by endpoint 'ssh' of the role 'web'"));
  second.endpoints =
      "<InputEndpoint><LocalPort>22</LocalPort><Name>ssh</Name><Port>2222</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  ASSERT_EQ(world.do_it("POST", roles, second.persistent()), "Succeeded");
  EXPECT_EQ(world.count(slot(), "//Role"), 2u);
  EXPECT_FALSE(world.region().groups().find("web")->tags.contains("berth:host"));

  ASSERT_EQ(world.do_it("DELETE", roles + "/web-2?comp=media"), "Succeeded");
  EXPECT_EQ(world.count(slot(), "//Role"), 1u);
  EXPECT_TRUE(world.region().groups().find("web")->tags.contains("berth:host"));
  EXPECT_EQ(world.send("DELETE", roles + "/web").status, 400);
}

TEST_F(ClassicContract, DataDisksAreAttachedAndDetached) {
  create();
  const std::string disks = role() + "/DataDisks";
  const std::string order = fmt::format(
      "<DataVirtualHardDisk {}><HostCaching>None</HostCaching><DiskLabel>d</DiskLabel><Lun>0</Lun>"
      "<LogicalDiskSizeInGB>5</LogicalDiskSizeInGB><MediaLink>https://a/b.vhd</MediaLink></"
      "DataVirtualHardDisk>",
      xmlns);
  ASSERT_EQ(world.do_it("POST", disks, order), "Succeeded");
  EXPECT_EQ(world.send("POST", disks, order).status, 409);
  EXPECT_EQ(world.read(disks + "/0", "//LogicalDiskSizeInGB"), "5");
  EXPECT_EQ(world.read(disks + "/0", "//MediaLink"), "https://a/b.vhd");
  EXPECT_EQ(
      world
          .send("PUT", disks + "/0",
                "<DataVirtualHardDisk><HostCaching>ReadOnly</HostCaching><Lun>0</Lun></DataVirtualHardDisk>")
          .status,
      200);
  EXPECT_EQ(world.read(disks + "/0", "//HostCaching"), "ReadOnly");
  ASSERT_EQ(world.do_it("DELETE", disks + "/0?comp=media"), "Succeeded");
  EXPECT_EQ(world.send("GET", disks + "/0").status, 404);
  EXPECT_EQ(world.count("services/disks", "//Disk"), 1u);
}

TEST_F(ClassicContract, ADeploymentThatWasUnderWayWhenTheRegionEndedIsTakenBack) {
  world.guests().talkative = false;
  world.send("POST", "services/hostedservices", create_service("web"));
  const Response accepted =
      world.send("POST", "services/hostedservices/web/deployments", RoleText().deployment());
  EXPECT_EQ(accepted.status, 202);
  world.restart();
  EXPECT_THAT(world.finish(accepted), HasSubstr("OperationPreempted"));
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
  EXPECT_EQ(world.region().machines().list().size(), 0u);
}

TEST_F(ClassicContract, AServiceWhoseNetworkAnotherOneJoinedGoesAndItsNetworkGoesWithTheLast) {
  create();
  ASSERT_EQ(world.send("POST", "services/hostedservices", create_service("guest")).status, 201);
  RoleText text;
  text.name = "guest";
  std::string body = text.deployment("guest");
  body.insert(body.find("</Deployment>"), "<VirtualNetworkName>web-vnet</VirtualNetworkName>");
  ASSERT_EQ(world.do_it("POST", "services/hostedservices/guest/deployments", body), "Succeeded");

  ASSERT_EQ(world.do_it("DELETE", "services/hostedservices/web/deployments/web?comp=media"), "Succeeded");
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
  EXPECT_EQ(world.read(slot("guest"), "//InstanceStatus"), "ReadyRole");
  EXPECT_EQ(world.region().networks().list<VirtualNetwork>("web").size(), 1u);

  ASSERT_EQ(world.do_it("DELETE", "services/hostedservices/guest/deployments/guest?comp=media"), "Succeeded");
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/guest").status, 200);
  EXPECT_EQ(world.region().groups().find("guest"), nullptr);
  EXPECT_EQ(world.region().groups().find("web"), nullptr);
}

// --- data disks in a role's order

class ClassicDataDisks : public ClassicContract {
 protected:
  static std::string disk(int lun, const std::string& more) {
    return fmt::format("<DataVirtualHardDisk>{}<Lun>{}</Lun></DataVirtualHardDisk>", more, lun);
  }
  static std::string fresh(int lun, int gib = 5) {
    return disk(
        lun,
        fmt::format("<HostCaching>ReadOnly</HostCaching><DiskLabel>d{0}</DiskLabel><LogicalDiskSizeInGB>{1}"
                    "</LogicalDiskSizeInGB><MediaLink>https://a/{0}.vhd</MediaLink>",
                    lun, gib));
  }
  static std::string kept(int lun, const std::string& name) {
    return disk(lun, "<DiskName>" + name + "</DiskName>");
  }
  Response deploy(const std::string& data_disks) {
    world.send("POST", "services/hostedservices", create_service("web"));
    RoleText text;
    text.data_disks = data_disks;
    return world.send("POST", "services/hostedservices/web/deployments", text.deployment());
  }
  Response put(const std::string& data_disks) {
    RoleText text;
    text.data_disks = data_disks;
    return world.send("PUT", role(), text.persistent());
  }
  std::string at(int lun, const char* element) {
    return world.read(role(), fmt::format("//DataVirtualHardDisk[Lun='{}']/{}", lun, element).c_str());
  }
  /// A disk that no virtual machine has, left by a deployment that is gone.
  std::string left_behind() {
    EXPECT_EQ(world.finish(deploy(fresh(0, 7))), "Succeeded");
    const std::string name = at(0, "DiskName");
    EXPECT_EQ(world.do_it("DELETE", role() + "/DataDisks/0"), "Succeeded");
    EXPECT_EQ(world.do_it("DELETE", "services/hostedservices/web/deployments/web?comp=media"), "Succeeded");
    return name;
  }
};

TEST_F(ClassicDataDisks, ANewRoleHasThoseOfItsOrder) {
  const std::string there = left_behind();

  ASSERT_EQ(world.finish(deploy(fresh(0) + kept(3, there))), "Succeeded");

  EXPECT_EQ(world.count(role(), "//DataVirtualHardDisk"), 2u);
  EXPECT_EQ(at(0, "LogicalDiskSizeInGB"), "5");
  EXPECT_EQ(at(0, "DiskLabel"), "d0");
  EXPECT_EQ(at(0, "HostCaching"), "ReadOnly");
  EXPECT_EQ(at(0, "MediaLink"), "https://a/0.vhd");
  EXPECT_EQ(at(3, "DiskName"), there);
  EXPECT_EQ(at(3, "LogicalDiskSizeInGB"), "7");
  EXPECT_EQ(world.read("services/disks/" + there, "//AttachedTo/RoleName"), "web");
}

TEST_F(ClassicDataDisks, WhatCannotBeIsSaidAtOnceAndNothingIsMade) {
  const auto refused = [&](const std::string& disks) {
    const Response response = deploy(disks);
    EXPECT_EQ(world.send("GET", slot()).status, 404);
    EXPECT_EQ(world.region().networks().list<NetworkInterface>().size(), 0u);
    return fmt::format("{} {}", response.status, ClassicWorld::message(response));
  };
  EXPECT_THAT(refused(fresh(0) + fresh(0)),
              HasSubstr("409 The role 'web' has a data disk at logical unit number 0"));
  EXPECT_THAT(refused(kept(0, "none")), HasSubstr("404 The disk 'none' does not exist."));
  EXPECT_THAT(refused(disk(0, "<DiskLabel>d</DiskLabel>")),
              HasSubstr("400 The data disk has no LogicalDiskSizeInGB"));
  EXPECT_THAT(refused(fresh(0) + fresh(1) + fresh(2)), HasSubstr("takes 2 data disks"));
  EXPECT_THAT(refused(disk(0, "<SourceMediaLink>https://a/b.vhd</SourceMediaLink>")),
              HasSubstr("no blob service"));
}

TEST_F(ClassicDataDisks, APutOfARoleAddsAndChangesThoseThatItNamesAndLeavesTheOthers) {
  ASSERT_EQ(world.finish(deploy(fresh(0))), "Succeeded");
  const std::string first = at(0, "DiskName");

  ASSERT_EQ(world.finish(put(fresh(1))), "Succeeded");
  EXPECT_EQ(world.count(role(), "//DataVirtualHardDisk"), 2u);
  EXPECT_EQ(at(1, "DiskLabel"), "d1");
  const std::string changed =
      disk(0, "<HostCaching>ReadWrite</HostCaching><DiskLabel>other</DiskLabel><DiskName>" + first +
                  "</DiskName>");
  ASSERT_EQ(world.finish(put(changed)), "Succeeded");

  EXPECT_EQ(world.count(role(), "//DataVirtualHardDisk"), 2u);
  EXPECT_EQ(at(0, "HostCaching"), "ReadWrite");
  EXPECT_EQ(at(0, "DiskLabel"), "other");
  EXPECT_EQ(at(0, "DiskName"), first);
  EXPECT_EQ(put(fresh(0, 9)).status, 409);
  EXPECT_EQ(put(kept(0, at(1, "DiskName"))).status, 409);
  EXPECT_EQ(world.finish(put("")), "Succeeded");
  EXPECT_EQ(world.count(role(), "//DataVirtualHardDisk"), 2u);
}

TEST_F(ClassicDataDisks, OfAFailedDeploymentOnlyThoseStayThatWereThereBefore) {
  const std::string there = left_behind();
  RoleText text;
  text.data_disks = kept(0, there) + fresh(1);
  text.extensions = extension("enable", R"({"docker":{"port":"2376"}})", "");
  std::ofstream(world.folder() / "bundled/Microsoft.Azure.Extensions.DockerExtension_1.3.0.zip") << "zip";
  world.guests().answer = [](const Vm&, const Extension& asked) {
    HandlerStatus status{
        .handler = asked.handler(), .version = asked.version, .status = "Ready", .sequence = asked.sequence};
    status.settings = StatusItem{.name = "x", .status = "error", .code = 7, .message = "No engine here."};
    return status;
  };

  EXPECT_THAT(world.do_it("POST", "services/hostedservices/web/deployments", text.deployment()),
              HasSubstr("VMExtensionProvisioningError"));

  EXPECT_EQ(world.count("services/disks", "//Disk"), 1u);
  EXPECT_EQ(world.read("services/disks", "//Disk/Name"), there);
  EXPECT_EQ(world.count("services/disks", "//AttachedTo"), 0u);
}

TEST_F(ClassicDataDisks, ANameThatSeveralGroupsHaveIsAConflictThatNamesThem) {
  ASSERT_EQ(world.finish(deploy("")), "Succeeded");
  for (const char* group : {"one", "two"}) {
    world.region().groups().put(group, "westus", {});
    Disk disk;
    disk.group = group;
    disk.name = "twin";
    disk.location = "westus";
    disk.size_gib = 1;
    world.region().disks().put(disk);
    VirtualNetwork network;
    network.group = group;
    network.name = "twins";
    network.location = "westus";
    network.prefixes = {"10.9.0.0/16"};
    network.subnets = {{.name = "default", .prefix = "10.9.0.0/24", .security_group = {}}};
    world.region().networks().put(network);
  }
  const auto refusal = [](const Response& response) {
    return fmt::format("{} {}", response.status, ClassicWorld::message(response));
  };
  const char* says = "409 There is more than one disk named 'twin', in the resource groups one and two";
  EXPECT_THAT(refusal(world.send("GET", "services/disks/twin")), HasSubstr(says));
  EXPECT_THAT(refusal(world.send("DELETE", "services/disks/twin")), HasSubstr(says));
  EXPECT_THAT(refusal(put(kept(0, "twin"))), HasSubstr(says));
  EXPECT_THAT(refusal(world.send("POST", role() + "/DataDisks",
                                 "<DataVirtualHardDisk><DiskName>twin</DiskName></DataVirtualHardDisk>")),
              HasSubstr(says));
  world.send("POST", "services/hostedservices", create_service("next"));
  std::string body = RoleText().deployment("next");
  body.insert(body.find("</Deployment>"), "<VirtualNetworkName>twins</VirtualNetworkName>");
  EXPECT_THAT(refusal(world.send("POST", "services/hostedservices/next/deployments", body)),
              HasSubstr("409 There is more than one virtual network named 'twins'"));
  EXPECT_EQ(world.count("services/disks", "//Disk[Name='twin']"), 2u);
}

// --- the region ends in the midst of a deployment

TEST_F(ClassicContract, ADeploymentThatWasHalfWrittenWhenTheRegionWasKilledIsTakenBack) {
  std::ofstream(world.folder() / "bundled/Microsoft.Azure.Extensions.DockerExtension_1.3.0.zip") << "zip";
  world.guests().talkative = false;
  world.send("POST", "services/hostedservices", create_service("web"));
  RoleText text;
  text.extensions = extension("enable", R"({"docker":{"port":"2376"}})", "");
  std::filesystem::path store;
  std::size_t written = 0;
  world.at_next_vm_change([&] {  // the extension is set: the request is not answered yet
    store = world.copy_store();
    written = world.region().machines().list().size();
  });
  ASSERT_EQ(world.send("POST", "services/hostedservices/web/deployments", text.deployment()).status, 202);
  ASSERT_EQ(written, 1u);

  world.restart(store);

  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
  EXPECT_EQ(world.region().machines().list().size(), 0u);
  EXPECT_EQ(world.region().disks().list().size(), 0u);
  EXPECT_EQ(world.region().networks().list<NetworkInterface>().size(), 0u);
  EXPECT_EQ(world.region().groups().find("web"), nullptr);
}

TEST_F(ClassicContract, AfterTheRollBackOfASecondRoleTheFirstIsAHostByItselfAgain) {
  create();
  world.guests().talkative = false;
  RoleText second;
  second.name = "web-2";
  second.endpoints = "";
  ASSERT_EQ(
      world.send("POST", "services/hostedservices/web/deployments/web/roles", second.persistent()).status,
      202);
  EXPECT_FALSE(world.region().groups().find("web")->tags.contains("berth:host"));

  world.restart();
  const auto is_host = [&] { return world.region().groups().find("web")->tags.contains("berth:host"); };
  for (int i = 0; i < 1000 && !is_host(); ++i) world.send("GET", slot());

  EXPECT_EQ(world.count(slot(), "//Role"), 1u);
  EXPECT_TRUE(is_host());
  EXPECT_TRUE(world.region().machines().get({"web", "web"}).tags.contains("berth:host"));
}

}  // namespace berth
