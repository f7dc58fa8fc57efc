#include "region/vm_removal.h"

#include <fmt/format.h>

#include <map>

#include "base/as_error.h"
#include "region/disks.h"
#include "region/host_names.h"
#include "region/images.h"
#include "region/switches.h"
#include "region/vm_attachments.h"
#include "region/vm_certificates.h"
#include "region/vm_power.h"
#include "region/vm_records.h"

namespace berth {

namespace asio = boost::asio;

VmRemoval::VmRemoval(RegionRecords& records, Operations& operations, Neighbours neighbours)
    : records_(records),
      operations_(operations),
      vms_(neighbours.vms),
      attachments_(neighbours.attachments),
      certificates_(neighbours.certificates),
      power_(neighbours.power),
      disks_(neighbours.disks),
      images_(neighbours.images),
      switches_(neighbours.switches),
      names_(neighbours.names) {}

std::string VmRemoval::begin(const Ref& ref, VmDeletion also, std::string id) {
  return records_.change([&] {
    records_.after([state = vms_.live(vms_.get(ref).id)] { state->giving_up.request_stop(); });
    Vm& vm = vms_.edit(ref);  // whoever works on it sees that and gives up
    vm.provisioning = Provisioning::deleting;
    if (also.disks) {
      vm.os_disk_deleted_with_vm = true;
      for (DataDisk& data : vm.data_disks) data.deleted_with_vm = true;
    }
    if (also.interfaces) {
      vm.interfaces_deleted_with_vm = vm.interfaces;
      for (const Ref& nic : vm.interfaces)
        if (records_.interfaces.find(nic))
          for (IpConfiguration& configuration : records_.interfaces.edit(nic).configurations)
            configuration.address_deleted_with_vm = true;
    }
    return operations_.begin(
        OperationKind::vm_delete, vm_target(vm.ref()),
        [this, ref = vm.ref(), vm_id = vm.id](std::string op) { return remove(std::move(op), ref, vm_id); },
        std::move(id));
  });
}

asio::awaitable<void> VmRemoval::remove(std::string operation, Ref ref, std::string id) {
  const auto state = vms_.live(id);
  operations_.phase(operation, "Deleting the virtual machine");
  // The operation under way gives up at its next step; a step that hangs is cut by the driver's destroy
  // below.
  for (int i = 0; i < 60 && !state->busy.empty(); ++i) {
    if (i == 3) co_await power_.cut(id);
    co_await state->changed.wait(std::chrono::seconds(1));
  }
  state->busy = operation;
  const BusyGuard until_done{state, operation};
  std::optional<Error> trouble;
  try {
    co_await take_apart(ref, id);
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  if (!trouble) co_return;
  co_await operations_.insist([&] {
    if (const Vm* known = records_.vms.find(ref); !known || known->id != id) return;
    Vm& vm = vms_.edit(ref);
    vm.provisioning = Provisioning::failed;  // it is still there, and can be deleted again
    vm.problem = to_problem(*trouble);
    if (!power_.runs(vm))
      vm.power =
          next(vm.power, power_.is_hibernated(vm) ? PowerEvent::found_hibernated : PowerEvent::released);
    records_.after([state] { state->giving_up = std::stop_source(); });
  });
  throw *trouble;
}

/// What goes with a VM, within a change. Returns whether a name on this host is gone.
bool VmRemoval::erase(const Vm& vm, std::vector<std::string>& files) {
  const Ref ref = vm.ref();
  bool names_gone = false;
  attachments_.free_disks(ref, {});
  attachments_.free_interfaces(ref);
  std::vector<Ref> going;
  if (vm.os_disk_deleted_with_vm) going.push_back(vm.os_disk);
  for (const DataDisk& data : vm.data_disks)
    if (data.deleted_with_vm) going.push_back(data.disk);
  for (const Ref& disk : going)
    if (records_.disks.find(disk)) disks_.erase(disk, files);
  for (const Ref& nic_ref : vm.interfaces_deleted_with_vm) {
    const NetworkInterface* nic = records_.interfaces.find(nic_ref);
    if (!nic) continue;
    const auto configurations = nic->configurations;
    records_.interfaces.erase(nic_ref);
    for (const IpConfiguration& configuration : configurations) {
      const Ref& address = configuration.public_address;
      if (!configuration.address_deleted_with_vm || !records_.addresses.find(address) ||
          !records_.interfaces.with(term("address", address)).empty() ||
          !records_.load_balancers.with(term("address", address)).empty())
        continue;
      records_.addresses.erase(address);
      names_gone = true;
    }
  }
  certificates_.erase(vm);
  vms_.erase(vm);
  return names_gone;
}

asio::awaitable<void> VmRemoval::take_apart(Ref ref, std::string id) {
  co_await power_.destroy(id);
  std::vector<std::string> files;
  std::map<std::string, Ref> to_settle;
  bool names_gone = false;
  co_await operations_.insist([&] {
    files.clear();
    const Vm* vm = records_.vms.find(ref);
    if (!vm || vm->id != id) return;
    for (const Ref& nic_ref : vm->interfaces)
      if (const NetworkInterface* nic = records_.interfaces.find(nic_ref))
        for (const IpConfiguration& configuration : nic->configurations)
          to_settle.emplace(configuration.network.key(), configuration.network);
    names_gone = erase(*vm, files);
  });
  if (operations_.stopping()) co_return;
  if (names_gone) names_.rewrite();
  co_await disks_.remove_files(std::move(files));
  images_.sweep();
  for (const auto& [key, network] : to_settle) co_await switches_.settle(network);
}

}  // namespace berth
