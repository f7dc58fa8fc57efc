#include "region/vm_changes.h"

#include <algorithm>

#include "hypervisor/driver.h"
#include "model/catalog.h"
#include "region/disks.h"
#include "region/settings.h"
#include "region/vm_attachments.h"
#include "region/vm_making.h"
#include "region/vm_power.h"
#include "region/vm_records.h"

namespace berth {

namespace asio = boost::asio;

VmChanges::VmChanges(RegionRecords& records, Operations& operations, Neighbours neighbours, Driver& driver,
                     std::filesystem::path home, const RegionSettings& settings)
    : records_(records),
      operations_(operations),
      vms_(neighbours.vms),
      attachments_(neighbours.attachments),
      making_(neighbours.making),
      power_(neighbours.power),
      disks_(neighbours.disks),
      driver_(driver),
      home_(std::move(home)),
      settings_(settings) {}

bool VmChanges::says_the_same(const Vm& known, const VmOrder& order) const {
  const Vm& wanted = order.vm;
  const Disk* os_disk = records_.disks.find(known.os_disk);
  return wanted.tags == known.tags && same_name(wanted.size, known.size) &&
         wanted.boot_diagnostics == known.boot_diagnostics &&
         wanted.os_disk_caching == known.os_disk_caching &&
         wanted.os_disk_deleted_with_vm == known.os_disk_deleted_with_vm &&
         wanted.interfaces_deleted_with_vm == known.interfaces_deleted_with_vm &&
         (!os_disk || order.os_disk_gib <= os_disk->size_gib) &&
         std::ranges::equal(wanted.data_disks, known.data_disks, [](const DataDisk& a, const DataDisk& b) {
           return a.lun == b.lun && a.disk == b.disk && a.size_gib == b.size_gib && a.caching == b.caching &&
                  a.deleted_with_vm == b.deleted_with_vm;
         });
}

Accepted VmChanges::begin(const Vm& known, VmOrder order) {
  Vm& wanted = order.vm;
  if (known.provisioning == Provisioning::deleting) throw not_now(known, "changed");
  const VmSize& size = get_vm_size(wanted.size.empty() ? known.size : wanted.size);
  wanted.group = known.group;
  wanted.name = known.name;
  wanted.location = known.location;
  wanted.size = size.name;
  wanted.os_disk = known.os_disk;
  name_known_disks(wanted.data_disks, known.data_disks);
  if (known.provisioning == Provisioning::creating && says_the_same(known, order))
    return {vms_.live(known.id)->busy, false};
  vms_.check_idle(known);
  const bool other_disks = !std::ranges::equal(
      wanted.data_disks, known.data_disks,
      [](const DataDisk& a, const DataDisk& b) { return a.lun == b.lun && a.disk == b.disk; });
  if (is_asleep(known.power) && (other_disks || size.name != known.size))
    throw not_now(known, "given other disks or another size");  // it would not find itself again
  check_disk_count(wanted, size);
  attachments_.check_data_disks(wanted, &known);
  const Disk* os_disk = records_.disks.find(known.os_disk);
  if (os_disk && order.os_disk_gib != 0) disks_.check_growth(*os_disk, order.os_disk_gib);

  return records_.change([&] {
    attachments_.take_data_disks(wanted);
    Vm& changed = vms_.edit(known.ref());
    changed.tags = std::move(wanted.tags);
    changed.kept = std::move(wanted.kept);
    changed.boot_diagnostics = wanted.boot_diagnostics;
    changed.os_disk_caching = wanted.os_disk_caching;
    changed.os_disk_deleted_with_vm = wanted.os_disk_deleted_with_vm;
    changed.interfaces_deleted_with_vm = std::move(wanted.interfaces_deleted_with_vm);
    changed.provisioning = Provisioning::updating;
    return vms_.begin(changed, OperationKind::vm_update,
                      [this, ref = known.ref(), id = known.id, size = std::string(size.name),
                       gib = order.os_disk_gib, data_disks = wanted.data_disks](std::string operation) {
                        return making_.conclude(ref, id,
                                                update(std::move(operation), ref, id, size, gib, data_disks));
                      });
  });
}

asio::awaitable<void> VmChanges::match_data_disks(Ref ref, std::string id) {
  const std::set<int> plugged = co_await driver_.luns(id);
  const std::vector<DataDisk> recorded = vms_.current(ref, id).data_disks;
  for (const int lun : plugged)
    if (std::ranges::find(recorded, lun, &DataDisk::lun) == recorded.end())
      co_await driver_.detach_disk(id, lun);
  for (const DataDisk& data : recorded)
    if (const Disk* disk = records_.disks.find(data.disk); disk && !plugged.contains(data.lun))
      co_await driver_.attach_disk(id, {data.lun, home_ / disk->file});
}

asio::awaitable<void> VmChanges::update(std::string operation, Ref ref, std::string id, std::string size,
                                        std::uint64_t os_disk_gib, std::vector<DataDisk> data_disks) {
  if (const Vm& resized = vms_.current(ref, id); resized.size != size) {
    const bool was_on = resized.power == PowerState::running;
    if (was_on) co_await power_.switch_off(operation, ref, id, settings_.shutdown_grace, false);
    vms_.current(ref, id);
    vms_.change(ref, [&](Vm& vm) { vm.size = size; });
    if (was_on) co_await power_.switch_on(operation, ref, id, {});
  }
  if (os_disk_gib != 0) co_await disks_.make(vms_.current(ref, id).os_disk, os_disk_gib);
  const auto in = [](const DataDisk& disk, const std::vector<DataDisk>& list) {
    return std::ranges::any_of(list,
                               [&](const DataDisk& d) { return d.lun == disk.lun && d.disk == disk.disk; });
  };
  std::vector<DataDisk> gone, came;
  for (const DataDisk& old : vms_.current(ref, id).data_disks)
    if (!in(old, data_disks)) gone.push_back(old);
  for (const DataDisk& next : data_disks)
    if (!in(next, vms_.current(ref, id).data_disks)) came.push_back(next);
  if (!gone.empty() || !came.empty()) operations_.phase(operation, "Changing the data disks");
  const std::set<int> plugged = gone.empty() ? std::set<int>() : co_await driver_.luns(id);
  for (const DataDisk& disk : gone) {
    if (vms_.current(ref, id).power == PowerState::running && plugged.contains(disk.lun))
      co_await driver_.detach_disk(id, disk.lun);
    co_await operations_.insist([&] {
      vms_.current(ref, id);
      std::erase_if(vms_.edit(ref).data_disks, [&](const DataDisk& d) { return d.lun == disk.lun; });
    });
  }
  for (const DataDisk& disk : data_disks) co_await disks_.make(disk.disk, disk.size_gib);
  for (const DataDisk& disk : came) {
    const Disk* record = records_.disks.find(disk.disk);
    if (!record) throw resource_not_found("Microsoft.Compute/disks", disk.disk);
    if (vms_.current(ref, id).power == PowerState::running)
      co_await driver_.attach_disk(id, {disk.lun, home_ / record->file});
    co_await operations_.insist([&] {
      vms_.current(ref, id);
      vms_.edit(ref).data_disks.push_back(disk);
    });
  }
  for (DataDisk& data : data_disks)
    if (const Disk* disk = records_.disks.find(data.disk)) data.size_gib = disk->size_gib;
  co_await operations_.insist([&] {
    vms_.current(ref, id);
    Vm& vm = vms_.edit(ref);
    vm.data_disks = data_disks;  // in the order and with the caching of the request
    attachments_.free_disks(ref, vm.disks());
  });
}

}  // namespace berth
