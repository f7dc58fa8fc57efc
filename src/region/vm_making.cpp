#include "region/vm_making.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/as_error.h"
#include "crypto/random.h"
#include "host/files.h"
#include "images/disk.h"
#include "model/catalog.h"
#include "region/disks.h"
#include "region/images.h"
#include "region/provisioning_medium.h"
#include "region/switches.h"
#include "region/vm_attachments.h"
#include "region/vm_certificates.h"
#include "region/vm_power.h"
#include "region/vm_records.h"
#include "region/vm_restoring.h"

namespace berth {

namespace asio = boost::asio;

namespace {

/// Who it is, and who may sign in.
void check_identity(const VmOrder& order) {
  const Vm& vm = order.vm;
  if (vm.name.empty() || vm.name.size() > 64)
    throw invalid_parameter("The name of a VM has 1 to 64 characters.");
  if (const auto problem = host_name_problem(vm.computer_name)) throw invalid_parameter(*problem);
  // Each dialect has a rule of its own for passwords; none of them goes below this.
  if (!order.password.empty() && order.password.reveal().size() < 6)
    throw invalid_parameter("The password is shorter than 6 characters.");
  for (const SshKey& key : vm.ssh_keys)
    if (!key.key.starts_with("ssh-"))
      throw invalid_parameter(
          "An SSH key must begin with 'ssh-' (ssh-rsa, ssh-ed25519): the guest agent accepts no other.");
  if (order.attach_os_disk || order.specialized) return;  // nobody is set up in it
  if (const auto problem = user_name_problem(vm.admin_user)) throw invalid_parameter(*problem);
  if (order.password.empty() && vm.ssh_keys.empty())
    throw invalid_parameter(fmt::format("{} has neither a password nor an SSH key.", vm.name));
}

}  // namespace

VmMaking::VmMaking(RegionRecords& records, Operations& operations, Neighbours neighbours, Threads threads,
                   std::filesystem::path home)
    : records_(records),
      operations_(operations),
      vms_(neighbours.vms),
      attachments_(neighbours.attachments),
      certificates_(neighbours.certificates),
      power_(neighbours.power),
      restoring_(neighbours.restoring),
      images_(neighbours.images),
      switches_(neighbours.switches),
      threads_(std::move(threads)),
      home_(std::move(home)) {}

// --- check, record

Disk VmMaking::os_disk_of(const VmOrder& order, const Vm* before) const {
  const Vm& vm = order.vm;
  Disk disk;
  disk.group = order.os_disk_group.empty() ? vm.group : order.os_disk_group;
  disk.name =
      !order.os_disk_name.empty() ? order.os_disk_name : fmt::format("{}_OsDisk_1_{}", vm.name, vm.id);
  const Disk* there = records_.disks.find(disk.ref());
  if (there) check_disk_is_free(*there, vm.ref());
  if (order.attach_os_disk) {
    if (!there) throw resource_not_found("Microsoft.Compute/disks", disk.ref());
    records_.check_group(there->group);
    disk = *there;
    disk.vm = vm.ref();
    return disk;
  }
  if (there && !(before && !before->os_disk_attached && before->os_disk == disk.ref()))
    throw disk_exists_already(there->ref());
  const auto image = images_.gallery().find(vm.image);
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
  disk.file = Disks::file_of(disk);
  return disk;
}

Accepted VmMaking::begin(VmOrder order, const Vm* before) {
  Vm& wanted = order.vm;
  if (before) vms_.check_idle(*before);
  if (wanted.computer_name.empty()) wanted.computer_name = wanted.name;
  check_identity(order);
  const VmSize& size = get_vm_size(wanted.size.empty() ? std::string(default_vm_size) : wanted.size);
  wanted.size = size.name;
  stamp(wanted, before);
  wanted.id = before ? before->id : random_hex(12);
  wanted.vm_id = before ? before->vm_id : new_uuid();
  attachments_.check_interfaces(wanted);
  Disk os_disk = os_disk_of(order, before);
  wanted.os_disk = os_disk.ref();
  if (before) name_known_disks(wanted.data_disks, before->data_disks);
  check_disk_count(wanted, size);
  attachments_.check_data_disks(wanted, before);

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
  return records_.change([&] {
    if (before) {
      attachments_.free_disks(ref, {});
      attachments_.free_interfaces(ref);
    }
    records_.disks.put(std::move(os_disk));
    attachments_.take_data_disks(wanted);
    attachments_.take_interfaces(wanted);
    const Vm& vm = vms_.put(std::move(wanted));
    Accepted accepted = vms_.begin(
        vm, OperationKind::vm_create,
        [this, ref, id, password = order.password, data = order.custom_data, attach = order.attach_os_disk,
         as_it_is = order.specialized](std::string operation) {
          return conclude(ref, id,
                          attach ? start_attached(std::move(operation), ref, id)
                                 : make(std::move(operation), ref, id, as_it_is ? Secret() : password,
                                        as_it_is ? std::string() : data, as_it_is));
        });
    accepted.created = true;
    return accepted;
  });
}

asio::awaitable<void> VmMaking::start_attached(std::string operation, Ref ref, std::string id) {
  co_await attachments_.make_data_disks(ref, id);
  co_await certificates_.make(ref, id);
  co_await power_.switch_on(operation, ref, id, {});
  co_await power_.await_agent(operation, ref, id);
}

asio::awaitable<void> VmMaking::make(std::string operation, Ref ref, std::string id, Secret password,
                                     std::string custom_data, bool as_it_is) {
  const auto state = vms_.live(id);
  operations_.phase(operation, "Preparing the image");
  const std::string image = vms_.current(ref, id).image;
  const auto known = images_.gallery().find(image);
  const ImageFiles files =
      co_await on(known && known->built ? threads_.pool : threads_.builds,
                  [&gallery = images_.gallery(), image, progress = images_.progress(operation),
                   stop = state->giving_up.get_token()] { return gallery.ensure(image, progress, stop); });

  const Vm& vm = vms_.current(ref, id);
  const VmSize* size = find_vm_size(vm.size);
  const MachineSpec spec = power_.machine(vm, files);
  const VmRestoring::Beginning beginning =
      as_it_is
          ? VmRestoring::Beginning{{}, "its image is set up already"}
          : co_await restoring_.prepare(
                operation, ref, id,
                {.spec = spec, .temporary_mib = spec.temporary_disk ? size->resource_disk_mib : 0}, files);
  const auto& from = beginning.from;

  operations_.phase(operation, "Making the disk");
  const Disk* disk = records_.disks.find(vms_.current(ref, id).os_disk);
  if (!disk) throw Error(ErrorKind::internal, "InternalError", ref.name + " has no OS disk.");
  const auto file = home_ / disk->file;
  const bool grow = co_await on(threads_.pool, [&gallery = images_.gallery(), files, file, from,
                                                size = disk->size_gib, temporary = spec.temporary_disk] {
    make_folder(file.parent_path());
    std::filesystem::remove(file);  // of an attempt that ended early
    ImageFiles base = files;
    if (from) {
      base.disk = from->disk;
      base.format = "qcow2";
    }
    gallery.make_disk(base, file, size);
    if (from && temporary) {
      make_folder(temporary->parent_path());
      std::filesystem::remove(*temporary);
      create_disk(*temporary, read_disk(from->temporary_disk).virtual_size, from->temporary_disk, "qcow2");
    }
    return from && read_disk(file).virtual_size > read_disk(from->disk).virtual_size;
  });
  co_await attachments_.make_data_disks(ref, id);
  co_await certificates_.make(ref, id);
  const std::string medium =
      as_it_is ? std::string() : provisioning_medium(vms_.current(ref, id), password, custom_data);
  if (from && co_await restore(operation, ref, id, password, medium, {from->memory, from->devices}, grow))
    co_return;
  if (!beginning.why_not.empty())
    operations_.phase(operation, fmt::format("It boots, because {}", beginning.why_not));
  co_await power_.switch_on(operation, ref, id, medium);
  co_await power_.await_agent(operation, ref, id);
}

/// False when it has to boot after all: its disk is as good for that.
asio::awaitable<bool> VmMaking::restore(std::string operation, Ref ref, std::string id, Secret password,
                                        std::string medium, Frozen from, bool grow) {
  std::optional<Error> trouble;
  vms_.change(ref, [](Vm& vm) { vm.restored = true; });
  try {
    co_await power_.switch_on(operation, ref, id, std::move(medium), std::move(from));
    co_await restoring_.introduce(operation, ref, id, password, grow);
    co_return true;
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  vms_.current(ref, id);  // it is being deleted
  spdlog::warn("not restored, it boots vm={} {}", ref.name, trouble->what());
  operations_.phase(operation,
                    fmt::format("It boots, because it could not be restored ({})", trouble->what()));
  if (power_.runs(vms_.current(ref, id)))
    co_await power_.switch_off(operation, ref, id, std::chrono::milliseconds(0), false);
  vms_.change(ref, [](Vm& vm) { vm.restored = false; });
  co_return false;
}

asio::awaitable<void> VmMaking::conclude(Ref ref, std::string id, asio::awaitable<void> steps) {
  std::optional<Error> trouble;
  try {
    co_await std::move(steps);
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  co_await operations_.insist([&] {
    const Vm* known = records_.vms.find(ref);
    if (!known || known->id != id || known->provisioning == Provisioning::deleting) return;
    Vm& done = vms_.edit(ref);
    // A machine that was never set up is not, whatever of it was changed since.
    const bool good = !trouble && done.provisioned;
    done.provisioning = good ? Provisioning::succeeded : Provisioning::failed;
    if (good) done.problem.reset();
    if (!trouble) return;
    done.problem = to_problem(*trouble);
    attachments_.free_disks(ref, done.disks());  // that were to be attached
  });
  if (trouble) throw *trouble;
}

/// A restored machine whose identity went with the process that had it is nobody.
asio::awaitable<void> VmMaking::give_up(Ref ref, std::string id) {
  co_await power_.destroy(id);
  co_await operations_.insist([&] {
    if (const Vm* known = records_.vms.find(ref); !known || known->id != id) return;
    Vm& vm = vms_.edit(ref);
    vm.power = next(vm.power, PowerEvent::released);
  });
  const Problem why = interrupted("the VM was being made");
  throw Error(ErrorKind::unavailable, why.code, why.message, why.advice);
}

asio::awaitable<void> VmMaking::resume(std::string operation, Ref ref, std::string id) {
  const NetworkInterface* nic = records_.interfaces.find(vms_.current(ref, id).interfaces.front());
  if (!nic)
    throw resource_not_found("Microsoft.Network/networkInterfaces", vms_.current(ref, id).interfaces.front());
  co_await switches_.settle(nic->configurations.front().network);
  co_await power_.await_agent(std::move(operation), ref, id);
}

void VmMaking::take_up(const Vm& vm, bool runs, Operations::Unfinished& unfinished) {
  const Ref ref = vm.ref();
  const std::string id = vm.id, target = vm_target(ref);
  if (runs && vm.restored && !vm.provisioned) {
    vms_.begin(
        vm, OperationKind::vm_create,
        [this, ref, id](std::string) { return conclude(ref, id, give_up(ref, id)); },
        take_unfinished(unfinished, OperationKind::vm_create, target));
  } else if (runs) {
    // The machine has its provisioning medium in memory and goes on: only the waiting is left to do.
    Vm& running = vms_.edit(ref);
    running.power = next(running.power, PowerEvent::found_running);
    vms_.begin(
        vm, OperationKind::vm_create,
        [this, ref, id](std::string op) { return conclude(ref, id, resume(std::move(op), ref, id)); },
        take_unfinished(unfinished, OperationKind::vm_create, target));
  } else {
    // Its password was never written down. Nothing of it ran: give the disk back and say so.
    if (const Disk* disk = vm.os_disk_attached ? nullptr : records_.disks.find(vm.os_disk)) {
      std::error_code ignored;
      std::filesystem::remove(home_ / disk->file, ignored);
    }
    Vm& failed = vms_.edit(ref);
    failed.provisioning = Provisioning::failed;
    failed.power = next(failed.power, PowerEvent::released);
    failed.problem = interrupted("the VM was being made");
  }
}

}  // namespace berth
