#include "region/vm_power.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <thread>

#include "base/as_error.h"
#include "host/files.h"
#include "host/log_tail.h"
#include "model/catalog.h"
#include "region/host_share.h"
#include "region/switches.h"
#include "region/vm_records.h"

namespace berth {

namespace asio = boost::asio;

VmPower::VmPower(RegionRecords& records, Operations& operations, VmRecords& vms, Switches& switches,
                 Ground ground, const RegionSettings& settings)
    : records_(records),
      operations_(operations),
      vms_(vms),
      switches_(switches),
      driver_(ground.driver),
      gallery_(ground.gallery),
      guest_endpoints_(std::move(ground.guest_endpoints)),
      threads_(std::move(ground.threads)),
      home_(std::move(ground.home)),
      settings_(settings) {}

MachineSpec VmPower::machine(const Vm& vm, const ImageFiles& files) const {
  const VmSize* size = find_vm_size(vm.size);
  MachineSpec spec;
  spec.id = vm.id;
  spec.name = vm.name;
  spec.uuid = smbios_uuid(vm.vm_id);
  const HostShare share = size ? host_share(*size) : HostShare{};
  spec.cpus = share.cpus;
  spec.memory_mib = share.memory_mib;
  if (const Disk* disk = records_.disks.find(vm.os_disk)) spec.os_disk = home_ / disk->file;
  spec.azure_disks = files.azure_disks;
  if (files.azure_disks && size && size->resource_disk_mib > 0) spec.temporary_disk = temporary_disk(vm.id);
  if (!files.kernel.empty())
    spec.direct_boot = MachineSpec::DirectBoot{files.kernel, files.initrd, files.command_line};
  for (const DataDisk& data : vm.data_disks)
    if (const Disk* disk = records_.disks.find(data.disk))
      spec.data_disks.push_back({data.lun, home_ / disk->file});
  for (const Ref& ref : vm.interfaces) {
    const NetworkInterface* nic = records_.interfaces.find(ref);
    const VirtualNetwork* network =
        nic ? records_.networks.find(nic->configurations.front().network) : nullptr;
    if (!network) continue;
    MachinePort port = switches_.port_of(*nic, *network);
    spec.nics.push_back({std::move(port.mac), std::move(port.socket)});
  }
  return spec;
}

asio::awaitable<MachineSpec> VmPower::specification(Ref ref, std::string id) {
  const Disk* disk = records_.disks.find(vms_.current(ref, id).os_disk);
  if (!disk) throw Error(ErrorKind::internal, "InternalError", ref.name + " has no OS disk.");
  const ImageFiles files = co_await on(
      threads_.pool, [&gallery = gallery_, file = home_ / disk->file] { return gallery.files_of(file); });
  co_return machine(vms_.current(ref, id), files);
}

std::filesystem::path VmPower::temporary_disk(const std::string& id) const {
  return driver_.folder(id) / "temporary.qcow2";
}

asio::awaitable<void> VmPower::switch_on(std::string operation, Ref ref, std::string id, std::string medium,
                                         std::optional<Frozen> from) {
  vms_.current(ref, id);
  vms_.change(ref, [&](Vm& vm) {
    vm.power = next(vm.power, PowerEvent::switch_on);
    if (!from) vm.restored = false;  // the medium that its agent would set it up from is gone
    vm.agent.reset();
    vm.health.reset();
    vm.delivery = {};
  });
  std::optional<Error> trouble;
  try {
    operations_.phase(operation, "Connecting the network");
    switches_.return_ports(vms_.current(ref, id));
    for (const Ref& nic_ref : std::vector<Ref>(vms_.current(ref, id).interfaces)) {
      const NetworkInterface* nic = records_.interfaces.find(nic_ref);
      if (!nic) throw resource_not_found("Microsoft.Network/networkInterfaces", nic_ref);
      const Ref network_ref = nic->configurations.front().network;
      const VirtualNetwork* network = records_.networks.find(network_ref);
      if (!network) throw resource_not_found("Microsoft.Network/virtualNetworks", network_ref);
      guest_endpoints_(id, switches_.folder(*network));
      co_await switches_.settle(network_ref);
    }
    operations_.phase(operation, from ? "Restoring the virtual machine" : "Starting the virtual machine");
    MachineSpec spec = co_await specification(ref, id);
    if (driver_.observe(id) != MachineState::running) {
      if (spec.temporary_disk)
        co_await on(threads_.pool, [&gallery = gallery_, file = *spec.temporary_disk,
                                    size = find_vm_size(vms_.current(ref, id).size)->resource_disk_mib] {
          make_folder(file.parent_path());
          gallery.make_temporary_disk(file, size);
          return 0;
        });
      if (!from) {
        co_await driver_.start(spec, std::move(medium));
      } else {
        const auto data_disks = std::exchange(spec.data_disks, {});
        co_await driver_.restore(spec, std::move(medium), std::move(*from));
        for (const MachineSpec::DataDisk& data : data_disks) co_await driver_.attach_disk(id, data);
      }
    }
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  co_await operations_.insist([&] {
    if (const Vm* known = records_.vms.find(ref); !known || known->id != id) return;
    Vm& vm = vms_.edit(ref);
    vm.power = next(vm.power, !trouble         ? PowerEvent::started
                              : vm.provisioned ? PowerEvent::not_started
                                               : PowerEvent::released);
  });
  if (trouble) throw *trouble;
  vms_.current(ref, id);
}

asio::awaitable<void> VmPower::await_agent(std::string operation, Ref ref, std::string id) {
  operations_.phase(operation, "Waiting for the guest agent");
  const auto state = vms_.live(id);
  const auto until = std::chrono::steady_clock::now() + settings_.boot_limit;
  for (;;) {
    const Vm& vm = vms_.current(ref, id);
    const auto log = driver_.serial_log(id);
    if ((vm.health && vm.health->state == "Ready") || (vm.agent && vm.agent->status == "Ready")) {
      co_await operations_.insist([&] {
        vms_.current(ref, id);
        vms_.edit(ref).provisioned = true;
      });
      co_return;
    }
    if (vm.health && vm.health->substatus == "ProvisioningFailed")
      throw Error(
          ErrorKind::unavailable, "OSProvisioningClientError",
          fmt::format("The guest agent of {} could not set it up: {}", vm.name, vm.health->description),
          "See its console: " + log.string());
    if (vm.power == PowerState::stopped)
      throw Error(ErrorKind::unavailable, "VMStartTimedOut",
                  fmt::format("{} switched itself off before its agent answered. Its console ends with:\n{}",
                              vm.name, log_tail(log, 8)),
                  "See " + log.string());
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left <= std::chrono::milliseconds(0))
      throw Error(ErrorKind::unavailable, "OSProvisioningTimedOut",
                  fmt::format("The guest agent of {} did not report within {} s. Its console ends with:\n{}",
                              vm.name, settings_.boot_limit.count(), log_tail(log, 8)),
                  "See " + log.string() + "; the image must hold the Azure Linux Agent.");
    if (vm.health) operations_.detail(operation, vm.health->description);
    if (vm.waits_for_space()) operations_.detail(operation, std::string(held_for_space));
    co_await state->changed.wait(std::min(left, std::chrono::milliseconds(5000)));
  }
}

/// The agent of a restored machine sets it up from a medium that is gone with the power; then come its extensions.
asio::awaitable<void> VmPower::await_set_up(std::string operation, Ref ref, std::string id) {
  const auto until = std::chrono::steady_clock::now() + settings_.set_up_patience;
  const auto begins = [](const Extension& each) { return each.provisioning == Provisioning::creating; };
  const bool fresh = vms_.current(ref, id).restored;
  const auto busy = [&](const Vm& vm) { return vm.restored || std::ranges::any_of(vm.extensions, begins); };
  while (fresh && busy(vms_.current(ref, id)) && runs(vms_.current(ref, id)) &&
         std::chrono::steady_clock::now() < until) {
    operations_.phase(operation, "Waiting for the guest agent");
    co_await vms_.live(id)->changed.wait(std::chrono::seconds(1));
  }
}

asio::awaitable<void> VmPower::switch_off(std::string operation, Ref ref, std::string id,
                                          std::chrono::milliseconds grace, bool deallocate) {
  if (grace > std::chrono::milliseconds(0)) co_await await_set_up(operation, ref, id);
  operations_.phase(operation, "Stopping the virtual machine");
  vms_.current(ref, id);
  vms_.change(ref, [&](Vm& vm) {
    vm.power = next(vm.power, deallocate ? PowerEvent::deallocate : PowerEvent::switch_off);
  });
  std::optional<Error> trouble;
  try {
    co_await driver_.stop(id, grace);
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  if (trouble) {
    co_await operations_.insist([&] {
      if (const Vm* known = records_.vms.find(ref); !known || known->id != id) return;
      Vm& vm = vms_.edit(ref);
      vm.power = next(vm.power, found(id));
    });
    throw *trouble;
  }
  guest_endpoints_(id, {});
  if (deallocate)
    co_await on(threads_.pool, [file = temporary_disk(id)] {
      std::error_code ignored;
      return std::filesystem::remove(file, ignored);
    });
  co_await operations_.insist([&] {
    vms_.current(ref, id);
    Vm& vm = vms_.edit(ref);
    vm.power = next(vm.power, PowerEvent::switched_off);
  });
  for (const Ref& nic : std::vector<Ref>(vms_.current(ref, id).interfaces))
    if (const NetworkInterface* found = records_.interfaces.find(nic))
      for (const IpConfiguration& configuration : std::vector<IpConfiguration>(found->configurations))
        co_await switches_.settle(configuration.network);
}

void VmPower::take_event(const std::string& id, MachineEvent event) {
  const Vm* vm = vms_.find_by_id(id);
  if (!vm || operations_.stopping()) return;
  const Ref ref = vm->ref();
  if (event == MachineEvent::no_space) {
    records_.vms.unkept(ref)->held_until = std::chrono::steady_clock::now() + 2 * space_pause;
    vms_.live(id)->changed.notify();
    return;
  }
  if (event == MachineEvent::reset)
    return operations_.insist_soon([this, ref, id] {
      if (const Vm* known = records_.vms.find(ref); !known || known->id != id) return;
      Vm& vm = vms_.edit(ref);
      vm.agent.reset();
      vm.delivery = {};
    });
  if (vm->power != PowerState::running && vm->power != PowerState::starting) return;
  spdlog::warn("{} vm={}", event == MachineEvent::crashed ? "crashed" : "powered off by itself", vm->name);
  operations_.insist_soon([this, ref, id] {
    const Vm* known = records_.vms.find(ref);
    if (!known || known->id != id) return;
    if (known->power != PowerState::running && known->power != PowerState::starting) return;
    Vm& stopped = vms_.edit(ref);
    stopped.power = next(stopped.power, PowerEvent::died);
    for (const Ref& nic : stopped.interfaces)
      if (const NetworkInterface* found = records_.interfaces.find(nic)) switches_.settle_after(*found);
  });
}

/// A machine that runs on from an earlier process, or sleeps on.
asio::awaitable<void> VmPower::adopt(const Vm& vm) {
  if (driver_.observe(vm.id) == MachineState::running) co_await driver_.adopt(vm.id);
  if (!runs(vm) && !is_hibernated(vm)) co_return;
  for (const Ref& nic_ref : vm.interfaces)
    if (const NetworkInterface* nic = records_.interfaces.find(nic_ref))
      if (const VirtualNetwork* network = records_.networks.find(nic->configurations.front().network))
        guest_endpoints_(vm.id, switches_.folder(*network));
}

bool VmPower::runs(const Vm& vm) const {
  return driver_.observe(vm.id) == MachineState::running;
}

bool VmPower::is_hibernated(const Vm& vm) const {
  return driver_.observe(vm.id) == MachineState::hibernated;
}

PowerEvent VmPower::found(const std::string& id) const {
  const auto seen = driver_.observe(id);
  return seen == MachineState::running      ? PowerEvent::found_running
         : seen == MachineState::hibernated ? PowerEvent::found_hibernated
                                            : PowerEvent::found_off;
}

asio::awaitable<void> VmPower::cut(std::string id) {
  return driver_.destroy(id);
}

asio::awaitable<void> VmPower::destroy(std::string id) {
  co_await driver_.destroy(id);
  guest_endpoints_(id, {});
}

}  // namespace berth
