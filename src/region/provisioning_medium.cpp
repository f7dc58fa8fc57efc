#include <fmt/format.h>

#include "crypto/encoding.h"
#include "images/gallery.h"
#include "region/impl.h"

namespace berth {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  return out;
}

}  // namespace

std::string provisioning_medium(const Vm& vm, const Secret& password, const std::string& custom_data) {
  std::string user;
  // The elements of the Linux set carry no prefix: the agent blanks the password in the copy that it keeps by
  // the literal text "<UserPassword>".
  if (!password.empty())
    user += fmt::format("      <UserPassword>{}</UserPassword>\n", escaped(password.reveal()));
  user += fmt::format("      <DisableSshPasswordAuthentication>{}</DisableSshPasswordAuthentication>\n",
                      vm.password_login && !password.empty() ? "false" : "true");
  if (!vm.ssh_keys.empty()) {
    user += "      <SSH><PublicKeys>\n";
    for (const SshKey& key : vm.ssh_keys)
      user += fmt::format("        <PublicKey><Path>{}</Path><Value>{}</Value></PublicKey>\n",
                          escaped(key.path), escaped(key.key));
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
      escaped(vm.computer_name), escaped(vm.admin_user), user);
  return make_iso("rd_rdfe_stable.200101-0000", {{"ovf-env.xml", document}});
}

}  // namespace berth
