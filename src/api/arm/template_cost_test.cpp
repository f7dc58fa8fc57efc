#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/template.h"
#include "base/error.h"

/// Small templates that ask for much: each ends within the time of the budget, with words or without.
namespace berth::arm {
namespace {

using nlohmann::json;
using std::string;
using testing::HasSubstr;

const DeploymentPlace cost_place{.subscription = "S",
                                 .subscription_name = "Local",
                                 .tenant = "T",
                                 .group = "G",
                                 .group_location = "westus",
                                 .group_tags = {},
                                 .name = "D",
                                 .origin = "https://h"};

TemplateRuntime runtime_that_echoes() {
  return {.reference = [](const string& id, bool) -> json {
            return {{"id", id}, {"list", {1, 2, 3}}};
          },
          .list = [](const string&, const string&, const string&) -> json {
            return {{"keys", {"k"}}};
          }};
}

/// Processor time of this thread: holds on a machine that does other things too.
double seconds_of(const std::function<void()>& work) {
  timespec before{}, after{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  work();
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  return static_cast<double>(after.tv_sec - before.tv_sec) +
         static_cast<double>(after.tv_nsec - before.tv_nsec) / 1e9;
}

long peak_mib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

/// `resources` is no json: a list of a single one in braces would be that one.
json cost_document(const std::vector<json>& resources, const json& more = json::object()) {
  json made = {{"$schema", "x"}, {"contentVersion", "1.0.0.0"}, {"resources", resources}};
  made.update(more);
  return made;
}
json with_value(const string& expression, const json& variables = json::object()) {
  return cost_document({}, {{"variables", variables},
                            {"outputs", {{"o", {{"type", "array"}, {"value", {"[" + expression + "]"}}}}}}});
}
string repeated(const string& part, int count, const string& between = ",") {
  string made;
  for (int i = 0; i < count; ++i) made += (i ? between : "") + part;
  return made;
}
string nested(const string& open, const string& inner, const string& close, int depth) {
  string made = inner;
  for (int i = 0; i < depth; ++i) made.insert(0, open).append(close);
  return made;
}
json cost_network(const string& name, const json& more = json::object()) {
  json made = {{"type", "Microsoft.Network/virtualNetworks"},
               {"apiVersion", "2019-11-01"},
               {"name", name},
               {"location", "westus"}};
  made.update(more);
  return made;
}
json deployment(const string& name, const json& inner, const json& more = json::object()) {
  json made = {{"type", "Microsoft.Resources/deployments"},
               {"apiVersion", "2019-11-01"},
               {"name", name},
               {"properties", {{"mode", "Incremental"}, {"template", inner}}}};
  made.update(more);
  return made;
}
json copied_network(const string& name, int count, const json& more = json::object()) {
  json made =
      cost_network("[concat('" + name + "', copyIndex())]", {{"copy", {{"name", name}, {"count", count}}}});
  made.update(more);
  return made;
}
json copied_deployment(int count, const json& inner) {
  return deployment("[concat('d', copyIndex())]", inner, {{"copy", {{"name", "d"}, {"count", count}}}});
}
json a_hundred_thousand_parameters() {
  json definitions = json::object();
  for (int i = 0; i < 100'000; ++i) definitions["p" + std::to_string(i)] = {{"type", "string"}};
  return definitions;
}
json nested_copies(int depth, const json& inner) {
  json made = inner;
  for (int i = 0; i < depth; ++i)
    made = {{"copy", {{{"name", "c" + std::to_string(i)}, {"count", 800}, {"input", made}}}}};
  return made;
}
json doubling(const string& first, const string& twice) {
  json made = {{"v0", first}};
  for (int i = 1; i < 60; ++i) {
    string next = twice;
    for (std::size_t at; (at = next.find('$')) != next.npos;)
      next.replace(at, 1, "variables('v" + std::to_string(i - 1) + "')");
    made["v" + std::to_string(i)] = "[" + next + "]";
  }
  return made;
}

/// Plans it, and evaluates all that can be, also in what is nested.
void deploy(const Template& plan, int depth = 0) {
  const TemplateRuntime runtime = runtime_that_echoes();
  for (std::size_t i = 0; i < plan.resources().size(); ++i) {
    plan.body(i, runtime);
    if (plan.resources()[i].is_deployment() && depth < 5)
      deploy(plan.nested(i, cost_place, runtime), depth + 1);
  }
  plan.outputs(runtime);
  plan.shown_parameters();
}

/// What stops the deployment; "" when it comes to its end.
string end_of(const json& document, const json& parameters = json::object()) {
  try {
    deploy(Template::plan(document, parameters, cost_place));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    EXPECT_EQ(error.code, "InvalidTemplate");
    EXPECT_LT(string(error.what()).size(), 4096u);
    return error.what();
  }
  return "";
}

struct Inputs {
  json document;
  json parameters = json::object();
};
/// What it asks is made when its test runs: naming the tests costs nothing.
struct Hostile {
  string name;
  std::function<Inputs()> inputs;
};
void PrintTo(const Hostile& hostile, std::ostream* out) {
  *out << hostile.name;
}

const string long_text = "padLeft('', 10000, 'a')";
const string half_mib = "concat(" + repeated("variables('t')", 50) + ")";
const json texts = {{"t", "[" + long_text + "]"}, {"big", "[" + half_mib + "]"}};

std::vector<Hostile> hostile_templates() {
  std::vector<Hostile> all;
  const auto add = [&](const string& name, std::function<Inputs()> inputs) {
    all.push_back({name, std::move(inputs)});
  };
  const auto value = [&](const string& name, const string& expression, const json& variables = texts) {
    add(name, [=] { return Inputs{with_value(expression, variables)}; });
  };
  // Each of these took seconds to minutes.
  value(
      "SplitByManyDelimiters",
      "split(variables('big'), map(range(0, 5000), lambda('x', concat('b', string(lambdaVariables('x'))))))");
  value(
      "SplitByManyDelimitersThatBeginLikeTheText",
      "split(variables('big'), map(range(0, 5000), lambda('x', concat('a', string(lambdaVariables('x'))))))");
  value("SplitByLongDelimiters",
        "split(variables('big'), map(range(0, 500), lambda('x', concat(variables('t'), 'b'))))");
  value("Intersection", "intersection(range(0, 10000), range(10000, 10000))");
  value("IntersectionOfMany", "intersection(" + repeated("range(0, 10000)", 200) + ")");
  value(
      "IntersectionOfWhatIsAlike",
      "intersection(map(range(0, 2000), lambda('x', concat(variables('t'), string(lambdaVariables('x'))))), "
      "map(range(1, 2000), lambda('x', concat(variables('t'), string(lambdaVariables('x'))))))");
  value("Union", "union(range(0, 10000), range(10000, 10000), range(20000, 10000))");
  value("UnionOfObjects",
        "union(" + repeated("toObject(range(0, 5000), lambda('x', string(lambdaVariables('x'))))", 60) + ")");
  value("ShallowMerge",
        "shallowMerge(map(range(0, 10000), lambda('x', createObject(string(lambdaVariables('x')), "
        "1))))");
  value("ContainsText", "contains(variables('big'), concat(take(variables('big'), 250000), 'b'))");
  value("ContainsTextOften",
        "map(range(0, 10000), lambda('x', contains(variables('big'), concat(variables('t'), 'b'))))");
  value("IndexOfText", "indexOf(variables('big'), concat(take(variables('big'), 250000), 'b'))");
  value("LastIndexOfText", "lastIndexOf(variables('big'), concat('b', take(variables('big'), 250000)))");
  value("ContainsItem", "map(range(0, 10000), lambda('x', contains(range(0, 10000), -1)))");
  value("ReplaceNothing", "replace(variables('big'), concat(take(variables('big'), 250000), 'b'), 'c')");
  value("ReplaceGrows", "replace(variables('big'), 'a', variables('t'))");
  value("ReplaceAgainAndAgain", nested("replace(", "'aaaaaaaa'", ", 'a', 'aaaaaaaa')", 60));
  value("ReplaceOften", "map(range(0, 10000), lambda('x', replace(variables('big'), 'a', 'b')))");
  value("ConcatDoubles", "length(variables('v59'))", doubling("12345678", "concat($, $)"));
  value("ConcatArraysDoubles", "length(variables('v59'))", doubling("[range(0, 100)]", "concat($, $)"));
  value("CreateArrayDoubles", "string(variables('v59'))", doubling("12345678", "createArray($, $)"));
  value("CreateObjectDoubles", "string(variables('v59'))",
        doubling("12345678", "createObject('a', $, 'b', $)"));
  value("FormatDoubles", "length(variables('v59'))", doubling("12345678", "format('{0}{0}', $)"));
  value("JoinDoubles", "length(variables('v59'))", doubling("12345678", "join(createArray($, $), $)"));
  value("UriDoubles", "length(variables('v59'))", doubling("%", "uriComponent($)"));
  value("DataUriDoubles", "length(variables('v59'))", doubling("12345678", "dataUri($)"));
  value("Base64Doubles", "length(variables('v59'))", doubling("12345678", "base64($)"));
  value("FormatGrows", "format('" + repeated("{0}", 5000, "") + "', variables('big'))");
  value("FormatOfWidths", "format('" + repeated("{0,1000}", 2500, "") + "', 'a')");
  value("PadLeftOften", "map(range(0, 10000), lambda('x', padLeft('', 10000)))");
  value("JsonOfMuch",
        "map(range(0, 10000), lambda('x', json(concat('[', join(range(0, 10000), ','), ']'))))");
  value("JsonNested", "json(concat(padLeft('', 10000, '['), padLeft('', 10000, ']')))");
  value("StringOfMuch", "map(range(0, 10000), lambda('x', string(range(0, 10000))))");
  value("UniqueStringOfMuch", "map(range(0, 10000), lambda('x', uniqueString(variables('big'))))");
  value("GuidOfMuch", "map(range(0, 10000), lambda('x', guid(variables('big'), variables('big'))))");
  value("Base64OfMuch", "map(range(0, 10000), lambda('x', base64(variables('big'))))");
  value("ToLowerOfMuch", "map(range(0, 10000), lambda('x', toLower(variables('big'))))");
  value("MapInMap", nested("map(range(0, 10000), lambda('x', ", "1", "))", 20));
  value("FilterInFilter", nested("filter(range(0, 10000), lambda('x', equals(1, length(", "'a'", "))))", 10));
  value(
      "ReduceThatGrows",
      "reduce(range(0, 10000), '', lambda('a', 'b', concat(lambdaVariables('a'), 'aaaaaaaaaaaaaaaaaaaa')))");
  value("ReduceThatNests",
        "reduce(range(0, 10000), '', lambda('a', 'b', createArray(lambdaVariables('a'))))");
  value("ReduceThatDoubles",
        "reduce(range(0, 10000), createArray(1), lambda('a', 'b', concat(lambdaVariables('a'), "
        "lambdaVariables('a'))))");
  value("SortByContradiction", "sort(range(0, 10000), lambda('a', 'b', true()))");
  value("SortBackwards",
        "sort(range(0, 10000), lambda('a', 'b', greater(lambdaVariables('a'), lambdaVariables('b'))))");
  value("GroupByOne", "groupBy(range(0, 10000), lambda('x', 'a'))");
  value("MapValuesOfMuch",
        "mapValues(toObject(range(0, 10000), lambda('x', string(lambdaVariables('x')))), "
        "lambda('x', range(0, 10000)))");
  value("MissingNamesOfALargeObject", "map(range(0, 10000), lambda('x', variables('o').KEY9999))",
        {{"o", "[toObject(range(0, 10000), lambda('x', concat('key', string(lambdaVariables('x')))))]"}});
  value("CopiesOfAVariable", "map(range(0, 10000), lambda('x', variables('o')))",
        {{"o", "[range(0, 10000)]"}});
  value("ItemsOfAVariable", "map(range(0, 10000), lambda('x', variables('o')[0]))",
        {{"o", "[range(0, 10000)]"}});
  value("FlattenOften", "flatten(map(range(0, 10000), lambda('x', range(0, 10000))))");
  value("EqualsOften", "map(range(0, 10000), lambda('x', equals(variables('big'), variables('big'))))");
  value("DeepExpression", nested("concat(", "'a'", ")", 60));
  value("TooDeepExpression", nested("concat(", "'a'", ")", 2000));
  add("VariablesThatCallEachOtherDeeply", [] {
    json variables = {{"v510", "a"}};
    for (int i = 0; i < 510; ++i)
      variables["v" + std::to_string(i)] =
          "[" + nested("concat(", "variables('v" + std::to_string(i + 1) + "')", ")", 50) + "]";
    return Inputs{with_value("variables('v0')", variables)};
  });
  add("ManyVariables", [] {
    json many = json::object();
    for (int i = 0; i < 20'000; ++i) many["v" + std::to_string(i)] = i;
    return Inputs{with_value("1", many)};
  });
  add("NestedCopiesOfVariables", [] {
    return Inputs{cost_document({}, {{"variables", nested_copies(3, "x")}})};
  });
  add("NestedCopiesOfNothing", [] {
    return Inputs{cost_document({}, {{"variables", nested_copies(8, json::array())}})};
  });
  add("NestedCopiesOfProperties", [] {
    return Inputs{cost_document({cost_network("n", {{"properties", nested_copies(4, "x")}})})};
  });
  add("NestedCopiesOfOutputs", [] {
    const json copy = {{"count", 800}, {"input", nested_copies(3, "x")}};
    return Inputs{cost_document({}, {{"outputs", {{"o", {{"type", "array"}, {"copy", copy}}}}}})};
  });
  add("NestedCopiesOfResourcesThatAreNotWanted", [] {
    json inner = cost_network("[concat('n', copyIndex('a'))]",
                              {{"copy", {{"name", "a"}, {"count", 800}}}, {"condition", false}});
    for (int i = 0; i < 4; ++i)
      inner = {{"type", "a/b"},
               {"apiVersion", "1"},
               {"name", "x"},
               {"condition", false},
               {"copy", {{"name", "l" + std::to_string(i)}, {"count", 800}}},
               {"resources", json::array({inner})}};
    return Inputs{cost_document({inner})};
  });
  add("CopiesOfALargeResource", [] {
    return Inputs{cost_document({copied_network("n", 800, {{"tags", {{"t", string(1'000'000, 'a')}}}})})};
  });
  add("CopiesOfALargeListOfExpressions", [] {
    return Inputs{cost_document({copied_network(
        "n", 800, {{"tags", std::vector<string>(2000, "[concat('list', reference('x'))]")}})})};
  });
  add("EachDependsOnAllBefore", [] {
    std::vector<json> resources;
    for (int i = 0; i < 800; ++i) {
      json depends = json::array();
      for (int j = 0; j < i; ++j) depends.push_back("n" + std::to_string(j));
      resources.push_back(cost_network("n" + std::to_string(i), {{"dependsOn", depends}}));
    }
    return Inputs{cost_document(resources)};
  });
  add("DependsOnALoopAgainAndAgain", [] {
    return Inputs{cost_document({copied_network("a", 400),
                                 copied_network("b", 400, {{"dependsOn", std::vector<string>(5000, "a")}})})};
  });
  add("SerialBatches", [] {
    json serial = copied_network("a", 800);
    serial["copy"].update({{"mode", "serial"}, {"batchSize", 400}});
    return Inputs{cost_document({serial})};
  });
  add("ManyNestedDeployments", [] {
    return Inputs{cost_document({copied_deployment(300, cost_document({copied_network("a", 300)}))})};
  });
  add("DeepNestedDeployments", [] {
    json deep = cost_document({copied_network("a", 300)});
    for (int i = 0; i < 4; ++i) deep = cost_document({copied_deployment(10, deep)});
    return Inputs{deep};
  });
  add("NestedDeploymentsInALargeScope", [] {
    return Inputs{cost_document({copied_deployment(800, cost_document({}))},
                                {{"variables", {{"big", string(1'000'000, 'a')}}}})};
  });
  add("AllowedValues", [] {
    json allowed = json::array(), given = json::array();
    for (int i = 0; i < 100'000; ++i) {
      allowed.push_back(i);
      given.push_back(99'999 - i);
    }
    return Inputs{
        cost_document({}, {{"parameters", {{"p", {{"type", "array"}, {"allowedValues", allowed}}}}}}),
        {{"p", {{"value", given}}}}};
  });
  for (const char* text : {"aaab", "aaaaaaab"})
    add("SecretsThatBeginAlike" + std::to_string(string(text).size()), [text] {
      json secrets = json::array();
      for (int i = 0; i < 2500; ++i) secrets.push_back(string(static_cast<std::size_t>(i + 4), 'a'));
      const string made =
          fmt::format("[replace(variables('big'), '{}', '{}')]", string(string(text).size(), 'a'), text);
      return Inputs{
          cost_document({}, {{"parameters", {{"s", {{"type", "secureObject"}}}}},
                             {"variables", texts},
                             {"outputs", {{"o", {{"type", "array"}, {"value", json::array({made})}}}}}}),
          {{"s", {{"value", {{"list", secrets}}}}}}};
    });
  add("ManySecrets", [] {
    json many = json::array();
    for (int i = 0; i < 300'000; ++i) many.push_back("secret-" + std::to_string(i));
    return Inputs{cost_document({}, {{"parameters", {{"s", {{"type", "secureObject"}}}}}}),
                  {{"s", {{"value", {{"list", many}}}}}}};
  });
  add("ManyParameters", [] {
    return Inputs{cost_document({}, {{"parameters", a_hundred_thousand_parameters()}})};
  });
  add("ParametersThatAreUnknown", [] { return Inputs{cost_document({}), a_hundred_thousand_parameters()}; });
  return all;
}

/// Evaluation ends after 1.5 s of processor time at most; the rest is what it takes to put away what was made.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define BERTH_TEST_SANITIZED
#endif
#endif
#ifdef BERTH_TEST_SANITIZED
constexpr double most_seconds = 4.0;  // each allocation costs several times as much
constexpr long most_mib = 600;        // and waits in quarantine for a while when it is freed
#else
constexpr double most_seconds = 2.0;
constexpr long most_mib = 200;
#endif

class HostileTemplates : public testing::TestWithParam<Hostile> {};

TEST_P(HostileTemplates, EndInTimeAndInLittleMemory) {
  const Inputs inputs = GetParam().inputs();
  const long before = peak_mib();

  const double seconds = seconds_of([&] { end_of(inputs.document, inputs.parameters); });

  EXPECT_LT(seconds, most_seconds);
  EXPECT_LT(peak_mib() - before, most_mib);
}

INSTANTIATE_TEST_SUITE_P(All, HostileTemplates, testing::ValuesIn(hostile_templates()),
                         [](const auto& tested) { return tested.param.name; });

TEST(TemplateCost, CountsResourcesOverAllCopiesAndNestedDeployments) {
  const json inner = cost_document(
      {cost_network("[concat('n', copyIndex())]", {{"copy", {{"name", "a"}, {"count", 300}}}})});
  const json two = cost_document({deployment("a", inner), deployment("b", inner)});
  const json three = cost_document({deployment("a", inner), deployment("b", inner), deployment("c", inner)});

  EXPECT_EQ(end_of(two), "");
  EXPECT_THAT(end_of(three),
              HasSubstr("The number of template resources limit exceeded. Limit: '800' and actual: '801'"));
}

TEST(TemplateCost, ANestedDeploymentThatIsPlannedAgainCountsOnce) {
  const json inner = cost_document(
      {cost_network("[concat('n', copyIndex())]", {{"copy", {{"name", "a"}, {"count", 500}}}})});
  const Template plan = Template::plan(cost_document({deployment("a", inner)}), json::object(), cost_place);

  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(plan.nested(0, cost_place, runtime_that_echoes()).resources().size(), 500u);
}

TEST(TemplateCost, LeavesHonestTemplatesAlone) {
  // 300 machines from one list of settings, each with 30 kB of cloud-init.
  json machines = json::array();
  for (int i = 0; i < 300; ++i)
    machines.push_back({{"name", "m" + std::to_string(i)}, {"size", "Standard_B1s"}});
  const json document = cost_document(
      {{{"type", "Microsoft.Compute/virtualMachines"},
        {"apiVersion", "2023-03-01"},
        {"name", "[variables('machines')[copyIndex()].name]"},
        {"copy", {{"name", "vms"}, {"count", "[length(variables('machines'))]"}}},
        {"properties",
         {{"hardwareProfile", {{"vmSize", "[variables('machines')[copyIndex()].size]"}}},
          {"osProfile", {{"customData", "[base64(parameters('cloudInit'))]"}}}}}}},
      {{"parameters", {{"cloudInit", {{"type", "string"}}}}}, {"variables", {{"machines", machines}}}});

  EXPECT_EQ(end_of(document, {{"cloudInit", {{"value", string(30'000, 'a')}}}}), "");
}

TEST(TemplateCost, SortsAndComparesListsOfTenThousand) {
  const auto value_of = [](const string& expression) {
    const Template plan = Template::plan(with_value(expression), json::object(), cost_place);
    return plan.outputs(runtime_that_echoes())["o"]["value"][0];
  };
  EXPECT_EQ(value_of("first(sort(range(0, 2000), lambda('a', 'b', greater(lambdaVariables('a'), "
                     "lambdaVariables('b')))))"),
            1999);
  EXPECT_EQ(value_of("length(intersection(range(0, 10000), range(5000, 10000)))"), 5000);
  EXPECT_EQ(value_of("length(union(range(0, 10000), range(5000, 10000)))"), 15000);
}

}  // namespace
}  // namespace berth::arm
