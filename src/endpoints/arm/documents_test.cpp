#include <gmock/gmock.h>

#include "endpoints/arm/test_region.h"

/// What becomes of what clients send: it does what it says, comes back as it was sent, or is refused by name.
namespace berth {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string network_path = "resourceGroups/g/providers/Microsoft.Network/";
const std::string compute_path = "resourceGroups/g/providers/Microsoft.Compute/";

class Documents : public testing::Test {
 protected:
  Documents() { EXPECT_EQ(region.arm("PUT", "resourceGroups/g", {{"location", "westus"}}).status, 201); }

  void accepted(const Response& response, int status = 201) {
    EXPECT_EQ(response.status, status) << response.body;
  }
  void refused(const Response& response, int status, const std::string& code, const std::string& word = {}) {
    EXPECT_EQ(response.status, status) << response.body;
    const json body = json::parse(response.body, nullptr, false);
    ASSERT_TRUE(body.is_object() && body.contains("error")) << response.body;
    EXPECT_EQ(body["error"]["code"], code) << response.body;
    EXPECT_THAT(response.body, HasSubstr(word));
  }
  std::string id(const std::string& type_and_name) const { return region.id("g", type_and_name); }

  json network_body(json subnet = json::object(), json more = json::object()) const {
    subnet["addressPrefix"] = "10.0.0.0/24";
    json properties = {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}},
                       {"subnets", {{{"name", "s"}, {"properties", subnet}}}}};
    properties.update(more);
    return {{"location", "westus"}, {"properties", properties}};
  }
  json nic_body(const json& more = json::object()) const {
    json properties = {
        {"ipConfigurations",
         {{{"name", "i"},
           {"properties", {{"subnet", {{"id", id("Microsoft.Network/virtualNetworks/v/subnets/s")}}}}}}}}};
    properties.update(more);
    return {{"location", "westus"}, {"properties", properties}};
  }
  void make_nic(const std::string& name = "n") {
    const bool known = region.arm("GET", network_path + "virtualNetworks/v").status == 200;
    accepted(region.arm("PUT", network_path + "virtualNetworks/v", network_body()), known ? 200 : 201);
    accepted(region.arm("PUT", network_path + "networkInterfaces/" + name, nic_body()));
  }
  json vm_body(const json& os = {{"adminPassword", "Str0ng!pass"}}) const {
    json profile = {{"computerName", "web1"}, {"adminUsername", "ops"}};
    profile.update(os);
    return {{"location", "westus"},
            {"properties",
             {{"hardwareProfile", {{"vmSize", "Standard_B1s"}}},
              {"storageProfile", {{"imageReference", {{"osImage", "tiny"}}}}},
              {"osProfile", profile},
              {"networkProfile",
               {{"networkInterfaces", {{{"id", id("Microsoft.Network/networkInterfaces/n")}}}}}}}}};
  }
  json vm() { return region.get(compute_path + "virtualMachines/vm"); }

  TestRegion region;
};

TEST_F(Documents, WhatHasNoEffectComesBackAsItWasSentAlsoAfterARestart) {
  accepted(region.arm("PUT", network_path + "routeTables/r", {{"location", "westus"}}));
  accepted(region.arm("PUT", network_path + "virtualNetworks/v",
                      network_body({{"serviceEndpoints", {{{"service", "Microsoft.Storage"}}}},
                                    {"routeTable", {{"id", id("Microsoft.Network/routeTables/r")}}}},
                                   {{"dhcpOptions", {{"dnsServers", {"10.0.0.4"}}}}})));
  accepted(region.arm("PUT", network_path + "networkInterfaces/n",
                      nic_body({{"enableAcceleratedNetworking", true}})));
  json body = vm_body();
  body["zones"] = {"1"};
  body["plan"] = {{"name", "p"}};
  body["properties"]["priority"] = "Spot";
  body["properties"]["securityProfile"] = {{"securityType", "TrustedLaunch"}};
  body["properties"]["osProfile"]["linuxConfiguration"] = {
      {"patchSettings", {{"patchMode", "ImageDefault"}}}};
  body["properties"]["storageProfile"]["osDisk"] = {
      {"createOption", "FromImage"}, {"managedDisk", {{"storageAccountType", "StandardSSD_LRS"}}}};
  ASSERT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");

  for (const bool again : {false, true}) {
    if (again) region.restart();
    const json net = region.get(network_path + "virtualNetworks/v")["properties"];
    EXPECT_EQ(net["dhcpOptions"]["dnsServers"][0], "10.0.0.4");
    EXPECT_EQ(net["subnets"][0]["properties"]["serviceEndpoints"][0]["service"], "Microsoft.Storage");
    EXPECT_EQ(net["subnets"][0]["properties"]["routeTable"]["id"], id("Microsoft.Network/routeTables/r"));
    EXPECT_EQ(region.get(network_path + "virtualNetworks/v/subnets/s")["properties"]["routeTable"]["id"],
              id("Microsoft.Network/routeTables/r"));
    EXPECT_EQ(region.get(network_path + "networkInterfaces/n")["properties"]["enableAcceleratedNetworking"],
              true);
    const json shown = vm();
    EXPECT_EQ(shown["zones"][0], "1");
    EXPECT_EQ(shown["plan"]["name"], "p");
    EXPECT_EQ(shown["properties"]["priority"], "Spot");
    EXPECT_EQ(shown["properties"]["securityProfile"]["securityType"], "TrustedLaunch");
    EXPECT_EQ(shown["properties"]["osProfile"]["linuxConfiguration"]["patchSettings"]["patchMode"],
              "ImageDefault");
    EXPECT_EQ(shown["properties"]["storageProfile"]["osDisk"]["managedDisk"]["storageAccountType"],
              "StandardSSD_LRS");
  }
}

TEST_F(Documents, AKeptReferenceHasToExist) {
  refused(region.arm("PUT", network_path + "virtualNetworks/v",
                     network_body({{"routeTable", {{"id", id("Microsoft.Network/routeTables/notthere")}}}})),
          404, "InvalidResourceReference", "notthere");
  EXPECT_EQ(region.arm("GET", network_path + "virtualNetworks/v").status, 404);
}

TEST_F(Documents, ARuleForApplicationSecurityGroupsIsNotOpenedToAll) {
  const json rule = {{"name", "r"},
                     {"properties",
                      {{"protocol", "Tcp"},
                       {"access", "Allow"},
                       {"direction", "Inbound"},
                       {"priority", 100},
                       {"destinationPortRange", "443"},
                       {"sourceApplicationSecurityGroups",
                        {{{"id", id("Microsoft.Network/applicationSecurityGroups/web")}}}}}}};
  refused(region.arm("PUT", network_path + "networkSecurityGroups/a",
                     {{"location", "westus"}, {"properties", {{"securityRules", {rule}}}}}),
          400, "OperationNotAllowed", "sourceApplicationSecurityGroups");
  EXPECT_EQ(region.arm("GET", network_path + "networkSecurityGroups/a").status, 404);
}

TEST_F(Documents, APortMayBeANumber) {
  const json rule = {{"name", "r"},
                     {"properties",
                      {{"protocol", "Tcp"},
                       {"access", "Allow"},
                       {"direction", "Inbound"},
                       {"priority", 100},
                       {"destinationPortRange", 8080}}}};
  accepted(region.arm("PUT", network_path + "networkSecurityGroups/a",
                      {{"location", "westus"}, {"properties", {{"securityRules", {rule}}}}}));
  EXPECT_EQ(region.get(network_path +
                       "networkSecurityGroups/a/securityRules/r")["properties"]["destinationPortRange"],
            "8080");
}

TEST_F(Documents, AResourceStaysWhereItIs) {
  accepted(region.arm("PUT", network_path + "networkSecurityGroups/a", {{"location", "westus"}}));
  refused(region.arm("PUT", network_path + "networkSecurityGroups/a", {{"location", "eastus"}}), 409,
          "InvalidResourceLocation", "westus");
}

TEST_F(Documents, AnAvailabilitySetIsAnsweredWith200) {
  accepted(region.arm("PUT", compute_path + "availabilitySets/a", {{"location", "westus"}}), 200);
}

TEST_F(Documents, AMachineComesIntoNoAvailabilitySetThatIsNotThere) {
  make_nic();
  json body = vm_body();
  body["properties"]["availabilitySet"] = {{"id", region.id("g", "Microsoft.Compute/availabilitySets/a")}};
  refused(region.arm("PUT", compute_path + "virtualMachines/vm", body), 404, "InvalidResourceReference",
          "availabilitySets/a");
  accepted(region.arm("PUT", compute_path + "availabilitySets/a", {{"location", "westus"}}), 200);
  EXPECT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");
  EXPECT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");
}

TEST_F(Documents, WhereNobodySignsInByPasswordItIsNotLookedAt) {
  make_nic();
  const std::string key =
      "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq1m1m1m1m1m1m1m1m1m1m1m1m1m1m1m1m1m1m1m1m1 x";
  const json body = vm_body(
      {{"adminPassword", key},
       {"linuxConfiguration",
        {{"disablePasswordAuthentication", true},
         {"ssh", {{"publicKeys", {{{"path", "/home/ops/.ssh/authorized_keys"}, {"keyData", key}}}}}}}}});
  EXPECT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");
  EXPECT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");
}

TEST_F(Documents, AComputerNameMayBeginWithADigitAndBeNoNumber) {
  make_nic();
  json body = vm_body();
  body["properties"]["osProfile"]["computerName"] = "123";
  refused(region.arm("PUT", compute_path + "virtualMachines/vm", body), 400, "InvalidParameter", "123");
  body["properties"]["osProfile"]["computerName"] = "1web";
  EXPECT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");
}

TEST_F(Documents, WhatAMachineWasMadeWithDoesNotChange) {
  make_nic();
  json body = vm_body({{"adminPassword", "Str0ng!pass"}, {"customData", "aGVsbG8="}});
  ASSERT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");
  EXPECT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");

  json other = body;
  other["properties"]["osProfile"]["adminPassword"] = "An0ther!pass";
  refused(region.arm("PUT", compute_path + "virtualMachines/vm", other), 409, "PropertyChangeNotAllowed",
          "adminPassword");
  other = body;
  other["properties"]["osProfile"]["customData"] = "aGVsbG8h";
  refused(region.arm("PUT", compute_path + "virtualMachines/vm", other), 409, "PropertyChangeNotAllowed",
          "customData");
}

TEST_F(Documents, OfTwoInterfacesOneIsThePrimary) {
  make_nic();
  make_nic("m");
  json body = vm_body();
  json& list = body["properties"]["networkProfile"]["networkInterfaces"];
  list.push_back({{"id", id("Microsoft.Network/networkInterfaces/m")}});
  refused(region.arm("PUT", compute_path + "virtualMachines/vm", body), 400,
          "VirtualMachineMustHaveOneNetworkInterfaceAsPrimary");
  list[1]["properties"] = {{"primary", true}};
  EXPECT_EQ(region.put(compute_path + "virtualMachines/vm", body)["status"], "Succeeded");
  EXPECT_THAT(vm()["properties"]["networkProfile"]["networkInterfaces"][0]["id"].get<std::string>(),
              HasSubstr("/m"));
}

TEST_F(Documents, TheMetadataOfTheCloudAreAListUntil2022) {
  const auto metadata = [&](const std::string& version) {
    return json::parse(region.call("GET", "/metadata/endpoints?api-version=" + version).body);
  };
  EXPECT_TRUE(metadata("2019-05-01").is_array());
  EXPECT_TRUE(metadata("2022-09-01").is_object());
  EXPECT_EQ(metadata("2022-09-01")["resourceManager"], metadata("2019-05-01")[0]["resourceManager"]);
}

TEST_F(Documents, AMissingImageNamesThoseThereAre) {
  refused(
      region.arm("GET",
                 "providers/Microsoft.Compute/locations/eastus/publishers/Canonical/artifacttypes/vmimage/"
                 "offers/o/skus/s/versions/latest"),
      404, "NotFound", "The images of this region are");
}

}  // namespace
}  // namespace berth
