#include "api/arm/compute.h"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "api/arm/extensions.h"
#include "api/arm/json_text.h"
#include "base/error.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"

namespace berth::arm {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

const Place place{.subscription = "S", .group = "G", .name = "dk1"};

json json_fixture(const std::string& name) {
  std::ifstream in(std::string(BERTH_FIXTURES) + "/" + name);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  for (std::size_t at; (at = text.find("{s}")) != text.npos;) text.replace(at, 3, "S");
  return json::parse(text);
}

std::string written(const Vm& vm, bool instance_view = false) {
  JsonText out;
  write_vm(out, vm, "S", instance_view);
  return out.take();
}

template <class Work>
Error thrown_by(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::internal, "", "nothing was thrown");
}

TEST(VmDocument, SaysThatTheHostHasNoSpaceForAVmThatRuns) {
  Vm vm;
  vm.power = PowerState::running;
  EXPECT_THAT(written(vm, true), Not(HasSubstr("HostState")));
  vm.held_until = std::chrono::steady_clock::now() + std::chrono::minutes(10);
  EXPECT_THAT(written(vm, true), HasSubstr(R"("code":"HostState/noSpace","level":"Error")"));
  EXPECT_THAT(written(vm, true), Not(HasSubstr("HostState/networkRestarted")));
  vm.network_news = "The switch died once.";
  EXPECT_THAT(written(vm, true), HasSubstr(R"("code":"HostState/networkRestarted","level":"Warning")"));
  vm.power = PowerState::stopped;
  EXPECT_THAT(written(vm, true), Not(HasSubstr("HostState")));
}

TEST(VmDocument, IsReadAsTheClassicClientSendsIt) {
  const VmOrder order = parse_vm(json_fixture("npm-vm.json"), place, nullptr);

  EXPECT_EQ(order.vm.size, "Standard_A1");
  EXPECT_EQ(order.vm.image_sku, "14.04.5-LTS");
  EXPECT_EQ(order.vm.admin_user, "azureuser");
  EXPECT_EQ(order.password.reveal(), "Passw0rd!1234");
  EXPECT_EQ(order.os_disk_name, "cli7cafd83f70bebd54-os-1795469520087");
  EXPECT_TRUE(order.vm.boot_diagnostics);
  EXPECT_THAT(order.vm.interfaces, testing::ElementsAre(Ref{"G", "dk1nic"}));
}

TEST(VmDocument, TakesExplicitNullsForDefaults) {
  json body = json_fixture("az-vm-create.json")["properties"]["template"]["resources"][4];
  body["properties"]["osProfile"]["adminPassword"] = "Passw0rd-1234";
  const VmOrder order = parse_vm(body, place, nullptr);

  EXPECT_EQ(order.vm.size, "Standard_DS1_v2");
  EXPECT_EQ(order.os_disk_name, "");
  EXPECT_EQ(order.os_disk_gib, 0u);
}

TEST(VmDocument, ComesBackWithoutItsPassword) {
  const std::string document = written(parse_vm(json_fixture("npm-vm.json"), place, nullptr).vm);

  EXPECT_THAT(document, Not(HasSubstr("Passw0rd")));
  EXPECT_THAT(document, Not(HasSubstr("customData")));
  const json read = json::parse(document);
  EXPECT_EQ(read["properties"]["storageProfile"]["imageReference"]["offer"], "UbuntuServer");
  EXPECT_EQ(read["type"], "Microsoft.Compute/virtualMachines");
}

TEST(VmDocument, SentBackAsItCameChangesNothing) {
  Vm vm = parse_vm(json_fixture("npm-vm.json"), place, nullptr).vm;
  vm.data_disks = {{.lun = 0, .name = "d", .size_gib = 4, .caching = "None", .disk = {"G", "d"}}};
  const VmOrder again = parse_vm(json::parse(written(vm)), place, &vm);

  EXPECT_EQ(written(again.vm), written(vm));
  EXPECT_TRUE(again.password.empty());
}

TEST(VmDocument, OfAnUpdateMayLeaveOutImageAndUser) {
  const Vm vm = parse_vm(json_fixture("npm-vm.json"), place, nullptr).vm;
  const json update = {{"location", "westus"},
                       {"properties", {{"hardwareProfile", {{"vmSize", "standard_a2"}}}}}};
  const VmOrder order = parse_vm(update, place, &vm);

  EXPECT_EQ(order.vm.size, "Standard_A2");
  EXPECT_EQ(order.vm.image_offer, "UbuntuServer");
}

TEST(VmDocument, RefusesToChangeWhatIsPartOfTheDisk) {
  const Vm vm = parse_vm(json_fixture("npm-vm.json"), place, nullptr).vm;
  json body = json_fixture("npm-vm.json");
  body["properties"]["osProfile"]["adminUsername"] = "someoneelse";

  const Error error = thrown_by([&] { parse_vm(body, place, &vm); });
  EXPECT_EQ(error.code, "PropertyChangeNotAllowed");
  EXPECT_THAT(error.what(), HasSubstr("properties.osProfile.adminUsername"));
}

TEST(VmDocument, RefusesByNameWhatCannotBe) {
  const auto refusal = [](const char* pointer, const json& value) {
    json body = json_fixture("npm-vm.json");
    body[json::json_pointer(pointer)] = value;
    return std::string(thrown_by([&] { parse_vm(body, place, nullptr); }).what());
  };
  EXPECT_THAT(refusal("/properties/hardwareProfile/vmSize", "Huge"),
              HasSubstr("The value Huge provided for the VM size"));
  EXPECT_THAT(refusal("/properties/osProfile/adminPassword", "weak"), HasSubstr("complexity requirements"));
  EXPECT_THAT(refusal("/properties/osProfile/adminPassword", nullptr),
              HasSubstr("'adminPassword' is missing"));
  EXPECT_THAT(refusal("/properties/osProfile/adminUsername", "root"), HasSubstr("'root' is reserved"));
  EXPECT_THAT(refusal("/properties/osProfile/computerName", "1bad_name"), HasSubstr("1bad_name"));
  EXPECT_THAT(refusal("/properties/osProfile/customData", "%%%"), HasSubstr("Base64"));
  EXPECT_THAT(refusal("/properties/storageProfile/osDisk/osType", "Windows"), HasSubstr("runs Linux"));
  EXPECT_THAT(refusal("/properties/storageProfile/osDisk/createOption", "Attach"),
              HasSubstr("osDisk.managedDisk.id"));
  EXPECT_THAT(refusal("/properties/storageProfile/dataDisks", {{{"lun", 0}, {"createOption", "Empty"}}}),
              HasSubstr("dataDisks[0].diskSizeGB"));
  EXPECT_THAT(refusal("/properties/networkProfile/networkInterfaces", json::array()),
              HasSubstr("networkInterfaces"));
  EXPECT_THAT(refusal("/identity", {{"type", "Sometimes"}}), HasSubstr("identity"));
  EXPECT_THAT(refusal("/identity", {{"type", "UserAssigned"}}), HasSubstr("names no"));
  EXPECT_THAT(refusal("/location", "atlantis"), HasSubstr("atlantis"));
  EXPECT_THAT(refusal("/properties", 7), HasSubstr("must be an object"));
}

TEST(VmDocument, NeverRepeatsABadPassword) {
  json body = json_fixture("npm-vm.json");
  body["properties"]["osProfile"]["adminPassword"] = "hunter22";

  EXPECT_THAT(thrown_by([&] { parse_vm(body, place, nullptr); }).what(), Not(HasSubstr("hunter22")));
}

TEST(SshKeys, AreTakenAsALineOrInsideACertificate) {
  const PrivateKey key = PrivateKey::generate_rsa();
  const Certificate certificate =
      issue_certificate({.common_name = "x", .dns_names = {}, .ip_addresses = {}, .subject_prefix = {}}, key);
  std::string wrapped = base64_encode(certificate.to_der(), 64);
  for (std::size_t at = 0; (at = wrapped.find('\n', at)) != wrapped.npos; at += 2) wrapped.insert(at, "\r");

  const std::string line = parse_ssh_key(wrapped, "keyData");
  EXPECT_THAT(line, testing::StartsWith("ssh-rsa AAAA"));
  EXPECT_EQ(parse_ssh_key(line + " me@here\n", "keyData"), line + " me@here");
  EXPECT_EQ(thrown_by([] { parse_ssh_key("ssh-rsa nonsense!", "keyData"); }).code, "InvalidParameter");
  EXPECT_EQ(thrown_by([&] { parse_ssh_key(line + "\nssh-rsa AAAA", "keyData"); }).code, "InvalidParameter");
}

TEST(InstanceView, HasProvisioningFirstAndPowerSecond) {
  Vm vm = parse_vm(json_fixture("npm-vm.json"), place, nullptr).vm;
  vm.provisioning = Provisioning::succeeded;
  vm.power = PowerState::running;
  const json view = json::parse(written(vm, true))["properties"]["instanceView"];

  EXPECT_EQ(view["statuses"][0]["code"], "ProvisioningState/succeeded");
  EXPECT_EQ(view["statuses"][1]["code"], "PowerState/running");
  EXPECT_EQ(view["statuses"][1]["displayStatus"], "VM running");
  EXPECT_EQ(view["vmAgent"]["statuses"][0]["displayStatus"], "Not Ready");
}

Vm vm_with_docker() {
  Vm vm = parse_vm(json_fixture("npm-vm.json"), place, nullptr).vm;
  vm.provisioning = Provisioning::succeeded;
  vm.power = PowerState::running;
  vm.extensions = {{.name = "DockerExtension",
                    .publisher = "Microsoft.Azure.Extensions",
                    .type = "DockerExtension",
                    .version_wanted = "1.3",
                    .version = "1.3.0",
                    .settings = R"({"docker":{"port":"4243"}})",
                    .protected_settings = "Q01T",
                    .force_update_tag = {},
                    .tags = {},
                    .sequence = 2,
                    .provisioning = Provisioning::succeeded,
                    .problem = {}}};
  HandlerStatus handler;
  handler.handler = "Microsoft.Azure.Extensions.DockerExtension";
  handler.version = "1.3.0";
  handler.status = "Ready";
  handler.sequence = 2;
  handler.settings =
      StatusItem{.name = "docker", .status = "success", .code = 0, .message = "Docker answers"};
  handler.substatus = {{.name = "tls", .status = "success", .code = 0, .message = "handshake done"}};
  vm.agent.emplace();
  vm.agent->version = "2.2.47";
  vm.agent->status = "Ready";
  vm.agent->handlers = {handler};
  return vm;
}

TEST(ExtensionDocument, NeverHoldsProtectedSettings) {
  const std::string document = written(vm_with_docker(), true);

  EXPECT_THAT(document, Not(HasSubstr("Q01T")));
  EXPECT_THAT(document, Not(HasSubstr("rotectedSettings")));
  EXPECT_EQ(json::parse(document)["resources"][0]["properties"]["settings"]["docker"]["port"], "4243");
}

TEST(ExtensionDocument, ShowsWhatTheHandlerReportedWithItsSubstatus) {
  const json view = json::parse(written(vm_with_docker(), true))["properties"]["instanceView"];

  EXPECT_EQ(view["extensions"][0]["type"], "Microsoft.Azure.Extensions.DockerExtension");
  EXPECT_EQ(view["extensions"][0]["statuses"][0]["code"], "ProvisioningState/succeeded");
  EXPECT_EQ(view["extensions"][0]["statuses"][0]["message"], "Docker answers");
  EXPECT_EQ(view["extensions"][0]["substatuses"][0]["code"], "ComponentStatus/tls/succeeded");
  EXPECT_EQ(view["vmAgent"]["extensionHandlers"][0]["status"]["displayStatus"], "Ready");
}

TEST(ExtensionDocument, DoesNotPassOffTheStatusOfOlderSettings) {
  Vm vm = vm_with_docker();
  vm.extensions[0].sequence = 3;
  vm.extensions[0].provisioning = Provisioning::updating;
  const json view = json::parse(written(vm, true))["properties"]["instanceView"];

  EXPECT_EQ(view["extensions"][0]["statuses"][0]["code"], "ProvisioningState/transitioning");
}

TEST(ExtensionDocument, AFailedCommandIsNotHiddenByTheAgentsOwnStatus) {
  Vm vm = vm_with_docker();
  vm.extensions[0].provisioning = Provisioning::failed;
  vm.extensions[0].problem =
      Problem{.code = "VMExtensionProvisioningError", .message = "Non-zero exit code: 3"};
  vm.agent->handlers[0].settings->status = "transitioning";
  const json view = json::parse(written(vm, true))["properties"]["instanceView"]["extensions"][0];
  EXPECT_EQ(view["statuses"][0]["message"], "Non-zero exit code: 3");
  EXPECT_EQ(view["statuses"][0]["level"], "Error");
}

TEST(ExtensionDocument, IsReadAsAzSendsIt) {
  const ExtensionOrder order = parse_extension(json_fixture("az-docker-extension.json"), nullptr);

  EXPECT_EQ(order.version, "1.2");
  EXPECT_EQ(json::parse(order.settings)["docker"]["port"], "2376");
  EXPECT_TRUE(order.has_protected_settings);
  EXPECT_EQ(json::parse(order.protected_settings.reveal())["certs"]["key"], "a2V5");
}

TEST(ExtensionDocument, NeedsAPublisherAndAnObjectOfSettings) {
  EXPECT_THAT(thrown_by([] {
                parse_extension({{"properties", {{"type", "x"}}}}, nullptr);
              }).what(),
              HasSubstr("properties.publisher"));
  EXPECT_THAT(
      thrown_by([] {
        parse_extension({{"properties", {{"publisher", "p"}, {"type", "x"}, {"settings", "text"}}}}, nullptr);
      }).what(),
      HasSubstr("'properties.settings' must be an object"));
}

}  // namespace
}  // namespace berth::arm
