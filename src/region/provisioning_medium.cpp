#include "region/provisioning_medium.h"

#include <fmt/format.h>

#include "base/xml_text.h"
#include "crypto/encoding.h"
#include "images/iso.h"

namespace berth {

std::string provisioning_medium(const Vm& vm, const Secret& password, const std::string& custom_data) {
  std::string user;
  // The elements of the Linux set carry no prefix: the agent blanks the password in the copy that it keeps by
  // the literal text "<UserPassword>".
  if (!password.empty())
    user += fmt::format("      <UserPassword>{}</UserPassword>\n", xml_escaped(password.reveal()));
  user += fmt::format("      <DisableSshPasswordAuthentication>{}</DisableSshPasswordAuthentication>\n",
                      vm.password_login && !password.empty() ? "false" : "true");
  if (!vm.ssh_keys.empty()) {
    user += "      <SSH><PublicKeys>\n";
    for (const SshKey& key : vm.ssh_keys)
      user += fmt::format("        <PublicKey><Path>{}</Path><Value>{}</Value></PublicKey>\n",
                          xml_escaped(key.path), xml_escaped(key.key));
    user += "      </PublicKeys></SSH>\n";
  }
  if (!custom_data.empty())
    user += fmt::format("      <CustomData>{}</CustomData>\n", base64_encode(custom_data));

  const std::string document = fmt::format(
      R"(<?xml version="1.0" encoding="utf-8"?>
<Environment xmlns="http://schemas.dmtf.org/ovf/environment/1" xmlns:oe="http://schemas.dmtf.org/ovf/environment/1" xmlns:wa="http://schemas.microsoft.com/windowsazure" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <wa:ProvisioningSection>
    <wa:Version>1.0</wa:Version>
    <LinuxProvisioningConfigurationSet xmlns="http://schemas.microsoft.com/windowsazure" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
      <ConfigurationSetType>LinuxProvisioningConfiguration</ConfigurationSetType>
      <HostName>{}</HostName>
      <UserName>{}</UserName>
{}    </LinuxProvisioningConfigurationSet>
  </wa:ProvisioningSection>
  <wa:PlatformSettingsSection>
    <wa:Version>1.0</wa:Version>
    <wa:PlatformSettings><wa:ProvisionGuestAgent>true</wa:ProvisionGuestAgent></wa:PlatformSettings>
  </wa:PlatformSettingsSection>
</Environment>
)",
      xml_escaped(vm.computer_name), xml_escaped(vm.admin_user), user);
  return make_iso("rd_rdfe_stable.200101-0000", {{"ovf-env.xml", document}});
}

}  // namespace berth
