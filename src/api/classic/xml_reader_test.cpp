#include "api/classic/xml_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "base/error.h"

namespace berth::classic {
namespace {

using testing::HasSubstr;

std::string message_of(const std::string& xml) {
  try {
    const XmlReader reader(xml);
    return "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    EXPECT_EQ(error.code, "BadRequest");
    return error.what();
  }
}

std::string text_of(const std::string& xml, const char* child) {
  const XmlReader reader(xml);
  return reader.root().text(child);
}

}  // namespace

TEST(ClassicXml, TakesALoneAmpersandAsItself) {
  EXPECT_EQ(text_of("<R><Label>a & b &amp; c &#65; &nbsp;</Label></R>", "Label"), "a & b & c A &nbsp;");
  EXPECT_EQ(text_of("<R><Other>a&b</Other></R>", "Other"), "a&b");
}

TEST(ClassicXml, TakesAPasswordLiterally) {
  EXPECT_EQ(text_of("<R><UserPassword>P&amp;<w0rd>&!</UserPassword></R>", "UserPassword"), "P&amp;<w0rd>&!");
  EXPECT_EQ(text_of("<R><AdminPassword><b></AdminPassword></R>", "AdminPassword"), "<b>");
  EXPECT_EQ(text_of("<R><Password>&lt;</Password></R>", "Password"), "&lt;");
}

TEST(ClassicXml, TakesALoneLessThanInTypedTextAsItself) {
  EXPECT_EQ(text_of("<R><UserName>o<ps</UserName><Label>1 < 2</Label></R>", "UserName"), "o<ps");
  EXPECT_EQ(text_of("<R><ServiceName>a<b>c</ServiceName></R>", "ServiceName"), "a<b>c");
}

TEST(ClassicXml, ReadsNamesWithAnyPrefix) {
  EXPECT_EQ(text_of("<a:R xmlns:a=\"urn:x\"><a:Label>l</a:Label></a:R>", "Label"), "l");
}

TEST(ClassicXml, NilIsAbsent) {
  EXPECT_EQ(text_of("<R xmlns:i=\"urn:i\"><Label i:nil=\"true\">x</Label></R>", "Label"), "");
}

TEST(ClassicXml, RefusesWhatIsNotWellFormed) {
  EXPECT_THAT(message_of("<R><Label>x</R>"), HasSubstr("not well-formed XML"));
  EXPECT_THAT(message_of(""), HasSubstr("not well-formed XML"));
  EXPECT_THAT(message_of("just text"), HasSubstr("not well-formed XML"));
}

TEST(ClassicXml, RefusesADocumentType) {
  EXPECT_THAT(message_of("<!DOCTYPE R [<!ENTITY a \"aaaa\">]><R>&a;</R>"), HasSubstr("document type"));
}

TEST(ClassicXml, RefusesTooMuchDepthAndSize) {
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "<a>";
  for (int i = 0; i < 40; ++i) deep += "</a>";
  EXPECT_THAT(message_of(deep), HasSubstr("deeper than 32"));
  std::string abyss;
  for (int i = 0; i < 200'000; ++i) abyss += "<a>";
  for (int i = 0; i < 200'000; ++i) abyss += "</a>";
  EXPECT_THAT(message_of(abyss), HasSubstr("deeper than 32"));
  EXPECT_THAT(message_of("<R>" + std::string(most_xml_bytes, ' ') + "</R>"), HasSubstr("are allowed"));
}

TEST(ClassicXml, ReadsStartTagsWithoutAnEndOnce) {
  const auto cost_of = [](const std::string& tags) {
    std::string xml;
    while (xml.size() + tags.size() <= most_xml_bytes) xml += tags;
    const std::clock_t began = std::clock();
    EXPECT_THAT(message_of(xml), HasSubstr("not well-formed XML"));
    return std::clock() - began;
  };
  const std::clock_t usual = cost_of("<Other><Nothing>");  // which nobody looks for the ends of
  EXPECT_LT(cost_of("<Label><Password>"), 20 * usual + CLOCKS_PER_SEC);
}

TEST(ClassicXml, RefusesAnElementThatIsThereTwice) {
  const XmlReader reader("<R><Label>a</Label><Other/><Label>b</Label></R>");
  EXPECT_THROW(reader.root().text("Label"), Error);
}

TEST(ClassicXml, NamesWhatIsMissingOrNoNumber) {
  const XmlReader reader("<Role><Port>abc</Port><Big>70000</Big><Yes>maybe</Yes><Data>*</Data></Role>");
  const Element root = reader.root();
  const auto what = [](auto&& act) -> std::string {
    try {
      act();
      return "accepted";
    } catch (const Error& error) {
      return error.what();
    }
  };
  EXPECT_EQ(what([&] { root.required("Name"); }), "The request's Role has no Name.");
  EXPECT_EQ(what([&] { root.number("Port", 1, 65535); }),
            "Port 'abc' of Role is not a number from 1 to 65535.");
  EXPECT_THAT(what([&] { root.number("Big", 1, 65535); }), HasSubstr("from 1 to 65535"));
  EXPECT_THAT(what([&] { root.boolean("Yes"); }), HasSubstr("neither true nor false"));
  EXPECT_THAT(what([&] { root.base64("Data"); }), HasSubstr("not base64"));
  EXPECT_EQ(root.number("Nothing", 1, 2), std::nullopt);
}

}  // namespace berth::classic
