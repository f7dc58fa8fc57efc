#include "api/wire/reports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "base/error.h"
#include "crypto/encoding.h"

namespace berth::wire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string report_fixture(const std::string& name) {
  std::ifstream file(std::string(BERTH_FIXTURES) + "/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// What the Error of `act` says; "" when there is none.
template <class Act>
std::string refusal(Act act) {
  try {
    act();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    return error.what();
  }
  return "";
}

}  // namespace

TEST(HealthReport, IsRead) {
  const HealthReport ready = parse_health(report_fixture("health_ready.xml"));
  EXPECT_EQ(ready.incarnation, "1");
  EXPECT_EQ(ready.container_id, "c6d5526c-5ac2-4200-b6e2-56f2b70c5ab2");
  EXPECT_EQ(ready.instance_id, "9f2d3a1e-1111-4222-8333-444455556666._web1");
  EXPECT_EQ(ready.state, "Ready");
  EXPECT_EQ(ready.substatus, "");
  const HealthReport failed = parse_health(report_fixture("health_failed.xml"));
  EXPECT_EQ(failed.state, "NotReady");
  EXPECT_EQ(failed.substatus, "ProvisioningFailed");
  EXPECT_THAT(failed.description, HasSubstr("no device <sr0>"));
}

TEST(HealthReport, AByteOrderMarkAndUnknownElementsDoNoHarm) {
  std::string xml = report_fixture("health_ready.xml");
  xml.insert(xml.find("<State>"), "<New><State>x</State></New>");
  EXPECT_EQ(parse_health("\xef\xbb\xbf" + xml).state, "Ready");
}

TEST(HealthReport, TheFirstMissingElementIsNamed) {
  EXPECT_THAT(refusal([] { parse_health("<Health/>"); }), HasSubstr("GoalStateIncarnation"));
  std::string xml = report_fixture("health_ready.xml");
  xml.replace(xml.find("<State>Ready</State>"), 20, "");
  EXPECT_THAT(refusal([&] { parse_health(xml); }), HasSubstr("State"));
}

TEST(HealthReport, WhatIsNoXmlIsRefused) {
  for (const std::string& text :
       {std::string(), std::string("<Health>"), std::string("\0\0", 2), std::string("{}")})
    EXPECT_NE(refusal([&] { parse_health(text); }), "");
}

TEST(HealthReport, BytesThatAreNoTextAreReplacedAndLongTextIsCut) {
  std::string xml = report_fixture("health_failed.xml");
  xml.insert(xml.find("[ProtocolError]"), "\xff\xc0\x80 \xed\xa0\x80&#1;" + std::string(100'000, 'x'));
  const HealthReport report = parse_health(xml);
  EXPECT_LT(report.description.size(), 20'000u);
  EXPECT_NO_THROW(nlohmann::json(report.description).dump());  // dump() throws on invalid UTF-8
  EXPECT_EQ(report.description.find('\x01'), std::string::npos);
}

TEST(HealthReport, DeepNestingDoesNoHarm) {
  std::string xml = "<Health>";
  for (int i = 0; i < 200'000; ++i) xml += "<a>";
  EXPECT_NE(refusal([&] { parse_health(xml); }), "");
}

TEST(HealthReport, EntitiesAreNotExpanded) {
  EXPECT_NE(refusal([] {
              parse_health("<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><Health>&b;</Health>");
            }),
            "");
}

TEST(StatusUpload, GivesTheContent) {
  const std::string upload =
      R"({"content":")" + base64_encode("{\"a\":1}  ") + R"(","headers":[],"requestUri":"http://x"})";
  EXPECT_EQ(parse_status_upload(upload), "{\"a\":1}");
  const std::string padded = base64_encode("{}" + std::string(510, '\0'));
  EXPECT_EQ(parse_status_upload(R"({"content":")" + padded + "\"}"), "{}");
}

TEST(StatusUpload, TheRequestThatMakesAPageBlobHasNone) {
  EXPECT_EQ(parse_status_upload(R"({"headers":[],"requestUri":"http://x"})"), std::nullopt);
  EXPECT_EQ(parse_status_upload(R"({"content":""})"), std::nullopt);
}

TEST(StatusUpload, WhatIsNoneIsRefused) {
  for (const char* text :
       {"", "[]", "{", "{\"content\":1}", "{\"content\":\"***\"}", "{\"content\":\"\xff\"}"})
    EXPECT_NE(refusal([&] { parse_status_upload(text); }), "") << text;
}

TEST(AgentStatus, IsRead) {
  const AgentStatus status = parse_status(report_fixture("status.json"));
  EXPECT_EQ(status.version, "2.7.3.0");
  EXPECT_EQ(status.status, "Ready");
  EXPECT_EQ(status.message, "Guest Agent is running");
  EXPECT_EQ(status.incarnation, "2");
  EXPECT_EQ(status.os_name, "debian");
  EXPECT_EQ(status.os_version, "12");
  EXPECT_EQ(status.computer_name, "web1");
  EXPECT_EQ(status.time, "2026-11-23T21:16:02Z");
  ASSERT_EQ(status.handlers.size(), 1u);
  const HandlerStatus& handler = status.handlers[0];
  EXPECT_EQ(handler.handler, "Contoso.Test.ShellHandler");
  EXPECT_EQ(handler.version, "1.0.0");
  EXPECT_EQ(handler.status, "Ready");
  EXPECT_EQ(handler.message, "Plugin enabled");
  EXPECT_EQ(handler.sequence, 3);
  EXPECT_EQ(handler.operation, "Enable");
  EXPECT_EQ(handler.time, "2026-11-23T21:16:01Z");
  ASSERT_TRUE(handler.settings);
  EXPECT_EQ(handler.settings->status, "success");
  EXPECT_EQ(handler.settings->message, "all well");
  ASSERT_EQ(handler.substatus.size(), 1u);
  EXPECT_EQ(handler.substatus[0].message, "sub ok");
}

TEST(AgentStatus, AFailedHandlerHasItsCodeAndMessageAndNoSettings) {
  const AgentStatus status = parse_status(report_fixture("status_failed.json"));
  ASSERT_EQ(status.handlers.size(), 1u);
  EXPECT_EQ(status.handlers[0].status, "NotReady");
  EXPECT_EQ(status.handlers[0].code, 1009);
  EXPECT_THAT(status.handlers[0].message, HasSubstr("exit code: 3"));
  EXPECT_FALSE(status.handlers[0].sequence);
  EXPECT_FALSE(status.handlers[0].settings);
}

TEST(AgentStatus, MembersOfAnotherTypeCountAsMissing) {
  const AgentStatus status =
      parse_status(R"({"aggregateStatus":{"guestAgentStatus":[1],"handlerAggregateStatus":
    [7,{"handlerName":["x"],"code":"12","runtimeSettingsStatus":{"sequenceNumber":99999999999,
    "settingsStatus":{"status":{"code":-1e300,"substatus":{"a":1}}}}}]},"guestOSInfo":"x"})");
  EXPECT_EQ(status.status, "");
  ASSERT_EQ(status.handlers.size(), 2u);
  EXPECT_EQ(status.handlers[1].handler, "");
  EXPECT_EQ(status.handlers[1].code, 12);
  EXPECT_EQ(status.handlers[1].sequence, 2147483647);
  EXPECT_EQ(status.handlers[1].settings->code, -2147483647 - 1);
  EXPECT_THAT(status.handlers[1].substatus, IsEmpty());
}

TEST(AgentStatus, ListsAndTextsAreBounded) {
  nlohmann::json json = {{"aggregateStatus", {{"handlerAggregateStatus", nlohmann::json::array()}}}};
  for (int i = 0; i < 300; ++i)
    json["aggregateStatus"]["handlerAggregateStatus"].push_back({{"handlerName", std::string(500, 'x')}});
  const AgentStatus status = parse_status(json.dump());
  EXPECT_EQ(status.handlers.size(), 100u);
  EXPECT_EQ(status.handlers[0].handler.size(), 256u);
}

TEST(AgentStatus, HostileNestingIsRefused) {
  EXPECT_NE(refusal([] { parse_status(std::string(1'000'000, '[')); }), "");
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "{\"a\":";
  EXPECT_NE(refusal([&] { parse_status(deep); }), "");
}

TEST(AgentStatus, NothingWithoutAnAggregateStatus) {
  EXPECT_THAT(refusal([] { parse_status("{}"); }), HasSubstr("aggregateStatus"));
}

TEST(Telemetry, EventsAreRead) {
  const std::vector<TelemetryEvent> events = parse_telemetry(report_fixture("telemetry.xml"));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].name, "WALinuxAgent");
  EXPECT_EQ(events[0].version, "2.7.3.0");
  EXPECT_EQ(events[0].operation, "Provision");
  EXPECT_EQ(events[0].message, "done & \"well\"");
  EXPECT_TRUE(events[0].succeeded);
  EXPECT_FALSE(events[1].succeeded);
}

TEST(Telemetry, AnEventThatIsNoXmlIsEmpty) {
  const auto events =
      parse_telemetry("<TelemetryData><Provider><Event>&lt;Param Name=</Event></Provider></TelemetryData>");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].name, "");
}

TEST(HealthService, NamesWhatIsNotHealthy) {
  EXPECT_THAT(unhealthy_observations(R"({"Api":"reporttargethealth","Observations":[
                {"ObservationName":"A","IsHealthy":true},{"ObservationName":"B","IsHealthy":false},{"IsHealthy":1}]})"),
              ElementsAre("B"));
  EXPECT_THAT(unhealthy_observations("{}"), IsEmpty());
}

}  // namespace berth::wire
