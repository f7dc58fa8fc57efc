#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <sstream>

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

/// The number of an unfinished operation that somebody goes on with; "" when there is none.
std::string take(std::map<std::string, std::string>& unfinished, const std::string& kind,
                 const std::string& target) {
  const auto found = unfinished.find(kind + " " + target);
  return found == unfinished.end() ? std::string() : unfinished.extract(found).mapped();
}

}  // namespace

void Region::Impl::load_tables() {
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
  for (auto& [key, name] : host.database.all("group-going")) groups_going.insert(key);
}

Region::Impl::Unfinished Region::Impl::load_operations() {
  Unfinished unfinished;
  for (auto& [id, document] : host.database.all("operation")) {
    auto entry = std::make_shared<OperationEntry>();
    entry->operation = from_document<Operation>(document);
    entry->changed = std::make_shared<Signal>(host.executor);
    if (entry->operation.status == OperationStatus::running)
      unfinished[entry->operation.kind + " " + entry->operation.target] = id;
    operations.emplace(id, std::move(entry));
  }
  return unfinished;
}

asio::awaitable<void> Region::Impl::recover() {
  load_tables();
  host.driver.on_event([this](std::string id, MachineEvent event) { on_machine_event(id, event); });
  Unfinished unfinished = load_operations();
  for (auto& [key, vm] : vms.rows()) co_await take_up_vm(vm, unfinished);
  for (auto& [key, name] : host.database.all("group-going"))
    if (groups.find({name, name}))
      begin(
          "group delete", "resourceGroups/" + name,
          [this, name = name](std::string op) { return remove_group(std::move(op), name); },
          take(unfinished, "group delete", "resourceGroups/" + name));
  end_operations(unfinished);
  rewrite_hosts();
  std::set<std::string> switches;  // of networks that a machine runs in; others have none
  std::vector<Ref> with_moved_ports;
  for (const auto& [key, network] : networks.rows()) {
    bool runs = false, moved = false;
    for (const NetworkInterface* nic : interfaces.with(term("network", network.ref()))) {
      const Vm* vm = vms.find(nic->vm);
      if (!vm || host.driver.observe(vm->id) != MachineState::running) continue;
      runs = true;
      moved = return_ports(*vm) || moved;
    }
    if (!runs) continue;
    switches.insert(network_id(network));
    if (moved)
      with_moved_ports.push_back(network.ref());
    else
      settle_soon(network.ref());
  }
  for (const Ref& network : with_moved_ports) co_await settle_or_log(network);  // who asks next is told where
  co_await host.networks.keep(std::move(switches));
  asio::co_spawn(host.executor, heal(), asio::detached);
}

asio::awaitable<void> Region::Impl::take_up_vm(Vm& vm, Unfinished& unfinished) {
  const Ref ref = vm.ref();
  const std::string id = vm.id, target = "virtualMachines/" + ref.group + "/" + ref.name;
  const bool runs = host.driver.observe(id) == MachineState::running;
  if (runs) {
    co_await host.driver.adopt(id);
    for (const Ref& nic_ref : vm.interfaces)
      if (const NetworkInterface* nic = interfaces.find(nic_ref))
        if (const VirtualNetwork* network = networks.find(nic->configurations.front().network))
          host.guest_endpoints(id, host.networks.folder(network_id(*network)));
  }
  if (vm.provisioning == Provisioning::deleting) {
    if (!groups_going.contains(lower(ref.group)))
      begin_removal(vm, {}, take(unfinished, "vm delete", target));
    co_return;
  }
  free_disks(ref, vm.disks());  // of a change that was under way
  if (vm.provisioning == Provisioning::creating && runs) {
    // The machine has its provisioning medium in memory and goes on: only the waiting is left to do.
    vm.power = PowerState::running;
    vms.save(vm);
    begin_vm(
        vm, "vm create",
        [this, ref, id](std::string op) {
          return conclude(ref, id, resume_creation(std::move(op), ref, id));
        },
        take(unfinished, "vm create", target));
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
  for (Extension& extension : vm.extensions) take_up_extension(vm, extension, runs, unfinished);
}

void Region::Impl::take_up_extension(Vm& vm, Extension& extension, bool runs, Unfinished& unfinished) {
  if (extension.provisioning != Provisioning::creating && extension.provisioning != Provisioning::updating &&
      extension.provisioning != Provisioning::deleting)
    return;
  const Ref ref = vm.ref();
  const std::string id = vm.id, name = extension.name;
  const std::string target = "virtualMachines/" + ref.group + "/" + ref.name + "/extensions/" + name;
  if (!runs) {
    extension.problem = interrupted("the extension was being set");
    extension.provisioning = Provisioning::failed;
    vms.save(vm);
  } else if (extension.provisioning == Provisioning::deleting) {
    begin(
        "extension delete", target,
        [this, ref, id, name](std::string op) { return conclude_uninstall(std::move(op), ref, id, name); },
        take(unfinished, "extension delete", target));
  } else {
    begin(
        "extension set", target,
        [this, ref, id, name, sequence = extension.sequence](std::string op) {
          return conclude_extension(std::move(op), ref, id, name, sequence);
        },
        take(unfinished, "extension set", target));
  }
}

bool Region::Impl::has_deleted(const Operation& operation) {
  if (!operation.kind.ends_with(" delete")) return false;
  std::vector<std::string> parts;
  for (std::istringstream target(operation.target); std::getline(target, parts.emplace_back(), '/');) {
  }
  parts.resize(6);  // "virtualMachines/GROUP/NAME/extensions/NAME"
  if (parts[0] == "resourceGroups") return !groups.find({parts[1], parts[1]});
  Vm* vm = vms.find({parts[1], parts[2]});
  return !vm || (parts[3] == "extensions" && !find_extension(*vm, parts[4]));
}

void Region::Impl::end_operations(const Unfinished& unfinished) {
  for (const auto& [what, id] : unfinished) {
    Operation& operation = operations.at(id)->operation;
    operation.ended = utc_now();
    operation.status = has_deleted(operation) ? OperationStatus::succeeded : OperationStatus::failed;
    if (operation.status == OperationStatus::failed)
      operation.problem = interrupted("'" + operation.kind + "' was under way");
    host.database.put("operation", id, to_document(operation));
  }
}

asio::awaitable<void> Region::Impl::resume_creation(std::string operation, Ref ref, std::string id) {
  const NetworkInterface* nic = interfaces.find(still(ref, id).interfaces.front());
  if (!nic)
    throw resource_not_found("Microsoft.Network/networkInterfaces", still(ref, id).interfaces.front());
  co_await settle(nic->configurations.front().network);
  co_await await_agent(std::move(operation), ref, id);
}

void Region::Impl::tell_deaths() {
  for (const auto& [key, network] : networks.rows()) {
    const auto deaths = host.networks.deaths(network_id(network));
    const std::string news = deaths
                                 ? fmt::format(
                                       "The switch of its virtual network died {}, last at {} ({}), and was "
                                       "started again; connections "
                                       "through it were lost each time.",
                                       deaths->count == 1 ? "once" : fmt::format("{} times", deaths->count),
                                       deaths->at, deaths->why)
                                 : std::string();
    for (const NetworkInterface* nic : interfaces.with(term("network", network.ref())))
      if (Vm* vm = vms.find(nic->vm)) vm->network_news = news;
  }
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
    tell_deaths();
  }
}

}  // namespace berth
