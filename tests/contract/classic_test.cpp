#include "classic_world.h"

#include <sys/stat.h>

namespace berth {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* xmlns = "xmlns=\"http://schemas.microsoft.com/windowsazure\"";
constexpr const char* declaration = "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>";

std::string create_service(const std::string& name, const std::string& location = "West US") {
  return fmt::format(
      "{}<CreateHostedService {}><ServiceName>{}</ServiceName><Label>{}</Label><Description>Implicitly "
      "created hosted "
      "service</Description><Location>{}</Location></CreateHostedService>",
      declaration, xmlns, name, base64_encode(name), location);
}

struct RoleText {
  std::string name = "web", user = "ops", password = "Passw0rd!", image = "tiny", size = "Small";
  std::string endpoints =
      "<InputEndpoint><LocalPort>22</LocalPort><Name>ssh</Name><Port>22</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  std::string extensions;  ///< <ResourceExtensionReferences>…
  std::string keys;

  std::string body() const {
    return fmt::format(
        "<RoleName>{0}</RoleName><RoleType>PersistentVMRole</RoleType><ConfigurationSets><ConfigurationSet>"
        "<ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType><HostName>{0}</HostName>"
        "<UserName>{1}</UserName><UserPassword>{2}</UserPassword>"
        "<DisableSshPasswordAuthentication>false</DisableSshPasswordAuthentication>{3}</ConfigurationSet>"
        "<ConfigurationSet><ConfigurationSetType>NetworkConfiguration</ConfigurationSetType>"
        "<InputEndpoints>{4}</InputEndpoints><SubnetNames/><PublicIPs/><NetworkInterfaces/></"
        "ConfigurationSet>"
        "</ConfigurationSets>{5}<OSVirtualHardDisk><MediaLink>https://a.blob.region.invalid/vhd-store/{0}.vhd"
        "</MediaLink><SourceImageName>{6}</SourceImageName></OSVirtualHardDisk><RoleSize>{7}</RoleSize>"
        "<ProvisionGuestAgent>true</ProvisionGuestAgent><DebugSettings><BootDiagnosticsEnabled>false"
        "</BootDiagnosticsEnabled></DebugSettings>",
        name, user, password, keys, endpoints, extensions, image, size);
  }
  std::string deployment(const std::string& deployment_name = "web") const {
    return fmt::format(
        "{}<Deployment "
        "{}><Name>{}</Name><DeploymentSlot>Production</DeploymentSlot><Label>{}</Label><RoleList><Role>{}"
        "</Role></RoleList></Deployment>",
        declaration, xmlns, deployment_name, deployment_name, body());
  }
  std::string persistent() const {
    return fmt::format("{}<PersistentVMRole {}>{}</PersistentVMRole>", declaration, xmlns, body());
  }
};

class ClassicContract : public testing::Test {
 protected:
  /// A cloud service with one virtual machine of the same name.
  void create(const std::string& name = "web") {
    ASSERT_EQ(world.send("POST", "services/hostedservices", create_service(name)).status, 201);
    RoleText role;
    role.name = name;
    ASSERT_EQ(world.do_it("POST", "services/hostedservices/" + name + "/deployments", role.deployment(name)),
              "Succeeded");
  }
  static std::string slot(const std::string& name = "web") {
    return "services/hostedservices/" + name + "/deploymentslots/Production";
  }
  static std::string role(const std::string& name = "web") {
    return "services/hostedservices/" + name + "/deployments/" + name + "/roles/" + name;
  }

  ClassicWorld world;
};

}  // namespace

TEST_F(ClassicContract, ADeploymentBecomesAVirtualMachineThatBothDialectsSee) {
  create();

  EXPECT_EQ(world.read(slot(), "//InstanceStatus"), "ReadyRole");
  EXPECT_EQ(world.read(slot(), "/Deployment/Url"), "http://web.cloudapp.net/");
  EXPECT_EQ(world.arm.get("resourceGroups/web/providers/Microsoft.Compute/virtualMachines/web")["name"],
            "web");
}

TEST_F(ClassicContract, AnUnknownCertificateIsRefusedInHttp) {
  const Response stranger = world.send_as("not ours", "GET", "locations");
  EXPECT_EQ(stranger.status, 403);
  EXPECT_EQ(ClassicWorld::code(stranger), "ForbiddenError");
  EXPECT_EQ(world.send_as("", "GET", "locations").status, 403);
  EXPECT_EQ(
      world.send_as(world.certificate, "GET", "locations", "", "00000000-0000-0000-0000-00000000dead").status,
      403);
  EXPECT_EQ(world.send("GET", "locations").status, 200);
}

TEST_F(ClassicContract, DeletingTheLastRoleEmptiesTheServiceAndThenItGoes) {
  create();

  EXPECT_EQ(world.do_it("DELETE", "services/hostedservices/web/deployments/web?comp=media"), "Succeeded");

  EXPECT_EQ(world.count("services/hostedservices/web?embed-detail=true", "//Deployments/*"), 0u);
  EXPECT_EQ(world.count("services/hostedservices/web?embed-detail=true", "//Deployments"), 1u);
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
  EXPECT_EQ(world.send("GET", "services/hostedservices/web").status, 404);
  EXPECT_EQ(world.arm.region->find_group("web"), nullptr);
}

// --- the account

TEST_F(ClassicContract, ManagementCertificatesAreListedAddedAndRevoked) {
  const PrivateKey key = PrivateKey::generate_rsa();
  CertificateOrder order;
  order.use = CertificateUse::client;
  order.common_name = "second";
  const Certificate second = issue_certificate(order, key);
  const std::string body = fmt::format(
      "<SubscriptionCertificate {}><SubscriptionCertificatePublicKey>x</SubscriptionCertificatePublicKey>"
      "<SubscriptionCertificateData>{}</SubscriptionCertificateData></SubscriptionCertificate>",
      xmlns, base64_encode(second.to_der()));

  EXPECT_EQ(world.send_as(second.to_der(), "GET", "locations").status, 403);
  EXPECT_EQ(world.send("POST", "certificates", body).status, 201);
  EXPECT_EQ(world.send_as(second.to_der(), "GET", "locations").status, 200);
  EXPECT_EQ(world.count("certificates", "//SubscriptionCertificate"), 2u);
  EXPECT_EQ(world.read("certificates/" + second.thumbprint(), "//SubscriptionCertificateThumbprint"),
            second.thumbprint());
  EXPECT_EQ(world.send("DELETE", "certificates/" + second.thumbprint()).status, 200);
  EXPECT_EQ(world.send_as(second.to_der(), "GET", "locations").status, 403);
}

TEST_F(ClassicContract, TheLastManagementCertificateStays) {
  const std::string own = Certificate::parse_der(world.certificate, "own").thumbprint();
  EXPECT_EQ(world.send("DELETE", "certificates/" + own).status, 409);
  EXPECT_EQ(world.send("GET", "locations").status, 200);
}

TEST_F(ClassicContract, ThePublishSettingsKeepTheirCertificateOverARestart) {
  const std::string before = world.certificate;
  world.restart();
  EXPECT_EQ(world.certificate, before);
  EXPECT_EQ(world.count("certificates", "//SubscriptionCertificate"), 1u);
  struct stat status {};
  ASSERT_EQ(::stat((world.arm.folder / "access/local.publishsettings").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

// --- what clients stumble over (docs/wire/classic.md, "Gotchas", in its order)

TEST_F(ClassicContract, Gotcha01AServiceHasADiskAccountInItsLocationAtOnce) {
  world.send("POST", "services/hostedservices", create_service("web"));
  EXPECT_THAT(world.read("services/storageservices", "//ServiceName"), testing::StartsWith("portalvhds"));
  EXPECT_EQ(world.read("services/storageservices", "//StorageServiceProperties/Location"), "West US");
  world.send("POST", "services/hostedservices", create_service("other"));
  EXPECT_EQ(world.count("services/storageservices", "//StorageService"), 1u);
}

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

namespace {

std::string extension(const std::string& state, const std::string& settings, const std::string& hidden) {
  const auto value = [](const std::string& json, const char* type) {
    return json.empty() ? ""
                        : fmt::format(
                              "<ResourceExtensionParameterValue><Key>ignored</Key><Value>{}</Value><Type>{}"
                              "</Type></ResourceExtensionParameterValue>",
                              base64_encode(json), type);
  };
  return fmt::format(
      "<ResourceExtensionReferences><ResourceExtensionReference><ReferenceName>DockerExtension"
      "</ReferenceName><Publisher>Microsoft.Azure.Extensions</Publisher><Name>DockerExtension</Name>"
      "<Version>1.*</Version><ResourceExtensionParameterValues>{}{}</ResourceExtensionParameterValues>"
      "<State>{}</State></ResourceExtensionReference></ResourceExtensionReferences>",
      value(hidden, "Private"), value(settings, "Public"), state);
}

}  // namespace

class ClassicExtensions : public ClassicContract {
 protected:
  ClassicExtensions() {
    std::ofstream(world.arm.folder / "bundled/Microsoft.Azure.Extensions.DockerExtension_1.3.0.zip") << "zip";
  }
  void create_docker(const std::string& port = "2376") {
    ASSERT_EQ(world.send("POST", "services/hostedservices", create_service("web")).status, 201);
    RoleText text;
    text.extensions =
        extension("enable", R"({"docker":{"port":")" + port + "\"}}", R"({"certs":{"ca":"a"}})");
    created = world.send("POST", "services/hostedservices/web/deployments", text.deployment());
  }
  const Extension& stored() { return world.arm.region->get_vm({"web", "web"}).extensions.at(0); }
  Response created;
};

TEST_F(ClassicExtensions, Gotcha06APutWithoutReferencesLeavesExtensionsAlone) {
  create_docker();
  ASSERT_EQ(world.finish(created), "Succeeded");
  ASSERT_EQ(world.do_it("PUT", role(), RoleText().persistent()), "Succeeded");
  EXPECT_EQ(world.read(role(), "//ResourceExtensionReference/State"), "enable");
  EXPECT_EQ(stored().sequence, 0);
}

TEST_F(ClassicExtensions, Gotcha06APutWithReferencesKeepsPrivateSettingsThatItDoesNotName) {
  create_docker();
  ASSERT_EQ(world.finish(created), "Succeeded");
  const std::string hidden = stored().protected_settings;
  ASSERT_NE(hidden, "");
  RoleText text;
  text.extensions = extension("Enable", R"({"docker":{"port":"2377"}})", "");
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(stored().protected_settings, hidden);
  EXPECT_EQ(stored().settings, R"({"docker":{"port":"2377"}})");
}

TEST_F(ClassicExtensions, PrivateSettingsAreNeverGivenOut) {
  create_docker();
  ASSERT_EQ(world.finish(created), "Succeeded");
  EXPECT_EQ(world.count(slot(), "//ResourceExtensionParameterValue[Type='Private']"), 0u);
  EXPECT_EQ(base64_decode(world.read(slot(), "//ResourceExtensionParameterValue/Value")),
            R"({"docker":{"port":"2376"}})");
  EXPECT_EQ(world.read(slot(), "//ResourceExtensionParameterValue/Key"), "ignored");
}

TEST_F(ClassicExtensions, AnExtensionIsDisabledAndUninstalled) {
  create_docker();
  ASSERT_EQ(world.finish(created), "Succeeded");
  RoleText text;
  text.extensions = extension("Disable", "", "");
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(stored().state, "disabled");
  EXPECT_NE(stored().settings, "");
  text.extensions = extension("Uninstall", "", "");
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(world.count(role(), "//ResourceExtensionReference"), 0u);
}

TEST_F(ClassicExtensions, Gotcha09ADockerPortThatIsNoneIsSaidAtOnce) {
  create_docker("abc");
  EXPECT_EQ(created.status, 400);
  EXPECT_THAT(ClassicWorld::message(created), HasSubstr("docker port 'abc'"));
  EXPECT_EQ(world.send("GET", slot()).status, 404);
}

TEST_F(ClassicExtensions, Gotcha10NothingIsLeftOfAFailedDeploymentWhenItsOperationSaysSo) {
  world.arm.guests->answer = [](const Vm&, const Extension& asked) {
    HandlerStatus status{
        .handler = asked.handler(), .version = asked.version, .status = "Ready", .sequence = asked.sequence};
    status.settings = StatusItem{.name = "x", .status = "error", .code = 7, .message = "No engine here."};
    return status;
  };
  create_docker();
  EXPECT_THAT(world.finish(created), HasSubstr("VMExtensionProvisioningError : "));
  EXPECT_EQ(world.send("GET", slot()).status, 404);
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
  EXPECT_EQ(world.count("services/disks", "//Disk"), 0u);
  EXPECT_EQ(world.arm.region->find_group("web"), nullptr);
}

TEST_F(ClassicExtensions, TheGalleryListsTheNewestOfEachAndAllVersionsOfOne) {
  std::ofstream(world.arm.folder / "bundled/Microsoft.Azure.Extensions.DockerExtension_1.4.0.zip") << "zip";
  EXPECT_EQ(world.count("services/resourceextensions", "//ResourceExtension"), 1u);
  EXPECT_EQ(world.read("services/resourceextensions", "//Version"), "1.4.0");
  EXPECT_EQ(world.count("services/resourceextensions/microsoft.azure.extensions/dockerextension",
                        "//ResourceExtension"),
            2u);
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
  EXPECT_THAT(world.arm.region->get_vm({"web", "web"}).ssh_keys.at(0).key, testing::StartsWith("ssh-rsa "));

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
  EXPECT_EQ(world.arm.region->interfaces("web").size(), 0u);
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
  EXPECT_EQ(world.arm.region->find_group("web"), nullptr);
}

TEST_F(ClassicContract, ADiskThatStayedStartsAgainInANewService) {
  create();
  const std::string disk = world.read("services/disks", "//Disk/Name");
  world.do_it("DELETE", "services/hostedservices/web/deployments/web");
  world.send("DELETE", "services/hostedservices/web");
  const std::string file = world.arm.region->disks().at(0)->file;

  ASSERT_EQ(world.send("POST", "services/hostedservices", create_service("again")).status, 201);
  const std::string body = fmt::format(
      "<Deployment "
      "{}><Name>again</Name><RoleList><Role><RoleName>again</RoleName><OSVirtualHardDisk><DiskName>{}</"
      "DiskName>"
      "<OS>Linux</OS></OSVirtualHardDisk><RoleSize>Small</RoleSize></Role></RoleList></Deployment>",
      xmlns, disk);
  EXPECT_EQ(world.do_it("POST", "services/hostedservices/again/deployments", body), "Succeeded");
  EXPECT_EQ(world.read("services/disks/" + disk, "//AttachedTo/RoleName"), "again");
  EXPECT_EQ(world.arm.region->disks().at(0)->file, file);
  EXPECT_TRUE(std::filesystem::exists(world.arm.folder / file));
}

TEST_F(ClassicContract, Gotcha12AServiceWithADeploymentCannotBeDeleted) {
  create();
  const Response refused = world.send("DELETE", "services/hostedservices/web");
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(ClassicWorld::code(refused), "ConflictError");
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

namespace {

std::string capture_os(const std::string& image) {
  return fmt::format(
      "<CaptureRoleOperation {}><OperationType>CaptureRoleOperation</OperationType><PostCaptureAction>Delete"
      "</PostCaptureAction><TargetImageLabel>l</TargetImageLabel><TargetImageName>{}</TargetImageName>"
      "</CaptureRoleOperation>",
      xmlns, image);
}
std::string shutdown(const std::string& action) {
  return fmt::format(
      "<ShutdownRoleOperation {}><OperationType>ShutdownRoleOperation</OperationType><PostShutdownAction>{}"
      "</PostShutdownAction></ShutdownRoleOperation>",
      xmlns, action);
}
constexpr const char* operations = "services/hostedservices/web/deployments/web/roleinstances/web/Operations";

}  // namespace

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

TEST_F(ClassicContract, NamesCompareWithoutCaseAndComeBackAsTheyWereFirstWritten) {
  create("MyDocker");
  EXPECT_EQ(world.read("services/hostedservices/MYDOCKER", "//ServiceName"), "MyDocker");
  EXPECT_EQ(world.read("services/hostedservices/mydocker/deployments/mydocker/roles/MYDOCKER", "//RoleName"),
            "MyDocker");
}

// --- life of a role

TEST_F(ClassicContract, ARoleIsShutDownStartedAndRestarted) {
  create();
  const auto status = [&] { return world.read(slot(), "//InstanceStatus"); };
  const auto operation = [&](const std::string& name) {
    return world.do_it("POST", operations,
                       fmt::format("<{0} {1}><OperationType>{0}</OperationType></{0}>", name, xmlns));
  };
  EXPECT_EQ(world.do_it("POST", operations, shutdown("Stopped")), "Succeeded");
  EXPECT_EQ(status(), "StoppedVM");
  EXPECT_EQ(world.do_it("POST", operations, shutdown("StoppedDeallocated")), "Succeeded");
  EXPECT_EQ(status(), "StoppedDeallocated");
  EXPECT_EQ(world.count(slot(), "//IpAddress"), 0u);
  EXPECT_EQ(operation("StartRoleOperation"), "Succeeded");
  EXPECT_EQ(operation("RestartRoleOperation"), "Succeeded");
  EXPECT_EQ(status(), "ReadyRole");
  EXPECT_THAT(operation("DanceRoleOperation"), HasSubstr("is not known"));
}

TEST_F(ClassicContract, ACaptureWithDeleteLeavesTheImageAndNoVirtualMachine) {
  create();
  world.do_it("POST", operations, shutdown("Stopped"));
  ASSERT_EQ(world.do_it("POST", operations, capture_os("mine")), "Succeeded");
  EXPECT_EQ(world.read("services/images/mine", "/OSImage/Category"), "User");
  EXPECT_EQ(world.send("GET", slot()).status, 404);
  EXPECT_EQ(world.send("DELETE", "services/images/mine").status, 200);
}

TEST_F(ClassicContract, ARunningRoleIsNotCaptured) {
  create();
  const Response refused = world.send("POST", operations, capture_os("mine"));
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("azure vm shutdown"));
}

TEST_F(ClassicContract, ASpecializedVmImageStartsWithoutAnybodySetUp) {
  create();
  world.do_it("POST", operations, shutdown("Stopped"));
  ASSERT_EQ(
      world.do_it(
          "POST", operations,
          fmt::format("<CaptureRoleAsVMImageOperation "
                      "{}><OperationType>CaptureRoleAsVMImageOperation</OperationType><OSState>Specialized"
                      "</OSState><VMImageName>special</VMImageName><VMImageLabel>l</VMImageLabel></"
                      "CaptureRoleAsVMImageOperation>",
                      xmlns)),
      "Succeeded");
  EXPECT_EQ(world.read("services/vmimages", "//VMImage/Name"), "special");
  EXPECT_EQ(world.read("services/vmimages", "//OSState"), "Specialized");
  EXPECT_EQ(world.send("GET", "services/images/special").status, 404);

  world.send("POST", "services/hostedservices", create_service("copy"));
  const std::string body = fmt::format(
      "<Deployment {}><Name>copy</Name><RoleList><Role><RoleName>copy</RoleName>"
      "<VMImageName>special</VMImageName><RoleSize>Small</RoleSize></Role></RoleList></Deployment>",
      xmlns);
  EXPECT_EQ(world.do_it("POST", "services/hostedservices/copy/deployments", body), "Succeeded");
  EXPECT_EQ(world.send("DELETE", "services/vmimages/special").status, 409);
}

TEST_F(ClassicContract, EndpointsAreAddedAndRemoved) {
  create();
  RoleText text;
  const std::string ssh = text.endpoints;
  text.endpoints +=
      "<InputEndpoint><LocalPort>80</LocalPort><Name>web</Name><Port>8080</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(world.count(role(), "//InputEndpoint"), 2u);
  EXPECT_EQ(world.arm.region->public_addresses("web").at(0)->ports.size(), 2u);
  text.endpoints = ssh;
  ASSERT_EQ(world.do_it("PUT", role(), text.persistent()), "Succeeded");
  EXPECT_EQ(world.count(role(), "//InputEndpoint"), 1u);
  EXPECT_EQ(world.arm.region->public_addresses("web").at(0)->ports.size(), 1u);
}

TEST_F(ClassicContract, ASecondRoleSharesTheAddressAndGoesAlone) {
  create();
  RoleText second;
  second.name = "web-2";
  const std::string roles = "services/hostedservices/web/deployments/web/roles";
  const Response clash = world.send("POST", roles, second.persistent());
  EXPECT_EQ(clash.status, 409);
  EXPECT_THAT(ClassicWorld::message(clash),
              HasSubstr("Port 22 is already used by endpoint 'ssh' of the role 'web'"));
  second.endpoints =
      "<InputEndpoint><LocalPort>22</LocalPort><Name>ssh</Name><Port>2222</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  ASSERT_EQ(world.do_it("POST", roles, second.persistent()), "Succeeded");
  EXPECT_EQ(world.count(slot(), "//Role"), 2u);
  EXPECT_FALSE(world.arm.region->find_group("web")->tags.contains("berth:host"));

  ASSERT_EQ(world.do_it("DELETE", roles + "/web-2?comp=media"), "Succeeded");
  EXPECT_EQ(world.count(slot(), "//Role"), 1u);
  EXPECT_TRUE(world.arm.region->find_group("web")->tags.contains("berth:host"));
  EXPECT_EQ(world.send("DELETE", roles + "/web").status, 400);
}

TEST_F(ClassicContract, DataDisksAreAttachedAndDetached) {
  create();
  const std::string disks = role() + "/DataDisks";
  const std::string order = fmt::format(
      "<DataVirtualHardDisk {}><HostCaching>None</HostCaching><DiskLabel>d</DiskLabel><Lun>0</Lun>"
      "<LogicalDiskSizeInGB>5</LogicalDiskSizeInGB><MediaLink>https://a/b.vhd</MediaLink></"
      "DataVirtualHardDisk>",
      xmlns);
  ASSERT_EQ(world.do_it("POST", disks, order), "Succeeded");
  EXPECT_EQ(world.send("POST", disks, order).status, 409);
  EXPECT_EQ(world.read(disks + "/0", "//LogicalDiskSizeInGB"), "5");
  EXPECT_EQ(world.read(disks + "/0", "//MediaLink"), "https://a/b.vhd");
  ASSERT_EQ(world.do_it("DELETE", disks + "/0?comp=media"), "Succeeded");
  EXPECT_EQ(world.send("GET", disks + "/0").status, 404);
  EXPECT_EQ(world.count("services/disks", "//Disk"), 1u);
}

TEST_F(ClassicContract, ADeploymentThatWasUnderWayWhenTheRegionEndedIsTakenBack) {
  world.arm.guests->talkative = false;
  world.send("POST", "services/hostedservices", create_service("web"));
  const Response accepted =
      world.send("POST", "services/hostedservices/web/deployments", RoleText().deployment());
  EXPECT_EQ(accepted.status, 202);
  world.restart();
  EXPECT_THAT(world.finish(accepted), HasSubstr("OperationPreempted"));
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/web").status, 200);
  EXPECT_EQ(world.arm.region->vms().size(), 0u);
}

TEST_F(ClassicContract, StorageAccountsAreMadeShownAndRemoved) {
  const auto order = [](const std::string& name) {
    return fmt::format(
        "<CreateStorageServiceInput {}><ServiceName>{}</ServiceName><Label>{}</Label><Location>East "
        "US</Location>"
        "<AccountType>Standard_LRS</AccountType></CreateStorageServiceInput>",
        xmlns, name, base64_encode(name));
  };
  EXPECT_EQ(world.read("services/storageservices/operations/isavailable/mine", "//Result"), "true");
  EXPECT_EQ(world.do_it("POST", "services/storageservices", order("mine")), "Succeeded");
  EXPECT_EQ(world.send("POST", "services/storageservices", order("mine")).status, 409);
  EXPECT_EQ(world.send("POST", "services/storageservices", order("Not Mine")).status, 400);
  EXPECT_EQ(world.read("services/storageservices/operations/isavailable/mine", "//Result"), "false");
  const std::string primary = world.read("services/storageservices/mine/keys", "//Primary");
  EXPECT_EQ(world.read("services/storageservices/mine/keys", "//Primary"), primary);
  world.send("POST", "services/storageservices/mine/keys?action=regenerate",
             "<RegenerateKeys><KeyType>Primary</KeyType></RegenerateKeys>");
  EXPECT_NE(world.read("services/storageservices/mine/keys", "//Primary"), primary);
  EXPECT_EQ(world.send("DELETE", "services/storageservices/mine").status, 200);
  EXPECT_EQ(world.send("GET", "services/storageservices/mine").status, 404);
}

// --- one truth

class OneTruth : public ClassicContract {
 protected:
  /// A host as our own command line makes it, by Resource Manager.
  void create_by_arm(const std::string& name) {
    TestRegion& arm = world.arm;
    const nlohmann::json tags{{"berth:host", name}};
    const std::string group = "resourceGroups/" + name, network = group + "/providers/Microsoft.Network/";
    arm.put(group, {{"location", "westus"}, {"tags", tags}});
    arm.put(network + "virtualNetworks/" + name + "-vnet",
            {{"location", "westus"},
             {"tags", tags},
             {"properties",
              {{"addressSpace", {{"addressPrefixes", {"10.0.0.0/16"}}}},
               {"subnets", {{{"name", "default"}, {"properties", {{"addressPrefix", "10.0.0.0/24"}}}}}}}}});
    arm.put(network + "publicIPAddresses/" + name + "-ip",
            {{"location", "westus"},
             {"tags", tags},
             {"properties", {{"dnsSettings", {{"domainNameLabel", name}}}}}});
    const auto rule = [](const char* rule_name, int priority, const char* port) {
      return nlohmann::json{{"name", rule_name},
                            {"properties",
                             {{"protocol", "Tcp"},
                              {"sourceAddressPrefix", "*"},
                              {"sourcePortRange", "*"},
                              {"destinationAddressPrefix", "*"},
                              {"destinationPortRange", port},
                              {"access", "Allow"},
                              {"priority", priority},
                              {"direction", "Inbound"}}}};
    };
    arm.put(network + "networkSecurityGroups/" + name + "-nsg",
            {{"location", "westus"},
             {"tags", tags},
             {"properties", {{"securityRules", {rule("ssh", 1000, "22"), rule("docker", 1010, "4243")}}}}});
    const auto id = [&](const std::string& type, const std::string& resource) {
      return nlohmann::json{{"id", arm.id(name, "Microsoft.Network/" + type + "/" + resource)}};
    };
    arm.put(network + "networkInterfaces/" + name + "-nic",
            {{"location", "westus"},
             {"tags", tags},
             {"properties",
              {{"networkSecurityGroup", id("networkSecurityGroups", name + "-nsg")},
               {"ipConfigurations",
                {{{"name", "primary"},
                  {"properties",
                   {{"subnet", id("virtualNetworks", name + "-vnet/subnets/default")},
                    {"publicIPAddress", id("publicIPAddresses", name + "-ip")}}}}}}}}});
    const auto vm = arm.put(
        group + "/providers/Microsoft.Compute/virtualMachines/" + name,
        {{"location", "westus"},
         {"tags", tags},
         {"properties",
          {{"hardwareProfile", {{"vmSize", "Standard_A1"}}},
           {"storageProfile",
            {{"imageReference", {{"osImage", "tiny"}}},
             {"osDisk", {{"name", name + "-os"}, {"createOption", "FromImage"}}}}},
           {"osProfile", {{"computerName", name}, {"adminUsername", "ops"}, {"adminPassword", "Passw0rd!"}}},
           {"networkProfile", {{"networkInterfaces", {id("networkInterfaces", name + "-nic")}}}}}}});
    ASSERT_EQ(vm["status"], "Succeeded") << vm;
  }
};

TEST_F(OneTruth, AHostOfOurOwnClientIsACloudServiceWithADeployment) {
  create_by_arm("ours");
  EXPECT_EQ(world.read("services/hostedservices", "//ServiceName"), "ours");
  EXPECT_EQ(world.read(slot("ours"), "/Deployment/Name"), "ours");
  EXPECT_EQ(world.read(slot("ours"), "//InstanceStatus"), "ReadyRole");
  EXPECT_EQ(world.read(slot("ours"), "//RoleSize"), "Small");
  EXPECT_EQ(world.count(role("ours"), "//InputEndpoint"), 2u);
  EXPECT_EQ(world.read(role("ours"), "//InputEndpoint[LocalPort='22']/Name"), "ssh");
}

TEST_F(OneTruth, TheClassicClientDeletesAHostOfOurOwnClientWithEverythingMadeForIt) {
  create_by_arm("ours");
  ASSERT_EQ(world.do_it("DELETE", "services/hostedservices/ours/deployments/ours?comp=media"), "Succeeded");
  EXPECT_EQ(world.send("DELETE", "services/hostedservices/ours").status, 200);
  EXPECT_EQ(world.arm.region->find_group("ours"), nullptr);
}

TEST_F(OneTruth, EndpointsOfAHostOfOurOwnClientAreItsSecurityRules) {
  create_by_arm("ours");
  RoleText text;
  text.name = "ours";
  text.endpoints +=
      "<InputEndpoint><LocalPort>80</LocalPort><Name>web</Name><Port>8080</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  ASSERT_EQ(world.do_it("PUT", role("ours"), text.persistent()), "Succeeded");
  EXPECT_EQ(world.count(role("ours"), "//InputEndpoint"), 2u);  // docker went, web came
  EXPECT_EQ(world.arm.region->security_groups("ours").at(0)->rules.size(), 1u);
  EXPECT_EQ(world.arm.region->interfaces("ours").at(0)->endpoints.size(), 1u);
}

TEST_F(OneTruth, AnotherRoleJoinsAHostOfOurOwnClient) {
  create_by_arm("ours");
  RoleText second;
  second.name = "ours-2";
  second.endpoints =
      "<InputEndpoint><LocalPort>22</LocalPort><Name>ssh</Name><Port>2222</Port><Protocol>tcp</Protocol></"
      "InputEndpoint>";
  ASSERT_EQ(world.do_it("POST", "services/hostedservices/ours/deployments/ours/roles", second.persistent()),
            "Succeeded");
  EXPECT_EQ(world.count(slot("ours"), "//Role"), 2u);
}

TEST_F(OneTruth, ResourceManagerDeletesAHostOfTheClassicClient) {
  create();
  EXPECT_EQ(world.arm.get("resourceGroups/web")["tags"]["berth:host"], "web");
  world.arm.finish(world.arm.arm("DELETE", "resourceGroups/web"));
  for (int i = 0; i < 1000 && world.arm.region->find_group("web"); ++i) world.arm.get("resourceGroups/web");
  EXPECT_EQ(world.count("services/hostedservices", "//HostedService"), 0u);
}

// --- bad input

TEST_F(ClassicContract, AResourceGroupOfSomebodyElseIsNotMixedUpWithAService) {
  world.arm.put("resourceGroups/web", {{"location", "westus"}});
  const Response refused = world.send("POST", "services/hostedservices", create_service("web"));
  EXPECT_EQ(refused.status, 409);
  EXPECT_THAT(ClassicWorld::message(refused), HasSubstr("resource group named 'web'"));
}

TEST_F(ClassicContract, ASecondDeploymentIsAConflict) {
  create();
  RoleText other;
  other.name = "other";
  EXPECT_EQ(world.send("POST", "services/hostedservices/web/deployments", other.deployment("other")).status,
            409);
  EXPECT_EQ(world.count(slot(), "//Role"), 1u);
}

TEST_F(ClassicContract, HostileXmlIsRefused) {
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep += "<a>";
  for (const std::string& body : {std::string(), std::string("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>"),
                                  deep, std::string(5'000'000, 'x'), std::string("\xff\xfe\x00<", 4)})
    EXPECT_EQ(world.send("POST", "services/hostedservices", body).status, 400);
}

}  // namespace berth
