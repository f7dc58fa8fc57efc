#include "endpoints/arm/arm_endpoints.h"

#include <gmock/gmock.h>

#include <fstream>

#include "endpoints/arm/test_region.h"

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
  region.run(region.region->settle_ports({"g", "web1"}));

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

TEST_F(ArmEndpointsTest, RunsNestedDeployments) {
  make_group();
  const json inner = {{"$schema", "x"},
                      {"contentVersion", "1.0.0.0"},
                      {"parameters", {{"n", {{"type", "string"}}}}},
                      {"resources", json::array({{{"type", "Microsoft.Network/networkSecurityGroups"},
                                                  {"apiVersion", "1"},
                                                  {"name", "[parameters('n')]"},
                                                  {"location", "westus"}}})},
                      {"outputs", {{"made", {{"type", "string"}, {"value", "[parameters('n')]"}}}}}};
  const json nested = {{"type", "Microsoft.Resources/deployments"},
                       {"apiVersion", "1"},
                       {"name", "inner"},
                       {"properties",
                        {{"mode", "Incremental"},
                         {"expressionEvaluationOptions", {{"scope", "inner"}}},
                         {"parameters", {{"n", {{"value", "nsg1"}}}}},
                         {"template", inner}}}};
  const json outer = {
      {"$schema", "x"},
      {"contentVersion", "1.0.0.0"},
      {"resources", json::array({nested})},
      {"outputs", {{"made", {{"type", "string"}, {"value", "[reference('inner').outputs.made.value]"}}}}}};
  ASSERT_EQ(region.put(deployment_path, deployment(outer))["status"], "Succeeded");

  EXPECT_EQ(region.get(deployment_path)["properties"]["outputs"]["made"]["value"], "nsg1");
  EXPECT_EQ(
      region.arm("GET", "resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/nsg1").status,
      200);
  EXPECT_THAT(region.get("resourceGroups/g/providers/Microsoft.Resources/deployments")["value"], SizeIs(2));
}

TEST_F(ArmEndpointsTest, RemovesInCompleteModeWhatTheTemplateDoesNotName) {
  make_host();
  json body = deployment({{"$schema", "x"}, {"contentVersion", "1.0.0.0"}, {"resources", json::array()}});
  body["properties"]["mode"] = "Complete";
  EXPECT_THAT(
      json::parse(region.arm("POST", deployment_path + "/whatIf", body).body)["properties"]["changes"],
      Not(IsEmpty()));
  const json done = region.put(deployment_path, body);

  EXPECT_EQ(done["status"], "Succeeded") << done.dump(1);
  EXPECT_THAT(region.get("resourceGroups/g/resources")["value"], IsEmpty());
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
  std::filesystem::create_directories(region.region->serial_log({"g", "web1"}).parent_path());
  std::ofstream(region.region->serial_log({"g", "web1"})) << "Linux version 6.1\n";
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

TEST_F(ArmEndpointsTest, SaysThatRunCommandIsNotThere) {
  make_host();
  EXPECT_EQ(code_of(region.arm("POST", vm_path + "/runCommand", {{"commandId", "RunShellScript"}})),
            "RunCommandNotSupported");
}

}  // namespace
}  // namespace berth
