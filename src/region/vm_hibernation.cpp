#include "region/vm_hibernation.h"

#include <spdlog/spdlog.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>

#include "base/as_error.h"
#include "region/operations.h"
#include "region/region_records.h"
#include "region/switches.h"
#include "region/vm_power.h"
#include "region/vm_records.h"

namespace berth {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds pause_after_failure{30};
constexpr std::chrono::seconds patience_at_the_end{20};

}  // namespace

VmHibernation::VmHibernation(RegionRecords& records, Operations& operations, VmRecords& vms,
                             Switches& switches, VmPower& power, Driver& driver)
    : records_(records),
      operations_(operations),
      vms_(vms),
      switches_(switches),
      power_(power),
      driver_(driver) {}

Accepted VmHibernation::begin(const Vm& vm) {
  if (vm.power != PowerState::running || !vm.provisioned || ending_) throw not_now(vm, "hibernated");
  return vms_.begin(vm, OperationKind::vm_hibernate,
                    [this, ref = vm.ref(), id = vm.id](std::string operation) {
                      return hibernate(std::move(operation), ref, id);
                    });
}

asio::awaitable<void> VmHibernation::stop() {
  ending_ = true;
  asio::steady_timer pause(co_await asio::this_coro::executor);
  for (const auto until = std::chrono::steady_clock::now() + patience_at_the_end;
       at_work_.use_count() > 1 && std::chrono::steady_clock::now() < until;) {
    pause.expires_after(std::chrono::milliseconds(20));
    co_await pause.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> VmHibernation::hibernate(std::string operation, Ref ref, std::string id) {
  co_await power_.await_set_up(operation, ref, id);
  operations_.phase(operation, "Writing its memory to disk");
  if (vms_.current(ref, id).restored)  // its medium would be gone when it wakes
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                ref.name + " cannot be hibernated yet: its agent has not set it up.",
                "Try again once it has reported: azure vm docker show " + ref.name);
  vms_.change(ref, [&](Vm& vm) { vm.power = next(vm.power, PowerEvent::hibernate); });
  const auto working = at_work_;
  std::optional<Error> trouble;
  try {
    co_await switches_.settle_vm(ref);  // from here on who comes is held
    co_await driver_.hibernate(co_await power_.specification(ref, id));
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  co_await conclude(ref, id);
  if (!trouble) co_return;
  co_await switches_.settle_vm(ref);
  throw *trouble;
}

asio::awaitable<void> VmHibernation::wake(std::string operation, Ref ref, std::string id) {
  operations_.phase(operation, "Waking the virtual machine");
  vms_.current(ref, id);
  vms_.change(ref, [&](Vm& vm) { vm.power = next(vm.power, PowerEvent::wake); });
  const auto working = at_work_;
  std::optional<Error> trouble;
  try {
    co_await driver_.wake(co_await power_.specification(ref, id));
    in_vain_.erase(id);
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
    in_vain_[id] = std::chrono::steady_clock::now() + pause_after_failure;
  }
  co_await conclude(ref, id);
  co_await switches_.settle_vm(ref);  // and who was held is let in
  if (trouble) throw *trouble;
}

asio::awaitable<void> VmHibernation::conclude(Ref ref, std::string id) {
  co_await operations_.insist([&] {
    if (const Vm* known = records_.vms.find(ref); !known || known->id != id) return;
    Vm& vm = vms_.edit(ref);
    vm.power = next(vm.power, power_.found(id));
  });
  vms_.current(ref, id);
}

void VmHibernation::wanted(const std::string& vm_id) {
  const Vm* vm = vms_.find_by_id(vm_id);
  if (!vm || operations_.stopping() || ending_ || !vms_.live(vm_id)->busy.empty()) return;
  if (!is_asleep(vm->power)) {  // its switch was not told
    for (const Ref& ref : vm->interfaces)
      if (const NetworkInterface* nic = records_.interfaces.find(ref))
        for (const IpConfiguration& configuration : nic->configurations)
          switches_.settle_soon(configuration.network);
    return;
  }
  if (vm->power != PowerState::hibernated) return;
  if (const auto pause = in_vain_.find(vm_id);
      pause != in_vain_.end() && std::chrono::steady_clock::now() < pause->second)
    return;
  spdlog::info("wanted vm={}", vm->name);
  vms_.begin(*vm, OperationKind::vm_start, [this, ref = vm->ref(), id = vm_id](std::string operation) {
    return wake(std::move(operation), ref, id);
  });
}

}  // namespace berth
