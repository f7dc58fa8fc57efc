#include "region/machines.h"

#include "hypervisor/driver.h"
#include "region/settings.h"
#include "region/vm_attachments.h"
#include "region/vm_changes.h"
#include "region/vm_hibernation.h"
#include "region/vm_making.h"
#include "region/vm_power.h"
#include "region/vm_records.h"
#include "region/vm_removal.h"
#include "region/vm_restoring.h"

namespace berth {

namespace asio = boost::asio;

Machines::Machines(RegionRecords& records, Operations& operations, Neighbours neighbours, Driver& driver,
                   const RegionSettings& settings)
    : records_(records),
      operations_(operations),
      vms_(neighbours.vms),
      making_(neighbours.making),
      changes_(neighbours.changes),
      power_(neighbours.power),
      hibernation_(neighbours.hibernation),
      restoring_(neighbours.restoring),
      removal_(neighbours.removal),
      driver_(driver),
      settings_(settings) {}

Accepted Machines::warm(const std::string& image, const std::string& size) {
  return restoring_.warm(image, get_vm_size(size));
}

std::string_view Machines::template_of(const GalleryImage& image) const {
  return restoring_.template_of(image);
}

Accepted Machines::start(const Ref& ref) {
  const Vm& vm = vms_.get(ref);
  if (vm.power == PowerState::starting || vm.power == PowerState::running || vm.power == PowerState::waking) {
    if (const std::string& busy = vms_.live(vm.id)->busy; !busy.empty()) return {busy, false};
    return {operations_.begin(OperationKind::vm_start, vm_target(ref),
                              [](std::string) -> asio::awaitable<void> { co_return; }),
            false};
  }
  if (!vm.provisioned) throw not_now(vm, "started: it was never made");
  if (vm.generalized) throw not_now(vm, "started: it is generalized");
  return vms_.begin(vm, OperationKind::vm_start, [this, ref, id = vm.id](std::string operation) {
    if (power_.is_hibernated(vms_.current(ref, id))) return hibernation_.wake(std::move(operation), ref, id);
    return power_.switch_on(std::move(operation), ref, id, {});
  });
}

Accepted Machines::restart(const Ref& ref) {
  const Vm& vm = vms_.get(ref);
  if (vm.power != PowerState::running) throw not_now(vm, "restarted");
  return vms_.begin(vm, OperationKind::vm_restart,
                    [this, ref, id = vm.id](std::string operation) -> asio::awaitable<void> {
                      co_await power_.switch_off(operation, ref, id, settings_.shutdown_grace, false);
                      co_await power_.switch_on(operation, ref, id, {});
                    });
}

Accepted Machines::stop(const Ref& ref, bool skip_shutdown) {
  const Vm& vm = vms_.get(ref);
  if (vm.power == PowerState::deallocated || is_asleep(vm.power)) throw not_now(vm, "stopped");
  const auto grace =
      skip_shutdown ? std::chrono::milliseconds(0) : std::chrono::milliseconds(settings_.shutdown_grace);
  return vms_.begin(vm, OperationKind::vm_stop, [this, ref, id = vm.id, grace](std::string operation) {
    return power_.switch_off(std::move(operation), ref, id, grace, false);
  });
}

Accepted Machines::deallocate(const Ref& ref) {
  const Vm& vm = vms_.get(ref);
  return vms_.begin(vm, OperationKind::vm_deallocate, [this, ref, id = vm.id](std::string operation) {
    return power_.switch_off(std::move(operation), ref, id, settings_.shutdown_grace, true);
  });
}

Accepted Machines::hibernate(const Ref& ref) {
  return hibernation_.begin(vms_.get(ref));
}

void Machines::wake(const std::string& vm_id) {
  hibernation_.wanted(vm_id);
}

Accepted Machines::redeploy(const Ref& ref) {
  const Vm& vm = vms_.get(ref);
  if (is_asleep(vm.power)) throw not_now(vm, "redeployed");
  if (!vm.provisioned) throw not_now(vm, "redeployed: it was never made");
  if (vm.generalized) throw not_now(vm, "redeployed: it is generalized");
  return vms_.begin(vm, OperationKind::vm_redeploy,
                    [this, ref, id = vm.id](std::string operation) -> asio::awaitable<void> {
                      co_await power_.switch_off(operation, ref, id, settings_.shutdown_grace, true);
                      co_await power_.switch_on(operation, ref, id, {});
                    });
}

void Machines::retag(const Ref& ref, Tags tags) {
  vms_.get(ref);
  vms_.change(ref, [&](Vm& vm) { vm.tags = std::move(tags); });
}

void Machines::generalize(const Ref& ref) {
  const Vm& vm = vms_.get(ref);
  if (vm.power != PowerState::stopped && vm.power != PowerState::deallocated)
    throw not_now(vm, "generalized");
  vms_.change(ref, [](Vm& changed) { changed.generalized = true; });
}

Accepted Machines::remove(const Ref& ref, VmDeletion also) {
  const Vm& vm = vms_.get(ref);
  if (vm.provisioning == Provisioning::deleting)
    for (const Operation* operation : operations_.of(vm_target(vm.ref())))
      if (operation->status == OperationStatus::running &&
          operation->kind == to_string(OperationKind::vm_delete))
        return {operation->id, false};
  return {removal_.begin(vm.ref(), also), false};
}

std::vector<const Vm*> Machines::list(const std::string& group) const {
  return records_.vms.list(group);
}
const Vm* Machines::find(const Ref& ref) const {
  return records_.vms.find(ref);
}
const Vm& Machines::get(const Ref& ref) const {
  return vms_.get(ref);
}
std::filesystem::path Machines::serial_log(const Ref& ref) const {
  return driver_.serial_log(vms_.get(ref).id);
}
asio::awaitable<std::string> Machines::screenshot(Ref ref) {
  return driver_.screenshot(vms_.get(ref).id);
}

Accepted Machines::put(VmOrder order) {
  records_.check_group(order.vm.group);
  const Vm* known = records_.vms.find(order.vm.ref());
  return known && !known->never_made() ? changes_.begin(*known, std::move(order))
                                       : making_.begin(std::move(order), known);
}

}  // namespace berth
