#include "classic_documents.h"

namespace berth {

using testing::HasSubstr;

namespace {

std::string rule(int order, const char* action, const char* subnet) {
  return fmt::format(
      "<Rule><Order>{}</Order><Action>{}</Action><RemoteSubnet>{}</RemoteSubnet><Description>why</"
      "Description></Rule>",
      order, action, subnet);
}

}  // namespace

class ClassicEndpointWords : public ClassicContract {
 protected:
  void SetUp() override { create(); }
  /// Its one endpoint, with `words` in it; what the PUT came to.
  std::string put(const std::string& words) {
    RoleText text;
    text.endpoints = "<InputEndpoint>" + words + "<LocalPort>22</LocalPort><Name>ssh</Name><Port>22</Port>" +
                     "<Protocol>tcp</Protocol></InputEndpoint>";
    return world.do_it("PUT", role(), text.persistent());
  }
  std::string put_rules(const std::string& rules) {
    return put("<EndpointAcl><Rules>" + rules + "</Rules></EndpointAcl>");
  }
  std::vector<std::string> sources() {
    return world.region().networks().list<NetworkInterface>("web").at(0)->endpoints.at(0).sources;
  }
};

TEST_F(ClassicContract, EndpointsAreAddedAndRemoved) {
  create();
  RoleText text;
  const std::string ssh = text.endpoints;
  text.endpoints +=
      "<InputEndpoint><LocalPort>80</LocalPort><Name>web</Name><Port>8080</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(world.count(role(), "//InputEndpoint"), 2u);
  EXPECT_EQ(world.region().networks().list<PublicAddress>("web").at(0)->ports.size(), 2u);
  text.endpoints = ssh;
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(world.count(role(), "//InputEndpoint"), 1u);
  EXPECT_EQ(world.region().networks().list<PublicAddress>("web").at(0)->ports.size(), 1u);
}

TEST_F(ClassicEndpointWords, TheLowestOrderOfAnAccessListCountsFirst) {
  ASSERT_EQ(put_rules(rule(2, "permit", "10.0.0.0/8") + rule(1, "deny", "10.128.0.0/9")), "Succeeded");
  EXPECT_THAT(sources(), testing::ElementsAre("10.0.0.0/9"));
  EXPECT_EQ(world.count(role(), "//Rule"), 2u);
  EXPECT_EQ(world.read(role(), "//Rule[Order='1']/Action"), "deny");
  EXPECT_EQ(world.read(role(), "//Rule[Order='2']/Description"), "why");
}

TEST_F(ClassicEndpointWords, AListThatOnlyDeniesLetsEveryoneElseIn) {
  ASSERT_EQ(put_rules(rule(0, "deny", "128.0.0.0/1")), "Succeeded");
  EXPECT_THAT(sources(), testing::ElementsAre("0.0.0.0/1"));
}

TEST_F(ClassicEndpointWords, AListThatDeniesAllLetsNobodyIn) {
  ASSERT_EQ(put_rules(rule(0, "deny", "0.0.0.0/0") + rule(1, "permit", "10.0.0.0/8")), "Succeeded");
  EXPECT_THAT(sources(), testing::ElementsAre("255.255.255.255/32"));
}

TEST_F(ClassicEndpointWords, AListThatPermitsAllIsNone) {
  ASSERT_EQ(put_rules(rule(0, "permit", "0.0.0.0/0")), "Succeeded");
  EXPECT_THAT(sources(), testing::IsEmpty());
  EXPECT_EQ(world.count(role(), "//Rule"), 1u);
}

TEST_F(ClassicEndpointWords, ARuleThatIsNoneIsNamedAndChangesNothing) {
  EXPECT_THAT(put_rules(rule(0, "permit", "10.0.0.0/33")),
              HasSubstr("'10.0.0.0/33' of rule 0 of endpoint 'ssh'"));
  EXPECT_THAT(put_rules(rule(0, "perhaps", "10.0.0.0/8")), HasSubstr("'perhaps'"));
  EXPECT_THAT(put_rules(rule(3, "deny", "10.0.0.0/8") + rule(3, "deny", "11.0.0.0/8")),
              HasSubstr("two rules of order 3"));
  EXPECT_EQ(world.count(role(), "//Rule"), 0u);
}

TEST_F(ClassicEndpointWords, ALoadBalancedSetIsChangedAsOne) {
  ASSERT_EQ(put("<LoadBalancedEndpointSetName>front</LoadBalancedEndpointSetName>"), "Succeeded");
  const std::string order = fmt::format(
      "<LoadBalancedEndpointList "
      "{}><InputEndpoint><LoadBalancedEndpointSetName>FRONT</LoadBalancedEndpointSetName>"
      "<LocalPort>22</LocalPort><Port>2022</Port><LoadBalancerProbe><Path>/up</Path><Port>80</Port>"
      "<Protocol>http</Protocol></LoadBalancerProbe><Protocol>tcp</Protocol>"
      "<IdleTimeoutInMinutes>12</IdleTimeoutInMinutes></InputEndpoint></LoadBalancedEndpointList>",
      xmlns);
  ASSERT_EQ(world.do_it("POST", "services/hostedservices/web/deployments/web?comp=UpdateLbSet", order),
            "Succeeded");
  EXPECT_EQ(world.read(role(), "//InputEndpoint[Name='ssh']/Port"), "2022");
  EXPECT_EQ(world.read(role(), "//IdleTimeoutInMinutes"), "12");
  EXPECT_EQ(world.read(role(), "//LoadBalancerProbe/Path"), "/up");
  EXPECT_EQ(world.region().networks().list<PublicAddress>("web").at(0)->ports.at(0).port, 2022);
}

TEST_F(ClassicEndpointWords, ALoadBalancedSetOfTwoRolesIsRefusedByName) {
  ASSERT_EQ(put("<LoadBalancedEndpointSetName>front</LoadBalancedEndpointSetName>"), "Succeeded");
  RoleText second;
  second.name = "web-2";
  second.endpoints =
      "<InputEndpoint><LoadBalancedEndpointSetName>front</LoadBalancedEndpointSetName><LocalPort>22</"
      "LocalPort>"
      "<Name>ssh</Name><Port>22</Port><Protocol>tcp</Protocol></InputEndpoint>";
  const Response refused =
      world.send("POST", "services/hostedservices/web/deployments/web/roles", second.persistent());
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("does not spread connections"));
}

TEST_F(ClassicEndpointWords, AnInternalLoadBalancerIsRefusedByName) {
  EXPECT_THAT(put("<LoadBalancerName>inner</LoadBalancerName>"), HasSubstr("internal load balancer 'inner'"));
  const Response refused =
      world.send("POST", "services/hostedservices/web/deployments/web/loadbalancers", "<LoadBalancer/>");
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("no internal load balancers"));
}

}  // namespace berth
