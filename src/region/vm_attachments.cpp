#include "region/vm_attachments.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "crypto/random.h"
#include "model/catalog.h"
#include "region/disks.h"
#include "region/vm_records.h"

namespace berth {

namespace asio = boost::asio;

namespace {

constexpr const char* interface_type = "Microsoft.Network/networkInterfaces";
constexpr const char* disk_type = "Microsoft.Compute/disks";

}  // namespace

Error invalid_parameter(const std::string& message, const std::string& advice) {
  return Error(ErrorKind::invalid, "InvalidParameter", message, advice);
}

const VmSize& get_vm_size(const std::string& name) {
  if (const VmSize* size = find_vm_size(name)) return *size;
  throw invalid_parameter(fmt::format("There is no VM size '{}'.", name),
                          "'az vm list-sizes' shows those there are.");
}

void check_disk_count(const Vm& vm, const VmSize& size) {
  if (vm.data_disks.size() > size.max_data_disks)
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("{} data disks are more than the {} that {} takes.", vm.data_disks.size(),
                            size.max_data_disks, size.name),
                "Detach one first, or choose a larger size ('az vm list-sizes').");
}

/// An order names a new disk by its LUN alone, and again when it is there.
void name_known_disks(std::vector<DataDisk>& wanted, const std::vector<DataDisk>& known) {
  for (DataDisk& data : wanted) {
    const auto there = std::ranges::find(known, data.lun, &DataDisk::lun);
    if (!data.disk.empty() || there == known.end()) continue;
    if (!data.name.empty() && !same_name(data.name, there->name)) continue;
    data.disk = there->disk;
    data.name = there->name;
    if (data.size_gib == 0) data.size_gib = there->size_gib;
  }
}

Error disk_exists_already(const Ref& disk) {
  return Error(
      ErrorKind::conflict, "ConflictingUserInput",
      fmt::format("Disk {} already exists in resource group {}. Only CreateOption.Attach is supported.",
                  disk.name, disk.group),
      "Attach it, delete it, or choose another name.");
}

void check_disk_is_free(const Disk& disk, const Ref& vm) {
  if (!disk.vm.empty() && !(disk.vm == vm))
    throw Error(ErrorKind::conflict, "DiskInUse",
                fmt::format("Disk '{}' is used by VM '{}'.", disk.name, disk.vm.name),
                "Detach it there first.");
}

VmAttachments::VmAttachments(RegionRecords& records, VmRecords& vms, Disks& disks)
    : records_(records), vms_(vms), disks_(disks) {}

void VmAttachments::check_data_disks(const Vm& wanted, const Vm* before) const {
  std::set<int> luns;
  std::set<std::string> named{wanted.os_disk.key()};
  for (const DataDisk& data : wanted.data_disks) {
    if (!luns.insert(data.lun).second)
      throw invalid_parameter(fmt::format("Two data disks have the LUN {}.", data.lun));
    const bool is_new = data.disk.empty();
    const Ref ref = is_new ? Ref{wanted.group, data.name} : data.disk;
    if (!ref.empty() && !named.insert(ref.key()).second)
      throw Error(ErrorKind::conflict, "ConflictingUserInput",
                  fmt::format("{} names the disk '{}' twice.", wanted.name, ref.name));
    const Disk* disk = ref.empty() ? nullptr : records_.disks.find(ref);
    if (is_new) {
      if (disk) throw disk_exists_already(disk->ref());
      if (data.size_gib == 0)
        throw invalid_parameter(fmt::format("The new data disk at LUN {} has no size.", data.lun),
                                "Give diskSizeGB.");
      continue;
    }
    if (!disk) throw resource_not_found(disk_type, ref);
    records_.check_group(disk->group);
    check_disk_is_free(*disk, wanted.ref());
    if (disk->file.empty() && !(before && disk->vm == before->ref()))
      throw Error(ErrorKind::conflict, "OperationNotAllowed",
                  fmt::format("Disk '{}' is still being made.", disk->name), "Try again when it is there.");
    if (data.size_gib != 0) disks_.check_growth(*disk, data.size_gib);
  }
}

void VmAttachments::check_interfaces(const Vm& wanted) const {
  if (wanted.interfaces.empty())
    throw invalid_parameter(fmt::format("{} has no network interface.", wanted.name));
  for (const Ref& ref : wanted.interfaces) {
    const NetworkInterface* nic = records_.interfaces.find(ref);
    if (!nic) throw resource_not_found(interface_type, ref);
    records_.check_group(nic->group);
    if (!nic->vm.empty() && !(nic->vm == wanted.ref()))
      throw Error(ErrorKind::conflict, "NicInUse",
                  fmt::format("Network interface '{}' is used by VM '{}'.", nic->name, nic->vm.name));
  }
}

void VmAttachments::take_data_disks(Vm& vm) {
  for (DataDisk& data : vm.data_disks) {
    Disk disk;
    if (const Disk* there = data.disk.empty() ? nullptr : records_.disks.find(data.disk)) {
      disk = *there;
    } else {
      disk.group = vm.group;
      disk.name =
          data.name.empty() ? fmt::format("{}_disk{}_{}", vm.name, data.lun + 2, random_hex(8)) : data.name;
      disk.location = vm.location;
      disk.size_gib = data.size_gib;
      stamp(disk, nullptr);
    }
    disk.vm = vm.ref();
    data.name = disk.name;
    data.disk = disk.ref();
    if (data.size_gib == 0) data.size_gib = disk.size_gib;
    records_.disks.put(std::move(disk));
  }
}

void VmAttachments::free_disks(const Ref& vm, const std::vector<Ref>& has) {
  for (const Disk* disk : records_.disks.with(term("vm", vm)))
    if (std::ranges::find(has, disk->ref()) == has.end()) records_.disks.edit(*disk).vm = {};
}

void VmAttachments::free_interfaces(const Ref& vm) {
  for (const NetworkInterface* nic : records_.interfaces.with(term("vm", vm)))
    records_.interfaces.edit(*nic).vm = {};
}

asio::awaitable<void> VmAttachments::make_data_disks(Ref ref, std::string id) {
  for (const DataDisk& data : std::vector<DataDisk>(vms_.current(ref, id).data_disks)) {
    co_await disks_.make(data.disk, data.size_gib);
    vms_.current(ref, id);
  }
}

void VmAttachments::take_interfaces(const Vm& vm) {
  for (const Ref& nic : vm.interfaces) records_.interfaces.edit(nic).vm = vm.ref();
}

}  // namespace berth
