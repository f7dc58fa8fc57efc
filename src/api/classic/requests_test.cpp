#include "api/classic/requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "crypto/encoding.h"

namespace berth::classic {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* xmlns = "xmlns=\"http://schemas.microsoft.com/windowsazure\"";

std::string network_set(const std::string& endpoints) {
  return "<ConfigurationSet><ConfigurationSetType>NetworkConfiguration</"
         "ConfigurationSetType><InputEndpoints>" +
         endpoints + "</InputEndpoints><SubnetNames/></ConfigurationSet>";
}

std::string endpoint(const std::string& name, const std::string& port, const std::string& local = "22") {
  return "<InputEndpoint><LocalPort>" + local + "</LocalPort><Name>" + name + "</Name><Port>" + port +
         "</Port><Protocol>tcp</Protocol></InputEndpoint>";
}

std::string role(const std::string& sets, const std::string& rest = {}) {
  return std::string("<?xml version=\"1.0\"?><PersistentVMRole ") + xmlns +
         "><RoleName>web</RoleName><RoleType>PersistentVMRole</RoleType><ConfigurationSets>" + sets +
         "</ConfigurationSets>" + rest + "</PersistentVMRole>";
}

std::string refusal(auto&& act) {
  try {
    act();
    return "accepted";
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

TEST(ClassicRequests, ALabelIsBase64WhereItCanBe) {
  const auto read = [](const std::string& label) {
    return parse_create_hosted_service(std::string("<CreateHostedService ") + xmlns +
                                       "><ServiceName>a</ServiceName><Label>" + label +
                                       "</Label><Location>West US</Location></CreateHostedService>")
        .label;
  };
  EXPECT_EQ(read(base64_encode("my label")), "my label");
  EXPECT_EQ(read("not base64!"), "not base64!");
}

TEST(ClassicRequests, AServiceNeedsAPlace) {
  EXPECT_THAT(refusal([] {
                parse_create_hosted_service(
                    "<CreateHostedService><ServiceName>a</ServiceName></CreateHostedService>");
              }),
              HasSubstr("either a Location or an AffinityGroup"));
}

TEST(ClassicRequests, ADeploymentsLabelIsPlain) {
  const DeploymentOrder order = parse_deployment(
      "<Deployment><Name>full</Name><DeploymentSlot>Production</DeploymentSlot><Label>full</"
      "Label><RoleList><Role>"
      "<RoleName>vm1</RoleName></Role></RoleList></Deployment>");
  EXPECT_EQ(order.label, "full");
  EXPECT_EQ(order.roles.front().name, "vm1");
}

TEST(ClassicRequests, SeveralNetworkSetsCountAsOne) {
  const RoleOrder order =
      parse_role(role(network_set(endpoint("ssh", "22")) + network_set(endpoint("docker", "4243", "4243"))));
  ASSERT_EQ(order.endpoints.size(), 2u);
  EXPECT_EQ(order.endpoints[1].endpoint.name, "docker");
}

TEST(ClassicRequests, MissingReferencesAreNotAnEmptyList) {
  EXPECT_FALSE(parse_role(role("")).extensions);
  EXPECT_TRUE(parse_role(role("", "<ResourceExtensionReferences/>")).extensions);
}

TEST(ClassicRequests, PortsThatAreNoneAreRefused) {
  for (const char* port : {"abc", "0", "65536", "-5", "22x"})
    EXPECT_THAT(refusal([&] { parse_role(role(network_set(endpoint("ssh", port)))); }),
                HasSubstr("from 1 to 65535"))
        << port;
}

TEST(ClassicRequests, TwoEndpointsOfOnePortOrNameAreRefused) {
  EXPECT_THAT(refusal([] { parse_role(role(network_set(endpoint("a", "22") + endpoint("b", "22")))); }),
              HasSubstr("both want the public tcp port 22"));
  EXPECT_THAT(refusal([] { parse_role(role(network_set(endpoint("a", "22") + endpoint("A", "23")))); }),
              HasSubstr("two endpoints named"));
}

TEST(ClassicRequests, ExtensionValuesAreDecoded) {
  const std::string value = base64_encode(R"({"docker":{"port":"2376"}})"),
                    hidden = base64_encode(R"({"certs":{}})");
  const RoleOrder order = parse_role(role(
      "",
      "<ResourceExtensionReferences><ResourceExtensionReference><ReferenceName>D</ReferenceName><Publisher>P"
      "</Publisher><Name>N</Name><Version>1.*</Version><ResourceExtensionParameterValues>"
      "<ResourceExtensionParameterValue><Key>ignored</Key><Value>" +
          hidden +
          "</Value><Type>Private</Type>"
          "</ResourceExtensionParameterValue><ResourceExtensionParameterValue><Key>ignored</Key><Value>" +
          value +
          "</Value><Type>Public</Type></ResourceExtensionParameterValue></ResourceExtensionParameterValues>"
          "<State>enable</State></ResourceExtensionReference></ResourceExtensionReferences>"));
  const ExtensionReference& reference = order.extensions->front();
  EXPECT_EQ(reference.settings, R"({"docker":{"port":"2376"}})");
  EXPECT_EQ(reference.protected_settings->reveal(), R"({"certs":{}})");
  EXPECT_EQ(reference.public_key, "ignored");
}

TEST(ClassicRequests, OperationsAreNamedByTheirRoot) {
  EXPECT_EQ(parse_role_operation(
                "<StartRoleOperation><OperationType>StartRoleOperation</OperationType></StartRoleOperation>")
                .type,
            "StartRoleOperation");
  EXPECT_THAT(refusal([] {
                parse_role_operation(
                    "<CaptureRoleAsVMImageOperation><OSState>Half</OSState><VMImageName>i</VMImageName>"
                    "</CaptureRoleAsVMImageOperation>");
              }),
              HasSubstr("neither Generalized nor Specialized"));
  EXPECT_THAT(refusal([] {
                parse_role_operation(
                    "<ShutdownRoleOperation><PostShutdownAction>Explode</PostShutdownAction>"
                    "</ShutdownRoleOperation>");
              }),
              HasSubstr("Explode"));
}

TEST(ClassicRequests, AnotherDocumentIsRefusedByName) {
  EXPECT_EQ(refusal([] { parse_deployment("<Role/>"); }),
            "The request's document is Role where Deployment is expected.");
}

TEST(ClassicRequests, TwoRolesOfOneNameAreRefused) {
  EXPECT_THAT(refusal([] {
                parse_deployment(
                    "<Deployment><Name>d</Name><RoleList><Role><RoleName>a</RoleName></Role><Role><RoleName>A"
                    "</RoleName></Role></RoleList></Deployment>");
              }),
              HasSubstr("two roles"));
}

TEST(ClassicRequests, MoreThanTheServiceTakesIsRefusedBeforeItIsCompared) {
  const auto endpoints = [](std::size_t count) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i)
      all += endpoint("e" + std::to_string(i), std::to_string(1000 + i));
    return network_set(all);
  };
  EXPECT_EQ(parse_role(role(endpoints(most_endpoints))).endpoints.size(), most_endpoints);
  EXPECT_THAT(refusal([&] { parse_role(role(endpoints(20'000))); }), HasSubstr("150 are allowed"));
  EXPECT_THAT(refusal([&] { parse_role(role(endpoints(100) + endpoints(100))); }),
              HasSubstr("The role has 200 endpoints; 150 are allowed."));
  EXPECT_THAT(refusal([&] {
                std::string disks;
                for (int i = 0; i < 65; ++i) disks += "<DataVirtualHardDisk/>";
                parse_role(role("", "<DataVirtualHardDisks>" + disks + "</DataVirtualHardDisks>"));
              }),
              HasSubstr("65 elements DataVirtualHardDisk; 64 are allowed"));
}

}  // namespace berth::classic
