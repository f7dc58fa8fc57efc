#include <gmock/gmock.h>

#include "api/arm/tokens.h"
#include "endpoints/arm/test_region.h"

/// What nobody should send: Azure's own code and status come back, a word on what to do, and nothing is half
/// made.
namespace berth {
namespace {

using arm::sign_token;
using arm::TokenClaims;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const std::string network = "resourceGroups/g/providers/Microsoft.Network/";
const std::string compute = "resourceGroups/g/providers/Microsoft.Compute/";
const std::string bad_deployment = "resourceGroups/g/providers/Microsoft.Resources/deployments/d";

class BadInput : public testing::Test {
 protected:
  BadInput() { EXPECT_EQ(region.arm("PUT", "resourceGroups/g", {{"location", "westus"}}).status, 201); }

  /// Wants this answer, and that it says more than the code.
  void refused(const Response& response, int status, const std::string& code) {
    EXPECT_EQ(response.status, status) << response.body;
    const json body = json::parse(response.body, nullptr, false);
    ASSERT_TRUE(body.is_object() && body.contains("error")) << response.body;
    EXPECT_EQ(body["error"]["code"], code) << response.body;
    EXPECT_GT(body["error"]["message"].get<std::string>().size(), 20u);
    EXPECT_FALSE(response.headers.contains("Retry-After"));  // clients would repeat what cannot succeed
  }
  Response get_with(const std::string& token) {
    return region.arm("GET", "resourceGroups", nullptr, {{"Authorization", "Bearer " + token}});
  }
  TokenClaims claims() const {
    TokenClaims made;
    made.issuer = std::string(TestRegion::origin) + "/adfs";
    made.audience = "https://management.core.windows.net/";
    made.tenant = TestRegion::tenant;
    made.subject = region.access.client_id;
    made.issued = std::chrono::sys_seconds(std::chrono::seconds(region.now));
    made.expires = made.issued + std::chrono::hours(1);
    return made;
  }
  void make_network() {
    const json body = {
        {"location", "westus"},
        {"properties",
         {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}},
          {"subnets", {{{"name", "s"}, {"properties", {{"addressPrefix", "10.0.0.0/24"}}}}}}}}};
    ASSERT_EQ(region.arm("PUT", network + "virtualNetworks/net", body).status, 201);
  }
  json interface_body(const json& more = json::object()) const {
    json ip = {{"subnet", {{"id", region.id("g", "Microsoft.Network/virtualNetworks/net/subnets/s")}}}};
    ip.update(more);
    return {{"location", "westus"},
            {"properties", {{"ipConfigurations", {{{"name", "one"}, {"properties", ip}}}}}}};
  }
  json vm_body(const std::string& nic, const std::string& password = "Str0ng!pass") const {
    return {
        {"location", "westus"},
        {"properties",
         {{"hardwareProfile", {{"vmSize", "Standard_B1s"}}},
          {"storageProfile", {{"imageReference", {{"osImage", "tiny"}}}}},
          {"osProfile", {{"computerName", "web1"}, {"adminUsername", "ops"}, {"adminPassword", password}}},
          {"networkProfile",
           {{"networkInterfaces",
             {{{"id", region.id("g", "Microsoft.Network/networkInterfaces/" + nic)}}}}}}}}};
  }
  /// A VM "web1" with everything that it needs.
  void make_vm() {
    make_network();
    ASSERT_EQ(region.arm("PUT", network + "publicIPAddresses/ip", {{"location", "westus"}}).status, 201);
    ASSERT_EQ(region.arm("PUT", network + "networkSecurityGroups/nsg", {{"location", "westus"}}).status, 201);
    json body = interface_body(
        {{"publicIPAddress", {{"id", region.id("g", "Microsoft.Network/publicIPAddresses/ip")}}}});
    body["properties"]["networkSecurityGroup"] = {
        {"id", region.id("g", "Microsoft.Network/networkSecurityGroups/nsg")}};
    ASSERT_EQ(region.arm("PUT", network + "networkInterfaces/nic", body).status, 201);
    ASSERT_EQ(region.put(compute + "virtualMachines/web1", vm_body("nic"))["status"], "Succeeded");
  }
  Response deploy(const json& resources, const json& more = json::object()) {
    json made = {{"$schema", "x"}, {"contentVersion", "1.0.0.0"}, {"resources", resources}};
    made.update(more);
    return region.arm("PUT", bad_deployment, {{"properties", {{"mode", "Incremental"}, {"template", made}}}});
  }
  static json rules(const std::string& name, const json& more = json::object()) {
    json made = {{"type", "Microsoft.Network/networkSecurityGroups"},
                 {"apiVersion", "1"},
                 {"name", name},
                 {"location", "westus"}};
    made.update(more);
    return made;
  }
  void nothing_was_made() {
    EXPECT_THAT(region.get("resourceGroups/g/resources")["value"], IsEmpty());
    EXPECT_EQ(region.arm("GET", bad_deployment).status, 404);
  }

  TestRegion region;
};

// --- tokens

TEST_F(BadInput, TokensOfOthersAreNotTaken) {
  EXPECT_EQ(get_with(sign_token(claims(), region.access.token_key).reveal()).status, 200);

  refused(get_with(sign_token(claims(), Secret("another key of thirty-two bytes!")).reveal()), 401,
          "InvalidAuthenticationToken");
  TokenClaims foreign = claims();
  foreign.tenant = "11111111-0000-0000-0000-0000000000bb";
  refused(get_with(sign_token(foreign, region.access.token_key).reveal()), 401,
          "InvalidAuthenticationTokenTenant");
  TokenClaims old = claims();
  old.expires = old.issued - std::chrono::seconds(1);
  refused(get_with(sign_token(old, region.access.token_key).reveal()), 401, "ExpiredAuthenticationToken");
}

TEST_F(BadInput, TokensForOtherServicesAreNotTaken) {
  TokenClaims made = claims();
  for (const char* audience :
       {"https://management.core.windows.net", "https://management.azure.com/", TestRegion::origin}) {
    made.audience = audience;
    EXPECT_EQ(get_with(sign_token(made, region.access.token_key).reveal()).status, 200) << audience;
  }
  for (const char* audience :
       {"https://vault.azure.net", "https://management.core.windows.net.example", ""}) {
    made.audience = audience;
    refused(get_with(sign_token(made, region.access.token_key).reveal()), 401,
            "InvalidAuthenticationTokenAudience");
  }
  const auto granted = [&](const std::string& form) {
    const Response answer = region.call("POST", "/adfs/oauth2/token/",
                                        "grant_type=client_credentials&client_id=" + region.access.client_id +
                                            "&client_secret=the+client%27s+secret" + form);
    return get_with(json::parse(answer.body)["access_token"].get<std::string>()).status;
  };
  EXPECT_EQ(granted(""), 200);
  EXPECT_EQ(granted("&scope=openid+profile+https://management.core.windows.net//.default+offline_access"),
            200);
  EXPECT_EQ(granted("&resource=https://vault.azure.net"), 401);
}

TEST_F(BadInput, TokensThatWereTamperedWithAreNotTaken) {
  const std::string good = sign_token(claims(), region.access.token_key).reveal();
  const std::size_t first = good.find('.'), last = good.rfind('.');
  // {"alg":"none"} with and without a signature, a payload of one's own, half a token, a very long one.
  const std::string none = "eyJhbGciOiJub25lIn0";
  for (const std::string& bad :
       {none + good.substr(first), none + good.substr(first, last - first + 1),
        good.substr(0, first + 1) + "eyJ0aWQiOiJ4In0" + good.substr(last), good.substr(0, last),
        good + "." + good, std::string(100'000, 'a'), std::string("..")})
    refused(get_with(bad), 401, "InvalidAuthenticationToken");
  refused(region.arm("GET", "resourceGroups", nullptr, {{"Authorization", "Basic " + good}}), 401,
          "AuthenticationFailed");
}

// --- other people's subscriptions

TEST_F(BadInput, AnotherSubscriptionIsNeitherServedNorReferredTo) {
  const std::string other = "/subscriptions/11111111-0000-0000-0000-000000000000";
  refused(region.call("GET", other + "/resourceGroups?api-version=1"), 404, "SubscriptionNotFound");
  refused(region.call("PUT", other + "/resourceGroups/h?api-version=1", R"({"location":"westus"})"), 404,
          "SubscriptionNotFound");
  make_network();
  json body = interface_body();
  body["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"] =
      other + "/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/net/subnets/s";
  refused(region.arm("PUT", network + "networkInterfaces/nic", body), 400, "LinkedAuthorizationFailed");
  EXPECT_EQ(region.arm("GET", network + "networkInterfaces/nic").status, 404);
}

// --- documents

TEST_F(BadInput, DocumentsThatAreTooDeepTooLargeOrAmbiguousAreRefused) {
  const std::string target = std::string("/subscriptions/") + TestRegion::subscription + "/" + network +
                             "networkSecurityGroups/n?api-version=1";
  const std::string deep =
      R"({"location":"westus","tags":)" + std::string(5'000, '[') + std::string(5'000, ']') + "}";
  const std::string large = R"({"location":"westus","tags":{"a":")" + std::string(5 << 20, 'x') + R"("}})";
  refused(region.call("PUT", target, large), 413, "RequestContentTooLarge");
  for (const std::string& body :
       {deep, std::string(R"({"location":"westus","Location":"eastus","location":"x"})"),
        std::string("{\"location\":\"west\0us\"}", 22)})
    refused(region.call("PUT", target, body), 400, "InvalidRequestContent");
  EXPECT_EQ(region.arm("GET", network + "networkSecurityGroups/n").status, 404);
}

// --- templates

TEST_F(BadInput, TemplatesThatGoInCirclesMakeNothing) {
  refused(deploy({rules("a", {{"dependsOn", {"b"}}}), rules("b", {{"dependsOn", {"a"}}})}), 400,
          "InvalidTemplate");
  refused(deploy({rules("[variables('a')]")}, {{"variables", {{"a", "[variables('a')]"}}}}), 400,
          "InvalidTemplate");
  refused(deploy({rules("[parameters('a')]")},
                 {{"parameters", {{"a", {{"type", "string"}, {"defaultValue", "[parameters('a')]"}}}}}}),
          400, "InvalidTemplate");
  nothing_was_made();
}

TEST_F(BadInput, TemplatesThatNameWhatIsNotThereMakeNothing) {
  refused(deploy({rules("a"), rules("b", {{"dependsOn", {"gone"}}})}), 400, "InvalidTemplate");
  refused(deploy({rules("a"), rules("[parameters('gone')]")}), 400, "InvalidTemplate");
  refused(deploy({rules("a"), rules("[noSuchFunction()]")}), 400, "InvalidTemplate");
  refused(deploy({rules("a"), rules("A")}), 400, "InvalidTemplate");
  nothing_was_made();
}

TEST_F(BadInput, ATemplateThatRepeatsWithoutEndMakesNothing) {
  refused(deploy({rules("[concat('a', copyIndex())]", {{"copy", {{"name", "c"}, {"count", 100'000}}}})}), 400,
          "InvalidTemplate");
  nothing_was_made();
}

// --- conflicts

TEST_F(BadInput, ANameThatIsTakenIsRefused) {
  const json label = {{"location", "westus"},
                      {"properties", {{"dnsSettings", {{"domainNameLabel", "shop"}}}}}};
  ASSERT_EQ(region.arm("PUT", network + "publicIPAddresses/a", label).status, 201);

  const Response response = region.arm("PUT", network + "publicIPAddresses/b", label);
  refused(response, 409, "DnsRecordInUse");
  EXPECT_THAT(response.body, HasSubstr("shop"));
  EXPECT_EQ(region.arm("GET", network + "publicIPAddresses/b").status, 404);
}

TEST_F(BadInput, AHostThatIsFullRefusesAMachineAndKeepsNoneRunning) {
  make_network();
  ASSERT_EQ(region.arm("PUT", network + "networkInterfaces/nic", interface_body()).status, 201);
  region.driver->fail_next_start =
      Error(ErrorKind::unavailable, "AllocationFailed",
            "Cannot start web1: it needs 1024 MiB and 10 are free.", "Stop another machine.");
  const json done = region.put(compute + "virtualMachines/web1", vm_body("nic"));

  EXPECT_EQ(done["status"], "Failed");
  EXPECT_EQ(done["error"]["code"], "AllocationFailed");
  EXPECT_THAT(done["error"]["message"].get<std::string>(), HasSubstr("Stop another machine."));
  EXPECT_EQ(region.get(compute + "virtualMachines/web1/instanceView")["statuses"][1]["code"],
            "PowerState/deallocated");
  EXPECT_EQ(region.put(compute + "virtualMachines/web1", vm_body("nic"))["status"], "Succeeded");
}

TEST_F(BadInput, MoreDisksThanASizeTakesAreRefused) {
  make_vm();
  json body = region.get(compute + "virtualMachines/web1");
  for (int lun = 0; lun < 3; ++lun)
    body["properties"]["storageProfile"]["dataDisks"].push_back(
        {{"lun", lun}, {"createOption", "Empty"}, {"diskSizeGB", 1}});

  refused(region.arm("PUT", compute + "virtualMachines/web1", body), 409, "OperationNotAllowed");
  const json vm = region.get(compute + "virtualMachines/web1")["properties"];
  EXPECT_THAT(vm["storageProfile"]["dataDisks"], IsEmpty());
  EXPECT_EQ(vm["provisioningState"], "Succeeded");
}

TEST_F(BadInput, OfTwoChangesToOneReadingTheSecondLoses) {
  make_vm();
  const std::string path = compute + "virtualMachines/web1";
  const json read = region.get(path);
  json mine = read, theirs = read;
  mine["tags"] = {{"who", "me"}};
  theirs["tags"] = {{"who", "they"}};
  const std::string etag = read["etag"];
  EXPECT_EQ(region.finish(region.arm("PUT", path, mine, {{"If-Match", etag}}))["status"], "Succeeded");

  refused(region.arm("PUT", path, theirs, {{"If-Match", etag}}), 412, "PreconditionFailed");
  refused(region.arm("PATCH", path, {{"tags", {{"who", "they"}}}}, {{"If-Match", etag}}), 412,
          "PreconditionFailed");
  refused(region.arm("DELETE", path, nullptr, {{"If-Match", etag}}), 412, "PreconditionFailed");
  EXPECT_EQ(region.get(path)["tags"]["who"], "me");
}

TEST_F(BadInput, TwoOperationsOnOneMachineAreNotMixed) {
  make_vm();
  region.guests->talkative = false;  // the restart does not end
  const std::string path = compute + "virtualMachines/web1";
  ASSERT_EQ(region.arm("POST", path + "/restart").status, 202);

  refused(region.arm("POST", path + "/deallocate"), 409, "AnotherOperationInProgress");
}

// --- deletes of what is in use

TEST_F(BadInput, WhatIsInUseIsNotDeleted) {
  make_vm();
  refused(region.arm("DELETE", network + "networkInterfaces/nic"), 409, "NicInUse");
  refused(region.arm("DELETE", network + "virtualNetworks/net"), 409, "InUseVirtualNetworkCannotBeDeleted");
  refused(region.arm("DELETE", network + "virtualNetworks/net/subnets/s"), 409, "InUseSubnetCannotBeDeleted");
  refused(region.arm("DELETE", network + "networkSecurityGroups/nsg"), 409,
          "InUseNetworkSecurityGroupCannotBeDeleted");
  refused(region.arm("DELETE", network + "publicIPAddresses/ip"), 409, "PublicIPAddressCannotBeDeleted");
  const std::string disk =
      region.get(compute + "virtualMachines/web1")["properties"]["storageProfile"]["osDisk"]["name"];
  refused(region.arm("DELETE", compute + "disks/" + disk), 409, "OperationNotAllowed");
  EXPECT_THAT(region.get("resourceGroups/g/resources")["value"], SizeIs(6));
}

TEST_F(BadInput, ASubnetOfTwoPrefixesIsRefused) {
  make_network();
  const Response two = region.arm("PUT", network + "virtualNetworks/net/subnets/t",
                                  {{"properties", {{"addressPrefixes", {"10.0.1.0/24", "10.0.2.0/24"}}}}});
  refused(two, 400, "InvalidRequestContent");
  EXPECT_THAT(two.body, testing::HasSubstr("addressPrefixes"));
}

TEST_F(BadInput, SubnetsThatOverlapAreRefused) {
  make_network();
  refused(region.arm("PUT", network + "virtualNetworks/net/subnets/t",
                     {{"properties", {{"addressPrefix", "10.0.0.128/25"}}}}),
          400, "NetcfgSubnetRangesOverlap");
  refused(region.arm("PUT", network + "virtualNetworks/net/subnets/t",
                     {{"properties", {{"addressPrefix", "192.168.0.0/24"}}}}),
          400, "NetcfgInvalidSubnet");
  EXPECT_THAT(region.get(network + "virtualNetworks/net/subnets")["value"], SizeIs(1));
}

}  // namespace
}  // namespace berth
