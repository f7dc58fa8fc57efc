#include "hypervisor/qemu/arguments.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace berth::qemu {
namespace {

using nlohmann::ordered_json;  // QEMU takes any order; people read this one

constexpr int os_disk_slot = 3;
constexpr int scsi_slot = 4;
constexpr int channels_slot = 5;
constexpr int first_nic_slot = 16;
constexpr int most_nics = 14;  // q35 keeps slot 31
constexpr int data_disk_target = 1;

void add(std::vector<std::string>& argv, std::vector<std::string> more) {
  argv.insert(argv.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

/// In QEMU's key=value lists a comma in a value is doubled.
std::string escaped(std::string_view value) {
  std::string result;
  for (const char c : value) result.append(c == ',' ? 2 : 1, c);
  return result;
}

/// The guest's discards free space in the qcow2 file, and what it flushes is on disk.
ordered_json qcow2(const std::string& node, const std::filesystem::path& file) {
  return {{"driver", "qcow2"},
          {"node-name", node},
          {"discard", "unmap"},
          {"detect-zeroes", "unmap"},
          {"file", {{"driver", "file"}, {"filename", file.string()}, {"discard", "unmap"}}}};
}

std::vector<std::string> console_arguments() {
  return {"-chardev", "file,id=serial,path=serial.log,append=on",
          "-serial",  "chardev:serial",
          "-display", "none",
          "-device",  "VGA,addr=0x1"};
}

std::vector<std::string> monitor_arguments() {
  return {"-chardev", fmt::format("socket,id=qmp,fd={},server=on,wait=off", monitor_descriptor), "-mon",
          "chardev=qmp,mode=control"};
}

/// How a machine that does not boot learns who it is: a new generation for its kernel's random numbers, and a
/// port that its identity comes in by.
std::vector<std::string> identity_arguments() {
  return {"-device",  "vmgenid,guid=auto",
          "-device",  fmt::format("virtio-serial-pci,id=channels,addr={:#x}", channels_slot),
          "-chardev", fmt::format("socket,id=identity,fd={},server=on,wait=off", identity_descriptor),
          "-device",  "virtserialport,bus=channels.0,nr=1,chardev=identity,name=identity"};
}

/// Memory is a file's where machines are frozen, or go on: shared with the file by the one that writes it, private
/// to all that read it. Device state does not hold what is in a shared file. It has one name in all machines, so that
/// what one loads may be another's.
std::vector<std::string> memory_arguments(const MachineSpec& spec, const HostSide& host) {
  const std::string size = fmt::format("{}M", spec.memory_mib);
  const bool writes = host.frozen_memory.empty();
  const std::filesystem::path& file = writes ? spec.memory_file : host.frozen_memory;
  const std::string memory =
      file.empty() ? fmt::format("memory-backend-ram,id={},size={}", memory_object, size)
                   : fmt::format("memory-backend-file,id={},size={},mem-path={},share={}", memory_object,
                                 size, escaped(file.string()), writes ? "on" : "off");
  return {"-m", size, "-object", memory, "-machine", fmt::format("memory-backend={}", memory_object)};
}

/// The drive of those that have no medium.
std::vector<std::string> drive_arguments() {
  return {"-device", fmt::format("scsi-cd,id={},bus=scsi0.0,scsi-id=0,lun=0,bootindex=2", medium_device)};
}

std::vector<std::string> medium_file_arguments() {
  return {"-add-fd", fmt::format("fd={},set={}", medium_descriptor, medium_descriptor_set)};
}

/// In the boot order after the OS disk, for the firmware shows its guests no disk outside of a strict one.
std::vector<std::string> medium_arguments() {
  return {"-blockdev", medium_node_json(), "-device",
          fmt::format("scsi-cd,id={},bus=scsi0.0,scsi-id=0,lun=0,drive={},bootindex=2", medium_device,
                      medium_node)};
}

/// A guest names SCSI disks in the order of their controllers' slots: sda is the OS disk, sdb the temporary
/// one, data disks follow. The serial numbers are what the guest's udev rules make /dev/disk/azure of.
std::vector<std::string> system_disk_arguments(const MachineSpec& spec) {
  std::vector<std::string> argv = {"-blockdev", qcow2("os", spec.os_disk).dump()};
  if (!spec.azure_disks) {
    add(argv, {"-device", fmt::format("virtio-blk-pci,id=os,drive=os,addr={:#x},bootindex=1", os_disk_slot)});
    return argv;
  }
  add(argv, {"-device", fmt::format("virtio-scsi-pci,id=system,addr={:#x}", os_disk_slot), "-device",
             "scsi-hd,id=os,bus=system.0,scsi-id=0,lun=0,drive=os,serial=root,bootindex=1"});
  if (spec.temporary_disk)
    add(argv, {"-blockdev", qcow2("temporary", *spec.temporary_disk).dump(), "-device",
               "scsi-hd,id=temporary,bus=system.0,scsi-id=0,lun=1,drive=temporary,serial=resource"});
  return argv;
}

/// QEMU listens and the switch connects, again whenever it was restarted (network/virtual_network.h).
std::vector<std::string> nic_arguments(const MachineSpec::Nic& nic, int index) {
  return {
      "-netdev",
      fmt::format("stream,id=n{},server=on,addr.type=unix,addr.path={}", index, escaped(nic.socket.string())),
      "-device",
      fmt::format("virtio-net-pci,netdev=n{},mac={},addr={:#x},romfile=", index, escaped(nic.mac),
                  first_nic_slot + index)};
}

}  // namespace

std::string medium_node_json() {
  return ordered_json{
      {"driver", "raw"},
      {"node-name", medium_node},
      {"read-only", true},
      {"file", {{"driver", "file"}, {"filename", fmt::format("/dev/fdset/{}", medium_descriptor_set)}}}}
      .dump();
}

std::string disk_device(int lun) {
  return fmt::format("disk{}", lun);
}

std::optional<int> lun_of_device(std::string_view device) {
  constexpr std::string_view prefix = "disk";
  if (!device.starts_with(prefix)) return std::nullopt;
  const std::string_view digits = device.substr(prefix.size());
  int lun = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), lun);
  return failed == std::errc() && end == digits.data() + digits.size() ? std::optional(lun) : std::nullopt;
}

std::string disk_node(int lun) {
  return fmt::format("lun{}", lun);
}

std::string disk_node_json(const MachineSpec::DataDisk& disk) {
  return qcow2(disk_node(disk.lun), disk.file).dump();
}

std::string disk_device_json(const MachineSpec::DataDisk& disk) {
  return ordered_json{{"driver", "scsi-hd"},
                      {"id", disk_device(disk.lun)},
                      {"bus", "scsi0.0"},
                      {"scsi-id", data_disk_target},
                      {"lun", disk.lun},
                      {"drive", disk_node(disk.lun)},
                      {"serial", disk_node(disk.lun)}}
      .dump();
}

std::vector<std::string> processor_arguments(Accelerator accelerator) {
  const bool kvm = accelerator == Accelerator::kvm;
  // What QEMU translates fills its buffer once and stays: 1 GiB by default. A Docker host starts as fast with an eighth.
  return {"-machine", "q35,sata=off,vmport=off", "-accel", kvm ? "kvm" : "tcg,thread=multi,tb-size=128",
          "-cpu",     kvm ? "host" : "max"};
}

std::vector<std::string> sandbox_arguments() {
  return {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"};
}

std::vector<std::string> arguments(const MachineSpec& spec, const HostSide& host) {
  if (spec.nics.size() > most_nics)
    throw Error(ErrorKind::invalid, "NetworkInterfaceCountExceeded",
                fmt::format("{} has {} network interfaces; a machine takes {}.", spec.name, spec.nics.size(),
                            most_nics));
  std::vector<std::string> argv = {host.program,      "-name",       "guest=" + escaped(spec.name),
                                   "-no-user-config", "-nodefaults", "-S"};
  add(argv, sandbox_arguments());
  add(argv, processor_arguments(host.accelerator));
  add(argv, {"-smp", std::to_string(spec.cpus)});
  add(argv, memory_arguments(spec, host));
  add(argv, {"-uuid", spec.uuid, "-rtc", "base=utc", "-boot", "strict=on"});
  // A guest that went to sleep would look like one that hangs.
  add(argv, {"-global", "ICH9-LPC.disable_s3=1", "-global", "ICH9-LPC.disable_s4=1"});
  add(argv, monitor_arguments());
  add(argv, console_arguments());
  add(argv, {"-object", "rng-builtin,id=rng0", "-device", "virtio-rng-pci,rng=rng0,addr=0x2"});
  add(argv, identity_arguments());
  // Boot index 0 is QEMU's own for a kernel that it boots directly.
  add(argv, system_disk_arguments(spec));
  add(argv, {"-device", fmt::format("virtio-scsi-pci,id=scsi0,addr={:#x}", scsi_slot)});
  if (host.medium) add(argv, medium_file_arguments());
  const bool inserted_later = host.goes_on || !spec.memory_file.empty();
  add(argv, host.medium && !inserted_later ? medium_arguments() : drive_arguments());
  for (const MachineSpec::DataDisk& disk : spec.data_disks)
    add(argv, {"-blockdev", disk_node_json(disk), "-device", disk_device_json(disk)});
  for (std::size_t i = 0; i < spec.nics.size(); ++i)
    add(argv, nic_arguments(spec.nics[i], static_cast<int>(i)));
  if (spec.direct_boot)
    add(argv, {"-kernel", spec.direct_boot->kernel, "-initrd", spec.direct_boot->initrd, "-append",
               spec.direct_boot->command_line});
  if (host.goes_on) add(argv, {"-incoming", "defer"});
  return argv;
}

std::vector<std::string> layout(MachineSpec spec, const HostSide& host) {
  spec.id = spec.name = spec.uuid = "";
  spec.memory_file = "memory";
  spec.os_disk = "os";
  if (spec.temporary_disk) spec.temporary_disk = "temporary";
  for (MachineSpec::DataDisk& disk : spec.data_disks) disk.file = "data";
  for (MachineSpec::Nic& nic : spec.nics) nic = {"mac", "socket"};
  if (spec.direct_boot) spec.direct_boot = MachineSpec::DirectBoot{"kernel", "initrd", ""};
  return arguments(spec, {.program = "", .accelerator = host.accelerator});
}

}  // namespace berth::qemu
