#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>

#include "region/impl.h"

// What a new process makes of what an earlier one left: VMs and switches run on without us and are taken up
// again; what was under way is finished where the machine itself goes on, and rolled back where a secret
// would be needed that was never kept.
namespace berth {
namespace {

constexpr auto heal_pause = std::chrono::seconds(5);

Problem interrupted(const std::string& what) {
  return {.code = "OperationPreempted",
          .message = "The region was stopped while " + what + ".",
          .advice = "Send the same request again.",
          .details = {}};
}

}  // namespace

asio::awaitable<void> Region::Impl::recover() {
  groups.load();
  networks.load();
  addresses.load();
  security_groups.load();
  interfaces.load();
  disks.load();
  vms.load();
  for (auto& [key, document] : host.database.all("inert"))
    inert.emplace(key, from_document<InertResource>(document));
  for (auto& [id, key] : host.database.all("vm-key")) keys.emplace(id, Secret(key));
  for (auto& [key, vm] : vms.rows()) vm_keys[vm.id] = key;
  host.driver.on_event([this](std::string id, MachineEvent event) { on_machine_event(id, event); });

  // Operations: those that a machine carries on get a new worker under their old number, the others end here.
  std::map<std::string, std::string> running;  // target -> id
  for (auto& [id, document] : host.database.all("operation")) {
    auto entry = std::make_shared<OperationEntry>();
    entry->operation = from_document<Operation>(document);
    entry->changed = std::make_shared<Signal>(host.executor);
    if (entry->operation.status == OperationStatus::running)
      running[entry->operation.kind + " " + entry->operation.target] = id;
    operations.emplace(id, std::move(entry));
  }
  const auto take = [&](const std::string& kind, const std::string& target) {
    const auto found = running.find(kind + " " + target);
    if (found == running.end()) return std::string();
    std::string id = found->second;
    running.erase(found);
    return id;
  };

  for (auto& [key, name] : host.database.all("group-going")) groups_going.insert(key);
  std::set<std::string> lively;
  for (auto& [key, vm] : vms.rows()) {
    const Ref ref = vm.ref();
    const std::string id = vm.id, target = "virtualMachines/" + ref.group + "/" + ref.name;
    const bool runs = host.driver.observe(id) == MachineState::running;
    if (runs) {
      co_await host.driver.adopt(id);
      for (const Ref& nic_ref : vm.interfaces)
        if (const NetworkInterface* nic = interfaces.find(nic_ref))
          if (const VirtualNetwork* network = networks.find(nic->configurations.front().network)) {
            host.guest_endpoints(id, host.networks.folder(network_id(*network)));
            lively.insert(network->ref().key());
          }
    }
    if (vm.provisioning == Provisioning::deleting) {
      if (!groups_going.contains(lower(ref.group)))
        begin(
            "vm delete", target,
            [this, ref, id](std::string op) { return remove(std::move(op), ref, id, {}); },
            take("vm delete", target));
      continue;
    }
    if (vm.provisioning == Provisioning::creating && runs) {
      // The machine has its provisioning medium in memory and goes on: only the waiting is left to do.
      vm.power = PowerState::running;
      vms.save(vm);
      begin_vm(
          vm, "vm create",
          [this, ref, id](std::string op) {
            return conclude(ref, id, resume_creation(std::move(op), ref, id));
          },
          take("vm create", target));
    } else if (vm.provisioning == Provisioning::creating) {
      // Its password was never written down. Nothing of it ran: give the disk back and say so.
      if (const Disk* disk = vm.os_disk_attached ? nullptr : disks.find(vm.os_disk)) {
        std::error_code ignored;
        std::filesystem::remove(host.home / disk->file, ignored);
      }
      vm.provisioning = Provisioning::failed;
      vm.power = PowerState::deallocated;
      vm.problem = interrupted("the VM was being made");
      vms.save(vm);
    } else {
      if (vm.provisioning == Provisioning::updating) vm.provisioning = Provisioning::succeeded;
      const bool was_on = vm.power != PowerState::deallocated && vm.power != PowerState::deallocating;
      vm.power = runs ? PowerState::running : was_on ? PowerState::stopped : PowerState::deallocated;
      vms.save(vm);
    }
    for (Extension& extension : vm.extensions) {
      const std::string name = extension.name, extension_target = target + "/extensions/" + name;
      if (extension.provisioning != Provisioning::creating &&
          extension.provisioning != Provisioning::updating &&
          extension.provisioning != Provisioning::deleting)
        continue;
      if (!runs) {
        extension.problem = interrupted("the extension was being set");
        extension.provisioning = Provisioning::failed;
        vms.save(vm);
      } else if (extension.provisioning == Provisioning::deleting) {
        begin(
            "extension delete", extension_target,
            [this, ref, id, name](std::string op) { return await_uninstall(std::move(op), ref, id, name); },
            take("extension delete", extension_target));
      } else {
        begin(
            "extension set", extension_target,
            [this, ref, id, name, sequence = extension.sequence](std::string op) {
              return conclude_extension(std::move(op), ref, id, name, sequence);
            },
            take("extension set", extension_target));
      }
    }
  }
  for (auto& [key, name] : host.database.all("group-going"))
    if (groups.find({name, name}))
      begin(
          "group delete", "resourceGroups/" + name,
          [this, name = name](std::string op) { return remove_group(std::move(op), name); },
          take("group delete", "resourceGroups/" + name));
  for (const auto& [what, id] : running) {
    Operation& operation = operations.at(id)->operation;
    operation.status = OperationStatus::failed;
    operation.ended = utc_now();
    operation.problem = interrupted("'" + operation.kind + "' was under way");
    host.database.put("operation", id, to_document(operation));
  }
  try {
    write_hosts();
  } catch (const Error& error) {
    spdlog::warn("could not write the hosts file: {}", error.what());
  }
  for (const auto& [key, network] : networks.rows())
    if (lively.contains(key)) settle_soon(network.ref());
  asio::co_spawn(host.executor, heal(), asio::detached);
}

asio::awaitable<void> Region::Impl::resume_creation(std::string operation, Ref ref, std::string id) {
  const NetworkInterface* nic = interfaces.find(still(ref, id).interfaces.front());
  if (!nic)
    throw resource_not_found("Microsoft.Network/networkInterfaces", still(ref, id).interfaces.front());
  co_await settle(nic->configurations.front().network);
  co_await await_agent(std::move(operation), ref, id);
}

asio::awaitable<void> Region::Impl::heal() {
  asio::steady_timer timer(host.executor);
  while (!stopping) {
    timer.expires_after(heal_pause);
    co_await timer.async_wait(asio::use_awaitable);
    try {
      co_await host.networks.heal();
    } catch (const Error& error) {
      spdlog::warn("could not heal the networks: {}", error.what());
    }
  }
}

}  // namespace berth
