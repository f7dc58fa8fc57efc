#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <thread>

#include "crypto/certificate.h"
#include "crypto/random.h"
#include "model/catalog.h"
#include "region/impl.h"

namespace berth {
namespace {

constexpr std::string_view vm_type = "Microsoft.Compute/virtualMachines";

std::string target_of(const Ref& ref) {
  return "virtualMachines/" + ref.group + "/" + ref.name;
}

}  // namespace

Error Region::Impl::not_now(const Vm& vm, const std::string& what) {
  return Error(ErrorKind::conflict, "OperationNotAllowed",
               fmt::format("{} is {} and cannot be {} now.", vm.name, to_string(vm.power), what),
               "See 'azure vm show " + vm.name + "', then try again.");
}

const Vm& Region::Impl::vm(const Ref& ref) const {
  const Vm* found = vms.find(ref);
  if (!found) throw resource_not_found(std::string(vm_type), ref);
  return *found;
}

std::shared_ptr<LiveVm> Region::Impl::live_ptr(const std::string& id) {
  auto& slot = live[id];
  if (!slot) slot = std::make_shared<LiveVm>(host.executor);
  return slot;
}

LiveVm& Region::Impl::live_vm(const std::string& id) {
  return *live_ptr(id);
}

Vm& Region::Impl::edit(const Ref& ref) {
  Vm& vm = vms.edit(ref);
  vm.etag = new_uuid();
  records.after([this, ref, id = vm.id] {
    live_vm(id).changed.notify();
    if (const Vm* changed = vms.find(ref); changed && changed->id == id && host.vm_changed)
      host.vm_changed(*changed);
  });
  return vm;
}

const Vm& Region::Impl::still(const Ref& ref, const std::string& id) const {
  const Vm* found = vms.find(ref);
  if (!found || found->id != id || found->provisioning == Provisioning::deleting)
    throw Error(ErrorKind::conflict, "OperationPreempted", fmt::format("{} is being deleted.", ref.name));
  return *found;
}

void Region::Impl::check_idle(const Vm& vm) {
  const std::string& busy = live_vm(vm.id).busy;
  if (busy.empty()) return;
  throw Error(ErrorKind::conflict, "AnotherOperationInProgress",
              fmt::format("Another operation on {} is in progress ({}).", vm.name,
                          operations.contains(busy) ? operations.at(busy)->operation.kind : "unknown"),
              "Wait until it has ended, then try again.");
}

Accepted Region::Impl::begin_vm(const Vm& vm, const std::string& kind,
                                std::function<asio::awaitable<void>(std::string)> work, std::string id) {
  check_idle(vm);
  const auto state = live_ptr(vm.id);
  auto guarded = [state, work = std::move(work)](std::string operation) -> asio::awaitable<void> {
    const Occupied until_done{state, operation};
    co_await work(std::move(operation));
  };
  if (id.empty()) id = random_hex(32);
  return records.change([&]() -> Accepted {
    records.after([state, id] { state->busy = id; });
    return {begin(kind, target_of(vm.ref()), std::move(guarded), id), false};
  });
}

Accepted Region::start_vm(const Ref& ref) {
  Impl& self = *impl_;
  const Vm& vm = self.vm(ref);
  if (vm.power == PowerState::starting || vm.power == PowerState::running) {
    if (const std::string& busy = self.live_vm(vm.id).busy; !busy.empty()) return {busy, false};
    return {self.begin("vm start", target_of(ref), [](std::string) -> asio::awaitable<void> { co_return; }),
            false};
  }
  if (!vm.provisioned) throw Impl::not_now(vm, "started: it was never made");
  if (vm.generalized) throw Impl::not_now(vm, "started: it is generalized");
  return self.begin_vm(vm, "vm start", [&self, ref, id = vm.id](std::string operation) {
    return self.power_on(std::move(operation), ref, id, {});
  });
}

Accepted Region::restart_vm(const Ref& ref) {
  Impl& self = *impl_;
  const Vm& vm = self.vm(ref);
  if (vm.power != PowerState::running) throw Impl::not_now(vm, "restarted");
  return self.begin_vm(vm, "vm restart",
                       [&self, ref, id = vm.id](std::string operation) -> asio::awaitable<void> {
                         co_await self.power_off(operation, ref, id, self.settings.shutdown_grace, false);
                         co_await self.power_on(operation, ref, id, {});
                       });
}

Accepted Region::stop_vm(const Ref& ref, bool skip_shutdown) {
  Impl& self = *impl_;
  const Vm& vm = self.vm(ref);
  if (vm.power == PowerState::deallocated) throw Impl::not_now(vm, "stopped");
  const auto grace =
      skip_shutdown ? std::chrono::milliseconds(0) : std::chrono::milliseconds(self.settings.shutdown_grace);
  return self.begin_vm(vm, "vm stop", [&self, ref, id = vm.id, grace](std::string operation) {
    return self.power_off(std::move(operation), ref, id, grace, false);
  });
}

Accepted Region::deallocate_vm(const Ref& ref) {
  Impl& self = *impl_;
  const Vm& vm = self.vm(ref);
  return self.begin_vm(vm, "vm deallocate", [&self, ref, id = vm.id](std::string operation) {
    return self.power_off(std::move(operation), ref, id, self.settings.shutdown_grace, true);
  });
}

Accepted Region::redeploy_vm(const Ref& ref) {
  Impl& self = *impl_;
  const Vm& vm = self.vm(ref);
  if (!vm.provisioned) throw Impl::not_now(vm, "redeployed: it was never made");
  if (vm.generalized) throw Impl::not_now(vm, "redeployed: it is generalized");
  return self.begin_vm(vm, "vm redeploy",
                       [&self, ref, id = vm.id](std::string operation) -> asio::awaitable<void> {
                         co_await self.power_off(operation, ref, id, self.settings.shutdown_grace, true);
                         co_await self.power_on(operation, ref, id, {});
                       });
}

void Region::retag_vm(const Ref& ref, Tags tags) {
  impl_->vm(ref);
  impl_->change_vm(ref, [&](Vm& vm) { vm.tags = std::move(tags); });
}

void Region::generalize_vm(const Ref& ref) {
  const Vm& vm = impl_->vm(ref);
  if (vm.power != PowerState::stopped && vm.power != PowerState::deallocated)
    throw Impl::not_now(vm, "generalized");
  impl_->change_vm(ref, [](Vm& changed) { changed.generalized = true; });
}

std::string Region::Impl::begin_removal(const Ref& ref, VmDeletion also, std::string id) {
  return records.change([&] {
    records.after([state = live_ptr(vm(ref).id)] { state->giving_up.request_stop(); });
    Vm& vm = edit(ref);  // whoever works on it sees that and gives up
    vm.provisioning = Provisioning::deleting;
    if (also.disks) {
      vm.os_disk_deleted_with_vm = true;
      for (DataDisk& data : vm.data_disks) data.deleted_with_vm = true;
    }
    if (also.interfaces) {
      vm.interfaces_deleted_with_vm = vm.interfaces;
      for (const Ref& nic : vm.interfaces)
        if (interfaces.find(nic))
          for (IpConfiguration& configuration : interfaces.edit(nic).configurations)
            configuration.address_deleted_with_vm = true;
    }
    return begin(
        "vm delete", target_of(vm.ref()),
        [this, ref = vm.ref(), vm_id = vm.id](std::string op) { return remove(std::move(op), ref, vm_id); },
        std::move(id));
  });
}

Accepted Region::delete_vm(const Ref& ref, VmDeletion also) {
  const Vm& vm = impl_->vm(ref);
  if (vm.provisioning == Provisioning::deleting)
    for (const Operation* operation : operations_of(target_of(vm.ref())))
      if (operation->status == OperationStatus::running && operation->kind == "vm delete")
        return {operation->id, false};
  return {impl_->begin_removal(vm.ref(), also), false};
}

std::vector<const Vm*> Region::vms(const std::string& group) const {
  return impl_->vms.list(group);
}
const Vm* Region::find_vm(const Ref& ref) const {
  return impl_->vms.find(ref);
}
const Vm& Region::get_vm(const Ref& ref) const {
  return impl_->vm(ref);
}
const Vm* Region::find_vm_by_id(const std::string& id) const {
  const auto key = impl_->vm_keys.find(id);
  if (key == impl_->vm_keys.end()) return nullptr;
  const auto row = impl_->vms.rows().find(key->second);
  return row == impl_->vms.rows().end() ? nullptr : &row->second;
}
std::filesystem::path Region::serial_log(const Ref& ref) const {
  return impl_->host.driver.serial_log(impl_->vm(ref).id);
}
asio::awaitable<std::string> Region::screenshot(Ref ref) {
  return impl_->host.driver.screenshot(impl_->vm(ref).id);
}

}  // namespace berth
