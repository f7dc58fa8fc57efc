#include "region/vm_recovery.h"

#include "region/extensions.h"
#include "region/vm_attachments.h"
#include "region/vm_changes.h"
#include "region/vm_hibernation.h"
#include "region/vm_making.h"
#include "region/vm_power.h"
#include "region/vm_records.h"
#include "region/vm_removal.h"

namespace berth {

VmRecovery::VmRecovery(RegionRecords& records, Neighbours neighbours)
    : records_(records),
      vms_(neighbours.vms),
      attachments_(neighbours.attachments),
      making_(neighbours.making),
      changes_(neighbours.changes),
      power_(neighbours.power),
      hibernation_(neighbours.hibernation),
      removal_(neighbours.removal),
      extensions_(neighbours.extensions) {}

void VmRecovery::take_up(Operations::Unfinished& unfinished) {
  for (const Vm* vm : records_.vms.list({})) take_up_vm(*vm, unfinished);
}

void VmRecovery::take_up_vm(const Vm& vm, Operations::Unfinished& unfinished) {
  const Ref ref = vm.ref();
  const std::string id = vm.id, target = "virtualMachines/" + ref.group + "/" + ref.name;
  const bool runs = power_.runs(vm);
  if (vm.provisioning == Provisioning::deleting) {
    if (!records_.groups_going.contains(lower(ref.group)))
      removal_.begin(ref, {}, take_unfinished(unfinished, OperationKind::vm_delete, target));
    return;
  }
  attachments_.free_disks(ref, vm.disks());  // of a change that was under way
  if (vm.provisioning == Provisioning::creating) {
    making_.take_up(vm, runs, unfinished);
  } else {
    const PowerState power = next(vm.power, power_.found(vm.id));
    if (power != vm.power) vms_.edit(ref).power = power;
    if (vm.provisioning == Provisioning::updating) {
      vms_.edit(ref).provisioning = vm.provisioned ? Provisioning::succeeded : Provisioning::failed;
      if (runs)
        vms_.begin(vm, OperationKind::vm_recovery,
                   [this, ref, id](std::string) { return changes_.match_data_disks(ref, id); });
    }
    if (!runs && vm.provisioned) take_up_start(vm, unfinished);
  }
  for (const Extension& extension : std::vector<Extension>(vm.extensions))
    extensions_.take_up(ref, extension, runs || power_.is_hibernated(vm), unfinished);
}

/// What was asked to run, does.
void VmRecovery::take_up_start(const Vm& vm, Operations::Unfinished& unfinished) {
  for (const OperationKind kind :
       {OperationKind::vm_start, OperationKind::vm_restart, OperationKind::vm_redeploy}) {
    const std::string operation =
        take_unfinished(unfinished, kind, "virtualMachines/" + vm.group + "/" + vm.name);
    if (operation.empty()) continue;
    vms_.begin(
        vm, kind,
        [this, ref = vm.ref(), id = vm.id, asleep = power_.is_hibernated(vm)](std::string op) {
          return asleep ? hibernation_.wake(std::move(op), ref, id)
                        : power_.switch_on(std::move(op), ref, id, {});
        },
        operation);
    return;
  }
}

}  // namespace berth
