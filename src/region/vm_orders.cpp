#include <fmt/format.h>

#include <algorithm>

#include "crypto/random.h"
#include "model/catalog.h"
#include "region/impl.h"

// What is checked and written of an order for a VM before it is accepted. Checks come first and change
// nothing; what is written is written in one transaction with the operation that carries it out
// (vm_operations.cpp).
namespace berth {
namespace {

constexpr const char* interface_type = "Microsoft.Network/networkInterfaces";
constexpr const char* disk_type = "Microsoft.Compute/disks";

Error invalid(const std::string& message, const std::string& advice = {}) {
  return Error(ErrorKind::invalid, "InvalidParameter", message, advice);
}

const VmSize& get_size(const std::string& name) {
  if (const VmSize* size = find_vm_size(name)) return *size;
  throw invalid(fmt::format("There is no VM size '{}'.", name), "'az vm list-sizes' shows those there are.");
}

/// Who it is, and who may sign in.
void check_identity(const VmOrder& order) {
  const Vm& vm = order.vm;
  if (vm.name.empty() || vm.name.size() > 64) throw invalid("The name of a VM has 1 to 64 characters.");
  if (const auto problem = host_name_problem(vm.computer_name)) throw invalid(*problem);
  // Each dialect has a rule of its own for passwords; none of them goes below this.
  if (!order.password.empty() && order.password.reveal().size() < 6)
    throw invalid("The password is shorter than 6 characters.");
  for (const SshKey& key : vm.ssh_keys)
    if (!key.key.starts_with("ssh-"))
      throw invalid(
          "An SSH key must begin with 'ssh-' (ssh-rsa, ssh-ed25519): the guest agent accepts no other.");
  if (order.attach_os_disk || order.specialized) return;  // nobody is set up in it
  if (const auto problem = user_name_problem(vm.admin_user)) throw invalid(*problem);
  if (order.password.empty() && vm.ssh_keys.empty())
    throw invalid(fmt::format("{} has neither a password nor an SSH key.", vm.name));
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

Error exists_already(const Ref& disk) {
  return Error(
      ErrorKind::conflict, "ConflictingUserInput",
      fmt::format("Disk {} already exists in resource group {}. Only CreateOption.Attach is supported.",
                  disk.name, disk.group),
      "Attach it, delete it, or choose another name.");
}

void check_free(const Disk& disk, const Ref& vm) {
  if (!disk.vm.empty() && !(disk.vm == vm))
    throw Error(ErrorKind::conflict, "DiskInUse",
                fmt::format("Disk '{}' is used by VM '{}'.", disk.name, disk.vm.name),
                "Detach it there first.");
}

}  // namespace

Disk Region::Impl::os_disk_of(const VmOrder& order, const Vm* before) const {
  const Vm& vm = order.vm;
  Disk disk;
  disk.group = order.os_disk_group.empty() ? vm.group : order.os_disk_group;
  disk.name =
      !order.os_disk_name.empty() ? order.os_disk_name : fmt::format("{}_OsDisk_1_{}", vm.name, vm.id);
  const Disk* there = disks.find(disk.ref());
  if (there) check_free(*there, vm.ref());
  if (order.attach_os_disk) {
    if (!there) throw resource_not_found(disk_type, disk.ref());
    check_group(there->group);
    disk = *there;
    disk.vm = vm.ref();
    return disk;
  }
  if (there && !(before && !before->os_disk_attached && before->os_disk == disk.ref()))
    throw exists_already(there->ref());
  const auto image = host.gallery.find(vm.image);
  if (!image)
    throw Error(ErrorKind::not_found, "ImageNotFound", fmt::format("Image \"{}\" not found", vm.image),
                "'azure vm image list' shows those there are.");
  stamp(disk, there);
  disk.location = vm.location;
  disk.os = image->os;
  disk.image = image->name;
  disk.size_gib = std::max(order.os_disk_gib, image->size_gib);
  disk.vm = vm.ref();
  if (there) disk.file = there->file;
  disk.file = file_of(disk);
  return disk;
}

void Region::Impl::check_data_disks(const Vm& wanted, const Vm* before) const {
  std::set<int> luns;
  std::set<std::string> named{wanted.os_disk.key()};
  for (const DataDisk& data : wanted.data_disks) {
    if (!luns.insert(data.lun).second)
      throw invalid(fmt::format("Two data disks have the LUN {}.", data.lun));
    const bool is_new = data.disk.empty();
    const Ref ref = is_new ? Ref{wanted.group, data.name} : data.disk;
    if (!ref.empty() && !named.insert(ref.key()).second)
      throw Error(ErrorKind::conflict, "ConflictingUserInput",
                  fmt::format("{} names the disk '{}' twice.", wanted.name, ref.name));
    const Disk* disk = ref.empty() ? nullptr : disks.find(ref);
    if (is_new) {
      if (disk) throw exists_already(disk->ref());
      if (data.size_gib == 0)
        throw invalid(fmt::format("The new data disk at LUN {} has no size.", data.lun), "Give diskSizeGB.");
      continue;
    }
    if (!disk) throw resource_not_found(disk_type, ref);
    check_group(disk->group);
    check_free(*disk, wanted.ref());
    if (disk->file.empty() && !(before && disk->vm == before->ref()))
      throw Error(ErrorKind::conflict, "OperationNotAllowed",
                  fmt::format("Disk '{}' is still being made.", disk->name), "Try again when it is there.");
    if (data.size_gib != 0) check_growth(*disk, data.size_gib);
  }
}

void Region::Impl::check_interfaces(const Vm& wanted) const {
  if (wanted.interfaces.empty()) throw invalid(fmt::format("{} has no network interface.", wanted.name));
  for (const Ref& ref : wanted.interfaces) {
    const NetworkInterface* nic = interfaces.find(ref);
    if (!nic) throw resource_not_found(interface_type, ref);
    check_group(nic->group);
    if (!nic->vm.empty() && !(nic->vm == wanted.ref()))
      throw Error(ErrorKind::conflict, "NicInUse",
                  fmt::format("Network interface '{}' is used by VM '{}'.", nic->name, nic->vm.name));
  }
}

void Region::Impl::take_data_disks(Vm& vm) {
  for (DataDisk& data : vm.data_disks) {
    Disk disk;
    if (const Disk* there = data.disk.empty() ? nullptr : disks.find(data.disk)) {
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
    disks.put(std::move(disk));
  }
}

void Region::Impl::free_disks(const Ref& vm, const std::vector<Ref>& has) {
  for (const Disk* disk : disks.with(term("vm", vm)))
    if (std::ranges::find(has, disk->ref()) == has.end()) disks.edit(*disk).vm = {};
}

void Region::Impl::free_interfaces(const Ref& vm) {
  for (const NetworkInterface* nic : interfaces.with(term("vm", vm))) interfaces.edit(*nic).vm = {};
}

bool Region::Impl::says_the_same(const Vm& known, const VmOrder& order) const {
  const Vm& wanted = order.vm;
  const Disk* os_disk = disks.find(known.os_disk);
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

Accepted Region::put_vm(VmOrder order) {
  Impl& self = *impl_;
  self.check_group(order.vm.group);
  const Vm* known = self.vms.find(order.vm.ref());
  return known && !known->never_made() ? self.update_vm(*known, std::move(order))
                                       : self.create_vm(std::move(order), known);
}

Accepted Region::Impl::create_vm(VmOrder order, const Vm* before) {
  Vm& wanted = order.vm;
  if (before) check_idle(*before);
  if (wanted.computer_name.empty()) wanted.computer_name = wanted.name;
  check_identity(order);
  const VmSize& size = get_size(wanted.size.empty() ? std::string(default_vm_size) : wanted.size);
  wanted.size = size.name;
  stamp(wanted, before);
  wanted.id = before ? before->id : random_hex(12);
  wanted.vm_id = before ? before->vm_id : new_uuid();
  check_interfaces(wanted);
  Disk os_disk = os_disk_of(order, before);
  wanted.os_disk = os_disk.ref();
  if (before) name_known_disks(wanted.data_disks, before->data_disks);
  check_disk_count(wanted, size);
  check_data_disks(wanted, before);

  wanted.container_id = new_uuid();
  wanted.deployment_id = new_uuid();
  wanted.certificate = before ? before->certificate : "";
  wanted.image = os_disk.image;
  wanted.provisioning = Provisioning::creating;
  wanted.power = PowerState::deallocated;
  wanted.incarnation = 1;
  wanted.has_custom_data = !order.custom_data.empty();
  wanted.os_disk_attached = order.attach_os_disk;
  const Ref ref = wanted.ref();
  const std::string id = wanted.id;
  return records.change([&] {
    if (before) {
      free_disks(ref, {});
      free_interfaces(ref);
    }
    disks.put(std::move(os_disk));
    take_data_disks(wanted);
    for (const Ref& nic : wanted.interfaces) interfaces.edit(nic).vm = ref;
    records.after([this, id, ref] { vm_keys[id] = ref.key(); });
    const Vm& vm = vms.put(std::move(wanted));
    Accepted accepted = begin_vm(
        vm, "vm create",
        [this, ref, id, password = order.password, data = order.custom_data, attach = order.attach_os_disk,
         as_it_is = order.specialized](std::string operation) {
          return conclude(ref, id,
                          attach ? start_attached(std::move(operation), ref, id)
                                 : create(std::move(operation), ref, id, as_it_is ? Secret() : password,
                                          as_it_is ? std::string() : data, as_it_is));
        });
    accepted.created = true;
    return accepted;
  });
}

Accepted Region::Impl::update_vm(const Vm& known, VmOrder order) {
  Vm& wanted = order.vm;
  if (known.provisioning == Provisioning::deleting) throw not_now(known, "changed");
  const VmSize& size = get_size(wanted.size.empty() ? known.size : wanted.size);
  wanted.group = known.group;
  wanted.name = known.name;
  wanted.location = known.location;
  wanted.size = size.name;
  wanted.os_disk = known.os_disk;
  name_known_disks(wanted.data_disks, known.data_disks);
  if (known.provisioning == Provisioning::creating && says_the_same(known, order))
    return {live_vm(known.id).busy, false};
  check_idle(known);
  check_disk_count(wanted, size);
  check_data_disks(wanted, &known);
  const Disk* os_disk = disks.find(known.os_disk);
  if (os_disk && order.os_disk_gib != 0) check_growth(*os_disk, order.os_disk_gib);

  return records.change([&] {
    take_data_disks(wanted);
    Vm& changed = edit(known.ref());
    changed.tags = std::move(wanted.tags);
    changed.boot_diagnostics = wanted.boot_diagnostics;
    changed.os_disk_caching = wanted.os_disk_caching;
    changed.os_disk_deleted_with_vm = wanted.os_disk_deleted_with_vm;
    changed.interfaces_deleted_with_vm = std::move(wanted.interfaces_deleted_with_vm);
    changed.provisioning = Provisioning::updating;
    return begin_vm(changed, "vm update",
                    [this, ref = known.ref(), id = known.id, size = std::string(size.name),
                     gib = order.os_disk_gib, data_disks = wanted.data_disks](std::string operation) {
                      return conclude(ref, id, update(std::move(operation), ref, id, size, gib, data_disks));
                    });
  });
}

}  // namespace berth
