#include "classic_documents.h"
#include "endpoints/arm/test_region.h"

/// Hosts of one client in the eyes of the others.
namespace berth {

using testing::HasSubstr;

class OneTruth : public ClassicContract {
 protected:
  /// A host as our own command line makes it, by Resource Manager.
  void create_by_arm(const std::string& name) {
    TestRegion& arm = world.arm;
    const nlohmann::json tags{{"berth:host", name}};
    const std::string group = "resourceGroups/" + name, network = group + "/providers/Microsoft.Network/";
    arm.put(group, {{"location", "westus"}, {"tags", tags}});
    arm.put(network + "virtualNetworks/" + name + "-vnet",
            {{"location", "westus"},
             {"tags", tags},
             {"properties",
              {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}},
               {"subnets", {{{"name", "default"}, {"properties", {{"addressPrefix", "10.0.0.0/24"}}}}}}}}});
    arm.put(network + "publicIPAddresses/" + name + "-ip",
            {{"location", "westus"},
             {"tags", tags},
             {"properties", {{"dnsSettings", {{"domainNameLabel", name}}}}}});
    const auto rule = [](const char* rule_name, int priority, const char* port) {
      return nlohmann::json{{"name", rule_name},
                            {"properties",
                             {{"protocol", "Tcp"},
                              {"sourceAddressPrefix", "*"},
                              {"sourcePortRange", "*"},
                              {"destinationAddressPrefix", "*"},
                              {"destinationPortRange", port},
                              {"access", "Allow"},
                              {"priority", priority},
                              {"direction", "Inbound"}}}};
    };
    arm.put(network + "networkSecurityGroups/" + name + "-nsg",
            {{"location", "westus"},
             {"tags", tags},
             {"properties", {{"securityRules", {rule("ssh", 1000, "22"), rule("docker", 1010, "4243")}}}}});
    const auto id = [&](const std::string& type, const std::string& resource) {
      return nlohmann::json{{"id", arm.id(name, "Microsoft.Network/" + type + "/" + resource)}};
    };
    arm.put(network + "networkInterfaces/" + name + "-nic",
            {{"location", "westus"},
             {"tags", tags},
             {"properties",
              {{"networkSecurityGroup", id("networkSecurityGroups", name + "-nsg")},
               {"ipConfigurations",
                {{{"name", "primary"},
                  {"properties",
                   {{"subnet", id("virtualNetworks", name + "-vnet/subnets/default")},
                    {"publicIPAddress", id("publicIPAddresses", name + "-ip")}}}}}}}}});
    const auto vm = arm.put(
        group + "/providers/Microsoft.Compute/virtualMachines/" + name,
        {{"location", "westus"},
         {"tags", tags},
         {"properties",
          {{"hardwareProfile", {{"vmSize", "Standard_A1"}}},
           {"storageProfile",
            {{"imageReference", {{"osImage", "tiny"}}},
             {"osDisk", {{"name", name + "-os"}, {"createOption", "FromImage"}}}}},
           {"osProfile", {{"computerName", name}, {"adminUsername", "ops"}, {"adminPassword", "Passw0rd!"}}},
           {"networkProfile", {{"networkInterfaces", {id("networkInterfaces", name + "-nic")}}}}}}});
    ASSERT_EQ(vm["status"], "Succeeded") << vm;
  }
};

TEST_F(OneTruth, AHostOfOurOwnClientIsACloudServiceWithADeployment) {
  create_by_arm("ours");
  EXPECT_EQ(world.read("services/hostedservices", "//ServiceName"), "ours");
  EXPECT_EQ(world.read(slot("ours"), "/Deployment/Name"), "ours");
  EXPECT_EQ(world.read(slot("ours"), "//InstanceStatus"), "ReadyRole");
  EXPECT_EQ(world.read(slot("ours"), "//RoleSize"), "Small");
  EXPECT_EQ(world.count(role("ours"), "//InputEndpoint"), 2u);
  EXPECT_EQ(world.read(role("ours"), "//InputEndpoint[LocalPort='22']/Name"), "ssh");
}

TEST_F(OneTruth, TheClassicClientDeletesAHostOfOurOwnClientWithEverythingMadeForIt) {
  create_by_arm("ours");
  ASSERT_EQ(world.do_it("DELETE", "services/hostedservices/ours/deployments/ours?comp=media"), "Succeeded");
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/ours").status, 200);
  EXPECT_EQ(world.region().groups().find("ours"), nullptr);
}

TEST_F(OneTruth, EndpointsOfAHostOfOurOwnClientAreItsSecurityRules) {
  create_by_arm("ours");
  RoleText text;
  text.name = "ours";
  text.endpoints +=
      "<InputEndpoint><LocalPort>80</LocalPort><Name>web</Name><Port>8080</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  ASSERT_EQ(world.do_it("PUT", role("ours"), text.persistent()), "Succeeded");
  EXPECT_EQ(world.count(role("ours"), "//InputEndpoint"), 2u);  // docker went, web came
  EXPECT_EQ(world.region().networks().list<SecurityGroup>("ours").at(0)->rules.size(), 1u);
  EXPECT_EQ(world.region().networks().list<NetworkInterface>("ours").at(0)->endpoints.size(), 1u);
}

TEST_F(OneTruth, AnotherRoleJoinsAHostOfOurOwnClient) {
  create_by_arm("ours");
  RoleText second;
  second.name = "ours-2";
  second.endpoints =
      "<InputEndpoint><LocalPort>22</LocalPort><Name>ssh</Name><Port>2222</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  ASSERT_EQ(world.do_it("POST", "services/hostedservices/ours/deployments/ours/roles", second.persistent()),
            "Succeeded");
  EXPECT_EQ(world.count(slot("ours"), "//Role"), 2u);
}

TEST_F(OneTruth, AnInterfaceThatResourceManagerPutsKeepsTheEndpointsOfItsRole) {
  create();
  const Ref nic = world.region().networks().list<NetworkInterface>("web").at(0)->ref();
  const std::string path = "resourceGroups/web/providers/Microsoft.Network/networkInterfaces/" + nic.name;
  nlohmann::json body = world.arm.get(path);
  body["tags"]["seen"] = "yes";
  ASSERT_EQ(world.arm.put(path, body)["status"], "Succeeded");
  EXPECT_EQ(world.read(role(), "//InputEndpoint/Name"), "ssh");
  EXPECT_EQ(world.read(role(), "//InputEndpoint/Port"), "22");
  EXPECT_EQ(world.count(slot(), "//Role"), 1u);
  EXPECT_EQ(world.region().networks().list<PublicAddress>("web").at(0)->ports.size(), 1u);
}

TEST_F(OneTruth, ResourceManagerDeletesAHostOfTheClassicClient) {
  create();
  EXPECT_EQ(world.arm.get("resourceGroups/web")["tags"]["berth:host"], "web");
  world.arm.finish(world.arm.arm("DELETE", "resourceGroups/web"));
  for (int i = 0; i < 1000 && world.region().groups().find("web"); ++i) world.arm.get("resourceGroups/web");
  EXPECT_EQ(world.count("services/hostedservices", "//HostedService"), 0u);
}

TEST_F(OneTruth, ADeploymentBecomesAVirtualMachineThatBothDialectsSee) {
  create();

  EXPECT_EQ(world.read(slot(), "//InstanceStatus"), "ReadyRole");
  EXPECT_EQ(world.read(slot(), "/Deployment/Url"), "http://web.cloudapp.net/");
  EXPECT_EQ(world.arm.get("resourceGroups/web/providers/Microsoft.Compute/virtualMachines/web")["name"],
            "web");
}

TEST_F(OneTruth, AResourceGroupOfSomebodyElseIsNotMixedUpWithAService) {
  world.arm.put("resourceGroups/web", {{"location", "westus"}});
  const Response refused = world.send("POST", "services/hostedservices", create_service("web"));
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("resource group named 'web'"));
}

TEST_F(OneTruth, AServiceWhoseAddressALoadBalancerHasStays) {
  ASSERT_EQ(world.send("POST", "services/hostedservices", create_service("web")).status, 201);
  const Ref address = world.region().networks().list<PublicAddress>("web").at(0)->ref();
  const nlohmann::json frontend = {
      {"name", "front"},
      {"properties",
       {{"publicIPAddress",
         {{"id", world.arm.id("web", "Microsoft.Network/publicIPAddresses/" + address.name)}}}}}};
  ASSERT_EQ(world.arm
                .arm("PUT", "resourceGroups/web/providers/Microsoft.Network/loadBalancers/lb",
                     {{"location", "westus"},
                      {"properties", {{"frontendIPConfigurations", nlohmann::json::array({frontend})}}}})
                .status,
            201);

  const Response refused = world.send("DELETE", "services/hostedservices/web");

  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("load balancer 'lb'"));
  EXPECT_NE(world.region().networks().find<PublicAddress>(address), nullptr);
  EXPECT_EQ(world.read("services/hostedservices", "//ServiceName"), "web");
}

}  // namespace berth
