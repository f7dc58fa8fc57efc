#include "api/arm/document.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

template <class Work>
Error error_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::internal, "", "nothing was thrown");
}

std::string fixture(const std::string& name) {
  std::ifstream in(std::string(BERTH_FIXTURES) + "/" + name);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(RequestDocument, NamesLineAndColumnOfWhatIsNotJson) {
  const Error error = error_of([] { parse_document("{\n  \"a\": nonsense\n}"); });

  EXPECT_EQ(error.code, "InvalidRequestContent");
  EXPECT_THAT(error.what(), HasSubstr("line 2"));
}

TEST(RequestDocument, NeverRepeatsTheTextThatItCannotRead) {
  const Error error = error_of([] { parse_document(R"({"adminPassword":"Str0ng!pass" x})"); });

  EXPECT_EQ(error.code, "InvalidRequestContent");
  EXPECT_THAT(error.what(), Not(HasSubstr("Str0ng")));
}

TEST(RequestDocument, RefusesAKeyThatStandsTwice) {
  const Error error = error_of([] { parse_document(R"({"a":{"size":1,"size":2}})"); });

  EXPECT_EQ(error.code, "InvalidRequestContent");
  EXPECT_THAT(error.what(), HasSubstr("'size' stands twice"));
}

TEST(RequestDocument, RefusesDeepNestingWithoutFallingOver) {
  const std::string deep(500'000, '[');

  EXPECT_THAT(error_of([&] { parse_document(deep); }).what(), HasSubstr("deeper than 100"));
  EXPECT_THAT(error_of([&] { parse_lenient_document(deep); }).what(), HasSubstr("deeper than 100"));
}

TEST(RequestDocument, RefusesMoreThanFourMebibytes) {
  EXPECT_EQ(error_of([] { parse_document('"' + std::string(4 * 1024 * 1024, 'x') + '"'); }).code,
            "RequestContentTooLarge");
}

TEST(RequestDocument, RefusesMoreValuesThanOneResourceMayHave) {
  json most = json::array(), more = json::array();
  for (int i = 0; i < 30'000; ++i) more.push_back(i);
  most = more;
  most.erase(0);

  EXPECT_NO_THROW(parse_document(most.dump()));
  EXPECT_NO_THROW(check_values(most, "r"));
  EXPECT_THROW(parse_document(more.dump()), Error);
  EXPECT_EQ(error_of([&] { check_values(more, "r"); }).code, "RequestContentTooLarge");
  EXPECT_NO_THROW(parse_lenient_document(more.dump()));
}

TEST(RequestDocument, RefusesAnEmptyBodyAndTextAfterTheEnd) {
  EXPECT_EQ(error_of([] { parse_document(""); }).code, "InvalidRequestContent");
  EXPECT_EQ(error_of([] { parse_document("{} {}"); }).code, "InvalidRequestContent");
}

TEST(LenientDocument, ReadsWhatAzSplicesTogether) {
  const json document = parse_lenient_document(fixture("az-group-deployment.txt"));

  EXPECT_EQ(document["properties"]["template"]["parameters"]["label"]["minLength"], 3);
  EXPECT_EQ(document["properties"]["mode"], "Incremental");
}

TEST(LenientDocument, KeepsCommentsInsideStringsAndTakesRawLineBreaks) {
  const json document = parse_lenient_document(
      "{\"url\": \"http://x/*y*/\", \"text\": \"a\nb\tc\", 'single': 'it\\'s \"so\"'}");

  EXPECT_EQ(document["url"], "http://x/*y*/");
  EXPECT_EQ(document["text"], "a\nb\tc");
  EXPECT_EQ(document["single"], "it's \"so\"");
}

TEST(LenientDocument, IsAlsoJson) {
  EXPECT_EQ(parse_lenient_document(R"({"a":[1,2,{"b":null}],"c":true})"),
            json::parse(R"({"a":[1,2,{"b":null}],"c":true})"));
}

TEST(LenientDocument, SaysWhenACommentOrStringDoesNotEnd) {
  EXPECT_THAT(error_of([] { parse_lenient_document("{ /* "); }).what(), HasSubstr("comment does not end"));
  EXPECT_THAT(error_of([] { parse_lenient_document("{\"a"); }).what(), HasSubstr("string does not end"));
}

TEST(DocumentField, FindsKeysWithoutCaseAndTakesNullForMissing) {
  const json document = {{"Properties", {{"vmSize", nullptr}, {"count", "12"}}}};
  const Field field(document);

  EXPECT_TRUE(field["properties"]["VMSIZE"].missing());
  EXPECT_EQ(field["properties"]["vmSize"].text("default"), "default");
  EXPECT_EQ(field["properties"]["count"].number(0), 12);
}

TEST(DocumentField, NamesThePlaceOfAWrongType) {
  const json document = {{"properties", {{"rules", {{{"priority", "high"}}}}}}};
  const Field field(document);

  EXPECT_THAT(error_of([&] { field["properties"]["rules"].items()[0]["priority"].number(0); }).what(),
              HasSubstr("'properties.rules[0].priority' must be a whole number"));
  EXPECT_THAT(error_of([&] { field["properties"]["rules"].text(); }).what(),
              HasSubstr("a string, not an array"));
}

}  // namespace
}  // namespace berth::arm
