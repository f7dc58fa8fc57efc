#include "classic_documents.h"
#include "crypto/certificate.h"

/// What clients stumble over: docs/wire/classic.md, "Gotchas", in its order. Others stand with their subject.
namespace berth {

using testing::HasSubstr;

TEST_F(ClassicContract, Gotcha02StatusCodesAreExact) {
  EXPECT_EQ(world.send("POST", "services/hostedservices", create_service("web")).status, 201);
  const Response accepted =
      world.send("POST", "services/hostedservices/web/deployments", RoleText().deployment());
  EXPECT_EQ(accepted.status, 202);
  EXPECT_EQ(accepted.body, "");
  EXPECT_EQ(accepted.headers.at("x-ms-request-id").size(), 32u);
  EXPECT_EQ(world.finish(accepted), "Succeeded");
  EXPECT_EQ(world.send("PUT", role(), RoleText().persistent()).status, 202);
  EXPECT_EQ(world.do_it("DELETE", "services/hostedservices/web/deployments/web"), "Succeeded");
  EXPECT_EQ(world.send("DELETE", "services/disks/" + world.read("services/disks", "//Disk/Name")).status,
            200);
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
}

TEST_F(ClassicContract, Gotcha03EveryErrorHasCodeAndMessageWithoutPrefix) {
  for (const auto& [method, path] :
       std::vector<std::pair<std::string, std::string>>{{"GET", "nothing/here"},
                                                        {"PATCH", "locations"},
                                                        {"GET", "services/images/none"},
                                                        {"POST", "services/hostedservices"},
                                                        {"GET", "operations/none"},
                                                        {"PUT", "services/hostedservices/none"},
                                                        {"POST", "affinitygroups"},
                                                        {"POST", "services/disks"}}) {
    const Response response = world.send(method, path, "<junk");
    EXPECT_GE(response.status, 400) << path;
    EXPECT_NE(ClassicWorld::code(response), "") << path;
    EXPECT_NE(ClassicWorld::message(response), "") << path;
  }
}

TEST_F(ClassicContract, Gotcha04WhatIsNotThereSaysResourceNotFound) {
  world.send("POST", "services/hostedservices", create_service("web"));
  for (const std::string& path : {std::string("services/images/none"), slot(), slot("none")}) {
    const Response response = world.send("GET", path);
    EXPECT_EQ(response.status, 404);
    EXPECT_EQ(ClassicWorld::code(response), "ResourceNotFound");
  }
  EXPECT_EQ(ClassicWorld::message(world.send("GET", slot())), "No deployments were found.");
}

TEST_F(ClassicContract, Gotcha05UnescapedTextIsTakenAsItWasMeant) {
  world.send("POST", "services/hostedservices", create_service("web"));
  RoleText text;
  text.password = "Pa&ss<w0rd!";
  EXPECT_EQ(world.do_it("POST", "services/hostedservices/web/deployments", text.deployment()), "Succeeded");
  const Response bad = world.send("POST", "services/hostedservices", create_service("a&b"));
  EXPECT_EQ(bad.status, 400);
  EXPECT_THAT(ClassicWorld::message(bad), HasSubstr("'a&b'"));
}

TEST_F(ClassicContract, Gotcha07LabelsComeBackInBase64) {
  create();
  EXPECT_EQ(base64_decode(world.read(slot(), "/Deployment/Label")), "web");
  EXPECT_EQ(base64_decode(world.read("services/hostedservices/web", "//Label")), "web");
}

TEST_F(ClassicContract, Gotcha08ACertificateIsTakenWhateverItIsCalled) {
  world.send("POST", "services/hostedservices", create_service("web"));
  const PrivateKey key = PrivateKey::generate_rsa();
  CertificateOrder order;
  order.use = CertificateUse::client;
  order.common_name = "dummy";
  std::string der = issue_certificate(order, key).to_der();
  der.back() = static_cast<char>(der.back() ^ 1);  // its signature is worth nothing
  std::string pem;
  for (const char c : Certificate::parse_der(der, "dummy").to_pem())
    pem += c == '\n' ? "\r\n" : std::string(1, c);
  const std::string thumbprint = Certificate::parse_der(der, "dummy").thumbprint();
  const std::string body = fmt::format(
      "<CertificateFile {}><Data>{}</Data><CertificateFormat>pfx</CertificateFormat></CertificateFile>",
      xmlns, base64_encode(pem));
  EXPECT_EQ(world.do_it("POST", "services/hostedservices/web/certificates", body), "Succeeded");
  EXPECT_EQ(world.do_it("POST", "services/hostedservices/web/certificates", body), "Succeeded");
  EXPECT_EQ(world.count("services/hostedservices/web/certificates", "//Certificate"), 1u);
  EXPECT_EQ(world.read("services/hostedservices/web/certificates", "//Thumbprint"), thumbprint);

  RoleText text;
  text.keys = fmt::format(
      "<SSH><PublicKeys><PublicKey><Fingerprint>{}</Fingerprint><Path>/home/ops/.ssh/authorized_keys"
      "</Path></PublicKey></PublicKeys></SSH>",
      thumbprint);
  EXPECT_EQ(world.do_it("POST", "services/hostedservices/web/deployments", text.deployment()), "Succeeded");
  EXPECT_THAT(world.region().machines().get({"web", "web"}).ssh_keys.at(0).key,
              testing::StartsWith("ssh-rsa "));

  EXPECT_EQ(world.do_it("DELETE", "services/hostedservices/web/certificates/sha1-" + thumbprint),
            "Succeeded");
  EXPECT_EQ(world.count("services/hostedservices/web/certificates", "//Certificate"), 0u);
}

TEST_F(ClassicContract, Gotcha09WhatTheClientDoesNotCheckIsRefusedAtOnce) {
  EXPECT_EQ(world.send("POST", "services/hostedservices", create_service("Bad_DNS name")).status, 400);
  EXPECT_EQ(world.send("POST", "services/hostedservices", create_service("web", "Atlantis")).status, 400);
  EXPECT_EQ(world.send("POST", "services/hostedservices", create_service("web")).status, 201);
  const Response taken = world.send("POST", "services/hostedservices", create_service("WEB"));
  EXPECT_EQ(taken.status, 409);
  EXPECT_EQ(ClassicWorld::message(taken), "The specified DNS name is already taken.");

  const auto refused = [&](auto&& change) {
    RoleText text;
    change(text);
    const Response response =
        world.send("POST", "services/hostedservices/web/deployments", text.deployment());
    EXPECT_EQ(world.send("GET", slot()).status, 404);
    return fmt::format("{} {}", response.status, ClassicWorld::message(response));
  };
  EXPECT_THAT(refused([](RoleText& t) { t.size = "Gigantic"; }), HasSubstr("no VM size 'Gigantic'"));
  EXPECT_THAT(refused([](RoleText& t) { t.user = "root"; }),
              HasSubstr("400 The user name 'root' is reserved."));
  EXPECT_THAT(refused([](RoleText& t) { t.image = "none"; }), HasSubstr("404 Image \"none\" not found"));
  EXPECT_THAT(refused([](RoleText& t) { t.name = "no_host"; }), HasSubstr("400 The host name"));
  EXPECT_THAT(refused([](RoleText& t) { t.password = "short"; }), HasSubstr("400 password must be"));
  EXPECT_THAT(refused([](RoleText& t) {
                t.endpoints =
                    "<InputEndpoint><LocalPort>22</LocalPort><Name>ssh</Name><Port>0</Port><Protocol>tcp</"
                    "Protocol></InputEndpoint>";
              }),
              HasSubstr("400 Port '0'"));
  EXPECT_EQ(world.region().networks().list<NetworkInterface>("web").size(), 0u);
}

TEST_F(ClassicContract, Gotcha11WithoutMediaTheDiskStaysAndIsFree) {
  create();
  const std::string disk = world.read("services/disks", "//Disk/Name");
  const Response used = world.send("DELETE", "services/disks/" + disk);
  EXPECT_EQ(used.status, 400);
  EXPECT_THAT(ClassicWorld::message(used), HasSubstr("currently in use by virtual machine web"));

  ASSERT_EQ(world.do_it("DELETE", "services/hostedservices/web/deployments/web"), "Succeeded");
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);

  EXPECT_EQ(world.read("services/disks/" + disk, "/Disk/Name"), disk);
  EXPECT_EQ(world.count("services/disks/" + disk, "//AttachedTo"), 0u);
  EXPECT_EQ(world.send("DELETE", "services/disks/" + disk + "?comp=media").status, 200);
  EXPECT_EQ(world.region().groups().find("web"), nullptr);
}

TEST_F(ClassicContract, Gotcha12AServiceWithADeploymentCannotBeDeleted) {
  create();
  const Response refused = world.send("DELETE", "services/hostedservices/web");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(ClassicWorld::code(refused), "ConflictError");
}

TEST_F(ClassicContract, Gotcha13ManyRequestsAtOnceAreAllAnswered) {
  create();
  const auto answers = world.send_at_once(200, "GET", slot());
  ASSERT_EQ(answers.size(), 200u);
  for (const Response& answer : answers) EXPECT_EQ(answer.status, 200);
}

TEST_F(ClassicContract, Gotcha21TwoNetworkSetsAreMerged) {
  world.send("POST", "services/hostedservices", create_service("web"));
  RoleText text;
  text.endpoints +=
      "</InputEndpoints></ConfigurationSet><ConfigurationSet><ConfigurationSetType>NetworkConfiguration"
      "</ConfigurationSetType><InputEndpoints><InputEndpoint><LocalPort>4243</LocalPort><Name>docker</"
      "Name><Port>4243"
      "</Port><Protocol>tcp</Protocol></InputEndpoint>";
  ASSERT_EQ(world.do_it("POST", "services/hostedservices/web/deployments", text.deployment()), "Succeeded");
  EXPECT_EQ(world.count(role(), "//InputEndpoint"), 2u);
}

TEST_F(ClassicContract, Gotcha22CaptureOverAnImageThatExistsIsAConflict) {
  create();
  world.do_it("POST", operations, shutdown("StoppedDeallocated"));
  EXPECT_EQ(world.send("POST", operations, capture_os("tiny")).status, 409);
  EXPECT_EQ(world.read(slot(), "//InstanceStatus"), "StoppedDeallocated");
}

TEST_F(ClassicContract, Gotcha23PathsArePercentDecoded) {
  const Response response = world.send("GET", "services/hostedservices/Bad_DNS%20name");
  EXPECT_EQ(response.status, 404);
  EXPECT_THAT(ClassicWorld::message(response), HasSubstr("'Bad_DNS name'"));
}

}  // namespace berth
