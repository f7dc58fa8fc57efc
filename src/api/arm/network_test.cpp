#include "api/arm/network.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "api/arm/document.h"
#include "api/arm/groups.h"
#include "api/arm/json_text.h"
#include "base/error.h"

namespace berth::arm {
namespace {

using nlohmann::json;
using testing::ElementsAre;

const Place nic_place{.subscription = "S", .group = "G", .name = "x"};

template <class T, class Write>
json written(const T& value, Write write) {
  JsonText out;
  write(out, value);
  return json::parse(out.take());
}

json nic_body() {
  return json::parse(R"({"location":"West US","properties":{"ipConfigurations":[{"name":"ip","properties":{
    "subnet":{"id":"/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/V/subnets/N"},
    "publicIPAddress":{"id":"/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/publicIPAddresses/P","properties":{"ignored":true}}}}],
    "networkSecurityGroup":{"id":"/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/networkSecurityGroups/Q","location":"x"}}})");
}

TEST(InterfaceDocument, KeepsOnlyTheIdsOfWhatItRefersTo) {
  const NetworkInterface nic = parse_interface(nic_body(), nic_place);

  EXPECT_EQ(nic.location, "westus");
  EXPECT_EQ(nic.security_group, (Ref{"G", "Q"}));
  EXPECT_EQ(nic.configurations[0].network, (Ref{"G", "V"}));
  EXPECT_EQ(nic.configurations[0].subnet, "N");
  EXPECT_TRUE(nic.configurations[0].primary);
}

TEST(InterfaceDocument, SentBackAsItCameChangesNothing) {
  NetworkInterface nic = parse_interface(nic_body(), nic_place);
  nic.configurations[0].private_address = "10.0.0.4";
  const auto write = [](JsonText& out, const NetworkInterface& value) { write_interface(out, value, "S"); };
  NetworkInterface again = parse_interface(written(nic, write), nic_place);
  again.configurations[0].private_address = "10.0.0.4";  // dynamic: the region's to decide

  EXPECT_EQ(written(again, write), written(nic, write));
}

TEST(InterfaceDocument, NamesTheFieldThatIsMissing) {
  json body = nic_body();
  body["properties"]["ipConfigurations"][0]["properties"].erase("subnet");
  try {
    parse_interface(body, nic_place);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("properties.ipConfigurations[0].properties.subnet.id"));
  }
}

TEST(InterfaceDocument, TakesBlanksAroundAWordOfAChoice) {
  json body = nic_body();
  body["properties"]["ipConfigurations"][0]["properties"].update(
      {{"privateIPAllocationMethod", "static "}, {"privateIPAddress", "10.0.0.4"}});

  EXPECT_EQ(parse_interface(body, nic_place).configurations[0].allocation, "Static");
}

TEST(SecurityRuleDocument, TakesLowerCaseAsAzOpensPorts) {
  const json body = json::parse(
      R"({"name":"open-port-80","properties":{"protocol":"*","sourcePortRange":"*","destinationPortRange":"80",
    "sourceAddressPrefix":"*","destinationAddressPrefix":"*","access":"allow","priority":900,"direction":"inbound"}})");
  const SecurityRule rule = parse_security_rule(Field(body), "open-port-80");

  EXPECT_EQ(rule.access, "Allow");
  EXPECT_EQ(rule.direction, "Inbound");
  EXPECT_THAT(rule.destination_ports, ElementsAre("80"));
}

TEST(SecurityRuleDocument, RefusesAPriorityOutOfRange) {
  const json body = json::parse(R"({"properties":{"priority":99}})");
  EXPECT_THROW(parse_security_rule(Field(body), "r"), Error);
}

TEST(SecurityGroupDocument, KeepsRulesThatTheBodyDoesNotSpeakOf) {
  SecurityGroup before;
  before.rules.push_back({.name = "ssh", .description = {}});
  EXPECT_EQ(parse_security_group({{"location", "westus"}}, nic_place, &before).rules.size(), 1u);
  EXPECT_EQ(parse_security_group({{"location", "westus"}, {"properties", {{"securityRules", json::array()}}}},
                                 nic_place, &before)
                .rules.size(),
            0u);
  EXPECT_EQ(parse_security_group({{"location", "westus"}}, nic_place, nullptr).rules.size(), 0u);
}

TEST(PublicAddressDocument, TakesNullsAndChecksItsLabel) {
  EXPECT_EQ(
      parse_public_address(
          json::parse(R"({"location":"westus","properties":{"publicIPAllocationMethod":null}})"), nic_place)
          .allocation,
      "Dynamic");
  EXPECT_THROW(
      parse_public_address(
          json::parse(R"({"location":"westus","properties":{"dnsSettings":{"domainNameLabel":"-bad"}}})"),
          nic_place),
      Error);
}

TEST(PublicAddressDocument, TellsWhereItsPortsReallyAre) {
  PublicAddress address;
  address.address = "127.20.0.1";
  address.ports = {{.protocol = "tcp",
                    .port = 22,
                    .host_port = 10022,
                    .guest_port = 22,
                    .moved_because = "permission denied"}};
  const json read = written(address, [](JsonText& out, const PublicAddress& value) {
    write_public_address(out, value, "S", "/id");
  });

  EXPECT_EQ(read["properties"]["localPorts"][0]["hostPort"], 10022);
  EXPECT_EQ(read["properties"]["localPorts"][0]["movedBecause"], "permission denied");
  EXPECT_EQ(read["properties"]["ipConfiguration"]["id"], "/id");
}

TEST(ResourceFilters, HonourWhatClientsSend) {
  Resource resource;
  resource.group = "G";
  resource.name = "web1";
  resource.tags = {{"env", "test"}};

  EXPECT_TRUE(ResourceFilter("resourceGroup eq 'g'").matches(resource, "T"));
  EXPECT_FALSE(ResourceFilter("resourceGroup eq 'other'").matches(resource, "T"));
  EXPECT_TRUE(ResourceFilter("tagName eq 'env' and tagValue eq 'test'").matches(resource, "T"));
  EXPECT_TRUE(ResourceFilter("substringof('eb', name) and resourceType ne 'X'").matches(resource, "T"));
  EXPECT_THROW(ResourceFilter("name like 'x'"), Error);
  EXPECT_THROW(ResourceFilter("name eq 'x"), Error);
}

}  // namespace
}  // namespace berth::arm
