#include <fmt/format.h>

#include <algorithm>

#include "api/arm/compute.h"
#include "api/arm/extensions.h"
#include "api/arm/groups.h"
#include "api/arm/identities.h"
#include "api/arm/ids.h"
#include "api/arm/json_text.h"
#include "api/arm/members.h"

/// A VM as it is shown, and what its guest reports.
namespace berth::arm {
namespace {

void write_status(JsonText& out, std::string_view code, std::string_view display,
                  std::string_view level = "Info", std::string_view message = {},
                  std::string_view time = {}) {
  out.open().put("code", code).put("level", level).put("displayStatus", display);
  out.put_if("message", message).put_if("time", time).close();
}

/// Azure has no power states of its own for a machine that hibernates.
std::string_view power_word(PowerState power) {
  switch (power) {
    case PowerState::hibernating:
      return to_string(PowerState::deallocating);
    case PowerState::hibernated:
      return to_string(PowerState::deallocated);
    case PowerState::waking:
      return to_string(PowerState::starting);
    default:
      return to_string(power);
  }
}

void write_agent(JsonText& out, const Vm& vm) {
  out.open("vmAgent").put("vmAgentVersion", vm.agent ? vm.agent->version : "Unknown").open_list("statuses");
  const bool running = vm.power == PowerState::running;
  if (vm.agent && running) {
    const bool ready = same_name(vm.agent->status, "Ready");
    write_status(out, ready ? "ProvisioningState/succeeded" : "ProvisioningState/Unavailable",
                 ready ? "Ready" : "Not Ready", ready ? "Info" : "Warning",
                 ready ? "Guest Agent is running" : std::string_view(vm.agent->message), vm.agent->received);
  } else {
    write_status(
        out, "ProvisioningState/Unavailable", "Not Ready", "Warning",
        running ? "VM status blob is found but not yet populated." : "The virtual machine is not running.");
  }
  out.close_list().open_list("extensionHandlers");
  if (vm.agent)
    for (const HandlerStatus& handler : vm.agent->handlers) {
      const bool ready = handler.status == "Ready";
      out.open().put("type", handler.handler).put("typeHandlerVersion", handler.version).open("status");
      out.put("code", ready ? "ProvisioningState/succeeded" : "ProvisioningState/" + handler.status)
          .put("level", ready                            ? "Info"
                        : handler.status == "Installing" ? "Info"
                                                         : "Error")
          .put("displayStatus", ready ? "Ready" : std::string_view(handler.status))
          .put_if("message", handler.message)
          .close()
          .close();
    }
  out.close_list().close();
}

void write_provisioning_status(JsonText& out, const Vm& vm) {
  switch (vm.provisioning) {
    case Provisioning::failed:
      write_status(out,
                   fmt::format("ProvisioningState/failed/{}",
                               vm.problem ? vm.problem->code : "InternalOperationError"),
                   "Provisioning failed", "Error", vm.problem ? vm.problem->message : "", vm.created);
      break;
    case Provisioning::succeeded:
      write_status(out, "ProvisioningState/succeeded", "Provisioning succeeded", "Info", {}, vm.created);
      break;
    default: {
      const std::string state(to_string(vm.provisioning));
      write_status(out, "ProvisioningState/" + lower(state), state, "Info", {}, vm.created);
    }
  }
}

void write_data_disk(JsonText& out, const DataDisk& disk, std::string_view subscription) {
  out.open().put("lun", disk.lun).put_if("name", disk.name).put("createOption", "Attach");
  out.put("caching", disk.caching);
  if (disk.deleted_with_vm) out.put("deleteOption", "Delete");
  if (disk.size_gib > 0) out.put("diskSizeGB", disk.size_gib);
  out.open("managedDisk").put("storageAccountType", "Standard_LRS");
  if (!disk.disk.empty()) out.put("id", make_id(subscription, disk.disk.group, disk_type, disk.disk.name));
  out.close().close();
}

void write_storage(JsonText& out, const Vm& vm, std::string_view subscription) {
  out.open("storageProfile").open("imageReference");
  if (!vm.image_id.empty()) {
    out.put("id", vm.image_id);
  } else if (!vm.image_publisher.empty()) {
    out.put("publisher", vm.image_publisher).put("offer", vm.image_offer).put("sku", vm.image_sku);
    out.put("version", vm.image_version);
  } else {
    out.put("osImage", vm.image);
  }
  out.close().open("osDisk").put("osType", "Linux").put_if("name", vm.os_disk.name);
  out.put("createOption", vm.os_disk_attached ? "Attach" : "FromImage").put("caching", vm.os_disk_caching);
  if (vm.os_disk_deleted_with_vm) out.put("deleteOption", "Delete");
  out.open("managedDisk");
  out.put("storageAccountType", "Standard_LRS");
  if (!vm.os_disk.empty()) out.put("id", make_id(subscription, vm.os_disk.group, disk_type, vm.os_disk.name));
  out.close().close().open_list("dataDisks");
  for (const DataDisk& disk : vm.data_disks)
    write_with_kept(out, disk.kept, [&](JsonText& own) { write_data_disk(own, disk, subscription); });
  out.close_list().close();
}

void write_os_profile(JsonText& out, const Vm& vm) {
  out.open("osProfile").put("computerName", vm.computer_name).put("adminUsername", vm.admin_user);
  out.open("linuxConfiguration").put("disablePasswordAuthentication", !vm.password_login);
  out.put("provisionVMAgent", true);
  if (!vm.ssh_keys.empty()) {
    out.open("ssh").open_list("publicKeys");
    for (const SshKey& key : vm.ssh_keys) out.open().put("path", key.path).put("keyData", key.key).close();
    out.close_list().close();
  }
  out.close().open_list("secrets").close_list().put("allowExtensionOperations", true).close();
}

}  // namespace

void write_instance_view(JsonText& out, std::string_view key, const Vm& vm, std::string_view logs_url) {
  out.open(key).put("computerName", vm.computer_name);
  if (vm.agent) out.put_if("osName", vm.agent->os_name).put_if("osVersion", vm.agent->os_version);
  out.put("hyperVGeneration", "V1");
  write_agent(out, vm);
  out.open_list("disks");
  if (!vm.os_disk.empty()) {
    out.open().put("name", vm.os_disk.name).open_list("statuses");
    write_status(out, "ProvisioningState/succeeded", "Provisioning succeeded", "Info", {}, vm.created);
    out.close_list().close();
  }
  out.close_list();
  out.open_list("extensions");
  for (const Extension& extension : vm.extensions)
    if (!extension.of_platform()) write_extension_view(out, {}, vm, extension);
  out.close_list();
  if (vm.boot_diagnostics && !logs_url.empty())
    // Not as blobs, which az would look for in a storage account: it asks for their addresses instead.
    out.open("bootDiagnostics")
        .put("localScreenshot", fmt::format("{}screen.png", logs_url))
        .put("localSerialLog", fmt::format("{}serial.log", logs_url))
        .close();
  out.open_list("statuses");
  write_provisioning_status(out, vm);
  const std::string_view power = power_word(vm.power);
  write_status(out, fmt::format("PowerState/{}", power), fmt::format("VM {}", power));
  if (vm.power == PowerState::hibernated) write_status(out, "HibernationState/Hibernated", "Hibernated");
  if (vm.generalized) write_status(out, "OSState/generalized", "VM generalized");
  if (vm.waits_for_space()) write_status(out, "HostState/noSpace", "VM halted", "Error", held_for_space);
  if (vm.power == PowerState::running && !vm.network_news.empty())
    write_status(out, "HostState/networkRestarted", "Network restarted", "Warning", vm.network_news);
  out.close_list().close();
}

namespace {

void write_own_vm(JsonText& out, const Vm& vm, std::string_view subscription, bool instance_view,
                  std::string_view logs_url, std::string_view tenant) {
  open_resource(out, vm, vm_type, subscription);
  out.put("etag", "\"" + vm.etag + "\"");
  write_identities(out, vm, tenant);
  out.open("properties").put("vmId", vm.vm_id).put("provisioningState", to_string(vm.provisioning));
  out.open("hardwareProfile").put("vmSize", vm.size).close();
  write_storage(out, vm, subscription);
  write_os_profile(out, vm);
  out.open("networkProfile").open_list("networkInterfaces");
  for (std::size_t i = 0; i < vm.interfaces.size(); ++i) {
    const Ref& nic = vm.interfaces[i];
    out.open().put("id", make_id(subscription, nic.group, interface_type, nic.name));
    const auto& deleted = vm.interfaces_deleted_with_vm;
    const bool goes = std::ranges::find(deleted, nic) != deleted.end();
    if (vm.interfaces.size() > 1 || goes) {
      out.open("properties").put("primary", i == 0);
      if (goes) out.put("deleteOption", "Delete");
      out.close();
    }
    out.close();
  }
  out.close_list().close();
  out.open("diagnosticsProfile").open("bootDiagnostics").put("enabled", vm.boot_diagnostics).close().close();
  if (!vm.availability_set.empty())
    out.open("availabilitySet")
        .put("id", make_id(subscription, vm.availability_set.group, availability_set_type,
                           vm.availability_set.name))
        .close();
  out.put_if("timeCreated", vm.created);
  if (instance_view) write_instance_view(out, "instanceView", vm, logs_url);
  out.close();
  if (!std::ranges::all_of(vm.extensions, &Extension::of_platform)) {
    out.open_list("resources");
    for (const Extension& extension : vm.extensions)
      if (!extension.of_platform()) write_extension(out, vm, extension, subscription, false);
    out.close_list();
  }
  out.close();
}

}  // namespace

void write_vm(JsonText& out, const Vm& vm, std::string_view subscription, bool instance_view,
              std::string_view logs_url, std::string_view tenant) {
  write_with_kept(out, vm.kept, [&](JsonText& own) {
    write_own_vm(own, vm, subscription, instance_view, logs_url, tenant);
  });
}

}  // namespace berth::arm
