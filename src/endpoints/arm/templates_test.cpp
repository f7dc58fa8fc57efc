#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "api/arm/tokens.h"
#include "endpoints/arm/test_region.h"

/// What templates say of each other and of what is there: nesting, secrets, links, what-if, validation; and resources
/// that are about other ones.
namespace berth {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json template_with(const std::vector<json>& resources, const json& more = json::object()) {
  json made = {{"$schema", "x"}, {"contentVersion", "1.0.0.0"}, {"resources", resources}};
  made.update(more);
  return made;
}

json rules_group(const std::string& name, const json& more = json::object()) {
  json made = {{"type", "Microsoft.Network/networkSecurityGroups"},
               {"apiVersion", "1"},
               {"name", name},
               {"location", "westus"}};
  made.update(more);
  return made;
}

json inner_deployment(const json& document, const json& parameters = json::object(),
                      const std::string& scope = "inner") {
  return {{"type", "Microsoft.Resources/deployments"},
          {"apiVersion", "1"},
          {"name", "inner"},
          {"properties",
           {{"mode", "Incremental"},
            {"expressionEvaluationOptions", {{"scope", scope}}},
            {"parameters", parameters},
            {"template", document}}}};
}

class TemplatesTest : public testing::Test {
 protected:
  TemplatesTest() { region.arm("PUT", "resourceGroups/g", {{"location", "westus"}}); }

  static json deployment_of(const json& document, const json& parameters = json::object()) {
    return {{"properties", {{"mode", "Incremental"}, {"template", document}, {"parameters", parameters}}}};
  }
  json deploy(const json& document, const json& parameters = json::object()) {
    json done = region.put(path, deployment_of(document, parameters));
    if (done.value("status", "") == "Succeeded") return region.get(path)["properties"];
    done["provisioningState"] = "Failed";
    return done;
  }
  json outputs(const json& document) {
    const json done = deploy(document);
    return done.contains("outputs") ? done["outputs"] : done;
  }
  json what_if(const json& document, const json& parameters = json::object()) {
    const json answer =
        json::parse(region.arm("POST", path + "/whatIf", deployment_of(document, parameters)).body);
    return answer.contains("properties") ? answer["properties"]["changes"] : answer;
  }
  json validate(const json& document) {
    const Response answer = region.arm("POST", path + "/validate", deployment_of(document));
    return answer.status == 200 ? json() : json::parse(answer.body)["error"];
  }
  json tags_of(const std::string& name, const std::string& group = "g") {
    return region
        .get("resourceGroups/" + group + "/providers/Microsoft.Network/networkSecurityGroups/" + name)
        .value("tags", json());
  }
  static std::string text_of(const Response& response) { return response.body; }

  TestRegion region;
  const std::string path = "resourceGroups/g/providers/Microsoft.Resources/deployments/d";
  const std::string nsg = "resourceGroups/g/providers/Microsoft.Network/networkSecurityGroups/";
};

// --- secrets of nested deployments

const json secret_template = template_with(
    {}, {{"parameters", {{"p", {{"type", "securestring"}}}}},
         {"outputs",
          {{"plain", {{"type", "string"}, {"value", "[concat('of-', parameters('p'))]"}}},
           {"secure", {{"type", "securestring"}, {"value", "[concat(parameters('p'), '-made')]"}}}}}});

TEST_F(TemplatesTest, SecretsOfANestedDeploymentReachWhatTheyAreForAndAreShownNowhere) {
  const json outer = template_with(
      {inner_deployment(secret_template, {{"p", {{"value", "[parameters('key')]"}}}}),
       rules_group("n", {{"tags",
                          {{"plain", "[reference('inner').outputs.plain.value]"},
                           {"secure", "[listOutputsWithSecureValues('inner', '2025-04-01').secure]"}}}})},
      {{"parameters", {{"key", {{"type", "securestring"}}}}},
       {"outputs",
        {{"again", {{"type", "string"}, {"value", "[reference('inner').outputs.plain.value]"}}}}}});
  const json done = deploy(outer, {{"key", {{"value", "S3cret!value"}}}});

  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);
  EXPECT_EQ(tags_of("n"), json({{"plain", "of-S3cret!value"}, {"secure", "S3cret!value-made"}}));
  for (const char* name : {"d", "inner"}) {
    const std::string shown = text_of(
        region.arm("GET", std::string("resourceGroups/g/providers/Microsoft.Resources/deployments/") + name));
    EXPECT_THAT(shown, Not(HasSubstr("S3cret!value"))) << name;
  }
  EXPECT_THAT(text_of(region.arm("GET", path + "/operations")), Not(HasSubstr("S3cret!value")));
}

TEST_F(TemplatesTest, ASecretThatANestedDeploymentMadeItselfIsNotShownByTheOneAround) {
  const json inner =
      template_with({}, {{"parameters", {{"p", {{"type", "securestring"}, {"defaultValue", "[newGuid()]"}}}}},
                         {"outputs", {{"o", {{"type", "string"}, {"value", "[parameters('p')]"}}}}}});
  const json outer = template_with(
      {inner_deployment(inner),
       rules_group("n", {{"tags", {{"t", "[reference('inner').outputs.o.value]"}}}})},
      {{"outputs", {{"o", {{"type", "string"}, {"value", "[reference('inner').outputs.o.value]"}}}}}});

  EXPECT_EQ(outputs(outer)["o"]["value"], "[secret]");
  EXPECT_EQ(tags_of("n")["t"].get<std::string>().size(), 36u);
}

TEST_F(TemplatesTest, AValueThatIsNotKeptIsAnErrorForOthersAndNeverAPlaceholder) {
  region.put("resourceGroups/g/providers/Microsoft.Resources/deployments/early",
             deployment_of(secret_template, {{"p", {{"value", "S3cret!value"}}}}));
  const auto reading = [](const std::string& expression) {
    return template_with({rules_group("n", {{"tags", {{"t", "[" + expression + "]"}}}})});
  };
  const std::string early = "resourceId('Microsoft.Resources/deployments', 'early')";
  const json lost = deploy(reading("reference(" + early + ").outputs.plain.value"));
  EXPECT_THAT(lost.dump(), HasSubstr("property 'value' doesn't exist"));
  const json secure = deploy(reading("listOutputsWithSecureValues(" + early + ", '1').secure"));
  EXPECT_THAT(secure.dump(), HasSubstr("they are kept nowhere"));
  EXPECT_TRUE(tags_of("n").is_null());
}

TEST_F(TemplatesTest, NestedDeploymentsReachAnotherGroupInTheirOwnScopeAndInTheOuterOne) {
  region.arm("PUT", "resourceGroups/other", {{"location", "eastus"}});
  const json group_in_tags = {{"tags", {{"in", "[resourceGroup().name]"}, {"v", "[variables('v')]"}}},
                              {"location", "[resourceGroup().location]"}};
  json inner =
      inner_deployment(template_with({rules_group("a", group_in_tags)}, {{"variables", {{"v", "own"}}}}));
  json outer =
      inner_deployment(template_with({rules_group("b", group_in_tags)}, {{"variables", {{"v", "own"}}}}),
                       json::object(), "outer");
  inner["resourceGroup"] = outer["resourceGroup"] = "other";
  outer["name"] = "outer";
  const json done = deploy(template_with({inner, outer}, {{"variables", {{"v", "around"}}}}));

  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);
  EXPECT_EQ(tags_of("a", "other"), json({{"in", "other"}, {"v", "own"}}));
  EXPECT_EQ(tags_of("b", "other"), json({{"in", "other"}, {"v", "around"}}));
}

// --- what is only for where nothing is; who deploys

TEST_F(TemplatesTest, WhatIsOnlyForWhereNothingIsLeavesWhatIsThere) {
  const auto with = [](const char* value) {
    return template_with(
        {rules_group("n", {{"tags", {{"t", value}}}, {"@options", {{"onlyIfNotExists", true}}}})});
  };
  deploy(with("first"));
  EXPECT_EQ(what_if(with("second"))[0]["changeType"], "NoChange");
  EXPECT_EQ(deploy(with("second"))["provisioningState"], "Succeeded");
  EXPECT_EQ(tags_of("n")["t"], "first");
}

TEST_F(TemplatesTest, TellWhoDeploys) {
  const json told =
      outputs(template_with({}, {{"outputs", {{"o", {{"type", "object"}, {"value", "[deployer()]"}}}}}}));
  EXPECT_EQ(told["o"]["value"], json({{"objectId", region.access.client_id},
                                      {"tenantId", TestRegion::tenant},
                                      {"userPrincipalName", ""}}));
}

// --- links

TEST_F(TemplatesTest, LinksAreReadFromServedFoldersAndFromNowhereElse) {
  namespace fs = std::filesystem;
  const TemporaryFolder outside;
  const fs::path folder = outside / "templates";
  fs::create_directories(folder / "parts");
  const auto write = [&](const char* name, const json& document) {
    std::ofstream(folder / name) << document;
  };
  write("parts/group.json",
        template_with({rules_group("[parameters('n')]")}, {{"parameters", {{"n", {{"type", "string"}}}}}}));
  json nested = inner_deployment(nullptr, {{"n", {{"value", "linked"}}}});
  nested["properties"].erase("template");
  nested["properties"]["templateLink"] = {{"relativePath", "parts/group.json"}};
  json by_address = nested;
  by_address["name"] = "second";
  by_address["properties"]["parameters"]["n"]["value"] = "second";
  by_address["properties"]["templateLink"] = {
      {"uri", "[uri(deployment().properties.templateLink.uri, 'parts/group.json')]"}};
  write("main.json", template_with({nested, by_address}));
  std::ofstream(outside / "secret.json") << "{}";
  fs::create_symlink(outside / "secret.json", folder / "out.json");
  const Response served = region.arm("PUT", "providers/Berth.Local/templateFolders/mine",
                                     {{"properties", {{"folder", folder.string()}}}});
  ASSERT_EQ(served.status, 201) << served.body;
  const std::string uri = json::parse(served.body)["properties"]["uri"];

  const json linked = {
      {"properties", {{"mode", "Incremental"}, {"templateLink", {{"uri", uri + "main.json"}}}}}};
  EXPECT_EQ(region.put(path, linked)["status"], "Succeeded");
  EXPECT_EQ(region.arm("GET", nsg + "linked").status, 200);
  EXPECT_EQ(region.arm("GET", nsg + "second").status, 200);

  const auto refusal = [&](const std::string& address) {
    return text_of(region.arm(
        "PUT", path, {{"properties", {{"mode", "Incremental"}, {"templateLink", {{"uri", address}}}}}}));
  };
  EXPECT_THAT(refusal("https://example.org/main.json"), HasSubstr("azure region serve-templates FOLDER"));
  EXPECT_THAT(refusal(uri + "out.json"), HasSubstr("leads out of it"));
  EXPECT_THAT(refusal(uri + "..%2Fsecret.json"), HasSubstr("leads out of it"));
  EXPECT_THAT(refusal(uri + "none.json"), HasSubstr("There is no 'none.json'"));
  const std::string target = uri.substr(std::string(TestRegion::origin).size());
  EXPECT_EQ(region.call("GET", target + "main.json", {}, {{"Authorization", ""}}).status, 200);
  EXPECT_EQ(region.call("GET", "/templates/guessed/main.json", {}, {{"Authorization", ""}}).status, 404);

  std::ofstream(folder / "notes.txt") << "no template";
  const Response notes = region.call("GET", target + "notes.txt", {}, {{"Authorization", ""}});
  EXPECT_GE(notes.status, 400);
  EXPECT_THAT(notes.body, Not(HasSubstr("no template")));
  fs::create_directory(region.folder / "templates");
  for (const std::string& all :
       std::vector<std::string>{"/", "/proc/self", "/dev", (region.folder / "templates").string()})
    EXPECT_EQ(
        region.arm("PUT", "providers/Berth.Local/templateFolders/all", {{"properties", {{"folder", all}}}})
            .status,
        400)
        << all;

  const auto stands_for = [&](const std::string& address) {
    const json properties = {{"folder", folder.string()}, {"standsFor", address}};
    return region.arm("PUT", "providers/Berth.Local/templateFolders/mine", {{"properties", properties}})
        .status;
  };
  for (const char* none : {"no address", "https://host", "ftp://host/x/", "https://host/x/?a"})
    EXPECT_EQ(stands_for(none), 400) << none;
  EXPECT_EQ(stands_for("https://raw.example.org/Owner/parts"), 200);
  const std::string elsewhere = "https://raw.example.org/owner/parts/main.json?token=1";
  EXPECT_EQ(region.put(path, {{"properties",
                               {{"mode", "Incremental"}, {"templateLink", {{"uri", elsewhere}}}}}})["status"],
            "Succeeded");
  EXPECT_THAT(refusal("https://raw.example.org/Owner/parts/..%2Fsecret.json"), HasSubstr("leads out of it"));
  EXPECT_THAT(refusal("https://raw.example.org/Owner/parts2/main.json"),
              HasSubstr("opens no connections of its own"));

  EXPECT_EQ(region.arm("DELETE", "providers/Berth.Local/templateFolders/mine").status, 200);
  EXPECT_THAT(refusal(uri + "main.json"), HasSubstr("opens no connections of its own"));
}

// --- what-if and validation

json network_and_interface(const std::string& prefix) {
  const json subnet = {{"name", "s"}, {"properties", {{"addressPrefix", prefix}}}};
  const json network = {
      {"type", "Microsoft.Network/virtualNetworks"},
      {"apiVersion", "1"},
      {"name", "v"},
      {"location", "West US"},
      {"properties", {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}}, {"subnets", {subnet}}}}};
  const json ip = {
      {"name", "ip"},
      {"properties",
       {{"subnet", {{"id", "[resourceId('Microsoft.Network/virtualNetworks/subnets', 'v', 's')]"}}}}}};
  const json nic = {{"type", "Microsoft.Network/networkInterfaces"},
                    {"apiVersion", "1"},
                    {"name", "n"},
                    {"location", "[resourceGroup().location]"},
                    {"dependsOn", {"v"}},
                    {"properties", {{"ipConfigurations", json::array({ip})}}}};
  return template_with({network, nic});
}

json machine_of(const json& image, const std::string& size = "Standard_B1s") {
  json document = network_and_interface("10.0.1.0/24");
  document["resources"].push_back(
      {{"type", "Microsoft.Compute/virtualMachines"},
       {"apiVersion", "1"},
       {"name", "vm"},
       {"location", "westus"},
       {"dependsOn", {"n"}},
       {"properties",
        {{"hardwareProfile", {{"vmSize", size}}},
         {"osProfile",
          {{"computerName", "vm"}, {"adminUsername", "ops"}, {"adminPassword", "Passw0rd-1234"}}},
         {"storageProfile", {{"imageReference", image}, {"osDisk", {{"createOption", "FromImage"}}}}},
         {"networkProfile",
          {{"networkInterfaces",
            json::array({{{"id", "[resourceId('Microsoft.Network/networkInterfaces', 'n')]"}}})}}}}}});
  return document;
}

TEST_F(TemplatesTest, WhatIfTellsWhatChangesAndWhatDoesNot) {
  const json document = network_and_interface("10.0.1.0/24");
  for (const json& change : what_if(document)) EXPECT_EQ(change["changeType"], "Create") << change.dump(1);
  ASSERT_EQ(deploy(document)["provisioningState"], "Succeeded");
  for (const json& change : what_if(document)) EXPECT_EQ(change["changeType"], "NoChange") << change.dump(1);

  json other = document;
  other["resources"][0]["tags"] = {{"a", "b"}};
  other["resources"].erase(1);
  const json changes = what_if(other);
  ASSERT_EQ(changes.size(), 2u) << changes.dump(1);
  EXPECT_EQ(changes[0]["changeType"], "Modify");
  EXPECT_EQ(changes[0]["delta"],
            json::parse(R"([{"path":"tags.a","propertyChangeType":"Create","after":"b"}])"));
  EXPECT_EQ(changes[1]["changeType"], "Ignore");
  EXPECT_TRUE(region.get("resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v")
                  .value("tags", json::object())
                  .empty())
      << "what-if makes nothing";
}

TEST_F(TemplatesTest, ValidationRefusesWhatCanBeKnownAndMakesNothing) {
  const auto message = [&](const json& document) { return validate(document).dump(); };
  EXPECT_TRUE(validate(network_and_interface("10.0.1.0/24")).is_null());
  json missing = network_and_interface("10.0.1.0/24");
  missing["resources"].erase(0);
  missing["resources"][0].erase("dependsOn");
  EXPECT_THAT(message(missing), HasSubstr("referenced by resource"));
  EXPECT_THAT(message(template_with({rules_group("a b")})), HasSubstr("Resource name 'a b'"));
  EXPECT_THAT(message(template_with({rules_group("n", {{"type", "Microsoft.Nothing/things"}})})),
              HasSubstr("'Microsoft.Nothing/things' is not supported by the local region"));
  EXPECT_THAT(
      message(template_with({}, {{"outputs", {{"o", {{"type", "string"}, {"value", "[nosuch()]"}}}}}})),
      HasSubstr("'nosuch' is not valid"));
  EXPECT_THAT(
      message(template_with({}, {{"outputs", {{"o", {{"type", "int"}, {"value", "[toLower('A')]"}}}}}})),
      HasSubstr("expected a value of type 'Int'"));
  EXPECT_EQ(region.get("resourceGroups/g/resources")["value"].size(), 0u);
}

// --- what the region has not, and what it keeps

TEST_F(TemplatesTest, TypesThatAreNotThereAreRefusedInTheSameWordsEverywhere) {
  const auto of_type = [](const std::string& type) {
    return template_with({rules_group("x", {{"type", type}})});
  };
  const std::string scale_sets = "Microsoft.Compute/virtualMachineScaleSets";
  const std::string words =
      "'" + scale_sets +
      "' is not supported by the local region: it has no scale sets. Make single virtual machines";
  EXPECT_THAT(validate(of_type(scale_sets)).dump(), HasSubstr(words));
  for (const char* method : {"GET", "PUT", "DELETE"}) {
    const Response answer =
        region.arm(method, "resourceGroups/g/providers/" + scale_sets + "/x", {{"location", "westus"}});
    EXPECT_EQ(answer.status, 404);
    EXPECT_THAT(text_of(answer), HasSubstr(words)) << method;
  }
  json member = machine_of({{"osImage", "tiny"}});
  member["resources"][2]["properties"]["virtualMachineScaleSet"] = {
      {"id", region.id("g", scale_sets + "/x")}};
  EXPECT_THAT(validate(member).dump(),
              HasSubstr("is not supported by the local region: it has no scale sets."));

  EXPECT_THAT(validate(of_type("Microsoft.Network/applicationGateways")).dump(),
              HasSubstr("it does not spread connections. Use inbound NAT rules, or a public address"));
  EXPECT_THAT(validate(of_type("Microsoft.KeyVault/vaults")).dump(),
              HasSubstr("it has no key vault. Give the value itself"));
  EXPECT_THAT(validate(of_type("Microsoft.Sql/servers")).dump(),
              HasSubstr("and no other services. Leave it out"));
  EXPECT_THAT(validate(of_type("Microsoft.Compute/virtualMachine")).dump(),
              HasSubstr("it has no such type."));
}

TEST_F(TemplatesTest, WhatManyResourcesGetWrongIsSaidOnceWithAllAdvice) {
  const json document = template_with({rules_group("a", {{"type", "Microsoft.Sql/servers"}}),
                                       rules_group("b", {{"type", "Microsoft.Sql/servers"}}),
                                       rules_group("c", {{"type", "Microsoft.KeyVault/vaults"}}),
                                       rules_group("d", {{"type", "Microsoft.Web/sites"}})});
  const std::string said = validate(document)["message"];
  const auto times = [&](const std::string& words) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = said.find(words, at)) != said.npos; ++at) ++count;
    return count;
  };

  EXPECT_EQ(times("'Microsoft.Sql/servers', 'Microsoft.Web/sites' are not supported by the local region"), 1u)
      << said;
  EXPECT_EQ(times("use such a service elsewhere"), 1u) << said;
  EXPECT_EQ(times("of the type 'securestring'"), 1u) << said;
}

TEST_F(TemplatesTest, RefusesBeforeAnythingIsMadeWhatASingleDocumentShows) {
  const auto with = [](const json& resource) { return template_with({rules_group("first"), resource}); };
  const json balancer = {{"type", "Microsoft.Network/loadBalancers"},
                         {"apiVersion", "1"},
                         {"name", "l"},
                         {"location", "westus"},
                         {"properties", {{"loadBalancingRules", json::array({{{"name", "r"}}})}}}};
  const json extension = {
      {"type", "Microsoft.Compute/virtualMachines/extensions"},
      {"apiVersion", "1"},
      {"name", "vm/e"},
      {"location", "westus"},
      {"properties", {{"publisher", "Contoso"}, {"type", "None"}, {"typeHandlerVersion", "1.0"}}}};
  const json rules = rules_group("r", {{"properties", {{"securityRules", json::array({{{"name", "x"}}})}}}});
  EXPECT_THAT(deploy(with(balancer)).dump(),
              HasSubstr("it does not spread connections. Use inbound NAT rules"));
  EXPECT_THAT(deploy(with(extension)).dump(), HasSubstr("There is no extension handler 'Contoso.None'"));
  EXPECT_THAT(deploy(with(rules)).dump(),
              HasSubstr("'properties.securityRules[0].properties' must be an object"));
  EXPECT_EQ(region.get("resourceGroups/g/resources")["value"].size(), 0u);
}

TEST_F(TemplatesTest, AMachineThatNamesAStorageAccountIsLookedAtBeforeAnythingIsMade) {
  const auto document = [](const std::string& read) {
    json made = machine_of({{"osImage", "tiny"}});
    made["resources"].push_back({{"type", "Microsoft.Storage/storageAccounts"},
                                 {"apiVersion", "1"},
                                 {"name", "stor1"},
                                 {"location", "westus"},
                                 {"sku", {{"name", "Standard_LRS"}}},
                                 {"properties", {{"own", "https://stor1.blob.core.windows.net/"}}}});
    json& machine = made["resources"][2];
    machine["properties"]["diagnosticsProfile"] = {
        {"bootDiagnostics",
         {{"enabled", true}, {"storageUri", "[reference('stor1', '2019-06-01')." + read + "]"}}}};
    return made;
  };
  json windows = document("primaryEndpoints.blob");
  windows["resources"][2]["properties"]["osProfile"]["windowsConfiguration"] = {{"provisionVMAgent", true}};
  EXPECT_THAT(deploy(windows).dump(), HasSubstr("it runs Linux"));
  EXPECT_EQ(region.get("resourceGroups/g/resources")["value"].size(), 0u);

  EXPECT_EQ(deploy(document("own"))["provisioningState"], "Succeeded") << "known when it is there";
  EXPECT_EQ(deploy(document("primaryEndpoints.blob"))["provisioningState"], "Succeeded");
}

TEST_F(TemplatesTest, ResourcesWithoutEffectAreGivenBackAsTheyWereSent) {
  const std::string providers = "resourceGroups/g/providers/";
  const json resources = {{{"type", "Microsoft.OperationalInsights/workspaces"},
                           {"apiVersion", "1"},
                           {"name", "w"},
                           {"location", "westus"},
                           {"properties", {{"retentionInDays", 30}}}},
                          {{"type", "Microsoft.OperationalInsights/workspaces/dataSources"},
                           {"apiVersion", "1"},
                           {"name", "w/syslog"},
                           {"dependsOn", {"w"}},
                           {"kind", "LinuxSyslog"},
                           {"properties", {{"syslogName", "kern"}}}},
                          {{"type", "Microsoft.OperationsManagement/solutions"},
                           {"apiVersion", "1"},
                           {"name", "Security(w)"},
                           {"location", "westus"}},
                          {{"type", "Microsoft.Insights/actionGroups"},
                           {"apiVersion", "1"},
                           {"name", "a"},
                           {"location", "Global"},
                           {"properties", {{"enabled", true}}}},
                          {{"type", "Microsoft.Network/bastionHosts"},
                           {"apiVersion", "1"},
                           {"name", "b"},
                           {"location", "westus"},
                           {"zones", {"1"}},
                           {"properties", {{"scaleUnits", 2}}}}};
  const std::string workspace = "resourceId('Microsoft.OperationalInsights/workspaces', 'w')";
  const auto text = [](const std::string& value) { return json{{"type", "string"}, {"value", value}}; };
  const json done = deploy(template_with(
      resources, {{"outputs",
                   {{"id", text("[reference(" + workspace + ").customerId]")},
                    {"key", text("[listKeys(" + workspace + ", '2021-06-01').primarySharedKey]")}}}}));

  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);
  EXPECT_EQ(done["outputs"]["id"]["value"].get<std::string>().size(), 36u);
  EXPECT_FALSE(done["outputs"]["key"]["value"].get<std::string>().empty());
  EXPECT_EQ(
      region.get(providers + "Microsoft.OperationalInsights/workspaces/w")["properties"]["retentionInDays"],
      30);
  EXPECT_EQ(
      region.get(providers +
                 "Microsoft.OperationalInsights/workspaces/w/dataSources/syslog")["properties"]["syslogName"],
      "kern");
  EXPECT_EQ(region.get(providers + "Microsoft.Insights/actionGroups/a")["location"], "global");
  EXPECT_EQ(region.get(providers + "Microsoft.Network/bastionHosts/b")["zones"], json({"1"}));
  EXPECT_EQ(
      region.arm("PUT", providers + "Microsoft.Network/bastionHosts/c", {{"location", "global"}}).status,
      400);
  const std::string all = region.get("providers").dump();
  for (const char* type : {"bastionHosts", "virtualMachines/extensions", "workspaces/dataSources"})
    EXPECT_THAT(all, HasSubstr(type));
}

TEST_F(TemplatesTest, AMachineWaitsForTheDisksAndInterfacesThatItNames) {
  json document = machine_of({{"osImage", "tiny"}});
  json& machine = document["resources"][2];
  machine.erase("dependsOn");
  machine["properties"]["storageProfile"]["dataDisks"] =
      json::array({{{"lun", 0},
                    {"createOption", "Attach"},
                    {"managedDisk", {{"id", "[resourceId('Microsoft.Compute/disks', 'data')]"}}}}});
  std::swap(document["resources"][0], machine);
  document["resources"].push_back(
      {{"type", "Microsoft.Compute/disks"},
       {"apiVersion", "1"},
       {"name", "data"},
       {"location", "westus"},
       {"properties", {{"creationData", {{"createOption", "Empty"}}}, {"diskSizeGB", 1}}}});

  EXPECT_EQ(deploy(document)["provisioningState"], "Succeeded");
  const json subnet = region.get("resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v/subnets/s");
  EXPECT_EQ(subnet["properties"]["ipConfigurations"][0]["id"],
            region.id("g", "Microsoft.Network/networkInterfaces/n/ipConfigurations/ip"));
  EXPECT_EQ(region.get("resourceGroups/g/providers/Microsoft.Compute/disks/data")["properties"]["diskState"],
            "Attached");
}

TEST_F(TemplatesTest, KeysOfStorageHaveTheFormOfTheirApiVersion) {
  const json account = {{"type", "Microsoft.Storage/storageAccounts"},
                        {"apiVersion", "1"},
                        {"name", "stor1"},
                        {"location", "westus"},
                        {"sku", {{"name", "Standard_LRS"}}}};
  const auto key = [](const std::string& call) {
    return json{
        {"type", "string"},
        {"value", "[listKeys(resourceId('Microsoft.Storage/storageAccounts', 'stor1'), " + call + "]"}};
  };
  const json made = outputs(template_with(
      {account},
      {{"outputs", {{"old", key("'2015-06-15').key1")}, {"now", key("'2023-01-01').keys[0].value")}}}}));

  EXPECT_FALSE(made["old"]["value"].get<std::string>().empty()) << made.dump(1);
  EXPECT_EQ(made["old"]["value"], made["now"]["value"]);
}

TEST_F(TemplatesTest, ReferenceOfAnExtensionTellsWhatItsHandlerSaid) {
  region.restart([this] {
    std::ofstream(region.folder.path() / "bundled/Contoso.Test.Echo_1.0.0.zip") << "nobody unpacks it";
  });
  json document = machine_of({{"osImage", "tiny"}});
  document["resources"][2]["resources"] = json::array(
      {{{"type", "extensions"},
        {"apiVersion", "1"},
        {"name", "Echo"},
        {"location", "westus"},
        {"dependsOn", {"vm"}},
        {"properties", {{"publisher", "Contoso.Test"}, {"type", "Echo"}, {"typeHandlerVersion", "1.0"}}}}});
  document["outputs"] = {
      {"said", {{"type", "string"}, {"value", "[reference('Echo').instanceView.statuses[0].message]"}}}};

  const json made = outputs(document);
  EXPECT_EQ(made["said"]["value"], "Enable succeeded") << made.dump(1);
}

TEST_F(TemplatesTest, DeploymentsHaveTagsAndAGroupIsExported) {
  json body = deployment_of(network_and_interface("10.0.1.0/24"));
  body["tags"] = {{"by", "me"}};
  ASSERT_EQ(region.put(path, body)["status"], "Succeeded");
  EXPECT_EQ(region.get(path)["tags"], json({{"by", "me"}}));

  const Response exported = region.arm("POST", "resourceGroups/g/exportTemplate", {{"resources", {"*"}}});
  json document = json::parse(exported.body)["template"];
  ASSERT_EQ(document["resources"].size(), 2u) << exported.body;
  EXPECT_TRUE(validate(document).is_null()) << validate(document).dump(1);

  body["properties"]["onErrorDeployment"] = {{"type", "LastSuccessful"}};
  EXPECT_THAT(region.arm("PUT", path, body).body, HasSubstr("onErrorDeployment' is not supported"));
  EXPECT_EQ(region.get("providers/Microsoft.Resources/deployments")["value"].size(), 0u);
  EXPECT_THAT(region.arm("PUT", "providers/Microsoft.Resources/deployments/d", body).body,
              HasSubstr("Deployments of a whole subscription"));
}

// --- resources that are about others

TEST_F(TemplatesTest, LocksForbidWhatTheySayAndGoWithWhatTheyAreAbout) {
  const json lock = {{"type", "Microsoft.Authorization/locks"},
                     {"apiVersion", "1"},
                     {"name", "keep"},
                     {"scope", "[format('Microsoft.Network/networkSecurityGroups/{0}', 'n')]"},
                     {"dependsOn", {"n"}},
                     {"properties", {{"level", "CanNotDelete"}, {"notes", "mine"}}}};
  ASSERT_EQ(deploy(template_with({rules_group("n"), lock}))["provisioningState"], "Succeeded");
  const std::string locks = "/providers/Microsoft.Authorization/locks";
  const auto code = [](const Response& response) { return json::parse(response.body)["error"]["code"]; };

  EXPECT_EQ(region.get(nsg + "n" + locks + "/keep")["properties"],
            json({{"level", "CanNotDelete"}, {"notes", "mine"}}));
  EXPECT_EQ(region.get(nsg + "n" + locks)["value"].size(), 1u);
  EXPECT_EQ(region.get("resourceGroups/g" + locks)["value"].size(), 1u);
  EXPECT_EQ(region.get("providers/Microsoft.Authorization/locks")["value"].size(), 1u);
  EXPECT_EQ(code(region.arm("DELETE", nsg + "n")), "ScopeLocked");
  EXPECT_EQ(code(region.arm("DELETE", "resourceGroups/g")), "ScopeLocked");
  EXPECT_EQ(region.arm("PUT", nsg + "n", {{"location", "westus"}}).status, 200);
  EXPECT_EQ(region.arm("DELETE", nsg + "n" + locks + "/keep").status, 200);

  ASSERT_EQ(
      region.arm("PUT", "resourceGroups/g" + locks + "/still", {{"properties", {{"level", "ReadOnly"}}}})
          .status,
      201);
  EXPECT_EQ(code(region.arm("PUT", nsg + "n", {{"location", "westus"}})), "ScopeLocked");
  EXPECT_EQ(region.arm("DELETE", "resourceGroups/g" + locks + "/still").status, 200);

  region.arm("PUT", nsg + "n" + locks + "/keep", {{"properties", {{"level", "ReadOnly"}}}});
  EXPECT_EQ(region
                .arm("PUT", "providers/Microsoft.Authorization/locks/all",
                     {{"properties", {{"level", "Sometimes"}}}})
                .status,
            400);
  region.arm("DELETE", nsg + "n" + locks + "/keep");
  EXPECT_EQ(region.arm("DELETE", nsg + "n").status, 200);
  EXPECT_EQ(region.get("resourceGroups/g" + locks)["value"].size(), 0u);
}

TEST_F(TemplatesTest, TagsAreSetMergedAndTakenAwayByThemselves) {
  deploy(template_with({rules_group("n", {{"tags", {{"a", "1"}}}})}));
  const std::string tags = nsg + "n/providers/Microsoft.Resources/tags/default";
  const auto change = [&](const char* operation, const json& given) {
    return region.arm("PATCH", tags, {{"operation", operation}, {"properties", {{"tags", given}}}}).status;
  };
  EXPECT_EQ(region.get(tags)["properties"]["tags"], json({{"a", "1"}}));
  EXPECT_EQ(change("Merge", {{"b", "2"}}), 200);
  EXPECT_EQ(tags_of("n"), json({{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(change("Delete", {{"a", "1"}}), 200);
  EXPECT_EQ(tags_of("n"), json({{"b", "2"}}));
  EXPECT_EQ(change("Replace", {{"c", "3"}}), 200);
  EXPECT_EQ(tags_of("n"), json({{"c", "3"}}));
  EXPECT_EQ(change("Exchange", {{"c", "3"}}), 400);
  EXPECT_EQ(region.arm("DELETE", tags).status, 200);
  EXPECT_TRUE(tags_of("n").empty());
  EXPECT_EQ(region
                .arm("PUT", "resourceGroups/g/providers/Microsoft.Resources/tags/default",
                     {{"properties", {{"tags", {{"of", "group"}}}}}})
                .status,
            200);
  EXPECT_EQ(region.get("resourceGroups/g")["tags"], json({{"of", "group"}}));
}

TEST_F(TemplatesTest, WhatIsAboutAnotherHasNothingAboutItself) {
  deploy(template_with({rules_group("n")}));
  std::string path = nsg + "n";
  for (int i = 0; i < 40; ++i) path += "/providers/Microsoft.Resources/tags/default";

  const Response refused = region.arm("GET", path);

  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, HasSubstr("which is about another resource itself"));
}

TEST_F(TemplatesTest, ALockHoldsHoweverThePathIsWritten) {
  ASSERT_EQ(region
                .arm("PUT", "resourceGroups/g/providers/Microsoft.Authorization/locks/l",
                     {{"properties", {{"level", "CanNotDelete"}}}})
                .status,
            201);
  EXPECT_EQ(region.arm("DELETE", "resourceGroups/g/").status, 409);
  EXPECT_EQ(region.arm("GET", "resourceGroups/g").status, 200);
}

TEST_F(TemplatesTest, WhatIsAboutAGroupGoesWithItAndNothingIsAddedWhileItGoes) {
  const std::string roles = "resourceGroups/g/providers/Microsoft.Authorization/roleAssignments";
  const json role = {{"properties", {{"principalId", "p"}, {"roleDefinitionId", "r"}}}};
  deploy(template_with({rules_group("n")}));
  ASSERT_EQ(region.arm("PUT", roles + "/before", role).status, 201);
  ASSERT_EQ(region.arm("PUT", nsg + "n/providers/Microsoft.Authorization/roleAssignments/below", role).status,
            201);

  const Response going = region.arm("DELETE", "resourceGroups/g");
  EXPECT_GE(region.arm("PUT", roles + "/meanwhile", role).status, 400);
  EXPECT_EQ(region.finish(going)["status"], "Succeeded");

  region.arm("PUT", "resourceGroups/g", {{"location", "westus"}});
  EXPECT_EQ(region.get(roles)["value"], json::array());
}

TEST_F(TemplatesTest, ADamagedRowOfALockOrARoleStopsNobody) {
  for (const char* type : {"locks", "roleassignments"})
    region.region->documents().keep("arm-extension",
                                    std::string("/subscriptions/") + TestRegion::subscription +
                                        "/resourcegroups/g/providers/microsoft.authorization/" + type +
                                        "/bad",
                                    "{not json");

  EXPECT_EQ(region.arm("PUT", nsg + "n", {{"location", "westus"}}).status, 201);
  EXPECT_EQ(region.get("resourceGroups/g/providers/Microsoft.Authorization/locks")["value"], json::array());
}

TEST_F(TemplatesTest, RoleAssignmentsAreSmallAndNameTheirPrincipalByAText) {
  const std::string role = "resourceGroups/g/providers/Microsoft.Authorization/roleAssignments/r";
  EXPECT_EQ(region.arm("PUT", role, {{"properties", {{"principalId", json::object()}}}}).status, 400);
  EXPECT_EQ(region.arm("PUT", role, {{"properties", {{"principalId", 5}}}}).status, 201);
  EXPECT_EQ(region.get(role)["properties"]["principalId"], "5");
  EXPECT_EQ(region.arm("PUT", role, {{"properties", {{"principalId", "p"}, {"x", std::string(20'000, 'x')}}}})
                .status,
            413);
}

TEST_F(TemplatesTest, RoleAssignmentsAndDiagnosticSettingsAreKept) {
  const json role = {{"type", "Microsoft.Authorization/roleAssignments"},
                     {"apiVersion", "1"},
                     {"name", "[guid('r')]"},
                     {"properties", {{"roleDefinitionId", "r"}, {"principalId", "p"}}}};
  const json old_style = {{"type", "Microsoft.Network/networkSecurityGroups/providers/diagnosticSettings"},
                          {"apiVersion", "1"},
                          {"name", "n/Microsoft.Insights/logs"},
                          {"dependsOn", {"n"}},
                          {"properties", {{"workspaceId", "w"}}}};
  const json done = deploy(template_with({rules_group("n"), role, old_style}));
  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);

  EXPECT_EQ(
      region.get(
          "resourceGroups/g/providers/Microsoft.Authorization/roleAssignments")["value"][0]["properties"]
                                                                               ["principalId"],
      "p");
  EXPECT_EQ(
      region.get(nsg + "n/providers/Microsoft.Insights/diagnosticSettings/logs")["properties"]["workspaceId"],
      "w");
}

// --- images by other names, keys

TEST_F(TemplatesTest, AnImageStandsForOthersOnlyWhenTheUserSaysSoAndEveryAnswerTells) {
  const json ubuntu = {
      {"publisher", "Canonical"}, {"offer", "UbuntuServer"}, {"sku", "18.04-LTS"}, {"version", "latest"}};
  const json refused = deploy(machine_of(ubuntu));
  EXPECT_THAT(refused.dump(), HasSubstr("azure vm image alias add 'Canonical:*:*' NAME"));
  json windows = ubuntu;
  windows["publisher"] = "MicrosoftWindowsServer";
  EXPECT_THAT(deploy(machine_of(windows)).dump(), HasSubstr("It runs Linux, no Windows"));
  const std::string aliases = "providers/Berth.Local/imageAliases";
  const auto add = [&](const std::string& pattern, const char* image) {
    return region.arm("PUT", aliases + "/" + pattern, {{"properties", {{"image", image}}}}).status;
  };
  EXPECT_EQ(add("Canonical%3A%2A%3A%2A", "none"), 404);
  EXPECT_EQ(add("Canonical", "tiny"), 400);
  EXPECT_EQ(add("Canonical%3A%2A%3A%2A", "tiny"), 201);
  EXPECT_EQ(add("canonical%3A%2A%3A%2A", "tiny"), 200);
  EXPECT_EQ(region.get(aliases)["value"].size(), 1u);

  const json done = deploy(machine_of(ubuntu));
  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);
  EXPECT_EQ(done["diagnostics"][0]["code"], "ImageAlias") << done.dump(1);
  const std::string vm = "resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm";
  const Response shown = region.arm("GET", vm);
  EXPECT_THAT(shown.headers.find("Warning")->second, HasSubstr("by an image alias it runs tiny"));
  EXPECT_EQ(json::parse(shown.body)["properties"]["storageProfile"]["imageReference"]["publisher"],
            "Canonical");
  const std::string image =
      "providers/Microsoft.Compute/locations/westus/publishers/Canonical/artifacttypes/vmimage/offers/"
      "UbuntuServer"
      "/skus/18.04-LTS/versions/latest";
  EXPECT_EQ(region.arm("GET", image).status, 200);

  EXPECT_EQ(region.arm("DELETE", aliases + "/Canonical%3A%2A%3A%2A").status, 200);
  EXPECT_EQ(region.arm("GET", image).status, 404);
  EXPECT_THAT(region.arm("GET", image).body, HasSubstr("The images of this region are"));
}

TEST_F(TemplatesTest, ASizeThatTheHostHasNotIsGivenWithAWord) {
  const json done = deploy(machine_of({{"osImage", "tiny"}}, "Standard_D96s_v5"));
  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);
  EXPECT_THAT(done["diagnostics"].dump(), HasSubstr("The size Standard_D96s_v5 has 96 processors"));
  EXPECT_FALSE(deploy(machine_of({{"osImage", "tiny"}}, "Standard_D96s_v5")).contains("error"));
}

TEST_F(TemplatesTest, PublicKeysStorageKeysAndNamesAreAnswered) {
  const std::string key = "resourceGroups/g/providers/Microsoft.Compute/sshPublicKeys/k";
  EXPECT_EQ(region.arm("PUT", key, {{"location", "westus"}, {"properties", {{"publicKey", "ssh-rsa AAAA"}}}})
                .status,
            201);
  EXPECT_EQ(region.get(key)["properties"]["publicKey"], "ssh-rsa AAAA");
  const json pair = json::parse(region.arm("POST", key + "/generateKeyPair").body);
  EXPECT_THAT(pair["privateKey"].get<std::string>(), HasSubstr("PRIVATE KEY"));
  EXPECT_THAT(pair["publicKey"].get<std::string>(), testing::StartsWith("ssh-rsa "));
  EXPECT_EQ(region.get(key)["properties"]["publicKey"], pair["publicKey"]);
  EXPECT_THAT(region.arm("GET", key).body, Not(HasSubstr("PRIVATE")));

  const std::string account = "resourceGroups/g/providers/Microsoft.Storage/storageAccounts/stor1";
  region.arm("PUT", account, {{"location", "westus"}, {"sku", {{"name", "Standard_LRS"}}}});
  const json keys = json::parse(region.arm("POST", account + "/listKeys").body)["keys"];
  ASSERT_EQ(keys.size(), 2u);
  EXPECT_NE(keys[0]["value"], keys[1]["value"]);
  EXPECT_EQ(
      region.arm("POST", "resourceGroups/g/providers/Microsoft.Storage/storageAccounts/none/listKeys").status,
      404);

  const std::string check =
      "providers/Microsoft.Network/locations/westus/CheckDnsNameAvailability?domainNameLabel=";
  EXPECT_EQ(region.get(check + "free1")["available"], true);
  region.arm("PUT", "resourceGroups/g/providers/Microsoft.Network/publicIPAddresses/p",
             {{"location", "westus"}, {"properties", {{"dnsSettings", {{"domainNameLabel", "free1"}}}}}});
  EXPECT_EQ(region.get(check + "free1")["available"], false);
  EXPECT_EQ(region.arm("GET", check + "-bad").status, 400);
}

TEST_F(TemplatesTest, NetworksHaveSeveralPrefixesAndPeeringsAndRoutesAreKept) {
  json document = network_and_interface("10.9.1.0/24");
  json& network = document["resources"][0];
  network["properties"]["addressSpace"]["addressPrefixes"] = {"10.1.0.0/16", "10.9.0.0/16"};
  document["resources"].push_back({{"type", "Microsoft.Network/virtualNetworks/virtualNetworkPeerings"},
                                   {"apiVersion", "1"},
                                   {"name", "v/to-w"},
                                   {"dependsOn", {"v"}},
                                   {"properties", {{"allowForwardedTraffic", true}}}});
  const json done = deploy(document);
  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);

  const std::string net = "resourceGroups/g/providers/Microsoft.Network/virtualNetworks/v";
  EXPECT_EQ(region.get(net)["properties"]["addressSpace"]["addressPrefixes"],
            json({"10.1.0.0/16", "10.9.0.0/16"}));
  EXPECT_EQ(region.get(net + "/virtualNetworkPeerings/to-w")["properties"]["allowForwardedTraffic"], true);
  EXPECT_EQ(region.get(net + "/virtualNetworkPeerings")["value"].size(), 1u);
}

TEST_F(TemplatesTest, ADiskThatIsThereIsAttachedAsAnOsDisk) {
  ASSERT_EQ(deploy(machine_of({{"osImage", "tiny"}}))["provisioningState"], "Succeeded");
  const std::string vms = "resourceGroups/g/providers/Microsoft.Compute/virtualMachines/";
  const std::string disk =
      region.get(vms + "vm")["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"];
  region.finish(region.arm("DELETE", vms + "vm"));
  json document = machine_of({{"osImage", "tiny"}});
  json& properties = document["resources"].back()["properties"];
  properties["storageProfile"] = {
      {"osDisk", {{"createOption", "Attach"}, {"osType", "Linux"}, {"managedDisk", {{"id", disk}}}}}};
  EXPECT_THAT(deploy(document).dump(), HasSubstr("'properties.osProfile' is not allowed"));
  properties.erase("osProfile");
  const json done = deploy(document);
  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);
  const json shown = region.get(vms + "vm")["properties"]["storageProfile"]["osDisk"];
  EXPECT_EQ(shown["createOption"], "Attach");
  EXPECT_EQ(shown["managedDisk"]["id"], disk);
}

TEST_F(TemplatesTest, DisksThatAreBlobsMayHaveTheSameNameInSeveralMachines) {
  json document = machine_of({{"osImage", "tiny"}});
  json& machine = document["resources"].back();
  machine["properties"]["storageProfile"]["osDisk"] = {
      {"name", "osdisk"},
      {"createOption", "FromImage"},
      {"vhd", {{"uri", "https://x.blob.core.windows.net/vhds/o.vhd"}}}};
  machine["properties"]["storageProfile"]["dataDisks"] =
      json::array({{{"name", "data"},
                    {"lun", 0},
                    {"createOption", "Empty"},
                    {"diskSizeGB", 1},
                    {"vhd", {{"uri", "https://x.blob.core.windows.net/vhds/d.vhd"}}}}});
  ASSERT_EQ(deploy(document)["provisioningState"], "Succeeded");
  json nic = document["resources"][1];
  nic["name"] = "n2";
  json second = machine;
  second["name"] = "vm2";
  second["dependsOn"] = {"n2"};
  second["properties"]["networkProfile"]["networkInterfaces"][0]["id"] =
      "[resourceId('Microsoft.Network/networkInterfaces', 'n2')]";
  nic.erase("dependsOn");
  const json done = deploy(template_with({nic, second}));
  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);
  EXPECT_EQ(deploy(template_with({nic, second}))["provisioningState"], "Succeeded");
}

// --- managed identities

TEST_F(TemplatesTest, MachinesHaveIdentitiesOfTheirOwnAndOnesThatTheUserMade) {
  json document = machine_of({{"osImage", "tiny"}});
  json& machine = document["resources"].back();
  document["resources"].push_back({{"type", "Microsoft.ManagedIdentity/userAssignedIdentities"},
                                   {"apiVersion", "1"},
                                   {"name", "mine"},
                                   {"location", "westus"}});
  machine["identity"] = {
      {"type", "SystemAssigned, UserAssigned"},
      {"userAssignedIdentities",
       {{"[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'mine')]", json::object()}}}};
  machine["dependsOn"].push_back("mine");
  document["outputs"] = {
      {"own", {{"type", "string"}, {"value", "[reference('vm', '1', 'Full').identity.principalId]"}}},
      {"old",
       {{"type", "string"},
        {"value",
         "[reference(concat(resourceId('Microsoft.Compute/virtualMachines', 'vm'), "
         "'/providers/Microsoft.ManagedIdentity/Identities/default'), '1').principalId]"}}},
      {"mine", {{"type", "string"}, {"value", "[reference('mine').principalId]"}}}};
  const json done = deploy(document);
  ASSERT_EQ(done["provisioningState"], "Succeeded") << done.dump(1);

  const json told = done["outputs"];
  EXPECT_EQ(told["own"]["value"].get<std::string>().size(), 36u);
  EXPECT_EQ(told["own"]["value"], told["old"]["value"]);
  const std::string vm = "resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm";
  const json identity = region.get(vm)["identity"];
  EXPECT_EQ(identity["type"], "SystemAssigned, UserAssigned");
  EXPECT_EQ(identity["tenantId"], TestRegion::tenant);
  EXPECT_EQ(identity["userAssignedIdentities"].begin().value()["principalId"], told["mine"]["value"]);

  EXPECT_EQ(
      region.finish(region.arm(
          "PATCH", vm, {{"identity", {{"type", "None"}, {"userAssignedIdentities", nullptr}}}}))["status"],
      "Succeeded");
  EXPECT_FALSE(region.get(vm).contains("identity"));
  const Response gone = region.arm(
      "PATCH", vm,
      {{"identity",
        {{"type", "UserAssigned"},
         {"userAssignedIdentities",
          {{region.id("g", "Microsoft.ManagedIdentity/userAssignedIdentities/none"), json::object()}}}}}});
  EXPECT_THAT(gone.body, HasSubstr("was not found"));
}

TEST_F(TemplatesTest, AnIdentityThatIsMadeAgainHasNoRoles) {
  const std::string identity =
      "resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i";
  const std::string roles = "resourceGroups/g/providers/Microsoft.Authorization/roleAssignments";
  const json body = {{"location", "westus"}};
  region.arm("PUT", identity, body);
  const json principal = region.get(identity)["properties"]["principalId"];
  ASSERT_EQ(region.arm("PUT", roles + "/r", {{"properties", {{"principalId", principal}}}}).status, 201);
  region.arm("PUT", identity, body);
  EXPECT_EQ(region.get(roles)["value"].size(), 1u);

  region.arm("DELETE", identity);
  region.arm("PUT", identity, body);

  EXPECT_EQ(region.get(roles)["value"].size(), 0u);
}

TEST_F(TemplatesTest, AnIdentityMayDoNothingUntilARoleIsAssignedToIt) {
  arm::TokenClaims claims;
  claims.audience = "https://management.azure.com/";
  claims.tenant = TestRegion::tenant;
  claims.subject = "c";
  claims.principal = "00000000-0000-0000-0000-0000000000dd";
  claims.resource = region.id("g", "Microsoft.Compute/virtualMachines/vm");
  claims.issued = std::chrono::sys_seconds(std::chrono::seconds(region.now));
  claims.expires = claims.issued + std::chrono::hours(1);
  const std::string bearer = "Bearer " + arm::sign_token(claims, region.access.token_key).reveal();
  const auto status = [&] {
    return region.arm("GET", "resourceGroups", nullptr, {{"Authorization", bearer}}).status;
  };

  EXPECT_EQ(status(), 403);
  region.arm("PUT", "resourceGroups/g/providers/Microsoft.Authorization/roleAssignments/r",
             {{"properties", {{"principalId", claims.principal}, {"roleDefinitionId", "reader"}}}});
  EXPECT_EQ(status(), 200);
  const Response folders =
      region.arm("GET", "providers/Berth.Local/templateFolders", nullptr, {{"Authorization", bearer}});
  EXPECT_EQ(folders.status, 403);
  EXPECT_THAT(folders.body, HasSubstr("what is of this host"));
}

}  // namespace
}  // namespace berth
