#include "region/vm_records.h"

#include <fmt/format.h>

#include "crypto/random.h"

namespace berth {

namespace asio = boost::asio;

std::string vm_target(const Ref& vm) {
  return "virtualMachines/" + vm.group + "/" + vm.name;
}

Error not_now(const Vm& vm, const std::string& what) {
  return Error(ErrorKind::conflict, "OperationNotAllowed",
               fmt::format("{} is {} and cannot be {} now.", vm.name, to_string(vm.power), what),
               "See 'azure vm show " + vm.name + "', then try again.");
}

VmRecords::VmRecords(RegionRecords& records, Operations& operations, asio::any_io_executor executor,
                     std::function<void(const Vm& vm)> changed)
    : records_(records),
      operations_(operations),
      executor_(std::move(executor)),
      changed_(std::move(changed)) {}

void VmRecords::load() {
  for (const auto& [key, vm] : records_.vms.rows()) keys_[vm.id] = key;
}

const Vm& VmRecords::get(const Ref& ref) const {
  const Vm* found = records_.vms.find(ref);
  if (!found) throw resource_not_found("Microsoft.Compute/virtualMachines", ref);
  return *found;
}

const Vm* VmRecords::find_by_id(const std::string& id) const {
  const auto key = keys_.find(id);
  return key == keys_.end() ? nullptr : records_.vms.find(key->second);
}

std::shared_ptr<LiveVm> VmRecords::live(const std::string& id) {
  auto& slot = live_[id];
  if (!slot) slot = std::make_shared<LiveVm>(executor_);
  return slot;
}

const Vm& VmRecords::put(Vm vm) {
  const Vm& kept = records_.vms.put(std::move(vm));
  records_.after([this, id = kept.id, key = kept.ref().key()] { keys_[id] = key; });
  return kept;
}

Vm& VmRecords::edit(const Ref& ref) {
  Vm& vm = records_.vms.edit(ref);
  vm.etag = new_uuid();
  records_.after([this, ref, id = vm.id] {
    live(id)->changed.notify();
    if (const Vm* changed = records_.vms.find(ref); changed && changed->id == id && changed_)
      changed_(*changed);
  });
  return vm;
}

void VmRecords::erase(const Vm& vm) {
  records_.after([this, id = vm.id] {
    keys_.erase(id);
    live_.erase(id);
  });
  records_.vms.erase(vm.ref());
}

const Vm& VmRecords::current(const Ref& ref, const std::string& id) const {
  const Vm* found = records_.vms.find(ref);
  if (!found || found->id != id || found->provisioning == Provisioning::deleting)
    throw Error(ErrorKind::conflict, "OperationPreempted", fmt::format("{} is being deleted.", ref.name));
  return *found;
}

void VmRecords::check_idle(const Vm& vm) {
  const std::string busy = live(vm.id)->busy;
  if (busy.empty()) return;
  const Operation* operation = operations_.find(busy);
  throw Error(ErrorKind::conflict, "AnotherOperationInProgress",
              fmt::format("Another operation on {} is in progress ({}).", vm.name,
                          operation ? operation->kind : "unknown"),
              "Wait until it has ended, then try again.");
}

Accepted VmRecords::begin(const Vm& vm, OperationKind kind, Operations::Work work, std::string id) {
  check_idle(vm);
  const auto state = live(vm.id);
  auto guarded = [state, work = std::move(work)](std::string operation) -> asio::awaitable<void> {
    const BusyGuard until_done{state, operation};
    co_await work(std::move(operation));
  };
  if (id.empty()) id = random_hex(32);
  return records_.change([&]() -> Accepted {
    records_.after([state, id] { state->busy = id; });
    return {operations_.begin(kind, vm_target(vm.ref()), std::move(guarded), id), false};
  });
}

void VmRecords::stop() {
  for (const auto& [id, state] : live_) {
    state->giving_up.request_stop();
    state->changed.notify();
  }
}

std::string smbios_uuid(const std::string& vm_id) {
  const auto swapped = [&](std::size_t at, std::size_t bytes) {
    std::string out;
    for (std::size_t i = bytes; i-- > 0;) out += vm_id.substr(at + 2 * i, 2);
    return out;
  };
  return swapped(0, 4) + "-" + swapped(9, 2) + "-" + swapped(14, 2) + vm_id.substr(18);
}

}  // namespace berth
