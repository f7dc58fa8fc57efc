#include "endpoints/arm/arm_endpoints.h"

#include <gmock/gmock.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "endpoints/arm/absent_types.h"
#include "endpoints/arm/service.h"
#include "endpoints/arm/test_region.h"
#include "host/process.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

const std::string vm_path = "resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web1";
const std::string deployment_path = "resourceGroups/g/providers/Microsoft.Resources/deployments/d";

std::string code_of(const Response& response) {
  const json body = json::parse(response.body, nullptr, false);
  return body.is_object() && body.contains("error") ? body["error"].value("code", "") : "";
}

class ArmEndpointsTest : public testing::Test {
 protected:
  void make_group() {
    ASSERT_EQ(region.arm("PUT", "resourceGroups/g", {{"location", "West US"}}).status, 201);
  }

  /// What a Docker host is made of, in our client's words.
  json host_template() const {
    std::ifstream in(std::string(BERTH_FIXTURES) + "/docker-host.json");
    return json::parse(in);
  }
  json deployment(const json& document, const json& parameters = json::object()) const {
    return {{"properties", {{"mode", "Incremental"}, {"template", document}, {"parameters", parameters}}}};
  }
  json host_parameters() const {
    return {{"adminPassword", {{"value", "Str0ng!pass"}}}, {"image", {{"value", "tiny"}}}};
  }
  void make_host() {
    make_group();
    const json done = region.put(deployment_path, deployment(host_template(), host_parameters()));
    ASSERT_EQ(done["status"], "Succeeded") << done.dump(1);
  }

  TestRegion region;
};

// --- sign-in

TEST_F(ArmEndpointsTest, LetsNobodyInWithoutAToken) {
  const Response response = region.arm("GET", "resourceGroups", nullptr, {{"Authorization", ""}});

  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(code_of(response), "AuthenticationFailed");
  EXPECT_THAT(response.headers, Contains(testing::Key("WWW-Authenticate")));
  EXPECT_THAT(response.headers, Not(Contains(testing::Key("Retry-After"))));
}

TEST_F(ArmEndpointsTest, TellsAnExpiredTokenFromAForgedOne) {
  region.now += 7200;
  EXPECT_EQ(code_of(region.arm("GET", "resourceGroups")), "ExpiredAuthenticationToken");
  EXPECT_EQ(
      code_of(region.arm("GET", "resourceGroups", nullptr, {{"Authorization", "Bearer aaaa.bbbb.cccc"}})),
      "InvalidAuthenticationToken");
}

TEST_F(ArmEndpointsTest, RefusesAWrongSecretWith401) {
  const Response response = region.call(
      "POST", "/adfs/oauth2/token/",
      "grant_type=client_credentials&client_id=" + region.access.client_id + "&client_secret=wrong");

  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(json::parse(response.body)["error"], "invalid_client");
}

TEST_F(ArmEndpointsTest, DescribesItsAuthorityFromItsOwnAddress) {
  const json metadata = json::parse(
      region.call("GET", "/metadata/endpoints?api-version=2015-01-01", "", {{"Authorization", ""}}).body);
  EXPECT_EQ(metadata["authentication"]["loginEndpoint"], "https://127.0.0.1:8443/adfs");
  EXPECT_EQ(metadata["authentication"]["audiences"][0], "https://management.core.windows.net/");

  for (const char* path :
       {"/adfs/.well-known/openid-configuration", "/adfs/some-tenant/.well-known/openid-configuration"}) {
    const json discovery = json::parse(region.call("GET", path).body);
    EXPECT_EQ(discovery["token_endpoint"], "https://127.0.0.1:8443/adfs/oauth2/token/") << path;
  }
}

TEST_F(ArmEndpointsTest, AnswersTheClassicClientsTokenRoute) {
  const Response response = region.call(
      "POST", std::string("/") + region.tenant + "/oauth2/token?api-version=1.0",
      "grant_type=client_credentials&client_id=" + region.access.client_id +
          "&resource=https%3A%2F%2Fmanagement.core.windows.net%2F&client_secret=the+client%27s+secret");
  const json body = json::parse(response.body);

  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(body["resource"], "https://management.core.windows.net/");
  EXPECT_EQ(body["token_type"], "Bearer");
}

TEST_F(ArmEndpointsTest, RenewsAUsersTokenAndTakesNoRefreshTokenForAnAccessToken) {
  const json user =
      json::parse(region
                      .call("POST", "/adfs/oauth2/token/",
                            "grant_type=password&client_id=04b07795&username=" + region.access.client_id +
                                "&password=the+client%27s+secret")
                      .body);
  const std::string refresh = user["refresh_token"];
  const json renewed =
      json::parse(region
                      .call("POST", "/adfs/oauth2/token/",
                            "grant_type=refresh_token&client_id=04b07795&refresh_token=" + refresh)
                      .body);

  EXPECT_EQ(region
                .arm("GET", "resourceGroups", nullptr,
                     {{"Authorization", "Bearer " + renewed["access_token"].get<std::string>()}})
                .status,
            200);
  EXPECT_EQ(region.arm("GET", "resourceGroups", nullptr, {{"Authorization", "Bearer " + refresh}}).status,
            401);
}

TEST_F(ArmEndpointsTest, GivesAnIdentityItsTokenForTheSecretOnly) {
  const std::string target =
      "/identity/?resource=https://management.core.windows.net/&api-version=2017-09-01";
  EXPECT_EQ(region.call("GET", target, "", {{"Authorization", ""}}).status, 401);
  EXPECT_EQ(region.call("GET", target, "", {{"Authorization", ""}, {"secret", "wrong"}}).status, 401);
  const Response granted =
      region.call("GET", target, "", {{"Authorization", ""}, {"secret", "the client's secret"}});

  ASSERT_EQ(granted.status, 200);
  const std::string token = json::parse(granted.body)["access_token"];
  EXPECT_EQ(region.arm("GET", "resourceGroups", nullptr, {{"Authorization", "Bearer " + token}}).status, 200);
}

TEST_F(ArmEndpointsTest, SignsInADeviceOnceItsCodeIsConfirmed) {
  const json device = json::parse(region.call("POST", "/adfs/oauth2/devicecode", "client_id=x").body);
  const std::string ask =
      "grant_type=device_code&client_id=x&device_code=" + device["device_code"].get<std::string>();

  EXPECT_EQ(json::parse(region.call("POST", "/adfs/oauth2/token/", ask).body)["error"],
            "authorization_pending");
  EXPECT_EQ(
      region.call("POST", "/devicelogin", "code=" + device["user_code"].get<std::string>() + "&secret=wrong")
          .status,
      403);
  EXPECT_EQ(region
                .call("POST", "/devicelogin",
                      "code=" + device["user_code"].get<std::string>() + "&secret=the+client%27s+secret")
                .status,
            200);
  EXPECT_EQ(region.call("POST", "/adfs/oauth2/token/", ask).status, 200);
  EXPECT_EQ(json::parse(region.call("POST", "/adfs/oauth2/token/", ask).body)["error"], "expired_token");
}

TEST_F(ArmEndpointsTest, KeepsNothingOfASignInThatIsLargerThanItNeedsToBe) {
  const std::string long_text(20'000, 'x');
  const CaseInsensitiveMap nobody{{"Authorization", ""}};
  EXPECT_EQ(region.call("POST", "/adfs/oauth2/devicecode", "client_id=" + long_text, nobody).status, 413);
  for (const char* name : {"client_id", "resource", "scope", "username"})
    for (const char* path : {"/adfs/oauth2/devicecode", "/adfs/oauth2/token"}) {
      const Response response = region.call(
          "POST", path, "grant_type=password&" + std::string(name) + "=" + long_text.substr(0, 3000), nobody);
      EXPECT_EQ(response.status, 400) << name << path;
      EXPECT_THAT(response.body, AllOf(HasSubstr(name), Not(HasSubstr("xxx"))));
    }
}

TEST_F(ArmEndpointsTest, ADeviceThatWaitsIsNotPushedOutByAnotherAccounts) {
  const auto begin = [&](std::int64_t account) {
    region.account = account;
    return json::parse(region.call("POST", "/adfs/oauth2/devicecode", "client_id=x").body)["device_code"]
        .get<std::string>();
  };
  const auto state = [&](const std::string& code) {
    return json::parse(region.call("POST", "/adfs/oauth2/token", "grant_type=device_code&device_code=" + code)
                           .body)["error"]
        .get<std::string>();
  };
  const std::string ours = begin(0);
  const std::string first = begin(2000);
  std::string last;
  for (int i = 0; i < 16; ++i) last = begin(2000);
  EXPECT_EQ(state(first), "expired_token") << "the oldest of an account that has many goes";
  EXPECT_EQ(state(last), "authorization_pending");
  for (std::int64_t account = 3000; account < 3300; ++account) begin(account);
  EXPECT_EQ(state(last), "expired_token") << "all together have a limit";
  EXPECT_EQ(state(ours), "authorization_pending");
  region.now += 901;
  EXPECT_EQ(state(ours), "expired_token");
}

TEST_F(ArmEndpointsTest, TheAudienceOfATokenIsOursAndNotWhatTheClientCallsUs) {
  const auto token_for = [&](const std::string& resource) {
    return json::parse(
               region
                   .call("POST", "/adfs/oauth2/token",
                         "grant_type=client_credentials&client_id=" + region.access.client_id +
                             "&client_secret=the+client%27s+secret&resource=" + percent_encode(resource))
                   .body)["access_token"]
        .get<std::string>();
  };
  const auto status_with = [&](const std::string& resource) {
    return region.arm("GET", "resourceGroups", nullptr, {{"Authorization", "Bearer " + token_for(resource)}})
        .status;
  };
  region.called = "https://evil.example";
  EXPECT_EQ(status_with("https://evil.example"), 401);
  EXPECT_EQ(status_with("https://evil.example/"), 401);
  EXPECT_EQ(status_with("https://127.0.0.1:8443/"), 200);
  EXPECT_EQ(status_with("https://management.azure.com/"), 200);
}

TEST_F(ArmEndpointsTest, SaysWhoMaySendWhatBeforeABodyIsRead) {
  const std::string large(9'000'000, ' ');
  const std::string subscription = std::string("/subscriptions/") + region.subscription;
  const std::string version = "?api-version=2020-06-01";
  const CaseInsensitiveMap nobody{{"Authorization", ""}};
  const std::string deployment =
      subscription + "/resourceGroups/g/providers/Microsoft.Resources/deployments/d" + version;
  const std::string package =
      subscription + "/providers/Berth.Local/extensions/Contoso.Test/Echo/1.0.0" + version;
  for (const std::string& target : {deployment, package})
    EXPECT_EQ(region.call("PUT", target, large, nobody).status, 401);
  EXPECT_EQ(region.call("PUT", deployment, large).status, 413);
  EXPECT_EQ(region.call("PUT", package, large).status, 400) << "read, and no zip";
  EXPECT_EQ(region.call("POST", "/devicelogin", std::string(20'000, 'x')).status, 413);
}

// --- what every request needs

TEST_F(ArmEndpointsTest, WantsAnApiVersionAndOurSubscription) {
  EXPECT_EQ(code_of(region.call("GET", "/subscriptions")), "MissingApiVersionParameter");
  EXPECT_EQ(code_of(region.call(
                "GET", "/subscriptions/11111111-0000-0000-0000-000000000000/resourceGroups?api-version=1")),
            "SubscriptionNotFound");
}

TEST_F(ArmEndpointsTest, AnswersWhatIsNotThereInItsOwnForm) {
  EXPECT_EQ(code_of(region.call("GET", "/nothing/here")), "NotFound");
  EXPECT_EQ(region.arm("DELETE", "locations").status, 405);
  make_group();
  EXPECT_EQ(code_of(region.arm("GET", "resourceGroups/g/providers/Microsoft.Nothing/things/x")),
            "InvalidResourceType");
  EXPECT_EQ(code_of(region.arm("GET", vm_path)), "ResourceNotFound");
  EXPECT_EQ(code_of(region.arm("GET", "resourceGroups/none/providers/Microsoft.Compute/virtualMachines")),
            "ResourceGroupNotFound");
}

TEST_F(ArmEndpointsTest, NamesARequestIdInEveryAnswer) {
  EXPECT_THAT(region.call("GET", "/nothing").headers, Contains(testing::Key("x-ms-request-id")));
  EXPECT_THAT(region.arm("GET", "resourceGroups").headers,
              AllOf(Contains(testing::Key("x-ms-request-id")),
                    Contains(testing::Key("x-ms-correlation-request-id"))));
}

// --- groups and catalog

TEST_F(ArmEndpointsTest, KeepsResourceGroups) {
  EXPECT_EQ(region.arm("HEAD", "resourcegroups/G").status, 404);
  make_group();

  EXPECT_EQ(region.arm("HEAD", "resourcegroups/G").status, 204);
  EXPECT_EQ(region.arm("PUT", "RESOURCEGROUPS/G", {{"location", "westus"}, {"tags", {{"a", "b"}}}}).status,
            200);
  EXPECT_EQ(region.get("resourceGroups/g")["tags"]["a"], "b");
  EXPECT_EQ(region.get("resourceGroups/G")["name"], "g");
  EXPECT_THAT(region.get("resourceGroups")["value"], SizeIs(1));
  EXPECT_EQ(code_of(region.arm("PUT", "resourceGroups/h", {{"location", "atlantis"}})),
            "LocationNotAvailableForResourceType");
  EXPECT_EQ(code_of(region.arm("PUT", "resourceGroups/h", json::object())), "LocationRequired");
}

TEST_F(ArmEndpointsTest, DeletesAGroupWithAllThatIsInIt) {
  make_host();
  const Response accepted = region.arm("DELETE", "resourceGroups/g");

  EXPECT_EQ(accepted.status, 202);
  EXPECT_THAT(accepted.headers, Contains(testing::Key("Location")));
  EXPECT_EQ(region.finish(accepted)["status"], "Succeeded");
  EXPECT_EQ(region.arm("GET", "resourceGroups/g").status, 404);
  EXPECT_EQ(region.arm("DELETE", "resourceGroups/g").status, 404);
  EXPECT_THAT(region.get("providers/Microsoft.Compute/virtualMachines")["value"], IsEmpty());
  make_group();
  EXPECT_EQ(code_of(region.arm("GET", deployment_path)), "DeploymentNotFound");
}

TEST_F(ArmEndpointsTest, ListsItsOwnImagesAndThoseWithAMarketplaceAddress) {
  const json images = region.get("providers/Berth.Local/osImages")["value"];
  const auto named = [](const std::string& name) {
    return testing::Truly([name](const json& image) { return image["name"] == name; });
  };
  EXPECT_THAT(images, Contains(named("tiny")));

  const json publishers = region.get("providers/Microsoft.Compute/locations/westus/publishers");
  ASSERT_TRUE(publishers.is_array());
  const std::string base = "providers/Microsoft.Compute/locations/westus/publishers/" +
                           publishers[0]["name"].get<std::string>() + "/artifacttypes/vmimage/offers";
  const std::string offer = region.get(base)[0]["name"];
  const std::string sku = region.get(base + "/" + offer + "/skus")[0]["name"];
  const json versions =
      region.get(base + "/" + offer + "/skus/" + sku + "/versions?$top=1&$orderby=name%20desc");
  ASSERT_THAT(versions, SizeIs(1));
  EXPECT_EQ(
      region.get(base + "/" + offer + "/skus/" + sku + "/versions/" +
                 versions[0]["name"].get<std::string>())["properties"]["osDiskImage"]["operatingSystem"],
      "Linux");
  EXPECT_EQ(
      code_of(region.arm(
          "GET",
          "providers/Microsoft.Compute/locations/westus/publishers/Nobody/artifacttypes/vmimage/offers")),
      "NotFound");
}

TEST_F(ArmEndpointsTest, GivesItsImagesShortNamesAndNamesThemToWhoAsksForAnother) {
  const json aliases = json::parse(region.call("GET", "/aliases.json", "", {{"Authorization", ""}}).body);
  const json& linux = aliases["outputs"]["aliases"]["value"]["Linux"];
  EXPECT_EQ(linux["Debian-12"]["offer"], "debian-12");
  EXPECT_EQ(linux["Debian"]["sku"], "13");

  make_group();
  json document = host_template();
  document["resources"] = json::array({document["resources"].back()});
  document.erase("outputs");
  json& vm = document["resources"][0];
  vm.erase("dependsOn");
  vm["properties"]["storageProfile"]["imageReference"] = {
      {"publisher", "Canonical"}, {"offer", "UbuntuServer"}, {"sku", "18.04-LTS"}, {"version", "latest"}};
  const Response refused = region.arm("PUT", deployment_path, deployment(document, host_parameters()));
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body,
              AllOf(HasSubstr("Canonical:UbuntuServer:18.04-LTS"), HasSubstr("Debian:debian-12:12:latest")));
}

// --- resources

TEST_F(ArmEndpointsTest, PutsRulesAsChildrenOfTheirGroup) {
  make_group();
  const std::string path = "resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/nsg";
  EXPECT_EQ(code_of(region.arm("PUT", path + "/securityRules/r", {{"properties", {{"priority", 100}}}})),
            "ParentResourceNotFound");
  EXPECT_EQ(region.arm("PUT", path, {{"location", "westus"}}).status, 201);
  const json rule = {{"name", "open-port-80"},
                     {"properties",
                      {{"protocol", "*"},
                       {"destinationPortRange", "80"},
                       {"access", "allow"},
                       {"priority", 900},
                       {"direction", "inbound"}}}};
  EXPECT_EQ(region.arm("PUT", path + "/securityRules/open-port-80", rule).status, 201);

  EXPECT_EQ(region.get(path)["properties"]["securityRules"][0]["properties"]["access"], "Allow");
  EXPECT_EQ(region.get(path + "/securityRules/OPEN-PORT-80")["name"], "open-port-80");
  EXPECT_THAT(region.get(path + "/securityRules")["value"], SizeIs(1));
  EXPECT_EQ(region.arm("DELETE", path + "/securityRules/open-port-80").status, 200);
  EXPECT_EQ(region.arm("DELETE", path + "/securityRules/open-port-80").status, 204);
}

TEST_F(ArmEndpointsTest, ChangesOnlyWhatTheClientHasSeen) {
  make_group();
  const std::string path = "resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
  const json body = {{"location", "westus"},
                     {"properties", {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}}}}};
  ASSERT_EQ(region.arm("PUT", path, body, {{"If-None-Match", "*"}}).status, 201);
  const std::string etag = region.get(path)["etag"];
  ASSERT_EQ(region.arm("PUT", path, body, {{"If-Match", etag}}).status, 200);

  const Response late = region.arm("PUT", path, body, {{"If-Match", etag}});
  EXPECT_EQ(late.status, 412);
  EXPECT_EQ(code_of(late), "PreconditionFailed");
  EXPECT_EQ(region.arm("PUT", path, body, {{"If-None-Match", "*"}}).status, 412);
}

TEST_F(ArmEndpointsTest, ChangesOnlyThePartThatTheClientHasSeen) {
  make_group();
  const std::string network = "resourceGroups/g/providers/Microsoft.Network/";
  ASSERT_EQ(region
                .arm("PUT", network + "virtualNetworks/v",
                     {{"location", "westus"},
                      {"properties", {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}}}}})
                .status,
            201);
  ASSERT_EQ(region.arm("PUT", network + "networkSecurityGroups/n", {{"location", "westus"}}).status, 201);
  const std::pair<std::string, json> parts[] = {
      {network + "virtualNetworks/v/subnets/s", {{"properties", {{"addressPrefix", "10.0.1.0/24"}}}}},
      {network + "networkSecurityGroups/n/securityRules/r",
       {{"properties",
         {{"protocol", "*"},
          {"destinationPortRange", "80"},
          {"access", "Allow"},
          {"priority", 900},
          {"direction", "Inbound"}}}}}};
  for (const auto& [path, body] : parts) {
    EXPECT_EQ(region.arm("PUT", path, body, {{"If-Match", "*"}}).status, 412) << "it is not there yet";
    ASSERT_EQ(region.arm("PUT", path, body, {{"If-None-Match", "*"}}).status, 201) << path;
    const std::string etag = region.get(path)["etag"];
    EXPECT_EQ(region.arm("PUT", path, body, {{"If-Match", etag}}).status, 200) << path;
    EXPECT_EQ(region.arm("PUT", path, body, {{"If-Match", etag}}).status, 412) << path;
    EXPECT_EQ(region.arm("DELETE", path, nullptr, {{"If-Match", etag}}).status, 412) << path;
    EXPECT_EQ(region.arm("DELETE", path, nullptr, {{"If-Match", region.get(path)["etag"]}}).status, 200)
        << path;
  }
}

TEST_F(ArmEndpointsTest, PatchesTagsAndLeavesTheRest) {
  make_group();
  const std::string path = "resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
  ASSERT_EQ(region
                .arm("PUT", path,
                     {{"location", "westus"},
                      {"properties", {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}}}}})
                .status,
            201);
  ASSERT_EQ(region.arm("PATCH", path, {{"tags", {{"x", "y"}}}}).status, 200);

  EXPECT_EQ(region.get(path)["tags"]["x"], "y");
  EXPECT_EQ(region.get(path)["properties"]["addressSpace"]["addressPrefixes"][0], "10.0.0.0/16");
}

TEST_F(ArmEndpointsTest, KeepsInertResourcesForTheClassicClient) {
  make_group();
  const std::string path = "resourceGroups/g/providers/Microsoft.Storage/storageAccounts/dk1stor";
  EXPECT_EQ(region.arm("GET", path).status, 404);
  const Response put = region.arm(
      "PUT", path, {{"sku", {{"name", "Standard_LRS"}}}, {"kind", "Storage"}, {"location", "westus"}});

  EXPECT_EQ(put.status, 200);
  EXPECT_EQ(region.get(path)["properties"]["primaryEndpoints"]["blob"],
            "https://dk1stor.blob.core.windows.net/");
  EXPECT_EQ(region.get(path)["sku"]["name"], "Standard_LRS");
  const auto available = [&](const char* name) {
    const Response answer =
        region.arm("POST", "providers/Microsoft.Storage/checkNameAvailability", {{"name", name}});
    return json::parse(answer.body)["nameAvailable"].get<bool>();
  };
  EXPECT_FALSE(available("DK1STOR"));
  EXPECT_TRUE(available("dk2stor"));
}

TEST_F(ArmEndpointsTest, SaysWhatAHostileBodyIs) {
  make_group();
  const std::string target = std::string("/subscriptions/") + region.subscription +
                             "/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v?api-version=1";
  for (const std::string& body : {std::string("{"), std::string(100'000, '['),
                                  std::string(R"({"a":1,"a":2})"), std::string("\xff\xfe"), std::string()}) {
    const Response response = region.call("PUT", target, body);
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(code_of(response), "InvalidRequestContent");
  }
}

TEST_F(ArmEndpointsTest, OpensTheOtherPortThatAnInboundNatRuleNames) {
  make_host();
  const std::string network = "resourceGroups/g/providers/Microsoft.Network/";
  ASSERT_EQ(region.arm("PUT", network + "publicIPAddresses/lb-ip", {{"location", "westus"}}).status, 201);
  const std::string balancer = network + "loadBalancers/lb";
  const std::string id = region.id("g", "Microsoft.Network/loadBalancers/lb");
  const json frontend = {
      {"name", "front"},
      {"properties",
       {{"publicIPAddress", {{"id", region.id("g", "Microsoft.Network/publicIPAddresses/lb-ip")}}}}}};
  const json rule = {{"properties",
                      {{"frontendIPConfiguration", {{"id", id + "/frontendIPConfigurations/front"}}},
                       {"protocol", "Tcp"},
                       {"frontendPort", 50022},
                       {"backendPort", 22}}}};
  ASSERT_EQ(region
                .arm("PUT", balancer,
                     {{"location", "westus"},
                      {"properties", {{"frontendIPConfigurations", json::array({frontend})}}}})
                .status,
            201);
  ASSERT_EQ(region.arm("PUT", balancer + "/inboundNatRules/ssh", rule).status, 201);
  json nic = region.get(network + "networkInterfaces/web1-nic");
  json& properties = nic["properties"]["ipConfigurations"][0]["properties"];
  properties["loadBalancerInboundNatRules"] = json::array({{{"id", id + "/inboundNatRules/ssh"}}});
  EXPECT_EQ(code_of(region.arm("PUT", network + "networkInterfaces/web1-nic", nic)), "OperationNotAllowed");
  properties.erase("publicIPAddress");
  ASSERT_EQ(region.arm("PUT", network + "networkInterfaces/web1-nic", nic).status, 200);
  region.run(region.region->networks().settle_ports({"g", "web1"}));

  EXPECT_EQ(
      region.get(network + "publicIPAddresses/lb-ip")["properties"]["localPorts"],
      json::parse(R"([{"protocol":"tcp","port":50022,"hostPort":50022,"guestPort":22,"movedBecause":""}])"));
  EXPECT_EQ(region.get(network + "publicIPAddresses/lb-ip")["properties"]["ipConfiguration"]["id"],
            id + "/frontendIPConfigurations/front");
  EXPECT_FALSE(
      region.get(network + "networkInterfaces/web1-nic")["properties"]["ipConfigurations"][0]["properties"]
          .contains("publicIPAddress"));
  EXPECT_EQ(code_of(region.arm("DELETE", balancer + "/inboundNatRules/ssh")), "InboundNatRuleInUse");
  EXPECT_EQ(code_of(region.arm("DELETE", network + "publicIPAddresses/lb-ip")),
            "PublicIPAddressCannotBeDeleted");
}

TEST_F(ArmEndpointsTest, TakesOverALoadBalancerThatWasKeptWithoutEffect) {
  make_group();
  const std::string network = "resourceGroups/g/providers/Microsoft.Network/";
  ASSERT_EQ(region.arm("PUT", network + "publicIPAddresses/lb-ip", {{"location", "westus"}}).status, 201);
  InertResource kept;
  static_cast<Resource&>(kept) = {.group = "g", .name = "lb", .location = "westus"};
  kept.type = "Microsoft.Network/loadBalancers";
  kept.properties = json{{"frontendIPConfigurations",
                          {{{"name", "front"},
                            {"properties",
                             {{"publicIPAddress",
                               {{"id", region.id("g", "Microsoft.Network/publicIPAddresses/lb-ip")}}}}}}}}}
                        .dump();
  region.region->inert().put(kept);

  region.restart();

  EXPECT_EQ(region.get(network + "loadBalancers/lb")["properties"]["frontendIPConfigurations"][0]["name"],
            "front");
  EXPECT_EQ(code_of(region.arm("DELETE", network + "publicIPAddresses/lb-ip")),
            "PublicIPAddressCannotBeDeleted");
  EXPECT_THAT(region.region->inert().list("Microsoft.Network/loadBalancers"), IsEmpty());
}

TEST_F(ArmEndpointsTest, KeepsAGroupWhoseAddressALoadBalancerOfAnotherGroupHas) {
  make_host();
  const std::string network = "/providers/Microsoft.Network/";
  region.arm("PUT", "resourceGroups/h", {{"location", "westus"}});
  region.arm("PUT", "resourceGroups/g" + network + "publicIPAddresses/lb-ip", {{"location", "westus"}});
  const json frontend = {
      {"name", "front"},
      {"properties",
       {{"publicIPAddress", {{"id", region.id("g", "Microsoft.Network/publicIPAddresses/lb-ip")}}}}}};
  ASSERT_EQ(region
                .arm("PUT", "resourceGroups/h" + network + "loadBalancers/lb",
                     {{"location", "westus"},
                      {"properties", {{"frontendIPConfigurations", json::array({frontend})}}}})
                .status,
            201);
  EXPECT_EQ(code_of(region.arm("DELETE", "resourceGroups/g")), "InUsePublicIPAddressCannotBeDeleted");
  EXPECT_EQ(region.arm("GET", vm_path).status, 200);
}

TEST_F(ArmEndpointsTest, ALockedInterfaceIsNotDeletedWithItsVm) {
  make_host();
  json vm = region.get(vm_path);
  vm["properties"]["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"] = "Delete";
  ASSERT_EQ(region.put(vm_path, vm)["status"], "Succeeded");
  const std::string nic = vm["properties"]["networkProfile"]["networkInterfaces"][0]["id"];
  const std::string lock = nic + "/providers/Microsoft.Authorization/locks/keep?api-version=2020-05-01";
  ASSERT_EQ(region.call("PUT", lock, json{{"properties", {{"level", "CanNotDelete"}}}}.dump()).status, 201);

  EXPECT_EQ(code_of(region.arm("DELETE", vm_path)), "ScopeLocked");
  EXPECT_EQ(region.arm("GET", vm_path).status, 200);

  ASSERT_EQ(region.call("DELETE", lock).status, 200);
  EXPECT_EQ(region.finish(region.arm("DELETE", vm_path))["status"], "Succeeded");
}

TEST_F(ArmEndpointsTest, AListOfLargeDocumentsHasSmallerPages) {
  region.arm("PUT", "resourceGroups/g", {{"location", "westus"}});
  const std::string tables = "resourceGroups/g/providers/Microsoft.Network/routeTables";
  for (const char* name : {"a", "b", "c", "d"})
    ASSERT_EQ(region
                  .arm("PUT", tables + "/" + name,
                       {{"location", "westus"}, {"properties", {{"routes", {std::string(600'000, 'x')}}}}})
                  .status,
              201);

  const json first = region.get(tables);
  ASSERT_EQ(first["value"].size(), 2u);
  const std::string link = first["nextLink"];
  const json second =
      json::parse(region.call("GET", link.substr(std::string(TestRegion::origin).size())).body);

  EXPECT_EQ(second["value"].size(), 2u);
  EXPECT_EQ(second["value"][0]["name"], "c");
  EXPECT_FALSE(second.contains("nextLink"));
}

TEST_F(ArmEndpointsTest, PartsOfALoadBalancerAreObjectsWithTextsForNames) {
  const std::string network = "/providers/Microsoft.Network/";
  region.arm("PUT", "resourceGroups/g", {{"location", "westus"}});
  const auto put = [&](const json& pool) {
    return region.arm("PUT", "resourceGroups/g" + network + "loadBalancers/odd",
                      {{"location", "westus"}, {"properties", {{"backendAddressPools", {pool}}}}});
  };
  EXPECT_EQ(put({{"name", "p"}, {"properties", json::array({1})}}).status, 400);
  EXPECT_EQ(put({{"name", "p"}, {"properties", 5}}).status, 400);
  EXPECT_LT(put({{"name", 5}}).status, 500);
  EXPECT_LT(
      region.arm("GET", "resourceGroups/g" + network + "loadBalancers/odd/backendAddressPools/x").status,
      500);
}

TEST_F(ArmEndpointsTest, GivesBackWhatIsDeletedWithAVmAndSwitchesItsDiagnosticsOff) {
  make_host();
  json vm = region.get(vm_path);
  const auto properties = [&]() -> json& { return vm["properties"]; };
  EXPECT_FALSE(properties()["storageProfile"]["osDisk"].contains("deleteOption"));
  properties()["storageProfile"]["osDisk"]["deleteOption"] = "delete";
  properties()["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"] = "Delete";
  properties()["diagnosticsProfile"]["bootDiagnostics"]["enabled"] = true;
  ASSERT_EQ(region.put(vm_path, vm)["status"], "Succeeded");
  vm = region.get(vm_path);
  EXPECT_EQ(properties()["storageProfile"]["osDisk"]["deleteOption"], "Delete");
  EXPECT_EQ(properties()["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"], "Delete");
  EXPECT_TRUE(properties()["diagnosticsProfile"]["bootDiagnostics"]["enabled"]);
  properties()["storageProfile"]["osDisk"].erase("deleteOption");  // as a client would that does not know it
  properties()["networkProfile"]["networkInterfaces"][0]["properties"]["deleteOption"] = "Detach";
  properties()["diagnosticsProfile"]["bootDiagnostics"]["enabled"] = false;
  ASSERT_EQ(region.put(vm_path, vm)["status"], "Succeeded");
  vm = region.get(vm_path);
  EXPECT_EQ(properties()["storageProfile"]["osDisk"]["deleteOption"], "Delete");
  EXPECT_FALSE(properties()["networkProfile"]["networkInterfaces"][0].contains("properties"));
  EXPECT_FALSE(properties()["diagnosticsProfile"]["bootDiagnostics"]["enabled"]);
}

TEST_F(ArmEndpointsTest, RefusesALoadBalancerThatWouldSpreadConnections) {
  make_group();
  const Response response = region.arm(
      "PUT", "resourceGroups/g/providers/Microsoft.Network/loadBalancers/lb",
      {{"location", "westus"}, {"properties", {{"loadBalancingRules", json::array({{{"name", "http"}}})}}}});

  EXPECT_EQ(code_of(response), "OperationNotAllowed");
  EXPECT_THAT(response.body, HasSubstr("loadBalancingRules"));
}

// --- deployments

TEST_F(ArmEndpointsTest, DeploysADockerHost) {
  make_group();
  const Response accepted =
      region.arm("PUT", deployment_path, deployment(host_template(), host_parameters()));
  ASSERT_EQ(accepted.status, 201) << accepted.body;
  EXPECT_THAT(accepted.headers, Contains(testing::Pair("x-ms-retry-after-ms", "200")));
  const json done = region.finish(accepted);

  ASSERT_EQ(done["status"], "Succeeded") << done.dump(1);
  EXPECT_THAT(done["properties"]["phases"], Not(IsEmpty()));
  const json document = region.get(deployment_path)["properties"];
  EXPECT_EQ(document["provisioningState"], "Succeeded");
  EXPECT_EQ(document["outputs"]["fqdn"]["value"], "web1.cloudapp.net");
  EXPECT_THAT(document["outputResources"], SizeIs(5));
  EXPECT_EQ(
      region.get(vm_path + "?$expand=instanceView")["properties"]["instanceView"]["statuses"][1]["code"],
      "PowerState/running");
  EXPECT_THAT(region.get(deployment_path + "/operations")["value"], SizeIs(5));
}

TEST_F(ArmEndpointsTest, KeepsNoSecretOfADeployment) {
  make_host();
  EXPECT_THAT(region.arm("GET", deployment_path).body, Not(HasSubstr("Str0ng")));
  EXPECT_EQ(region.get(deployment_path)["properties"]["parameters"]["adminPassword"],
            json({{"type", "SecureString"}}));
  region.restart();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(region.folder.path())) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    EXPECT_THAT(bytes, Not(HasSubstr("Str0ng!pass"))) << entry.path();
  }
}

TEST_F(ArmEndpointsTest, CanBeSentTheSameDeploymentAgain) {
  make_host();
  const std::string before = region.get(vm_path)["properties"]["vmId"];

  EXPECT_EQ(region.put(deployment_path, deployment(host_template(), host_parameters()))["status"],
            "Succeeded");
  EXPECT_EQ(region.get(vm_path)["properties"]["vmId"], before);
}

TEST_F(ArmEndpointsTest, RefusesADeploymentThatCannotWorkBeforeItMakesAnything) {
  make_group();
  json parameters = host_parameters();
  parameters["image"]["value"] = "no-such-image";
  const Response response = region.arm("PUT", deployment_path, deployment(host_template(), parameters));

  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(code_of(response), "InvalidTemplateDeployment");
  EXPECT_THAT(response.body, HasSubstr("no-such-image"));
  EXPECT_THAT(region.get("resourceGroups/g/resources")["value"], IsEmpty());
  EXPECT_EQ(region.arm("POST", deployment_path + "/validate", deployment(host_template(), parameters)).status,
            400);
  EXPECT_EQ(region.arm("POST", deployment_path + "/validate", deployment(host_template(), host_parameters()))
                .status,
            200);
}

TEST_F(ArmEndpointsTest, TellsWhyADeploymentFailed) {
  make_group();
  region.driver->fail_next_start = Error(ErrorKind::unavailable, "AllocationFailed",
                                         "There is no memory for Str0ng!pass.", "Stop another machine.");
  const json done = region.put(deployment_path, deployment(host_template(), host_parameters()));

  EXPECT_EQ(done["status"], "Failed");
  EXPECT_EQ(done["error"]["code"], "DeploymentFailed");
  EXPECT_EQ(done["error"]["details"][0]["code"], "AllocationFailed");
  EXPECT_EQ(done["error"]["details"][0]["message"], "There is no memory for [secret]. Stop another machine.");
  EXPECT_EQ(done["error"]["details"][0]["additionalInfo"][0]["info"]["advice"], "Stop another machine.");
  EXPECT_EQ(region.get(deployment_path)["properties"]["error"]["code"], "DeploymentFailed");
}

TEST_F(ArmEndpointsTest, TellsWhyADeploymentFailedAlsoAfterARestart) {
  make_group();
  region.driver->fail_next_start =
      Error(ErrorKind::unavailable, "AllocationFailed", "There is no memory.", "Stop another machine.");
  const Response accepted =
      region.arm("PUT", deployment_path, deployment(host_template(), host_parameters()));
  const json before = region.finish(accepted);
  ASSERT_EQ(before["error"]["details"][0]["code"], "AllocationFailed") << before.dump(1);
  region.restart();
  const json after = region.finish(accepted);

  EXPECT_EQ(after["error"], before["error"]);
  EXPECT_EQ(after["properties"]["phases"].size(), before["properties"]["phases"].size());
  ASSERT_EQ(region.put(deployment_path, deployment(host_template(), host_parameters()))["status"],
            "Succeeded");
  EXPECT_FALSE(region.finish(accepted)["error"].contains("details"))
      << "the newer deployment's are not its own";
}

TEST_F(ArmEndpointsTest, SaysThatARestartEndedADeployment) {
  make_group();
  region.guests->talkative = false;  // the VM boots for ever
  ASSERT_EQ(region.arm("PUT", deployment_path, deployment(host_template(), host_parameters())).status, 201);
  EXPECT_EQ(region.get(deployment_path)["properties"]["provisioningState"], "Running");
  EXPECT_EQ(code_of(region.arm("PUT", deployment_path, deployment(host_template(), host_parameters()))),
            "DeploymentActive");
  region.restart();

  const json properties = region.get(deployment_path)["properties"];
  EXPECT_EQ(properties["provisioningState"], "Failed");
  EXPECT_EQ(properties["error"]["code"], "OperationPreempted");
  EXPECT_EQ(region.put(deployment_path, deployment(host_template(), host_parameters()))["status"],
            "Succeeded");
}

TEST_F(ArmEndpointsTest, HoldsTheAnswerForTheClassicClient) {
  make_group();
  const Response response = region.arm("PUT", deployment_path, deployment(host_template(), host_parameters()),
                                       {{"User-Agent", "AzureXplatCLI/0.10.20"}});

  EXPECT_EQ(response.status, 201);
  EXPECT_THAT(response.headers, Not(Contains(testing::Key("Azure-AsyncOperation"))));
  EXPECT_EQ(json::parse(response.body)["properties"]["provisioningState"], "Succeeded");
}

/// A nested deployment that makes the security group `name`.
json nested_group_of_rules(const std::string& name, const char* mode = "Incremental") {
  const json inner = {{"$schema", "x"},
                      {"contentVersion", "1.0.0.0"},
                      {"parameters", {{"n", {{"type", "string"}}}}},
                      {"resources", json::array({{{"type", "Microsoft.Network/networkSecurityGroups"},
                                                  {"apiVersion", "1"},
                                                  {"name", "[parameters('n')]"},
                                                  {"location", "westus"}}})},
                      {"outputs", {{"made", {{"type", "string"}, {"value", "[parameters('n')]"}}}}}};
  return {{"type", "Microsoft.Resources/deployments"},
          {"apiVersion", "1"},
          {"name", "inner"},
          {"properties",
           {{"mode", mode},
            {"expressionEvaluationOptions", {{"scope", "inner"}}},
            {"parameters", {{"n", {{"value", name}}}}},
            {"template", inner}}}};
}

TEST_F(ArmEndpointsTest, RunsNestedDeployments) {
  make_group();
  const json outer = {
      {"$schema", "x"},
      {"contentVersion", "1.0.0.0"},
      {"resources", json::array({nested_group_of_rules("nsg1")})},
      {"outputs", {{"made", {{"type", "string"}, {"value", "[reference('inner').outputs.made.value]"}}}}}};
  ASSERT_EQ(region.put(deployment_path, deployment(outer))["status"], "Succeeded");

  EXPECT_EQ(region.get(deployment_path)["properties"]["outputs"]["made"]["value"], "nsg1");
  EXPECT_EQ(
      region.arm("GET", "resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/nsg1").status,
      200);
  EXPECT_THAT(region.get("resourceGroups/g/providers/Microsoft.Resources/deployments")["value"], SizeIs(2));
}

TEST_F(ArmEndpointsTest, MakesWhatIsWrittenBeforeWhatItWaitsFor) {
  make_group();
  json resources = json::array();
  for (const char* name : {"one", "two", "three"}) {
    json resource = {{"type", "Microsoft.Network/networkSecurityGroups"},
                     {"apiVersion", "1"},
                     {"name", name},
                     {"location", "westus"}};
    if (!resources.empty()) resources.back()["dependsOn"] = json::array({name});
    resources.push_back(std::move(resource));
  }
  ASSERT_EQ(
      region.put(
          deployment_path,
          deployment({{"$schema", "x"}, {"contentVersion", "1.0.0.0"}, {"resources", resources}}))["status"],
      "Succeeded");

  EXPECT_THAT(region.get("resourceGroups/g/resources")["value"], SizeIs(3));
  const json operations = region.get(deployment_path + "/operations")["value"];
  for (const json& operation : operations)
    EXPECT_EQ(operation["properties"]["provisioningState"], "Succeeded");
}

class CompleteMode : public ArmEndpointsTest {
 protected:
  json complete(const json& resources) const {
    json body = deployment({{"$schema", "x"}, {"contentVersion", "1.0.0.0"}, {"resources", resources}});
    body["properties"]["mode"] = "Complete";
    return body;
  }
  /// "Delete g/…/nsg" and so on.
  std::vector<std::string> foreseen(const json& body) {
    std::vector<std::string> changes;
    const json answer = json::parse(region.arm("POST", deployment_path + "/whatIf", body).body);
    for (const json& change : answer["properties"]["changes"]) {
      const std::string id = change["resourceId"];
      changes.push_back(change["changeType"].get<std::string>() + " " + id.substr(id.rfind('/') + 1));
    }
    return changes;
  }
  const std::string network = "resourceGroups/g/providers/Microsoft.Network/";
};

TEST_F(CompleteMode, RemovesWhatTheTemplateDoesNotName) {
  make_host();
  ASSERT_EQ(region.arm("PUT", network + "publicIPAddresses/lb-ip", {{"location", "westus"}}).status, 201);
  const json frontend = {
      {"name", "front"},
      {"properties",
       {{"publicIPAddress", {{"id", region.id("g", "Microsoft.Network/publicIPAddresses/lb-ip")}}}}}};
  ASSERT_EQ(region
                .arm("PUT", network + "loadBalancers/lb",
                     {{"location", "westus"},
                      {"properties", {{"frontendIPConfigurations", json::array({frontend})}}}})
                .status,
            201);
  const std::vector<std::string> changes = foreseen(complete(json::array()));
  const json done = region.put(deployment_path, complete(json::array()));

  EXPECT_THAT(changes, testing::IsSupersetOf({"Delete web1", "Delete lb", "Delete lb-ip"}));
  EXPECT_EQ(done["status"], "Succeeded") << done.dump(1);
  EXPECT_THAT(region.get("resourceGroups/g/resources")["value"], IsEmpty());
  const json operations = region.get(deployment_path + "/operations")["value"];
  ASSERT_EQ(operations.size(), changes.size());
  EXPECT_EQ(operations[0]["properties"]["provisioningOperation"], "Delete");
}

TEST_F(CompleteMode, KeepsWhatNestedDeploymentsMake) {
  make_group();
  ASSERT_EQ(region.arm("PUT", network + "networkSecurityGroups/old", {{"location", "westus"}}).status, 201);
  const json body = complete(json::array({nested_group_of_rules("new")}));

  EXPECT_THAT(foreseen(body), testing::UnorderedElementsAre("Create new", "Delete old"));
  EXPECT_EQ(region.put(deployment_path, body)["status"], "Succeeded");
  EXPECT_EQ(region.arm("GET", network + "networkSecurityGroups/new").status, 200);
  EXPECT_EQ(region.arm("GET", network + "networkSecurityGroups/old").status, 404);
  EXPECT_THAT(foreseen(body), testing::ElementsAre("NoChange new"));
}

TEST_F(CompleteMode, ForeseesNothingOfANestedDeploymentThatWaitsForTheRegion) {
  make_group();
  ASSERT_EQ(region.arm("PUT", network + "networkSecurityGroups/old", {{"location", "westus"}}).status, 201);
  json nested = nested_group_of_rules("x");
  nested["properties"]["parameters"]["n"]["value"] =
      "[reference(resourceId('Microsoft.Network/networkSecurityGroups', 'old')).resourceGuid]";

  EXPECT_THAT(foreseen(complete(json::array({nested}))),
              testing::UnorderedElementsAre("Unsupported inner", "Unsupported old"));
}

TEST_F(CompleteMode, IsRefusedForANestedDeployment) {
  make_group();
  const json body = deployment({{"$schema", "x"},
                                {"contentVersion", "1.0.0.0"},
                                {"resources", json::array({nested_group_of_rules("n", "Complete")})}});
  for (const char* action : {"/validate", "/whatIf"}) {
    const Response answer = region.arm("POST", deployment_path + action, body);
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(code_of(answer), "InvalidDeployment") << answer.body;
  }
  EXPECT_EQ(code_of(region.arm("PUT", deployment_path, body)), "InvalidDeployment");
}

TEST_F(CompleteMode, SaysWhatCouldNotBeDeleted) {
  make_group();
  for (const char* name : {"free", "used"})
    ASSERT_EQ(region.arm("PUT", network + "networkSecurityGroups/" + name, {{"location", "westus"}}).status,
              201);
  ASSERT_EQ(region.arm("PUT", "resourceGroups/h", {{"location", "westus"}}).status, 201);
  const json subnet = {{"name", "s"}, {"properties", {{"addressPrefix", "10.0.0.0/24"}}}};
  const std::string other = "resourceGroups/h/providers/Microsoft.Network/";
  ASSERT_EQ(region
                .arm("PUT", other + "virtualNetworks/v",
                     {{"location", "westus"},
                      {"properties",
                       {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}}, {"subnets", {subnet}}}}})
                .status,
            201);
  const json ip = {{"name", "one"},
                   {"properties",
                    {{"subnet", {{"id", region.id("h", "Microsoft.Network/virtualNetworks/v/subnets/s")}}}}}};
  ASSERT_EQ(region
                .arm("PUT", other + "networkInterfaces/nic",
                     {{"location", "westus"},
                      {"properties",
                       {{"networkSecurityGroup",
                         {{"id", region.id("g", "Microsoft.Network/networkSecurityGroups/used")}}},
                        {"ipConfigurations", {ip}}}}})
                .status,
            201);
  const json done = region.put(deployment_path, complete(json::array()));

  EXPECT_EQ(done["status"], "Failed") << done.dump(1);
  EXPECT_EQ(done["error"]["code"], "DeploymentFailed");
  EXPECT_THAT(done["error"]["message"].get<std::string>(), HasSubstr("could be deleted"));
  ASSERT_TRUE(done["error"].contains("details")) << done.dump(1) << region.get(deployment_path).dump(1);
  ASSERT_THAT(done["error"]["details"], SizeIs(1));
  EXPECT_THAT(done["error"]["details"][0]["message"].get<std::string>(), HasSubstr("used"));
  EXPECT_EQ(region.arm("GET", network + "networkSecurityGroups/free").status, 404);
  EXPECT_EQ(region.arm("GET", network + "networkSecurityGroups/used").status, 200);
}

// --- virtual machines

TEST_F(ArmEndpointsTest, MovesAVmBetweenItsPowerStates) {
  make_host();
  const auto power = [&] {
    return region.get(vm_path + "/instanceView")["statuses"][1]["code"].get<std::string>();
  };

  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/powerOff?skipShutdown=false"))["status"],
            "Succeeded");
  EXPECT_EQ(power(), "PowerState/stopped");
  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/deallocate"))["status"], "Succeeded");
  EXPECT_EQ(power(), "PowerState/deallocated");
  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/start"))["status"], "Succeeded");
  EXPECT_EQ(power(), "PowerState/running");
  EXPECT_EQ(region.arm("POST", vm_path + "/start").status, 200);
  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/restart"))["status"], "Succeeded");
}

TEST_F(ArmEndpointsTest, AVmHibernatesInAzuresWords) {
  make_host();
  const auto statuses = [&] {
    std::vector<std::string> codes;
    const json view = region.get(vm_path + "/instanceView");
    for (const json& status : view["statuses"]) codes.push_back(status["code"]);
    return codes;
  };

  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/deallocate?hibernate=true"))["status"], "Succeeded");
  EXPECT_THAT(statuses(), testing::IsSupersetOf({"PowerState/deallocated", "HibernationState/Hibernated"}));
  EXPECT_EQ(region.arm("POST", vm_path + "/deallocate?hibernate=true").status, 200);
  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/start"))["status"], "Succeeded");
  EXPECT_THAT(statuses(), testing::Contains("PowerState/running"));
  EXPECT_THAT(statuses(), testing::Not(testing::Contains("HibernationState/Hibernated")));

  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/deallocate?hibernate=true"))["status"], "Succeeded");
  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/deallocate"))["status"], "Succeeded");
  EXPECT_THAT(statuses(), testing::Not(testing::Contains("HibernationState/Hibernated")));
  EXPECT_EQ(region.arm("POST", vm_path + "/deallocate?hibernate=true").status, 409) << "it does not run";
}

TEST_F(ArmEndpointsTest, DeletesAVmAndLeavesItsInterface) {
  make_host();
  EXPECT_EQ(region.finish(region.arm("DELETE", vm_path))["status"], "Succeeded");

  EXPECT_EQ(region.arm("GET", vm_path).status, 404);
  EXPECT_EQ(region.arm("DELETE", vm_path).status, 204);
  const json nic = region.get("resourceGroups/g/providers/Microsoft.Network/networkInterfaces/web1-nic");
  EXPECT_FALSE(nic["properties"].contains("virtualMachine"));
}

TEST_F(ArmEndpointsTest, PagesLongListsAndShowsThemWholeToTheClassicClient) {
  make_group();
  for (int i = 0; i < 5; ++i)
    region.arm("PUT",
               "resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/n" + std::to_string(i),
               {{"location", "westus"}});
  json page = region.get("resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups?$top=2");
  std::size_t seen = page["value"].size();
  int pages = 1;
  for (; page.contains("nextLink"); ++pages) {
    page = json::parse(
        region.call("GET", page["nextLink"].get<std::string>().substr(std::string(region.origin).size()))
            .body);
    seen += page["value"].size();
  }

  EXPECT_EQ(seen, 5u);
  EXPECT_EQ(pages, 3);
  EXPECT_THAT(
      json::parse(region
                      .arm("GET", "resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups?$top=2",
                           nullptr, {{"User-Agent", "AzureXplatCLI/0.10.20"}})
                      .body)["value"],
      SizeIs(5));
}

TEST_F(ArmEndpointsTest, GivesBootDiagnosticsToWhoHasTheirAddress) {
  make_host();
  std::filesystem::create_directories(region.region->machines().serial_log({"g", "web1"}).parent_path());
  std::ofstream(region.region->machines().serial_log({"g", "web1"})) << "Linux version 6.1\n";
  const json urls = json::parse(region.arm("POST", vm_path + "/retrieveBootDiagnosticsData").body);
  const std::string target =
      urls["serialConsoleLogBlobUri"].get<std::string>().substr(std::string(region.origin).size());

  EXPECT_EQ(region.call("GET", target, "", {{"Authorization", ""}}).body, "Linux version 6.1\n");
  std::string forged = target;
  forged[std::string("/diagnostics/180000").size()] ^= 1;
  EXPECT_EQ(region.call("GET", forged, "", {{"Authorization", ""}}).status, 401);
  region.now += 5 * 3600;
  EXPECT_EQ(region.call("GET", target, "", {{"Authorization", ""}}).status, 401);
}

class ManagedImage : public ArmEndpointsTest {
 protected:
  /// "web1", stopped and marked as generalized.
  void make_source() {
    make_host();
    region.finish(region.arm("POST", vm_path + "/deallocate"));
    ASSERT_EQ(region.arm("POST", vm_path + "/generalize").status, 200);
  }
  const std::string path = "resourceGroups/g/providers/Microsoft.Compute/images/golden";
  const json body{
      {"location", "westus"},
      {"properties",
       {{"sourceVirtualMachine", {{"id", region.id("g", "Microsoft.Compute/virtualMachines/web1")}}}}}};
};

TEST_F(ManagedImage, IsThereOnceTheDiskIsCopied) {
  make_source();
  const Response accepted = region.arm("PUT", path, body);

  EXPECT_EQ(accepted.status, 201);
  EXPECT_EQ(json::parse(accepted.body)["properties"]["provisioningState"], "Creating");
  EXPECT_EQ(region.arm("GET", path).status, 404);
  EXPECT_EQ(region.finish(accepted)["status"], "Succeeded");
  EXPECT_EQ(region.get(path)["properties"]["provisioningState"], "Succeeded");
  EXPECT_EQ(region.arm("PUT", path, {{"location", "westus"}, {"tags", {{"a", "b"}}}}).status, 200);
  EXPECT_EQ(region.get(path)["tags"]["a"], "b");
  EXPECT_EQ(region.arm("DELETE", path).status, 200);
  EXPECT_EQ(region.arm("GET", path).status, 404);
}

TEST_F(ManagedImage, IsNotThereWhenTheCopyFailed) {
  make_source();
  const Disk* disk = region.region->disks().find(region.region->machines().get({"g", "web1"}).os_disk);
  std::filesystem::remove(region.folder / disk->file);
  const json done = region.put(path, body);

  EXPECT_EQ(done["status"], "Failed") << done.dump(1);
  EXPECT_EQ(region.arm("GET", path).status, 404);
}

TEST_F(ManagedImage, IsMadeOfAGeneralizedVmOnly) {
  make_host();
  region.finish(region.arm("POST", vm_path + "/deallocate"));
  const Response refused = region.arm("PUT", path, body);

  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(code_of(refused), "OperationNotAllowed");
  EXPECT_THAT(refused.body, HasSubstr("not generalized"));
  const Response capture = region.arm("POST", vm_path + "/capture", {{"vhdPrefix", "golden"}});
  EXPECT_EQ(capture.status, 409);
  EXPECT_THAT(capture.body, HasSubstr("not generalized"));
}

TEST_F(ManagedImage, ItsSourceNeitherStartsNorMovesAgain) {
  make_source();
  for (const char* action : {"/start", "/redeploy"})
    EXPECT_EQ(region.arm("POST", vm_path + action).status, 409) << action;
}

TEST_F(ArmEndpointsTest, TurnsBootDiagnosticsOffAgain) {
  make_host();
  for (const bool enabled : {true, false}) {
    const json change = {
        {"properties", {{"diagnosticsProfile", {{"bootDiagnostics", {{"enabled", enabled}}}}}}}};
    EXPECT_EQ(region.finish(region.arm("PATCH", vm_path, change))["status"], "Succeeded");
    EXPECT_EQ(region.get(vm_path)["properties"]["diagnosticsProfile"]["bootDiagnostics"]["enabled"], enabled);
  }
}

TEST_F(ArmEndpointsTest, RunsACommandInAMachineAndTellsWhatItSaid) {
  make_host();
  std::ofstream(region.folder / "bundled/Microsoft.CPlat.Core.RunCommandLinux_1.0.5.zip") << "zip";
  std::string protected_settings;
  region.guests->answer = [&](const Vm&, const Extension& extension) {
    HandlerStatus status{.handler = extension.handler(),
                         .version = extension.version,
                         .status = "Ready",
                         .message = "Plugin enabled",
                         .sequence = extension.sequence,
                         .operation = "Enable"};
    status.settings = StatusItem{extension.type, "success", 0,
                                 fmt::format("Enable succeeded: \n[stdout]\n{}\n", extension.sequence)};
    if (extension.of_platform()) protected_settings = extension.protected_settings;
    return status;
  };
  const json order = {{"commandId", "RunShellScript"},
                      {"script", {"echo $1", "id"}},
                      {"parameters", {{{"name", "a"}, {"value", "b"}}}}};

  const json before = region.get(vm_path + "/extensions")["value"];
  for (const int time : {0, 1}) {
    const Response accepted = region.arm("POST", vm_path + "/runCommand", order);
    EXPECT_EQ(accepted.status, 202);
    EXPECT_EQ(code_of(region.arm("POST", vm_path + "/runCommand", order)), "Conflict");
    const json done = region.finish(accepted);
    EXPECT_EQ(done["status"], "Succeeded") << done.dump(1);
    const std::string location = accepted.headers.at("Location");
    const json result =
        json::parse(region.arm("GET", location.substr(location.find("operationresults"))).body);
    EXPECT_EQ(result, done["properties"]["output"]);
    EXPECT_EQ(result["value"][0]["code"], "ProvisioningState/succeeded");
    EXPECT_EQ(result["value"][0]["message"], fmt::format("Enable succeeded: \n[stdout]\n{}\n", time));
  }
  EXPECT_FALSE(protected_settings.empty());
  EXPECT_EQ(region.get(vm_path + "/extensions")["value"], before);
  EXPECT_EQ(region.get(vm_path + "/instanceView")["extensions"].size(), before.size());
  EXPECT_EQ(region.arm("GET", vm_path + "/extensions/%23RunCommandLinux").status, 404);
  EXPECT_EQ(region.arm("DELETE", vm_path + "/extensions/%23RunCommandLinux").status, 204);

  const json removal = {{"commandId", "RemoveRunCommandLinuxExtension"}};
  EXPECT_NE(find_extension(region.region->machines().get({"g", "web1"}), run_command_extension), nullptr);
  EXPECT_EQ(region.finish(region.arm("POST", vm_path + "/runCommand", removal))["status"], "Succeeded");
  EXPECT_EQ(find_extension(region.region->machines().get({"g", "web1"}), run_command_extension), nullptr);
  EXPECT_EQ(region.arm("POST", vm_path + "/runCommand", removal).status, 200);
}

TEST_F(ArmEndpointsTest, RefusesARunCommandThatNobodyCanRun) {
  make_host();
  EXPECT_EQ(code_of(region.arm("POST", vm_path + "/runCommand", {{"commandId", "RunShellScript"}})),
            "VMExtensionNotFound");
  const auto answer = [&](const json& body) {
    return code_of(region.arm("POST", vm_path + "/runCommand", body));
  };
  EXPECT_EQ(answer({{"commandId", "RunPowerShellScript"}}), "NotFound");
  EXPECT_EQ(answer({{"commandId", "ifconfig"}, {"script", {"id"}}}), "InvalidParameter");
  EXPECT_EQ(answer({{"commandId", "RunShellScript"}, {"script", {std::string(200'000, 'a')}}}),
            "InvalidParameter");
  EXPECT_EQ(answer({{"script", {"id"}}}), "InvalidParameter");
  region.finish(region.arm("POST", vm_path + "/deallocate"));
  EXPECT_EQ(answer({{"commandId", "RunShellScript"}}), "OperationNotAllowed");
}

TEST_F(ArmEndpointsTest, ListsTheRunCommandsForLinux) {
  const std::string path = "providers/Microsoft.Compute/locations/westus/runCommands";
  EXPECT_EQ(region.get(path)["value"][0]["id"], "RunShellScript");
  EXPECT_EQ(region.get(path + "/runshellscript")["osType"], "Linux");
  EXPECT_FALSE(region.get(path + "/ifconfig")["script"].empty());
  EXPECT_EQ(code_of(region.arm("GET", path + "/RunPowerShellScript")), "NotFound");
}

// --- the table of types

std::string types_rendered() {
  std::string text =
      "# The types of Resource Manager's resources\n\n"
      "What the region has, what it keeps without effect (it is given back as it was sent, and goes with its "
      "group or with\n"
      "what it is about), and what it has not, which is refused in these words. Any other type is refused as "
      "well. Written\n"
      "by a test: `BERTH_WRITE_DOCS=1 endpoints_arm_test --gtest_filter=ResourceTypes.*`.\n\n| type | "
      "|\n|---|---|\n";
  const auto row = [&](std::string_view type, const std::string& what) {
    text += "| `" + std::string(type) + "` | " + what + " |\n";
  };
  for (const bool has_effect : {true, false})
    for (const arm::Kind& kind : arm::kinds())
      if (kind.has_effect == has_effect) row(kind.type, has_effect ? "has its effect" : "kept");
  for (const arm::AbsentType& absent : arm::absent_types())
    row(absent.type, "not there: " + std::string(absent.why) + ". " + std::string(absent.instead));
  return text;
}

TEST(ResourceTypes, TheirTableInTheDocumentsIsThisOne) {
  const std::string file = BERTH_FIXTURES "/../../../docs/wire/arm-types.md";
  if (std::getenv("BERTH_WRITE_DOCS")) std::ofstream(file) << types_rendered();
  std::ifstream in(file);
  const std::string written{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(written, types_rendered());
}

}  // namespace
TEST_F(ArmEndpointsTest, AnImageOfTheUsersIsMadeOfAFileAndDeletedAgain) {
  const std::string path = "providers/Berth.Local/osImages/";
  const auto file = [&](const char* name) {
    return json{{"properties", {{"file", (region.folder / name).string()}, {"label", "My own"}}}};
  };
  ASSERT_EQ(
      berth::run({"qemu-img", "create", "-q", "-f", "qcow2", (region.folder / "disk.qcow2").string(), "1M"})
          .exit_code,
      0);
  std::ofstream(region.folder / "text") << "no disk";

  EXPECT_EQ(region.put(path + "mine", file("disk.qcow2"))["status"], "Succeeded");
  EXPECT_THAT(region.get("providers/Berth.Local/osImages").dump(), HasSubstr(R"("label":"My own")"));
  EXPECT_EQ(code_of(region.arm("PUT", path + "MINE", file("disk.qcow2"))), "ImageExists");
  EXPECT_EQ(region.put(path + "other", file("text"))["status"], "Failed");
  EXPECT_EQ(region.put(path + "other", file("nothing"))["status"], "Failed");
  EXPECT_EQ(region.arm("PUT", path + "other", {{"properties", {{"file", "disk.qcow2"}}}}).status, 400);
  make_host();
  const std::string vm = region.id("g", "Microsoft.Compute/virtualMachines/web1");
  const json source{{"properties", {{"sourceVirtualMachine", {{"id", vm}}}}}};
  EXPECT_EQ(region.arm("PUT", path + "captured", source).status, 409);  // it runs
  region.finish(
      region.arm("POST", "resourceGroups/g/providers/Microsoft.Compute/virtualMachines/web1/powerOff"));
  EXPECT_EQ(region.put(path + "captured", source)["status"], "Succeeded");
  EXPECT_EQ(region.arm("DELETE", path + "mine").status, 200);
  EXPECT_EQ(region.arm("DELETE", path + "mine").status, 404);
}

}  // namespace berth
