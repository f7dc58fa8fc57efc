#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hypervisor/driver.h"

namespace berth::qemu {

/// What QEMU finds open when it starts.
constexpr int monitor_descriptor = 3;   ///< the listening QMP socket
constexpr int medium_descriptor = 4;    ///< the provisioning ISO, read-only
constexpr int identity_descriptor = 5;  ///< the listening socket of the guest's identity
constexpr int devices_descriptor = 6;   ///< what a frozen machine's devices were, read-only

/// Names of devices and block nodes, as QMP commands and events give them.
constexpr std::string_view memory_object = "memory";
constexpr std::string_view medium_device = "cd0";
constexpr std::string_view medium_node = "medium";
constexpr int medium_descriptor_set = 1;
std::string disk_device(int lun);                           ///< "disk3"
std::optional<int> lun_of_device(std::string_view device);  ///< 3 of "disk3", nullopt of any other device
std::string disk_node(int lun);                             ///< "lun3"
std::string medium_node_json();                             ///< blockdev-add, -blockdev

/// The part of the specification that this host decides.
struct HostSide {
  std::filesystem::path program;  ///< qemu-system-x86_64
  Accelerator accelerator = Accelerator::tcg;
  bool medium = false;                  ///< there is one, as medium_descriptor
  bool goes_on = false;                 ///< where another stood, once it is told to load; else it boots
  std::filesystem::path frozen_memory;  ///< the memory that it goes on with; empty: what it loads has it
};

/// The whole command line, QEMU 7.2 or newer. Runs in the machine's folder and starts paused. No secret is in
/// it. Devices sit in slots of their own, so a guest sees the same names whatever else it has: the OS disk is
/// vda, the medium sr0, data disks are target 1 of the same SCSI bus by lun, network interface N is enp0sX
/// with X = 16 + N.
std::vector<std::string> arguments(const MachineSpec& spec, const HostSide& host);

/// The same for all machines of one kind: none of its own names, files and addresses are in it.
std::vector<std::string> layout(MachineSpec spec, const HostSide& host);

/// The machine type and processor: what a guest of ours meets that a probe must try.
std::vector<std::string> processor_arguments(Accelerator accelerator);

/// What is denied to QEMU itself: new programs, other users, other limits.
std::vector<std::string> sandbox_arguments();

/// The arguments of the QMP commands that plug a data disk in.
std::string disk_node_json(const MachineSpec::DataDisk& disk);    ///< blockdev-add, -blockdev
std::string disk_device_json(const MachineSpec::DataDisk& disk);  ///< device_add, -device

}  // namespace berth::qemu
