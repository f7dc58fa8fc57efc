#pragma once

#include "classic_world.h"

/// The documents that clients send, and a world to send them to.
namespace berth {

inline constexpr const char* xmlns = "xmlns=\"http://schemas.microsoft.com/windowsazure\"";
inline constexpr const char* declaration = "<?xml version=\"1.0\" encoding=\"utf-8\" standalone=\"yes\"?>";

inline std::string create_service(const std::string& name, const std::string& location = "West US") {
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
  std::string data_disks;  ///< <DataVirtualHardDisk>…
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
        "</ConfigurationSets>{5}<DataVirtualHardDisks>{8}</"
        "DataVirtualHardDisks><OSVirtualHardDisk><MediaLink>https://a.blob.region.invalid/vhd-store/{0}.vhd"
        "</MediaLink><SourceImageName>{6}</SourceImageName></OSVirtualHardDisk><RoleSize>{7}</RoleSize>"
        "<ProvisionGuestAgent>true</ProvisionGuestAgent><DebugSettings><BootDiagnosticsEnabled>false"
        "</BootDiagnosticsEnabled></DebugSettings>",
        name, user, password, keys, endpoints, extensions, image, size, data_disks);
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

inline std::string extension(const std::string& state, const std::string& settings,
                             const std::string& hidden) {
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

inline std::string capture_os(const std::string& image) {
  return fmt::format(
      "<CaptureRoleOperation {}><OperationType>CaptureRoleOperation</OperationType><PostCaptureAction>Delete"
      "</PostCaptureAction><TargetImageLabel>l</TargetImageLabel><TargetImageName>{}</TargetImageName>"
      "</CaptureRoleOperation>",
      xmlns, image);
}
inline std::string shutdown(const std::string& action) {
  return fmt::format(
      "<ShutdownRoleOperation {}><OperationType>ShutdownRoleOperation</OperationType><PostShutdownAction>{}"
      "</PostShutdownAction></ShutdownRoleOperation>",
      xmlns, action);
}
/// Of the role web.
inline constexpr const char* operations =
    "services/hostedservices/web/deployments/web/roleinstances/web/Operations";

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

}  // namespace berth
