#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "api/arm/network.h"
#include "model/orders.h"

/// Microsoft.Compute's documents of VMs and disks. Source: docs/wire/arm.md; Compute REST 2020-06-01.
namespace berth::arm {

inline constexpr std::string_view vm_type = "Microsoft.Compute/virtualMachines";
inline constexpr std::string_view disk_type = "Microsoft.Compute/disks";
inline constexpr std::string_view availability_set_type = "Microsoft.Compute/availabilitySets";

/// What a PUT of a VM asks for: of an update, what stands there with the wishes applied.
/// `before`: the VM that stands there, or nullptr. A password or key that cannot be, an unknown size, a
/// Windows VM, and whatever the local region cannot do (certificates from a vault) is an Error(invalid) that names it; what cannot change on an existing VM is Error(conflict,
/// "PropertyChangeNotAllowed"). Whether the image exists is not checked here.
VmOrder parse_vm(const nlohmann::json& body, const Place& place, const Vm* before);

/// An SSH public key as one OpenSSH line, from such a line or from a base64 X.509 certificate around an RSA
/// key, which the classic client sends. Throws Error(invalid) naming `path`.
std::string parse_ssh_key(const std::string& key_data, const std::string& path);

/// With `instance_view`, also what the guest reports. `logs_url`: where serial log and screenshot are, up to
/// the names "serial.log" and "screen.png"; "" leaves them out.
void write_vm(JsonText& out, const Vm& vm, std::string_view subscription, bool instance_view,
              std::string_view logs_url = {}, std::string_view tenant = {});
/// The instance view alone.
void write_instance_view(JsonText& out, std::string_view key, const Vm& vm, std::string_view logs_url = {});

Disk parse_disk(const nlohmann::json& body, const Place& place, const Disk* before);
void write_disk(JsonText& out, const Disk& disk, std::string_view subscription);

/// {"vmSize": …} entries.
void write_vm_sizes(JsonText& out, std::string_view key);
void write_skus(JsonText& out, std::string_view key, std::string_view location_filter);
void write_usages(JsonText& out, std::string_view key, std::size_t vms, std::size_t cores);

}  // namespace berth::arm
