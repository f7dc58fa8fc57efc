#include "api/classic/publish_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace berth::classic {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& xml) {
  try {
    parse_publish_settings(xml, "x.publishsettings");
    return "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, "InvalidPublishSettings");
    return error.what();
  }
}

}  // namespace

TEST(PublishSettings, AreReadAsTheyWereWritten) {
  const PublishedSubscription written{.id = "00000000-0000-0000-0000-0000000000aa",
                                      .name = "Mine & \"yours\"",
                                      .url = "https://127.0.0.1:8443/",
                                      .pfx = Secret("\x30\x82...")};
  const auto read = parse_publish_settings(publish_settings_xml(written), "it");
  ASSERT_EQ(read.size(), 1u);
  EXPECT_EQ(read[0].id, written.id);
  EXPECT_EQ(read[0].name, written.name);
  EXPECT_EQ(read[0].url, written.url);
  EXPECT_EQ(read[0].pfx.reveal(), written.pfx.reveal());
}

TEST(PublishSettings, InTheOlderSchemaAddressAndCertificateStandWithTheProfile) {
  const auto read = parse_publish_settings(
      "<PublishData><PublishProfile Url=\"https://old/\" ManagementCertificate=\"QUFB\">"
      "<Subscription Id=\"1\" Name=\"a\"/><Subscription Id=\"2\" Name=\"b\"/></PublishProfile></PublishData>",
      "it");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].url, "https://old/");
  EXPECT_EQ(read[1].pfx.reveal(), "AAA");
}

TEST(PublishSettings, WhatIsWrongIsSaid) {
  const auto profile = [](const std::string& inside) {
    return "<PublishData><PublishProfile>" + inside + "</PublishProfile></PublishData>";
  };
  EXPECT_THAT(refusal("junk"),
              HasSubstr("x.publishsettings is no publish-settings file: it has no PublishProfile"));
  EXPECT_THAT(refusal(profile("")), HasSubstr("names no Subscription"));
  EXPECT_THAT(refusal(profile("<Subscription/>")), HasSubstr("has no Id"));
  EXPECT_THAT(refusal(profile("<Subscription Id=\"1\" ManagementCertificate=\"*\"/>")),
              HasSubstr("not base64"));
  EXPECT_THAT(refusal(profile("<Subscription Id=\"1\"/>")), HasSubstr("not base64"));
}

}  // namespace berth::classic
