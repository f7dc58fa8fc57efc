#include "classic_world.h"

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

}  // namespace berth
