#include "cli/docker/resource_manager_form.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_region.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// The classic client's Resource Manager mode, as its users typed it.
class ResourceManagerForm : public testing::Test {
 protected:
  static Ran create(std::vector<std::string> more = {}) {
    std::vector<std::string> all{"vm",
                                 "docker",
                                 "create",
                                 "-g",
                                 "NG",
                                 "-n",
                                 "dk1",
                                 "-l",
                                 "westus",
                                 "-y",
                                 "Linux",
                                 "-Q",
                                 "Debian:debian-12:12:latest",
                                 "-u",
                                 "azureuser",
                                 "-p",
                                 "Passw0rd!1234"};
    all.insert(all.end(), more.begin(), more.end());
    return run_program(all);
  }
  json resource(const std::string& type) {
    for (const json& one : region.deployment["properties"]["template"]["resources"])
      if (one["type"] == type) return one;
    return {};
  }
  FakeRegion region;
};

}  // namespace

TEST_F(ResourceManagerForm, MakesTheHostWithTheNamesThatWereGiven) {
  const Ran ran = create({"-w", "dk1dns", "-i", "dk1pip", "-F", "dk1vnet", "-P", "10.0.0.0/16", "-j",
                          "dk1snet", "-k", "10.0.0.0/24", "-f", "dk1nic", "-T", "4243", "-z", "Standard_A1"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("azureuser@127.0.0.1"));
  const json vm = resource("Microsoft.Compute/virtualMachines");
  EXPECT_EQ(vm["name"], "dk1");
  EXPECT_EQ(vm["properties"]["hardwareProfile"]["vmSize"], "Standard_A1");
  EXPECT_EQ(vm["properties"]["osProfile"]["adminUsername"], "azureuser");
  EXPECT_EQ(resource("Microsoft.Network/networkInterfaces")["name"], "dk1nic");
  EXPECT_EQ(resource("Microsoft.Network/publicIPAddresses")["name"], "dk1pip");
  EXPECT_EQ(resource("Microsoft.Network/publicIPAddresses")["properties"]["dnsSettings"]["domainNameLabel"],
            "dk1dns");
  const json network = resource("Microsoft.Network/virtualNetworks");
  EXPECT_EQ(network["name"], "dk1vnet");
  EXPECT_EQ(network["properties"]["addressSpace"]["addressPrefixes"][0], "10.0.0.0/16");
  EXPECT_EQ(network["properties"]["subnets"][0]["name"], "dk1snet");
  EXPECT_EQ(network["properties"]["subnets"][0]["properties"]["addressPrefix"], "10.0.0.0/24");
  EXPECT_THAT(region.deployment["properties"]["template"].dump(),
              AllOf(Not(HasSubstr("dk1dns-nic")), Not(HasSubstr("Passw0rd"))));
}

TEST_F(ResourceManagerForm, JoinsANetworkOfTheGroupThatHasThatName) {
  const std::string id =
      "/subscriptions/sub-1/resourceGroups/NG/providers/Microsoft.Network/virtualNetworks/dk1vnet";
  region.on_request = [&](const Request& request) -> std::optional<Response> {
    const bool network = request.method == "GET" && request.path.ends_with("/virtualNetworks/dk1vnet");
    const bool subnet =
        request.method == "GET" && request.path.ends_with("/virtualNetworks/dk1vnet/subnets/dk1snet");
    if (!network && !subnet) return std::nullopt;
    return Response{.status = 200, .headers = {}, .body = json{{"id", id}}.dump()};
  };
  EXPECT_EQ(create({"-F", "dk1vnet", "-j", "another"}).exit_code, 4);
  const Ran ran = create({"-F", "dk1vnet", "-j", "dk1snet"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  EXPECT_TRUE(resource("Microsoft.Network/virtualNetworks").is_null());
  const json nic = resource("Microsoft.Network/networkInterfaces");
  EXPECT_EQ(nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"], id + "/subnets/dk1snet");
}

TEST_F(ResourceManagerForm, NeedsNoMoreThanAGroupANameAUserAndAnImage) {
  ASSERT_EQ(create().exit_code, 0);
  EXPECT_EQ(resource("Microsoft.Network/networkInterfaces")["name"], "dk1-nic");
  EXPECT_TRUE(region.has_group("NG"));
}

TEST_F(ResourceManagerForm, ItsDeletionTakesWhatHasThoseNames) {
  ASSERT_EQ(create({"-w", "dk1dns", "-i", "dk1pip", "-f", "dk1nic"}).exit_code, 0);
  region.add_group("NG");
  ASSERT_EQ(run_program({"vm", "delete", "dk1", "-q"}).exit_code, 0);
  const auto requests = region.requests();
  for (const char* gone : {"/virtualMachines/dk1", "/networkInterfaces/dk1nic", "/publicIPAddresses/dk1pip"})
    EXPECT_THAT(requests, testing::Contains(AllOf(testing::StartsWith("DELETE "), testing::EndsWith(gone))));
}

TEST_F(ResourceManagerForm, RefusesByNameWhatAHostHasNot) {
  const auto error_of = [](const std::vector<std::string>& more) {
    const Ran ran = create(more);
    EXPECT_EQ(ran.exit_code, 2) << ran.out;
    return ran.err;
  };
  EXPECT_THAT(error_of({"-r", "set"}), HasSubstr("--availset-name cannot be used here"));
  EXPECT_THAT(error_of({"-o", "store"}), HasSubstr("disks are managed ones"));
  EXPECT_THAT(run_program({"vm", "docker", "create", "-y", "Windows", "-Q", "x"}).err,
              HasSubstr("Docker's engine runs there"));
  EXPECT_THAT(error_of({"-P", "10.0.0.0"}), HasSubstr("'10.0.0.0' is no block"));
  EXPECT_THAT(error_of({"-f", "a/../b"}), HasSubstr("cannot name a resource"));
  EXPECT_THAT(run_program({"vm", "docker", "create", "-Q", "x"}).err,
              HasSubstr("missing required option `--name'"));
  EXPECT_THAT(run_program({"help", "vm", "docker", "create", "-Q"}).out, HasSubstr("--nic-name"));
}

}  // namespace berth
