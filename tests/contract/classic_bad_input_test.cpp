#include "classic_documents.h"

namespace berth {

using testing::HasSubstr;

class ClassicBadInput : public ClassicContract {
 protected:
  /// The answer's status and message; nothing may be made of it.
  std::string refused(const std::string& body, const std::string& path = "services/hostedservices") {
    const Response response = world.send("POST", path, body);
    EXPECT_NE(ClassicWorld::code(response), "");
    EXPECT_EQ(world.region().machines().list().size(), 0u);
    EXPECT_EQ(world.count("services/hostedservices", "//HostedService"),
              path == "services/hostedservices" ? 0u : 1u);
    return fmt::format("{} {}", response.status, ClassicWorld::message(response));
  }
  std::string refused_deployment(const std::string& body) {
    return refused(body, "services/hostedservices/web/deployments");
  }
};

TEST_F(ClassicContract, ASecondDeploymentIsAConflict) {
  create();
  RoleText other;
  other.name = "other";
  EXPECT_EQ(world.send("POST", "services/hostedservices/web/deployments", other.deployment("other")).status,
            409);
  EXPECT_EQ(world.count(slot(), "//Role"), 1u);
}

TEST_F(ClassicBadInput, BadXmlIsRefusedWithThePlace) {
  EXPECT_THAT(refused(""), HasSubstr("400 The request is not well-formed XML"));
  EXPECT_THAT(refused("<CreateHostedService><ServiceName>a</CreateHostedService>"), HasSubstr("at byte"));
  EXPECT_THAT(refused(std::string("\xff\xfe\x00<", 4)), HasSubstr("400"));
  EXPECT_THAT(refused("{\"name\": \"web\"}"), HasSubstr("400"));
  EXPECT_THAT(refused("<Deployment/>"), HasSubstr("Deployment where CreateHostedService is expected"));
}

TEST_F(ClassicBadInput, EntitiesOfADocumentsOwnAreRefused) {
  EXPECT_THAT(refused("<!DOCTYPE a [<!ENTITY b \"c\">]><CreateHostedService><ServiceName>&b;</ServiceName>"
                      "</CreateHostedService>"),
              HasSubstr("document type"));
  EXPECT_THAT(refused("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><CreateHostedService>&x;"
                      "</CreateHostedService>"),
              HasSubstr("document type"));
  std::string laughs = "<!DOCTYPE a [<!ENTITY l0 \"lol\">";
  for (int i = 1; i < 10; ++i)
    laughs += fmt::format("<!ENTITY l{} \"&l{};&l{};&l{};&l{};\">", i, i - 1, i - 1, i - 1, i - 1);
  EXPECT_THAT(refused(laughs + "]><a>&l9;</a>"), HasSubstr("document type"));
}

TEST_F(ClassicBadInput, TooMuchDepthIsRefused) {
  std::string open, close;
  for (int i = 0; i < 1000; ++i) {
    open += "<a>";
    close += "</a>";
  }
  EXPECT_THAT(refused(open + close), HasSubstr("nested deeper than 32 elements"));
}

TEST_F(ClassicBadInput, TooManyBytesAreRefused) {
  EXPECT_THAT(refused("<CreateHostedService>" + std::string(5'000'000, 'x') + "</CreateHostedService>"),
              HasSubstr("4194304 are allowed"));
}

TEST_F(ClassicBadInput, AMissingElementIsNamed) {
  EXPECT_THAT(refused("<CreateHostedService><Label>d2Vi</Label></CreateHostedService>"),
              HasSubstr("no ServiceName"));
  EXPECT_THAT(refused("<CreateHostedService><ServiceName>web</ServiceName></CreateHostedService>"),
              HasSubstr("either a Location or an AffinityGroup"));
  world.send("POST", "services/hostedservices", create_service("web"));
  EXPECT_THAT(refused_deployment("<Deployment><RoleList/></Deployment>"), HasSubstr("no Name"));
  EXPECT_THAT(refused_deployment("<Deployment><Name>web</Name><RoleList/></Deployment>"),
              HasSubstr("no role"));
  EXPECT_THAT(refused_deployment("<Deployment><Name>web</Name><RoleList><Role/></RoleList></Deployment>"),
              HasSubstr("no RoleName"));
}

TEST_F(ClassicBadInput, ADoubledElementIsNamed) {
  EXPECT_THAT(refused("<CreateHostedService><ServiceName>web</ServiceName><ServiceName>other</ServiceName>"
                      "<Location>West US</Location></CreateHostedService>"),
              HasSubstr("has ServiceName twice"));
  world.send("POST", "services/hostedservices", create_service("web"));
  const std::string good = RoleText().deployment();
  for (const std::string element : {"ConfigurationSets", "OSVirtualHardDisk", "RoleSize", "RoleName"}) {
    std::string body = good;
    const std::size_t begin = body.find("<" + element + ">"), end = body.find("</" + element + ">");
    const std::string twice = body.substr(begin, end + element.size() + 3 - begin);
    body.insert(begin, twice);
    EXPECT_THAT(refused_deployment(body), HasSubstr("has " + element + " twice"));
  }
}

TEST_F(ClassicBadInput, OfTwoCreatesAtOnceOneIsAConflict) {
  const auto services = world.send_at_once(2, "POST", "services/hostedservices", create_service("web"));
  EXPECT_THAT((std::vector{services[0].status, services[1].status}), testing::UnorderedElementsAre(201, 409));
  const auto answers =
      world.send_at_once(2, "POST", "services/hostedservices/web/deployments", RoleText().deployment());
  ASSERT_THAT((std::vector{answers[0].status, answers[1].status}), testing::UnorderedElementsAre(202, 409));
  EXPECT_EQ(world.finish(answers[answers[0].status == 202 ? 0 : 1]), "Succeeded");
  EXPECT_EQ(world.count(slot(), "//Role"), 1u);
}

TEST_F(ClassicBadInput, WhatIsInUseIsNotDeleted) {
  create();
  const std::string disk = world.read("services/disks", "//Disk/Name");
  for (const auto& [path, says] : std::vector<std::pair<std::string, std::string>>{
           {"services/hostedservices/web", "has the deployment 'web'"},
           {"services/disks/" + disk, "in use by virtual machine web"},
           {role(), "the last one of the deployment"}}) {
    const Response response = world.send("DELETE", path);
    EXPECT_THAT(response.status, testing::AnyOf(400, 409)) << path;
    EXPECT_THAT(ClassicWorld::message(response), HasSubstr(says));
  }
  EXPECT_EQ(world.read(slot(), "//InstanceStatus"), "ReadyRole");
}

TEST_F(ClassicBadInput, UnknownOperationsAreNamed) {
  create();
  const std::string deployment = "services/hostedservices/web/deployments/web";
  for (const auto& [path, body, says] : std::vector<std::tuple<std::string, std::string, std::string>>{
           {deployment + "/roleinstances/web/Operations", "<ExplodeRoleOperation/>",
            "'ExplodeRoleOperation'"},
           {deployment + "?comp=upgrade", "<a/>", "'upgrade'"},
           {deployment + "/roles/Operations", "<StartRolesOperation/>", "several roles at once"},
           {"services/nothing", "<a/>", "nothing at POST"}}) {
    const Response response = world.send("POST", path, body);
    EXPECT_THAT(response.status, testing::AnyOf(400, 404)) << path;
    EXPECT_THAT(ClassicWorld::message(response), HasSubstr(says));
  }
  EXPECT_EQ(world.send("PATCH", "locations").status, 405);
}

TEST_F(ClassicBadInput, AnotherSubscriptionIsForbiddenWhateverIsAsked) {
  const std::string other = "00000000-0000-0000-0000-00000000dead";
  for (const char* method : {"GET", "POST", "DELETE"}) {
    const Response response =
        world.send_as(world.certificate, method, "services/hostedservices", create_service("web"), other);
    EXPECT_THAT(response.status, testing::AnyOf(403, 405));
    EXPECT_NE(ClassicWorld::message(response), "");
  }
  EXPECT_EQ(world.count("services/hostedservices", "//HostedService"), 0u);
}

}  // namespace berth
