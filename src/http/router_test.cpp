#include <gtest/gtest.h>

#include "http/router.h"

namespace berth {
namespace {

/// Routes are told apart by the address of their gate, so nothing needs to run.
struct Table {
  void add(const std::string& method, const std::string& pattern) {
    router.add({method, pattern, [](Request&) { return Admission{}; }});
    patterns.push_back(pattern);
  }
  /// The parameters that the match sets, as "name=value;"; "-" without a match, "405" for another method's.
  std::string match(const std::string& method, const std::string& path) {
    Request request;
    request.method = method;
    request.path = path;
    bool mismatch = false;
    gate = router.match(request, mismatch);
    if (!gate) return mismatch ? "405" : "-";
    std::string text;
    for (const auto& [name, value] : request.params) text += name + "=" + value + ";";
    return text;
  }
  Router router;
  std::vector<std::string> patterns;
  const Gate* gate = nullptr;
};

}  // namespace

TEST(Router, LiteralsCompareWithoutCaseAndParametersKeepTheirs) {
  Table table;
  table.add("GET", "/subscriptions/{subscription}/resourceGroups/{group}");
  EXPECT_EQ(table.match("GET", "/Subscriptions/ABC/resourcegroups/MyGroup"),
            "group=MyGroup;subscription=ABC;");
}

TEST(Router, ASlashAtTheEndMakesNoDifference) {
  Table table;
  table.add("GET", "/machine/");
  EXPECT_EQ(table.match("GET", "/machine"), "");
  EXPECT_EQ(table.match("GET", "/machine/"), "");
  EXPECT_EQ(table.match("GET", "/machines"), "-");
}

TEST(Router, TheRestParameterTakesAllThatIsLeft) {
  Table table;
  table.add("GET", "/metadata/{rest...}");
  EXPECT_EQ(table.match("GET", "/metadata/instance/compute/name"), "rest=instance/compute/name;");
  EXPECT_EQ(table.match("GET", "/metadata"), "rest=;");
  EXPECT_EQ(table.match("GET", "/"), "-");
}

TEST(Router, TheMostLiteralPatternWinsInWhateverOrderTheyCame) {
  Table table;
  table.add("GET", "/a/{rest...}");
  table.add("GET", "/a/{x}");
  table.add("GET", "/a/b");
  table.add("GET", "/a/{x}/c");
  table.add("*", "/a/b");
  table.match("GET", "/a/b");
  const Gate* literal = table.gate;
  EXPECT_EQ(table.match("GET", "/a/b"), "");
  EXPECT_EQ(table.match("GET", "/a/q"), "x=q;");
  EXPECT_EQ(table.match("GET", "/a/q/c"), "x=q;");
  EXPECT_EQ(table.match("GET", "/a/q/d"), "rest=q/d;");
  EXPECT_EQ(table.match("POST", "/a/b"), "");
  EXPECT_NE(table.gate, literal);
}

TEST(Router, AnotherMethodIsToldFromNoPattern) {
  Table table;
  table.add("PUT", "/a/{x}");
  EXPECT_EQ(table.match("GET", "/a/q"), "405");
  EXPECT_EQ(table.match("GET", "/b/q"), "-");
  EXPECT_EQ(table.match("PUT", "/a/q"), "x=q;");
}

}  // namespace berth
