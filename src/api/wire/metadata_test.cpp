#include "api/wire/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "api/wire/sample_view.h"

namespace berth::wire {
namespace {

using Json = nlohmann::json;

Response get(const std::string& path, CaseInsensitiveMap query,
             CaseInsensitiveMap headers = {{"Metadata", "True"}}) {
  Request request;
  request.method = "GET";
  request.path = path;
  request.query = std::move(query);
  request.headers = std::move(headers);
  return metadata_response(sample_view(), request);
}

Json get_json(const std::string& path, const std::string& version) {
  const Response response = get(path, {{"api-version", version}});
  EXPECT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.headers.at("Content-Type"), "application/json; charset=utf-8");
  return Json::parse(response.body);
}

std::string get_text(const std::string& path) {
  const Response response = get(path, {{"api-version", "2021-02-01"}, {"format", "text"}});
  return std::to_string(response.status) + " " + response.body;
}

}  // namespace

TEST(Metadata, InstanceIsThatOfTheFixture) {
  std::ifstream file(std::string(BERTH_FIXTURES) + "/metadata_instance.json");
  EXPECT_EQ(get_json("/metadata/instance", "2021-02-01"), Json::parse(file));
}

TEST(Metadata, ThePartsOfTheDocumentHavePathsOfTheirOwn) {
  EXPECT_EQ(get_json("/metadata/instance/compute", "2018-02-01").at("vmId"),
            "0b51ff34-0000-4000-8000-1234567890ab");
  EXPECT_EQ(
      get_json("/metadata/instance/network/interface/0/ipv4", "2018-02-01").at("subnet").at(0).at("prefix"),
      "24");
  EXPECT_EQ(get_json("/Metadata/Instance/Compute/", "2018-02-01").at("name"), "web1");
}

TEST(Metadata, EachVersionHasTheMembersOfItsTime) {
  EXPECT_FALSE(get_json("/metadata/instance/compute", "2017-04-02").contains("subscriptionId"));
  EXPECT_TRUE(get_json("/metadata/instance/compute", "2017-08-01").contains("subscriptionId"));
  EXPECT_FALSE(get_json("/metadata/instance/compute", "2018-02-01").contains("resourceId"));
  EXPECT_EQ(get_json("/metadata/instance/compute", "2020-07-15").at("osProfile").at("adminUsername"), "ops");
  const Json tags = get_json("/metadata/instance/compute", "2021-02-01").at("tagsList");
  EXPECT_EQ(tags, Json::parse(R"([{"name":"owner","value":"me"},{"name":"stage","value":"test"}])"));
}

TEST(Metadata, TextIsForLeavesAndLists) {
  EXPECT_EQ(get_text("/metadata/instance/compute/location"), "200 westus");
  EXPECT_EQ(get_text("/metadata/instance"), "200 compute/\nnetwork/");
  EXPECT_EQ(get_text("/metadata/instance/network/interface"), "200 0/");
  EXPECT_EQ(get_text("/metadata/instance/network/interface/0"), "200 ipv4/\nipv6/\nmacAddress");
  EXPECT_EQ(get_text("/metadata/instance/compute/nothing").substr(0, 3), "404");
  EXPECT_EQ(get_text("/metadata/instance/network/interface/1").substr(0, 3), "404");
  EXPECT_EQ(get_text("/metadata/instance/network/interface/-1").substr(0, 3), "404");
  EXPECT_EQ(get_text("/metadata/instance/compute/location/x").substr(0, 3), "404");
}

TEST(Metadata, ALeafIsNotGivenAsJson) {
  EXPECT_EQ(get("/metadata/instance/compute/location", {{"api-version", "2021-02-01"}}).status, 400);
}

TEST(Metadata, TheHeaderIsRequired) {
  const Response response = get("/metadata/instance", {{"api-version", "2021-02-01"}}, {});
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(Json::parse(response.body).at("error"), "Bad request. Required metadata header not specified");
  EXPECT_EQ(get("/metadata/instance", {{"api-version", "2021-02-01"}}, {{"Metadata", "false"}}).status, 400);
  EXPECT_EQ(get("/metadata/instance", {{"api-version", "2021-02-01"}},
                {{"Metadata", "true"}, {"X-Forwarded-For", "10.0.0.1"}})
                .status,
            400);
}

TEST(Metadata, AMissingOrUnknownVersionIsToldTheNewestOnes) {
  for (const CaseInsensitiveMap& query :
       {CaseInsensitiveMap{}, CaseInsensitiveMap{{"api-version", "1999-01-01"}}}) {
    const Response response = get("/metadata/instance", query);
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(Json::parse(response.body).at("newest-versions").size(), 3u);
  }
}

TEST(Metadata, VersionsNeedNoVersion) {
  const Response response = get("/metadata/versions", {});
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(Json::parse(response.body).at("apiVersions"), testing::Contains("2018-02-01"));
}

TEST(Metadata, TheRestIsNotFoundOrEmpty) {
  EXPECT_EQ(get("/", {}).status, 404);
  EXPECT_EQ(get("/metadata", {}).status, 404);
  EXPECT_EQ(get("/metadatas/instance", {}).status, 404);
  EXPECT_EQ(get("/metadata/attested/document", {{"api-version", "2021-02-01"}}).status, 404);
  EXPECT_EQ(get("/metadata/identity/oauth2/token", {{"api-version", "2018-02-01"}}).status, 400);
  EXPECT_EQ(get_json("/metadata/scheduledevents", "2020-07-01").at("Events").size(), 0u);
}

}  // namespace berth::wire
