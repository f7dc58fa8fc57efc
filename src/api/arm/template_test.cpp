#include "api/arm/template.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/evaluator.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const DeploymentPlace deployment_place{.subscription = "S",
                                       .subscription_name = "Local",
                                       .tenant = "T",
                                       .group = "G",
                                       .group_location = "westus",
                                       .group_tags = {{"a", "b"}},
                                       .name = "D",
                                       .origin = "https://h",
                                       .deployer_id = "O",
                                       .deployer_name = "me@local",
                                       .template_uri = {}};

TemplateRuntime runtime_without() {
  return {.reference = [](const std::string& id, bool) -> json {
            throw Error(ErrorKind::not_found, "ResourceNotFound", id);
          },
          .list = [](const std::string&, const std::string&, const std::string&) -> json { return nullptr; }};
}

json document_of(const json& resources, const json& more = json::object()) {
  json made = {{"$schema", "x"}, {"contentVersion", "1.0.0.0"}, {"resources", resources}};
  made.update(more);
  return made;
}

json document_with(const std::vector<json>& resources, const json& more = json::object()) {
  return document_of(resources, more);
}

json network(const std::string& name, const json& more = json::object()) {
  json made = {{"type", "Microsoft.Network/virtualNetworks"},
               {"apiVersion", "2019-11-01"},
               {"name", name},
               {"location", "westus"}};
  made.update(more);
  return made;
}

Template plan(const json& document, const json& parameters = json::object()) {
  return Template::plan(document, parameters, deployment_place);
}

template <class Work>
std::string message_of(Work work, const std::string& code = "InvalidTemplate") {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, code);
    return error.what();
  }
  return "nothing was thrown";
}

std::string template_fixture(const std::string& name) {
  std::ifstream in(std::string(BERTH_FIXTURES) + "/" + name);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  for (std::size_t at; (at = text.find("{s}")) != text.npos;) text.replace(at, 3, "S");
  return text;
}

/// What an expression comes to, as an output of a template.
json value_of(const std::string& expression, const json& more = json::object()) {
  json document = document_of(json::array(), more);
  document["outputs"] = {{"o", {{"type", "array"}, {"value", {"[" + expression + "]"}}}}};
  return plan(document).outputs(runtime_without())["o"]["value"][0];
}
std::string refusal_of(const std::string& expression) {
  return message_of([&] { value_of(expression); });
}

TEST(Template, OrdersWhatAzSendsForAVm) {
  const json body = json::parse(template_fixture("az-vm-create.json"));
  const Template made = plan(body["properties"]["template"], body["properties"]["parameters"]);

  ASSERT_EQ(made.resources().size(), 5u);
  EXPECT_THAT(made.resources()[3].after, ElementsAre(0, 1, 2));
  EXPECT_THAT(made.resources()[4].after, ElementsAre(3));
  EXPECT_EQ(made.resources()[4].id,
            "/subscriptions/S/resourceGroups/G/providers/Microsoft.Compute/virtualMachines/N");
  EXPECT_EQ(made.body(4, runtime_without())["properties"]["osProfile"]["adminPassword"], "Passw0rd-1234");
}

TEST(Template, ShowsNoValueOfASecureParameter) {
  const json body = json::parse(template_fixture("az-vm-create.json"));
  const Template made = plan(body["properties"]["template"], body["properties"]["parameters"]);

  EXPECT_EQ(made.shown_parameters(), json({{"adminPassword", {{"type", "SecureString"}}}}));
  EXPECT_EQ(made.redact("user azureuser with Passw0rd-1234"), "user azureuser with [secret]");
}

TEST(Template, KeepsSecretsOutOfErrorsAndOutputs) {
  const json parameters = {{"p", {{"type", "secureString"}}}};
  const json given = {{"p", {{"value", "S3cret!value"}}}};
  const std::string message = message_of([&] {
    plan(document_with({network("[concat(parameters('p'), '/x')]")}, {{"parameters", parameters}}), given);
  });
  EXPECT_THAT(message, HasSubstr("[secret]"));
  EXPECT_THAT(message, Not(HasSubstr("S3cret!value")));

  const Template leaky = plan(
      document_of(json::array(), {{"parameters", parameters},
                                  {"outputs",
                                   {{"o", {{"type", "string"}, {"value", "[parameters('p')]"}}},
                                    {"s", {{"type", "secureString"}, {"value", "[parameters('p')]"}}}}}}),
      given);
  EXPECT_EQ(leaky.outputs(runtime_without()),
            json({{"o", {{"type", "String"}, {"value", "[secret]"}}}, {"s", {{"type", "SecureString"}}}}));
}

TEST(Template, ShowsValuesBesideASecretOfDigitsOrOfAWord) {
  const json parameters = {{"pin", {{"type", "secureString"}}},
                           {"word", {{"type", "secureString"}}},
                           {"port", {{"type", "int"}}},
                           {"open", {{"type", "bool"}}}};
  const Template made = plan(
      document_of(json::array(), {{"parameters", parameters},
                                  {"outputs",
                                   {{"open", {{"type", "bool"}, {"value", "[parameters('open')]"}}},
                                    {"number", {{"type", "int"}, {"value", "[int(parameters('pin'))]"}}}}}}),
      {{"pin", {{"value", "4243"}}},
       {"word", {{"value", "true"}}},
       {"port", {{"value", 42430}}},
       {"open", {{"value", true}}}});

  EXPECT_EQ(made.shown_parameters()["port"]["value"], 42430);
  EXPECT_EQ(made.shown_parameters()["open"]["value"], true);
  EXPECT_EQ(made.outputs(runtime_without())["open"]["value"], true);
  EXPECT_EQ(made.outputs(runtime_without())["number"]["value"], "[secret]");
}

TEST(Template, RefusesCompleteModeInANestedDeployment) {
  const json nested = {{"type", "Microsoft.Resources/deployments"},
                       {"apiVersion", "1"},
                       {"name", "inner"},
                       {"properties", {{"mode", "complete"}, {"template", document_of(json::array())}}}};

  EXPECT_THAT(message_of([&] { plan(document_of(json::array({nested}))); }, "InvalidDeployment"),
              HasSubstr("not supported for nested deployment 'inner'"));
}

TEST(Template, ReadsTheFileThatAzSplicedIn) {
  const json body = parse_lenient_document(template_fixture("az-group-deployment.txt"));
  const Template made = plan(body["properties"]["template"], body["properties"]["parameters"]);

  EXPECT_EQ(made.resources().at(0).name, "web1-net");
  EXPECT_EQ(
      made.body(0, runtime_without()),
      json::parse(
          R"({"location":"westus","properties":{"addressSpace":{"addressPrefixes":["10.1.0.0/16"]}}})"));
  EXPECT_EQ(made.outputs(runtime_without())["networkId"]["value"],
            "/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/web1-net");
}

TEST(Template, RepeatsResourcesAndTheirDependencies) {
  const json copy = {{"name", "loop"}, {"count", 2}, {"mode", "parallel"}};
  const json nic = {
      {"type", "Microsoft.Network/networkInterfaces"},
      {"apiVersion", "1"},
      {"name", "[concat('nic', copyIndex(1))]"},
      {"copy", {{"name", "nics"}, {"count", 2}}},
      {"dependsOn", {"[resourceId('Microsoft.Network/virtualNetworks', concat('net', copyIndex()))]"}}};
  const json vm = {{"type", "Microsoft.Compute/virtualMachines"},
                   {"apiVersion", "1"},
                   {"name", "vm"},
                   {"dependsOn", {"nics"}}};
  const Template made =
      plan(document_with({network("[concat('net', copyIndex())]", {{"copy", copy}}), nic, vm}));

  ASSERT_EQ(made.resources().size(), 5u);
  EXPECT_EQ(made.resources()[3].name, "nic2");
  EXPECT_THAT(made.resources()[3].after, ElementsAre(1));
  EXPECT_THAT(made.resources()[4].after, ElementsAre(2, 3));
}

TEST(Template, RunsSerialCopiesInBatches) {
  const json copy = {{"name", "loop"}, {"count", 5}, {"mode", "serial"}, {"batchSize", 2}};
  const Template made = plan(document_with({network("[concat('net', copyIndex())]", {{"copy", copy}})}));

  EXPECT_THAT(made.resources()[1].after, IsEmpty());
  EXPECT_THAT(made.resources()[2].after, testing::UnorderedElementsAre(0, 1));
  EXPECT_THAT(made.resources()[4].after, testing::UnorderedElementsAre(2, 3));
}

TEST(Template, LeavesOutWhatItsConditionForbidsAndWhoWaitsForIt) {
  const Template made = plan(
      document_with({network("a", {{"condition", "[equals(1, 2)]"}}), network("b", {{"dependsOn", {"a"}}})}));

  ASSERT_EQ(made.resources().size(), 1u);
  EXPECT_EQ(made.resources()[0].name, "b");
  EXPECT_THAT(made.resources()[0].after, IsEmpty());
}

TEST(Template, FindsTheOrderInReferences) {
  const json vm = {
      {"type", "Microsoft.Compute/virtualMachines"},
      {"apiVersion", "1"},
      {"name", "vm"},
      {"tags", {{"where", "[reference(resourceId('Microsoft.Network/virtualNetworks', 'net')).space]"}}}};
  const Template made = plan(document_with({vm, network("net")}));

  EXPECT_THAT(made.resources()[0].after, ElementsAre(1));
  TemplateRuntime runtime = runtime_without();
  runtime.reference = [](const std::string& id, bool full) {
    EXPECT_FALSE(full);
    EXPECT_THAT(id, testing::EndsWith("/virtualNetworks/net"));
    return json{{"space", "10.0.0.0/8"}};
  };
  EXPECT_EQ(made.body(0, runtime)["tags"]["where"], "10.0.0.0/8");
}

TEST(Template, ReferencesByTypeAndNameAreOfTheSameGroup) {
  const Template made = plan(document_of(
      json::array(),
      {{"outputs",
        {{"o",
          {{"type", "string"}, {"value", "[reference('Microsoft.Storage/storageAccounts/x', '1').e]"}}}}}}));
  TemplateRuntime runtime = runtime_without();
  runtime.reference = [](const std::string& id, bool) {
    EXPECT_EQ(id, "/subscriptions/S/resourceGroups/G/providers/Microsoft.Storage/storageAccounts/x");
    return json{{"e", "there"}};
  };
  EXPECT_EQ(made.outputs(runtime)["o"]["value"], "there");
}

TEST(Template, ReferencesMayStepBackFromAPart) {
  const json reference = {{"type", "string"},
                          {"value", "[reference('/subscriptions/S/x/n/ipConfigurations/ip/../../').e]"}};
  TemplateRuntime runtime = runtime_without();
  runtime.reference = [](const std::string& id, bool) {
    EXPECT_EQ(id, "/subscriptions/S/x/n");
    return json{{"e", "there"}};
  };
  EXPECT_EQ(
      plan(document_of(json::array(), {{"outputs", {{"o", reference}}}})).outputs(runtime)["o"]["value"],
      "there");
}

TEST(Template, MakesChildrenAfterTheirParents) {
  const json child = {{"type", "subnets"}, {"apiVersion", "1"}, {"name", "inner"}};
  const Template made = plan(document_with({network("net", {{"resources", json::array({child})}})}));

  EXPECT_EQ(made.resources()[1].type, "Microsoft.Network/virtualNetworks/subnets");
  EXPECT_EQ(made.resources()[1].name, "net/inner");
  EXPECT_THAT(made.resources()[1].after, ElementsAre(0));
}

TEST(Template, KnowsSymbolicNames) {
  const json resources = {{"net", network("n")},
                          {"old", network("o", {{"existing", true}})},
                          {"other", network("x", {{"dependsOn", {"net"}}})}};
  const Template made = plan(document_of(resources, {{"languageVersion", "2.0"}}));

  ASSERT_EQ(made.resources().size(), 3u);
  EXPECT_TRUE(made.resources()[1].existing);
  EXPECT_THAT(made.resources()[2].after, ElementsAre(0));
}

TEST(Template, PlansNestedDeploymentsInTheirOwnScope) {
  const json inner =
      document_with({network("[parameters('n')]")}, {{"parameters", {{"n", {{"type", "string"}}}}}});
  const json nested = {{"type", "Microsoft.Resources/deployments"},
                       {"apiVersion", "1"},
                       {"name", "inner"},
                       {"properties",
                        {{"mode", "Incremental"},
                         {"expressionEvaluationOptions", {{"scope", "inner"}}},
                         {"parameters", {{"n", {{"value", "[variables('v')]"}}}}},
                         {"template", inner}}}};
  const Template made = plan(document_with({nested}, {{"variables", {{"v", "deep"}}}}));

  ASSERT_TRUE(made.resources()[0].is_deployment());
  EXPECT_EQ(made.nested(0, deployment_place, runtime_without()).resources().at(0).name, "deep");
  EXPECT_FALSE(made.body(0, runtime_without())["properties"].contains("template"));
}

TEST(Template, PlansNestedDeploymentsInTheOuterScopeByDefault) {
  const json inner = document_with({network("[variables('v')]")});
  const json nested = {{"type", "Microsoft.Resources/deployments"},
                       {"apiVersion", "1"},
                       {"name", "inner"},
                       {"properties", {{"mode", "Incremental"}, {"template", inner}}}};
  const Template made = plan(document_with({nested}, {{"variables", {{"v", "outer"}}}}));

  EXPECT_EQ(made.nested(0, deployment_place, runtime_without()).resources().at(0).name, "outer");
}

TEST(Template, TakesDefaultsThatSpeakOfOtherParametersInAnyOrder) {
  const json parameters = {
      {"a", {{"type", "string"}, {"defaultValue", "[concat(parameters('b'), '-', parameters('Z'))]"}}},
      {"b", {{"type", "string"}, {"defaultValue", "[toLower(parameters('z'))]"}}},
      {"z", {{"type", "string"}}}};
  const Template made = plan(document_with({network("[parameters('a')]")}, {{"parameters", parameters}}),
                             {{"z", {{"value", "ZED"}}}});

  EXPECT_EQ(made.resources()[0].name, "zed-ZED");
}

TEST(Template, RefusesCircles) {
  const json parameters = {{"a", {{"type", "string"}, {"defaultValue", "[parameters('b')]"}}},
                           {"b", {{"type", "string"}, {"defaultValue", "[parameters('a')]"}}}};
  EXPECT_THAT(message_of([&] {
                plan(document_with({}, {{"parameters", parameters}}));
              }),
              HasSubstr("Circular dependency detected between template parameters"));
  EXPECT_THAT(
      message_of([] {
        plan(document_with({network("a", {{"dependsOn", {"b"}}}), network("b", {{"dependsOn", {"a"}}})}));
      }),
      HasSubstr("Circular dependency detected on resource"));
  EXPECT_THAT(message_of([] {
                plan(document_with({network("[variables('a')]")},
                                   {{"variables", {{"a", "[variables('b')]"}, {"b", "[variables('a')]"}}}}));
              }),
              HasSubstr("Circular dependency detected between template variables"));
}

TEST(Template, NamesADependencyThatIsNotThere) {
  EXPECT_THAT(message_of([] {
                plan(document_with({network("a", {{"dependsOn", {"gone"}}})}));
              }),
              HasSubstr("The resource 'gone' is not defined in the template"));
}

TEST(Template, RefusesTheSameResourceTwice) {
  EXPECT_THAT(message_of([] {
                plan(document_with({network("a"), network("A")}));
              }),
              HasSubstr("defined multiple times"));
}

TEST(Template, NamesAParameterThatIsMissingOrUnknownOrDoesNotFit) {
  const json number = {{"type", "int"}, {"maxValue", 3}, {"allowedValues", {1, 2, 9}}};
  const json document = document_of(json::array(), {{"parameters", {{"n", number}}}});

  EXPECT_THAT(message_of([&] { plan(document); }), HasSubstr("'n' is not provided"));
  EXPECT_THAT(message_of([&] { plan(document, {{"x", {{"value", 1}}}}); }), HasSubstr("'x'"));
  EXPECT_THAT(message_of([&] {
                plan(document, {{"n", {{"value", "1"}}}});
              }),
              HasSubstr("expected a value of type 'Int'"));
  EXPECT_THAT(message_of([&] {
                plan(document, {{"n", {{"value", 5}}}});
              }),
              HasSubstr("not part of the allowed value(s)"));
  EXPECT_THAT(message_of([&] { plan(document, {{"n", {{"value", 9}}}}); }), HasSubstr("allowed is any to 3"));
  EXPECT_NO_THROW(plan(document, {{"n", {{"value", 2}}}}));
}

/// The refusal of an expression that has this to spend, and all the time in the world.
std::string refusal_within(const BudgetLimits& limits, const std::string& expression,
                           const json& variables = json::object()) {
  TemplateScope scope;
  scope.variables = variables;
  scope.budget = std::make_shared<Budget>(limits);
  TemplateFrame frame{.scope = scope};
  return message_of([&] { evaluate_text("[" + expression + "]", frame); });
}

TEST(Template, GivesUpOnWhatGrowsWithoutLimit) {
  json variables = {{"v0",
                     {"1234567890", "1234567890", "1234567890", "1234567890", "1234567890", "1234567890",
                      "1234567890", "1234567890"}}};
  for (int i = 1; i < 40; ++i)
    variables["v" + std::to_string(i)] = "[createArray(variables('v" + std::to_string(i - 1) +
                                         "'), variables('v" + std::to_string(i - 1) + "'))]";

  EXPECT_THAT(refusal_within({.made = 2 * 1024 * 1024}, "string(variables('v39'))", variables),
              HasSubstr("too much data: more than 2 MiB"));
}

TEST(Template, CountsTheFunctionsThatItCalls) {
  const std::string calls = "map(range(0, 100), lambda('x', map(range(0, 100), lambda('y', add(1, 2)))))";
  EXPECT_THAT(refusal_within({.calls = 10'000}, calls), HasSubstr("more than 10000 functions"));
  EXPECT_EQ(refusal_within({.calls = 50'000}, calls), "nothing was thrown");
}

// --- expressions

TEST(TemplateExpression, KnowsTextNumbersAndPostfixes) {
  EXPECT_EQ(value_of("'it''s'"), "it's");
  EXPECT_EQ(value_of("-12"), -12);
  EXPECT_EQ(value_of(" variables ( 'v' ) . A [ 1 ] . b ",
                     json::parse(R"({"variables":{"v":{"a":[0,{"B":"deep"}]}}})")),
            "deep");
  EXPECT_EQ(value_of("CONCAT('a', 1, true())"), "a1True");
}

TEST(TemplateExpression, LeavesDoubledBracketsAlone) {
  const Template made = plan(document_with(
      {network("n", {{"tags", {{"a", "[[concat('x')]"}, {"b", "[not an end"}, {"c", "x]"}}}})}));

  EXPECT_EQ(made.body(0, runtime_without())["tags"],
            json({{"a", "[concat('x')]"}, {"b", "[not an end"}, {"c", "x]"}}));
}

TEST(TemplateExpression, SaysWhereItCannotBeRead) {
  EXPECT_THAT(refusal_of("concat('a'"), HasSubstr("expected ')'"));
  EXPECT_THAT(refusal_of("concat('a) "), HasSubstr("closing quote"));
  EXPECT_THAT(refusal_of("nosuch(1)"), HasSubstr("'nosuch' is not valid"));
  EXPECT_THAT(refusal_of("concat"), HasSubstr("expected '('"));
  EXPECT_THAT(refusal_of("toLower('a', 'b')"), HasSubstr("requires 1 argument(s)"));
  EXPECT_THAT(refusal_of(std::string(200, '(')), HasSubstr("expected a function"));
  std::string deep = "1";
  for (int i = 0; i < 100; ++i) deep = "string(" + deep + ")";
  EXPECT_THAT(refusal_of(deep), HasSubstr("at most 64 levels"));
}

TEST(TemplateExpression, NamesThePropertiesThereAre) {
  EXPECT_THAT(refusal_of("resourceGroup().place"), HasSubstr("available properties are"));
  EXPECT_THAT(refusal_of("createArray(1)[1]"), HasSubstr("out of bounds"));
}

struct Case {
  const char* expression;
  const char* result;
};

class TemplateFunctions : public testing::TestWithParam<Case> {};

TEST_P(TemplateFunctions, GiveWhatTheReferenceSays) {
  EXPECT_EQ(value_of(GetParam().expression), json::parse(GetParam().result)) << GetParam().expression;
}

INSTANTIATE_TEST_SUITE_P(
    All, TemplateFunctions,
    testing::Values(
        Case{"add(2, 3)", "5"}, Case{"sub(2, 3)", "-1"}, Case{"mul(4, 3)", "12"}, Case{"div(8, 3)", "2"},
        Case{"mod(7, 3)", "1"}, Case{"int('42')", "42"}, Case{"min(3, 1, 2)", "1"},
        Case{"max(createArray(3, 9))", "9"}, Case{"range(5, 3)", "[5,6,7]"}, Case{"array('a')", "[\"a\"]"},
        Case{"concat(createArray(1), createArray(2))", "[1,2]"}, Case{"contains('abc', 'b')", "true"},
        Case{"contains(createObject('A', 1), 'a')", "true"}, Case{"contains(createArray(1, 2), 3)", "false"},
        Case{"resourceId('Microsoft.Network/virtualNetworks/', 'n')",
             R"("/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/n")"},
        Case{"resourceId('g', 'A.B/c/d/', 'n', 'm')",
             R"("/subscriptions/S/resourceGroups/g/providers/A.B/c/n/d/m")"},
        Case{"subscriptionResourceId('A.B/c/', 'n')", R"("/subscriptions/S/providers/A.B/c/n")"},
        Case{"extensionResourceId('/x/y', 'A.B/c/', 'n')", R"("/x/y/providers/A.B/c/n")"},
        Case{"cidrSubnet('10.0.0.0/16', 24, 1)", R"("10.0.1.0/24")"},
        Case{"cidrSubnet('10.144.7.9/20', 24, 15)", R"("10.144.15.0/24")"},
        Case{"cidrSubnet('10.0.0.0/24', 24, 0)", R"("10.0.0.0/24")"},
        Case{"cidrSubnet('0.0.0.0/0', 32, 4294967295)", R"("255.255.255.255/32")"},
        Case{"cidrSubnet('fdad:3236:5555::/48', 52, 2)", R"("fdad:3236:5555:2000::/52")"},
        Case{"cidrHost('10.144.3.0/24', 0)", R"("10.144.3.1")"},
        Case{"cidrHost('10.144.3.0/24', 253)", R"("10.144.3.254")"},
        Case{"cidrHost('fdad:3236:5555:3::/64', 4)", R"("fdad:3236:5555:3::5")"},
        Case{"parseCidr('10.144.1.2/20')",
             R"({"network":"10.144.0.0","netmask":"255.255.240.0","broadcast":"10.144.15.255",
                 "firstUsable":"10.144.0.1","lastUsable":"10.144.15.254","cidr":20})"},
        Case{"parseCidr('10.0.0.7/32').firstUsable", R"("10.0.0.7")"},
        Case{"parseCidr('fdad:3236:5555::/48')",
             R"({"network":"fdad:3236:5555::","netmask":"ffff:ffff:ffff::","firstUsable":"fdad:3236:5555::",
                 "lastUsable":"fdad:3236:5555:ffff:ffff:ffff:ffff:ffff","cidr":48})"},
        Case{"indexFromEnd(createArray('a', 'b', 'c'), 2)", R"("b")"},
        Case{"indexFromEnd(createArray('a', 'b', 'c'), 3)", R"("a")"},
        Case{"tryIndexFromEnd(createArray('a', 'b'), 1)", R"("b")"},
        Case{"tryIndexFromEnd(createArray('a', 'b'), 3)", "null"}, Case{"tryIndexFromEnd(null(), 1)", "null"},
        Case{"tryGet(createObject('a', createArray(1, 2)), 'A', 1)", "2"},
        Case{"tryGet(createObject('a', 1), 'b', 'c')", "null"}, Case{"empty('')", "true"},
        Case{"empty(null())", "true"}, Case{"first('one')", "\"o\""}, Case{"last(createArray(1, 2))", "2"},
        Case{"length('abc')", "3"}, Case{"length(createObject('a', 1))", "1"},
        Case{"intersection(createArray(1, 2), createArray(2, 3))", "[2]"},
        Case{"union(createArray(1, 2), createArray(2, 3))", "[1,2,3]"},
        Case{"union(createObject('a', createObject('x', 1)), createObject('a', createObject('y', 2)))",
             "{\"a\":{\"x\":1,\"y\":2}}"},
        Case{"skip(createArray(1, 2, 3), 1)", "[2,3]"}, Case{"take('abc', 2)", "\"ab\""},
        Case{"indexOf('Test', 'T')", "0"}, Case{"lastIndexOf('test', 't')", "3"},
        Case{"indexOf(createArray('a', 'b'), 'c')", "-1"},
        Case{"flatten(createArray(createArray(1), createArray(2)))", "[1,2]"},
        Case{"items(createObject('k', 1))", "[{\"key\":\"k\",\"value\":1}]"},
        Case{"objectKeys(createObject('k', 1))", "[\"k\"]"},
        Case{"tryGet(createObject('a', createArray(1)), 'a', 0)", "1"},
        Case{"tryGet(createObject('a', 1), 'b')", "null"},
        Case{"shallowMerge(createArray(createObject('a', 1), createObject('a', 2)))", "{\"a\":2}"},
        Case{"equals('a', 'A')", "false"}, Case{"equals(createArray(1), createArray(1))", "true"},
        Case{"less(1, 2)", "true"}, Case{"lessOrEquals('b', 'a')", "false"}, Case{"greater(2, 1)", "true"},
        Case{"greaterOrEquals(2, 2)", "true"}, Case{"and(true(), false())", "false"},
        Case{"or(false(), true())", "true"}, Case{"not(true())", "false"},
        Case{"if(true(), 'yes', div(1, 0))", "\"yes\""}, Case{"bool('true')", "true"},
        Case{"coalesce(null(), 'b')", "\"b\""}, Case{"toLower('ABC')", "\"abc\""},
        Case{"toUpper('abc')", "\"ABC\""}, Case{"trim('  a ')", "\"a\""},
        Case{"substring('hello', 1, 3)", "\"ell\""},
        Case{"split('a,b;c', createArray(',', ';'))", "[\"a\",\"b\",\"c\"]"},
        Case{"join(createArray('a', 'b'), '-')", "\"a-b\""}, Case{"replace('a-b-c', '-', '')", "\"abc\""},
        Case{"padLeft(7, 3, '0')", "\"007\""}, Case{"startsWith('Abc', 'aB')", "true"},
        Case{"endsWith('abc', 'BC')", "true"}, Case{"format('{0}-{1:D3}{{}}', 'a', 7)", "\"a-007{}\""},
        Case{"format('{0,4}|{0,-4}|', 'ab')", "\"  ab|ab  |\""},
        Case{"format('{0:N0}', 1234567)", "\"1,234,567\""}, Case{"string(createArray(1))", "\"[1]\""},
        Case{"base64('one')", "\"b25l\""}, Case{"base64ToString('b25l')", "\"one\""},
        Case{"base64ToJson(base64('{\"a\":1}')).a", "1"}, Case{"json('{\"a\":[1]}').a[0]", "1"},
        Case{"dataUriToString(dataUri('Hello'))", "\"Hello\""},
        Case{"uriComponent('a b/c')", "\"a%20b%2Fc\""}, Case{"uriComponentToString('a%20b')", "\"a b\""},
        Case{"uri('http://h/a/b', 'c')", "\"http://h/a/c\""},
        Case{"uri('http://h/a/', 'c/d')", "\"http://h/a/c/d\""}, Case{"length(uniqueString('a'))", "13"},
        Case{"equals(uniqueString('a', 'b'), uniqueString('a', 'b'))", "true"},
        Case{"length(guid('a'))", "36"},
        Case{"dateTimeAdd('2020-04-07 14:53:14Z', 'P3Y')", "\"2023-04-07T14:53:14Z\""},
        Case{"dateTimeAdd('2020-01-31', 'P1M', 'yyyy-MM-dd')", "\"2020-02-29\""},
        Case{"dateTimeAdd('2020-01-01T00:00:00Z', '-PT1H30M', 'u')", "\"2019-12-31 22:30:00Z\""},
        Case{"dateTimeToEpoch('1970-01-02')", "86400"},
        Case{"dateTimeFromEpoch(86400)", "\"1970-01-02T00:00:00Z\""},
        Case{"map(range(0, 3), lambda('i', mul(lambdaVariables('i'), 2)))", "[0,2,4]"},
        Case{"filter(createArray(1, 2, 3), lambda('i', greater(lambdaVariables('i'), 1)))", "[2,3]"},
        Case{"reduce(createArray(1, 2, 3), 0, lambda('sum', 'i', add(lambdaVariables('sum'), "
             "lambdaVariables('i'))))",
             "6"},
        Case{"sort(createArray(3, 1, 2), lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))",
             "[1,2,3]"},
        Case{"toObject(createArray('a'), lambda('i', lambdaVariables('i')), lambda('i', 1))", "{\"a\":1}"},
        Case{"resourceId('Microsoft.Network/virtualNetworks/subnets', 'v', 's')",
             "\"/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/v/subnets/s\""},
        Case{"resourceId('other', 'Microsoft.Network/virtualNetworks', 'v')",
             "\"/subscriptions/S/resourceGroups/other/providers/Microsoft.Network/virtualNetworks/v\""},
        Case{"resourceId('S2', 'other', 'Microsoft.Network/virtualNetworks', 'v')",
             "\"/subscriptions/S2/resourceGroups/other/providers/Microsoft.Network/virtualNetworks/v\""},
        Case{"subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'r')",
             "\"/subscriptions/S/providers/Microsoft.Authorization/roleDefinitions/r\""},
        Case{"tenantResourceId('Microsoft.Authorization/x', 'r')",
             "\"/providers/Microsoft.Authorization/x/r\""},
        Case{"resourceGroup().tags.a", "\"b\""}, Case{"subscription().subscriptionId", "\"S\""},
        Case{"deployment().name", "\"D\""}, Case{"environment().resourceManager", "\"https://h\""},
        Case{"tenant().tenantId", "\"T\""}, Case{"deployer().objectId", "\"O\""},
        Case{"deployer()", R"({"objectId":"O","tenantId":"T","userPrincipalName":"me@local"})"},
        // Text counts in UTF-16, as .NET does: é is one, 🐳 is two.
        Case{"length('héé')", "3"}, Case{"length('日本🐳')", "4"},
        Case{"substring('héllo', 1, 3)", R"("éll")"}, Case{"substring('日本語', 1)", R"("本語")"},
        Case{"substring('a🐳b', 1, 2)", R"("🐳")"}, Case{"take('éèê', 2)", R"("éè")"},
        Case{"take('éè', 9)", R"("éè")"}, Case{"skip('éèê', 2)", R"("ê")"}, Case{"skip('é', 9)", R"("")"},
        Case{"first('éa')", R"("é")"}, Case{"last('aé')", R"("é")"}, Case{"last('')", R"("")"},
        Case{"indexOf('äöü', 'ü')", "2"}, Case{"indexOf('äöü', 'Ü')", "2"},
        Case{"lastIndexOf('éxéx', 'X')", "3"}, Case{"lastIndexOf('ééa', 'É')", "1"},
        Case{"padLeft('é', 3, '0')", R"("00é")"}, Case{"padLeft('a', 3, 'é')", R"("ééa")"},
        Case{"toUpper('straße é')", R"("STRAßE É")"}, Case{"toLower('ÀÉ')", R"("àé")"},
        Case{"trim('\u00a0 é\u2003')", R"("é")"}, Case{"startsWith('Éa', 'é')", "true"},
        Case{"endsWith('aÉ', 'é')", "true"}, Case{"format('{0,3}|{0,-3}|', 'é')", R"("  é|é  |")"},
        Case{"split('aéb', 'é')", R"(["a","b"])"}, Case{"replace('aéb', 'é', '日')", R"("a日b")"},
        Case{"toLogicalZone('S', 'West US 2', 'westus2-az3')", R"("3")"},
        Case{"toLogicalZones('S', 'westus2', createArray('westus2-az1', 'westus2-az2'))", R"(["1","2"])"},
        Case{"toPhysicalZone('S', 'westus2', '1')", R"("westus2-az1")"},
        Case{"toPhysicalZones('S', 'westus2', createArray('2'))", R"(["westus2-az2"])"},
        Case{
            "managementGroupResourceId('mg', 'Microsoft.Authorization/policyDefinitions', 'p')",
            R"("/providers/Microsoft.Management/managementGroups/mg/providers/Microsoft.Authorization/policyDefinitions/p")"}));

TEST(TemplateFunctionRefusals, NameTheArgument) {
  EXPECT_THAT(refusal_of("div(1, 0)"), HasSubstr("divides by zero"));
  EXPECT_THAT(refusal_of("add('a', 1)"), HasSubstr("argument 1 must be an integer"));
  EXPECT_THAT(refusal_of("mul(9223372036854775807, 2)"), HasSubstr("leaves the integers"));
  EXPECT_THAT(refusal_of("substring('abc', 2, 5)"), HasSubstr("do not lie inside"));
  EXPECT_THAT(refusal_of("range(0, 20000)"), HasSubstr("from 0 to 10000"));
  EXPECT_THAT(refusal_of("format('{1}', 'a')"), HasSubstr("not given"));
  EXPECT_THAT(refusal_of("newGuid()"), HasSubstr("default values of parameters"));
  EXPECT_THAT(refusal_of("copyIndex()"), HasSubstr("no copy loop"));
  EXPECT_THAT(refusal_of("cidrSubnet('10.0.0.0/16', 24, 256)"), HasSubstr("no subnet 256"));
  EXPECT_THAT(refusal_of("cidrSubnet('10.0.0.0/16', 8, 0)"), HasSubstr("from 16 to 32, not 8"));
  EXPECT_THAT(refusal_of("cidrHost('10.0.0.0/24', 254)"), HasSubstr("has no host 254"));
  EXPECT_THAT(refusal_of("cidrHost('10.0.0.0/32', 0)"), HasSubstr("has no host 0"));
  for (const char* text : {"10.0.0.0", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "x/8", "1.2.3.4/"})
    EXPECT_THAT(refusal_of("parseCidr('" + std::string(text) + "')"), HasSubstr("CIDR notation")) << text;
  EXPECT_THAT(refusal_of("indexFromEnd(createArray(1), 0)"), HasSubstr("out of bounds"));
  EXPECT_THAT(refusal_of("indexFromEnd(createArray(1), 2)"), HasSubstr("there are 1 items"));
  EXPECT_THAT(refusal_of("fail('no room')"), HasSubstr("by its function 'fail': no room"));
}

TEST(TemplateFunctionRefusals, OfThoseThatThereAreNotComeBeforeAnythingIsMade) {
  json document = document_of(json::array());
  document["outputs"] = {
      {"o", {{"type", "string"}, {"value", "[if(true(), reference('x').y, nosuch('a'))]"}}}};
  EXPECT_THAT(message_of([&] { plan(document); }), HasSubstr("'nosuch' is not valid"));
  document["outputs"]["o"]["value"] = "[concat(reference('x').y, toLower())]";
  EXPECT_THAT(message_of([&] { plan(document); }), HasSubstr("requires 1 argument(s) while 0"));
  const json later = network("n", {{"tags", {{"t", "[if(false(), nosuch(), '')]"}}}});
  EXPECT_THAT(message_of([&] { plan(document_with({later})); }), HasSubstr("'nosuch' is not valid"));
  EXPECT_THAT(refusal_of("toLogicalZone('S', 'westus2', 'eastus-az1')"), HasSubstr("does not know the zone"));
  EXPECT_THAT(refusal_of("managementGroup().name"), HasSubstr("of a management group only"));
  EXPECT_THAT(refusal_of("managementGroupResourceId('A.B/c', 'p', 'q')"),
              HasSubstr("needs the name of the management group first"));
}

TEST(TemplateParameters, LimitsCountCharacters) {
  const json document = document_of(
      json::array(), {{"parameters", {{"p", {{"type", "string"}, {"minLength", 2}, {"maxLength", 3}}}}}});
  plan(document, {{"p", {{"value", "äöü"}}}});
  EXPECT_THAT(message_of([&] { plan(document, {{"p", {{"value", "é"}}}}); }), HasSubstr("its length is 1"));
}

TEST(TemplateResources, TellOfThemselvesByResourceInfo) {
  const json resources = {
      {"net", network("[concat('n', 'et')]")},
      {"many", network("[concat('m', copyIndex())]", {{"copy", {{"name", "loop"}, {"count", 2}}}})},
      {"abc", network("[concat(resourceInfo('net').name, '-', resourceInfo('many[1]').name)]")}};
  const Template made = plan(document_of(
      resources, {{"languageVersion", "2.0"},
                  {"outputs", {{"o", {{"type", "object"}, {"value", "[resourceInfo('NET')]"}}}}}}));

  EXPECT_EQ(made.resources()[0].name, "net-m1");
  EXPECT_EQ(made.outputs(runtime_without())["o"]["value"],
            json::parse(
                R"({"id":"/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/net",
                 "name":"net","type":"Microsoft.Network/virtualNetworks","apiVersion":"2019-11-01"})"));
  EXPECT_THAT(refusal_of("resourceInfo('net')"), HasSubstr("needs the symbolic name"));
}

TEST(TemplateResources, ThatAreAboutAnotherOneStandBelowIt) {
  const auto lock = [](const json& scope) {
    return json{
        {"type", "Microsoft.Authorization/locks"}, {"apiVersion", "1"}, {"name", "l"}, {"scope", scope}};
  };
  const std::string net = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/n";
  const auto id_with = [&](const json& scope) {
    return plan(document_with({lock(scope)})).resources()[0].id;
  };

  EXPECT_EQ(id_with("[format('Microsoft.Network/virtualNetworks/{0}', 'n')]"),
            net + "/providers/Microsoft.Authorization/locks/l");
  EXPECT_EQ(id_with(net), net + "/providers/Microsoft.Authorization/locks/l");
  EXPECT_EQ(id_with("[resourceGroup().id]"),
            "/subscriptions/S/resourceGroups/G/providers/Microsoft.Authorization/locks/l");
  EXPECT_THAT(message_of([&] { id_with("/"); }), HasSubstr("its own subscription only"));
}

TEST(TemplateResources, ThatAreOnlyForWhereNothingIsAreMarked) {
  const Template made =
      plan(document_with({network("a", {{"@options", {{"onlyIfNotExists", true}}}}), network("b")}));

  EXPECT_TRUE(made.resources()[0].only_if_missing);
  EXPECT_FALSE(made.resources()[1].only_if_missing);
  EXPECT_FALSE(made.body(0, runtime_without()).contains("@options"));
  for (const char* other : {"retryOn", "waitUntil"})
    EXPECT_THAT(message_of([&] {
                  plan(document_with({network("a", {{"@options", {{other, "x"}}}})}));
                }),
                HasSubstr(std::string("'@options.") + other + "'"));
}

json nested_deployment(const json& template_of_it, const std::string& scope,
                       const json& parameters = nullptr) {
  json made = {{"type", "Microsoft.Resources/deployments"},
               {"apiVersion", "1"},
               {"name", "inner"},
               {"properties",
                {{"mode", "Incremental"},
                 {"expressionEvaluationOptions", {{"scope", scope}}},
                 {"template", template_of_it}}}};
  if (!parameters.is_null()) made["properties"]["parameters"] = parameters;
  return made;
}

json nested_deployment(const json& document, const char* scope) {
  return {{"type", "Microsoft.Resources/deployments"},
          {"apiVersion", "1"},
          {"name", "[concat('d', copyIndex())]"},
          {"copy", {{"name", "Address"}, {"count", 2}}},
          {"properties",
           {{"mode", "Incremental"},
            {"expressionEvaluationOptions", {{"scope", scope}}},
            {"template", document}}}};
}

TEST(TemplateNesting, NamesOfAnInnerScopeAreNotThoseAround) {
  const json inner =
      document_of({{"address", network("n")}},
                  {{"languageVersion", "2.0"},
                   {"outputs", {{"o", {{"type", "string"}, {"value", "[reference('address').x]"}}}}}});
  const json outer =
      document_of({{"Address", nested_deployment(inner, "inner")}}, {{"languageVersion", "2.0"}});

  const Template made = plan(outer);
  EXPECT_THAT(made.resources()[0].after, IsEmpty());
  EXPECT_THAT(made.resources()[1].after, IsEmpty());
}

TEST(TemplateNesting, TakesATemplateOfAVariable) {
  const json file = document_with({network("[[parameters('own')]")},
                                  {{"parameters", {{"own", {{"type", "string"}, {"defaultValue", "n"}}}}}});
  const json outer =
      document_with({nested_deployment("[variables('file')]", "outer")}, {{"variables", {{"file", file}}}});

  EXPECT_EQ(plan(outer).nested(0, deployment_place, runtime_without()).resources()[0].name, "n");
}

TEST(TemplateNesting, CopiesOfTheOuterScopeSeeTheirIndex) {
  json nested = nested_deployment(document_with({network("[concat('n', copyIndex())]")}), "outer");
  nested["name"] = "[concat('inner', copyIndex())]";
  nested["copy"] = {{"name", "loop"}, {"count", 2}};
  const Template made = plan(document_with({nested}));

  EXPECT_EQ(made.nested(1, deployment_place, runtime_without()).resources().at(0).name, "n1");
}

TEST(TemplateNesting, RefusesAScopeThatThereIsNotAndAnotherSubscription) {
  const Template made = plan(document_with({nested_deployment(document_with({}), "sideways")}));
  EXPECT_THAT(message_of([&] { made.nested(0, deployment_place, runtime_without()); }),
              HasSubstr("is not 'inner' or 'outer'"));
  json elsewhere = nested_deployment(document_with({}), "inner");
  elsewhere["subscriptionId"] = "S2";
  EXPECT_THAT(message_of([&] { plan(document_with({elsewhere})); }), HasSubstr("for the subscription 'S2'"));
}

TEST(TemplateNesting, GivesWholeValuesToWhatIsAroundAndShowsNone) {
  const json inner = document_of(
      json::array(),
      {{"parameters", {{"p", {{"type", "securestring"}}}}},
       {"outputs",
        {{"plain", {{"type", "string"}, {"value", "[concat('user:', parameters('p'))]"}}},
         {"secure", {{"type", "securestring"}, {"value", "[concat(parameters('p'), '-made')]"}}}}}});
  const Template outer = plan(
      document_of(json::array({nested_deployment(inner, "inner", {{"p", {{"value", "S3cret!value"}}}})})));
  const Template nested = outer.nested(0, deployment_place, runtime_without());

  const Outputs outputs = nested.all_outputs(runtime_without());
  EXPECT_EQ(outputs.whole["plain"]["value"], "user:S3cret!value");
  EXPECT_EQ(outputs.secure["secure"], "S3cret!value-made");
  EXPECT_EQ(outputs.shown["plain"]["value"], "user:[secret]");
  EXPECT_FALSE(outputs.shown["secure"].contains("value"));
  EXPECT_THAT(outputs.hidden, ElementsAre("plain"));
  EXPECT_EQ(outer.redact("S3cret!value"), "S3cret!value");
  outer.keep_secrets_of(nested);
  EXPECT_EQ(outer.redact("S3cret!value"), "[secret]");
}

TEST(TemplateNesting, TakesSecureOutputsByTheirFunctionAndShowsNone) {
  const Template made = plan(document_of(
      json::array(),
      {{"outputs",
        {{"o", {{"type", "string"}, {"value", "[listOutputsWithSecureValues('/x/d', '1').s]"}}}}}}));
  TemplateRuntime runtime = runtime_without();
  runtime.list = [](const std::string& function, const std::string&, const std::string& version) {
    EXPECT_EQ(function, "listOutputsWithSecureValues");
    EXPECT_EQ(version, "1");
    return json{{"s", "S3cret!value"}};
  };
  EXPECT_EQ(made.all_outputs(runtime).whole["o"]["value"], "S3cret!value");
  EXPECT_EQ(made.outputs(runtime)["o"]["value"], "[secret]");
}

TEST(TemplateLinks, LeadBesideTheTemplateAroundThem) {
  DeploymentPlace place = deployment_place;
  place.template_uri = "https://h/templates/k/main.json?sig=1";
  TemplateRuntime runtime = runtime_without();
  std::string asked;
  runtime.linked = [&](const std::string& uri) {
    asked = uri;
    return document_with(
        {network("[concat(parameters('n'), replace(deployment().properties.templateLink.uri, '/', '|'))]")},
        {{"parameters", {{"n", {{"type", "string"}}}}}});
  };
  const auto linked = [](const json& link) {
    json made = nested_deployment(nullptr, "outer", {{"n", {{"value", "at "}}}});
    made["properties"]["templateLink"] = link;
    return document_with({made});
  };
  const Template beside = Template::plan(linked({{"relativePath", "parts/net.json"}}), {}, place);
  EXPECT_EQ(beside.nested(0, place, runtime).resources()[0].name, "at https:||h|templates|k|parts|net.json");
  EXPECT_EQ(asked, "https://h/templates/k/parts/net.json");

  const Template there = plan(linked({{"uri", "[uri('https://h/templates/j/', 'net.json')]"}}));
  EXPECT_EQ(there.nested(0, deployment_place, runtime).resources()[0].name,
            "at https:||h|templates|j|net.json");

  const Template nowhere = plan(linked({{"relativePath", "net.json"}}));
  EXPECT_THAT(message_of([&] { nowhere.nested(0, deployment_place, runtime); }, "InvalidTemplateLink"),
              HasSubstr("there is no folder to look in"));
  const Template old = plan(linked({{"uri", "https://h/x"}, {"contentVersion", "9.0.0.0"}}));
  EXPECT_THAT(message_of([&] { old.nested(0, deployment_place, runtime); }),
              HasSubstr("the content version"));
}

TEST(TemplateFunctionRefusals, ReferenceIsForDeployTime) {
  EXPECT_THAT(message_of([] { plan(document_with({network("[reference('x').y]")})); }),
              HasSubstr("'reference' is not expected at this location"));
}

json document_of_types(const json& definitions, const json& parameter, const json& more = json::object()) {
  json made = document_of(
      json::array(),
      {{"languageVersion", "2.0"}, {"definitions", definitions}, {"parameters", {{"p", parameter}}}});
  made.update(more);
  return made;
}
json given_as_p(const json& value) {
  return {{"p", {{"value", value}}}};
}
json type_reference(const std::string& name) {
  return {{"$ref", "#/definitions/" + name}};
}

TEST(TemplateTypes, AreFoundByTheirNames) {
  const json definitions = {{"short", {{"type", "string"}, {"minLength", 1}, {"maxLength", 8}}},
                            {"other", {{"$ref", "#/definitions/short"}, {"maxLength", 3}}}};
  json parameter = type_reference("other");
  parameter["defaultValue"] = "abc";
  json output = type_reference("short");
  output["value"] = "[parameters('p')]";
  const json document = document_of_types(definitions, parameter, {{"outputs", {{"o", output}}}});

  EXPECT_EQ(plan(document).outputs(runtime_without()),
            json::parse(R"({"o":{"type":"String","value":"abc"}})"));
  EXPECT_EQ(plan(document).shown_parameters(), json::parse(R"({"p":{"type":"String","value":"abc"}})"));
  EXPECT_THAT(message_of([&] { plan(document, given_as_p("abcd")); }),
              HasSubstr("its length is 4, allowed is 1 to 3"));
  EXPECT_THAT(message_of([&] { plan(document, given_as_p(7)); }),
              HasSubstr("expected a value of type 'String'"));
}

TEST(TemplateTypes, OfAResourcesDocumentTakeAnything) {
  const json derived = {
      {"metadata", {{"__bicep_resource_derived_type!", {{"source", "Microsoft.A/b@1#properties/x"}}}}}};
  const json more = {{"languageVersion", "2.0"}, {"parameters", {{"p", derived}}}};
  for (const json& value : {json("text"), json(7), json({{"a", 1}}), json({1, 2})})
    EXPECT_NO_THROW(plan(document_of(json::object(), more), {{"p", {{"value", value}}}})) << value;
  EXPECT_THAT(
      message_of([&] {
        plan(document_of(json::object(), {{"parameters", {{"p", json::object()}}}}), {{"p", {{"value", 1}}}});
      }),
      HasSubstr("has no 'type'"));
}

TEST(TemplateTypes, ThatDoNotExistOrNameThemselvesAreRefused) {
  EXPECT_THAT(message_of([] {
                plan(document_of_types({{"a", {{"type", "int"}}}}, type_reference("b")));
              }),
              HasSubstr("'#/definitions/b' of The template parameter 'p' is not among"));
  EXPECT_THAT(message_of([] {
                plan(document_of_types({{"a", type_reference("b")}, {"b", type_reference("a")}},
                                       type_reference("a")));
              }),
              HasSubstr("is defined by itself"));
}

TEST(TemplateTypes, HoldForEachPart) {
  const json definitions = json::parse(R"({
    "port": {"type": "int", "minValue": 1, "maxValue": 65535},
    "rule": {"type": "object", "additionalProperties": false, "properties": {
      "port": {"$ref": "#/definitions/port"},
      "note": {"type": "string", "nullable": true},
      "kind": {"type": "string", "allowedValues": ["tcp", "udp"]},
      "more": {"type": "array", "items": {"$ref": "#/definitions/rule"}, "nullable": true}}},
    "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "int"}], "items": false},
    "map": {"type": "object", "additionalProperties": {"type": "int"}},
    "either": {"type": "object", "discriminator": {"propertyName": "kind", "mapping": {
      "a": {"type": "object", "properties": {"kind": {"type": "string"}, "x": {"type": "int"}}},
      "b": {"$ref": "#/definitions/b"}}}},
    "b": {"type": "object", "additionalProperties": false,
          "properties": {"kind": {"type": "string"}, "y": {"type": "string"}}}})");
  const auto refusal = [&](const char* type, const char* value) {
    const json document = document_of_types(definitions, type_reference(type));
    return message_of([&] { plan(document, given_as_p(json::parse(value))); });
  };
  constexpr const char* taken = "nothing was thrown";

  EXPECT_EQ(refusal("rule", R"({"port": 22, "kind": "tcp"})"), taken);
  EXPECT_EQ(
      refusal("rule", R"({"port": 22, "kind": "tcp", "note": null, "more": [{"port": 1, "kind": "udp"}]})"),
      taken);
  EXPECT_THAT(refusal("rule", R"({"port": 22, "kind": "tcp", "more": [{"port": 0, "kind": "udp"}]})"),
              HasSubstr("at 'more[0].port' is not valid: its value is 0"));
  EXPECT_THAT(refusal("rule", R"({"port": 22})"), HasSubstr("required property 'kind' is missing"));
  EXPECT_THAT(refusal("rule", R"({"port": 22, "kind": "icmp"})"),
              HasSubstr("at 'kind' is not valid: it is not part"));
  EXPECT_THAT(refusal("rule", R"({"port": 22, "kind": "tcp", "prot": 1})"),
              HasSubstr("'prot' is not allowed there"));
  EXPECT_EQ(refusal("pair", R"(["a", 1])"), taken);
  EXPECT_THAT(refusal("pair", R"(["a", "b"])"),
              HasSubstr("at '[1]' is not valid: expected a value of type 'Int'"));
  EXPECT_THAT(refusal("pair", R"(["a", 1, 2])"), HasSubstr("'[2]' is not allowed there"));
  EXPECT_THAT(refusal("pair", R"(["a"])"), HasSubstr("it has 1 items, and needs 2"));
  EXPECT_EQ(refusal("map", R"({"a": 1, "b": 2})"), taken);
  EXPECT_THAT(refusal("map", R"({"a": 1, "b": "2"})"), HasSubstr("at 'b' is not valid"));
  EXPECT_EQ(refusal("either", R"({"kind": "a", "x": 1})"), taken);
  EXPECT_EQ(refusal("either", R"({"kind": "b", "y": "1"})"), taken);
  EXPECT_THAT(refusal("either", R"({"kind": "b", "y": "1", "x": 1})"), HasSubstr("'x' is not allowed there"));
  EXPECT_THAT(refusal("either", R"({"kind": "b"})"), HasSubstr("required property 'y' is missing"));
  EXPECT_THAT(refusal("either", R"({"kind": "c"})"), HasSubstr("its 'kind' must be one of: a, b"));
}

TEST(TemplateTypes, KeepSecureParts) {
  const json definitions = json::parse(R"({
    "login": {"type": "object", "properties": {"user": {"type": "string"}, "pin": {"type": "securestring"},
              "old": {"type": "array", "items": {"type": "securestring"}}}}})");
  json output = type_reference("login");
  output["value"] = {{"user", "me"}, {"pin", "[concat('x', 'y')]"}, {"old", {"short"}}};
  const Template made =
      plan(document_of_types(definitions, type_reference("login"), {{"outputs", {{"o", output}}}}),
           given_as_p({{"user", "someone"}, {"pin", "S3cret"}, {"old", {"0lder", "0ldest"}}}));

  EXPECT_EQ(made.redact("S3cret, 0lder and 0ldest of someone"), "[secret], [secret] and [secret] of someone");
  EXPECT_EQ(made.outputs(runtime_without())["o"]["value"], json::parse(R"({"user":"me","old":[null]})"));
  EXPECT_EQ(made.shown_parameters()["p"]["value"],
            json::parse(R"({"user":"someone","pin":"[secret]","old":["[secret]","[secret]"]})"));
}

TEST(TemplateOwnFunctions, CallEachOtherAndReadVariables) {
  const json functions = json::array(
      {{{"namespace", "my"},
        {"members",
         {{"one", {{"output", {{"type", "string"}, {"value", "[concat(my.two('a'), variables('v'))]"}}}}},
          {"two",
           {{"parameters", json::array({{{"name", "p"}, {"type", "string"}}})},
            {"output", {{"type", "string"}, {"value", "[concat(parameters('p'), '-')]"}}}}},
          {"round", {{"output", {{"type", "string"}, {"value", "[my.round()]"}}}}}}}}});
  const json more = {{"functions", functions}, {"variables", {{"v", "b"}}}};

  EXPECT_EQ(value_of("my.one()", more), "a-b");
  EXPECT_THAT(message_of([&] { value_of("my.round()", more); }), HasSubstr("deeper than"));
}

TEST(TemplateSymbols, ReferencesGivesAllCopies) {
  json document = document_of(
      {{"m", network("[format('m{0}', copyIndex())]", {{"copy", {{"name", "loop"}, {"count", 2}}}})},
       {"none", network("[format('n{0}', copyIndex())]", {{"copy", {{"name", "no"}, {"count", 0}}}})},
       {"one", network("one")},
       {"last", network("last", {{"dependsOn", json::array({"m[1]"})}})},
       {"reads", network("reads", {{"tags", "[references('m')]"}})}},
      {{"languageVersion", "2.0"}});
  const auto output = [&](const std::string& expression) {
    document["outputs"] = {{"o", {{"type", "array"}, {"value", "[" + expression + "]"}}}};
    return plan(document).outputs({.reference = [](const std::string& id, bool full) -> json {
      return {{"id", id.substr(id.rfind('/') + 1)}, {"full", full}};
    }})["o"]["value"];
  };

  EXPECT_EQ(output("map(references('m', 'full'), lambda('r', lambdaVariables('r').id))"), json({"m0", "m1"}));
  EXPECT_EQ(output("map(references('m'), lambda('r', lambdaVariables('r').full))"), json({false, false}));
  EXPECT_EQ(output("references('none')"), json::array());
  EXPECT_THAT(message_of([&] { output("references('one')"); }), HasSubstr("with a 'copy', not 'one'"));

  const Template made = plan(document);  // in the order of their symbols: last, m, m, one, reads
  EXPECT_THAT(made.resources()[0].after, ElementsAre(2));
  EXPECT_THAT(made.resources()[4].after, ElementsAre(1, 2));
}

TEST(TemplateSymbols, AnExistingOneThatIsNotThereNeedsNoName) {
  const json parameters = {{"other", {{"type", "object"}, {"nullable", true}}}};
  const json existing = {{"existing", true},
                         {"condition", "[not(empty(parameters('other')))]"},
                         {"type", "Microsoft.Network/virtualNetworks"},
                         {"apiVersion", "2023-09-01"},
                         {"name", "[last(split(parameters('other').id, '/'))]"}};
  const json document =
      document_of({{"e", existing}, {"n", network("n", {{"dependsOn", json::array({"e"})}})}},
                  {{"parameters", parameters}});

  const Template without = plan(document);
  ASSERT_EQ(without.resources().size(), 1u);
  EXPECT_THAT(without.resources()[0].after, IsEmpty());
  const Template with = plan(document, {{"other", {{"value", {{"id", "/x/seen"}}}}}});
  ASSERT_EQ(with.resources().size(), 2u);
  EXPECT_EQ(with.resources()[0].name, "seen");
  EXPECT_TRUE(with.resources()[0].existing);
}

TEST(TemplateProfiles, StandForTheVersionsThatResourcesDoNotName) {
  json without = network("n");
  without.erase("apiVersion");

  EXPECT_THAT(message_of([&] { plan(document_with({without})); }), HasSubstr("no 'apiVersion'"));
  for (const char* profile : {"2019-03-01-hybrid", "2017-03-09-profile", "latest"})
    EXPECT_EQ(plan(document_with({without}, {{"apiProfile", profile}})).resources()[0].api_version, profile);
  EXPECT_EQ(plan(document_with({network("n")}, {{"apiProfile", "latest"}})).resources()[0].api_version,
            "2019-11-01");
  for (const json& profile : {json("newest"), json(7), json("2019-03-01"), json("2019-3-1-hybrid")})
    EXPECT_THAT(message_of([&] {
                  plan(document_with({without}, {{"apiProfile", profile}}));
                }),
                HasSubstr("'apiProfile' is " + profile.dump()));
}

TEST(TemplateChildren, DependOnEachOtherByShortNames) {
  const auto subnet = [](const std::string& name, const std::vector<std::string>& depends = {}) -> json {
    return {{"type", "subnets"}, {"apiVersion", "2023-09-01"}, {"name", name}, {"dependsOn", depends}};
  };
  const auto with = [](const std::string& name, const std::vector<json>& children) {
    return network(name, {{"resources", children}});
  };
  const auto other = [](const std::string& depends) {
    return network("other", {{"dependsOn", json::array({depends})}});
  };

  const Template made = plan(document_with(
      {with("v", {subnet("s1", {"v"}), subnet("s2", {"v", "s1"})}),
       with("w", {subnet("s1"), subnet("s2", {"subnets/s1"}), subnet("only")}), other("only")}));
  EXPECT_THAT(made.resources()[2].after, ElementsAre(0, 1));
  EXPECT_THAT(made.resources()[5].after, ElementsAre(3, 4));
  EXPECT_THAT(made.resources()[7].after, ElementsAre(6));

  EXPECT_THAT(message_of([&] {
                plan(document_with({with("v", {subnet("s")}), with("w", {subnet("s")}), other("s")}));
              }),
              HasSubstr("has 2 resources of that name"));
  json left_out = subnet("s1");
  left_out["condition"] = false;
  EXPECT_THAT(plan(document_with({with("v", {left_out, subnet("s2", {"s1"})})})).resources()[1].after,
              ElementsAre(0));
}

TEST(TemplateChildren, AreReferencedByShortNamesWhenOnlyOneHasIt) {
  const auto with = [](const std::string& name) {
    const json child = {{"type", "subnets"}, {"apiVersion", "1"}, {"name", "s"}};
    return network(name, {{"resources", json::array({child})}});
  };
  const json outputs = {{"outputs", {{"o", {{"type", "string"}, {"value", "[reference('s').where]"}}}}}};
  TemplateRuntime runtime = runtime_without();
  runtime.reference = [](const std::string& id, bool) -> json {
    EXPECT_THAT(id, testing::EndsWith("/virtualNetworks/v/subnets/s"));
    return {{"where", "here"}};
  };

  EXPECT_EQ(plan(document_with({with("v")}, outputs)).outputs(runtime)["o"]["value"], "here");
  EXPECT_THAT(message_of([&] {
                plan(document_with({with("v"), with("w")}, outputs)).outputs(runtime);
              }),
              HasSubstr("'s' is not defined"));
}

TEST(TemplateChildren, MayStandSeveralLevelsBelowTheirParent) {
  const json child = {{"type", "blobServices/containers"}, {"apiVersion", "1"}, {"name", "default/c"}};
  const Template made = plan(document_with({{{"type", "Microsoft.Storage/storageAccounts"},
                                             {"apiVersion", "1"},
                                             {"name", "a"},
                                             {"resources", json::array({child})}}}));

  EXPECT_EQ(made.resources()[1].type, "Microsoft.Storage/storageAccounts/blobServices/containers");
  EXPECT_EQ(made.resources()[1].name, "a/default/c");
  EXPECT_THAT(made.resources()[1].after, ElementsAre(0));
}

TEST(Template, AsksNothingOfAResourceThatItsConditionForbids) {
  const std::string missing = "[split(tryGet(parameters('p'), 'id'), '/')[2]]";
  const json none = {{"condition", "[not(empty(parameters('p')))]"}};
  json elsewhere = network("a", none), nameless = network(missing, none);
  elsewhere["resourceGroup"] = elsewhere["subscriptionId"] = missing;
  const json document = document_of(
      {{"elsewhere", elsewhere},
       {"nameless", nameless},
       {"n", network("n", {{"dependsOn", {"nameless", "elsewhere"}}})}},
      {{"languageVersion", "2.0"}, {"parameters", {{"p", {{"type", "object"}, {"nullable", true}}}}}});

  EXPECT_EQ(plan(document).resources().size(), 1u);
  EXPECT_THAT(message_of([&] {
                plan(document, {{"p", {{"value", {{"a", 1}}}}}});
              }),
              HasSubstr("must be a string, not null"));
}

TEST(Template, FindsADependencyWithAnEmptyPart) {
  const json other = network("m", {{"dependsOn", {"Microsoft.Network/virtualNetworks//n"}}});

  EXPECT_THAT(plan(document_with({network("n"), other})).resources()[1].after, ElementsAre(0));
}

TEST(TemplateCopies, OfVariablesMaySpeakOfEachOther) {
  const json copies = {{{"name", "second"},
                        {"count", "[length(variables('first'))]"},
                        {"input", "[concat(variables('first')[copyIndex('second')], '!')]"}},
                       {{"name", "first"}, {"count", 2}, {"input", "[concat('v', copyIndex('first'))]"}}};

  EXPECT_EQ(value_of("variables('second')", {{"variables", {{"copy", copies}}}}), json({"v0!", "v1!"}));
  const json endless = {{{"name", "a"}, {"count", 801}, {"input", "x"}}};
  EXPECT_THAT(message_of([&] {
                plan(document_of(json::array(), {{"variables", {{"copy", endless}}}}));
              }),
              HasSubstr("from 0 to 800"))
      << "nobody asks for it, and it is wrong";
  const json circle = {{{"name", "a"}, {"count", "[length(variables('a'))]"}, {"input", "x"}}};
  EXPECT_THAT(message_of([&] {
                value_of("variables('a')", {{"variables", {{"copy", circle}}}});
              }),
              HasSubstr("depends on itself"));
}

TEST(TemplateCopies, OfPropertiesLeaveCopyIndexWithoutANameToTheResource) {
  const json disks = {{{"name", "disks"},
                       {"count", 2},
                       {"input", "[concat(copyIndex(), '-', copyIndex('disks'), '-', copyIndex(1))]"}}};
  const Template made =
      plan(document_with({network("[concat('n', copyIndex())]", {{"copy", {{"name", "nets"}, {"count", 2}}},
                                                                 {"properties", {{"copy", disks}}}})}));

  EXPECT_EQ(made.body(0, runtime_without())["properties"]["disks"], json({"0-0-1", "0-1-1"}));
  EXPECT_EQ(made.body(1, runtime_without())["properties"]["disks"], json({"1-0-2", "1-1-2"}));
}

TEST(TemplateOwnFunctions, SeeTheirParameters) {
  const json functions = {
      {{"namespace", "my"},
       {"members",
        {{"name",
          {{"parameters", {{{"name", "p"}, {"type", "string"}}}},
           {"output", {{"type", "string"}, {"value", "[concat('x-', parameters('p'))]"}}}}}}}}};

  EXPECT_EQ(value_of("my.name('a')", {{"functions", functions}}), "x-a");
}

TEST(TemplateCopies, FillPropertiesVariablesAndOutputs) {
  const json disks = {{{"name", "disks"}, {"count", 2}, {"input", {{"lun", "[copyIndex('disks')]"}}}}};
  const Template made = plan(document_with(
      {network("n", {{"properties", {{"copy", disks}}}})},
      {{"variables",
        {{"copy", {{{"name", "names"}, {"count", 2}, {"input", "[concat('v', copyIndex('names'))]"}}}}}},
       {"outputs",
        {{"o",
          {{"type", "array"}, {"copy", {{"count", 2}, {"input", "[variables('names')[copyIndex()]]"}}}}}}}}));

  EXPECT_EQ(made.body(0, runtime_without())["properties"]["disks"], json::parse(R"([{"lun":0},{"lun":1}])"));
  EXPECT_EQ(made.outputs(runtime_without())["o"]["value"], json({"v0", "v1"}));
}

}  // namespace
}  // namespace berth::arm
