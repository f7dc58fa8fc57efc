#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/detached.hpp>
#include <sstream>

#include "host/files.h"

#include "region/impl.h"
#include "region/region_store.h"

// What a new process makes of what an earlier one left: VMs and switches run on without us and are taken up
// again; what was under way is finished where the machine itself goes on, and rolled back where a secret
// would be needed that was never kept.
namespace berth {
namespace {

Problem interrupted(const std::string& what) {
  return {.code = "OperationPreempted",
          .message = "The region was stopped while " + what + ".",
          .advice = "Send the same request again.",
          .details = {}};
}

/// The number of an unfinished operation that somebody goes on with; "" when there is none.
std::string take(std::multimap<std::string, std::string>& unfinished, const std::string& kind,
                 const std::string& target) {
  const auto found = unfinished.find(kind + " " + target);
  return found == unfinished.end() ? std::string() : unfinished.extract(found).mapped();
}

}  // namespace

void Region::Impl::load_tables(RowReader& rows) {
  groups.load(rows);
  networks.load(rows);
  addresses.load(rows);
  security_groups.load(rows);
  interfaces.load(rows);
  disks.load(rows);
  vms.load(rows);
  inert.load(rows);
  for (auto& [id, key] : host.database.all("vm-key")) keys.emplace(id, Secret(key));
  for (auto& [key, vm] : vms.rows()) vm_keys[vm.id] = key;
  for (auto& [key, name] : host.database.all("group-going")) groups_going.insert(key);
}

void Region::Impl::restore_groups() {
  const auto restore = [this](const Resource& resource) {
    if (groups.find({resource.group, resource.group})) return;
    ResourceGroup group;
    group.group = group.name = resource.group;
    group.location = resource.location;
    stamp(group, nullptr);
    spdlog::warn("restored group={}: its own document was missing", group.name);
    groups.put(std::move(group));
  };
  const auto restore_all = [&](const auto& table) {
    for (const auto& [key, resource] : table) restore(resource);
  };
  restore_all(networks.rows());
  restore_all(addresses.rows());
  restore_all(security_groups.rows());
  restore_all(interfaces.rows());
  restore_all(disks.rows());
  restore_all(vms.rows());
  restore_all(inert.rows());
}

Region::Impl::Unfinished Region::Impl::load_operations(RowReader& rows) {
  Unfinished unfinished;
  rows.read<Operation>("operation", [&](const std::string& id, Operation operation) {
    if (operation.status == OperationStatus::running)
      unfinished.emplace(operation.kind + " " + operation.target, id);
    auto entry = std::make_shared<OperationEntry>();
    entry->operation = std::move(operation);
    entry->changed = std::make_shared<Signal>(host.executor);
    operations.emplace(id, std::move(entry));
  });
  return unfinished;
}

asio::awaitable<void> Region::Impl::recover() {
  RowReader rows(host.database);
  load_tables(rows);
  Unfinished unfinished = load_operations(rows);
  set_aside = rows.aside();
  if (set_aside.empty()) back_up_region_store(host.database, host.home);
  host.driver.on_event([this](std::string id, MachineEvent event) { on_machine_event(id, event); });
  for (const auto& [key, vm] : vms.rows()) co_await adopt(vm);
  records.change([&] {
    restore_groups();
    for (const Vm* vm : vms.list({})) take_up_vm(*vm, unfinished);
    for (auto& [key, name] : host.database.all("group-going")) take_up_group_deletion(key, name, unfinished);
    move_extensions();
    end_operations(unfinished);
  });
  rewrite_hosts();
  co_await sweep_files();
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

/// A machine that runs on from an earlier process.
asio::awaitable<void> Region::Impl::adopt(const Vm& vm) {
  if (host.driver.observe(vm.id) != MachineState::running) co_return;
  co_await host.driver.adopt(vm.id);
  for (const Ref& nic_ref : vm.interfaces)
    if (const NetworkInterface* nic = interfaces.find(nic_ref))
      if (const VirtualNetwork* network = networks.find(nic->configurations.front().network))
        host.guest_endpoints(vm.id, host.networks.folder(network_id(*network)));
}

/// What an earlier process was about to remove, and what it had not finished.
asio::awaitable<void> Region::Impl::sweep_files() {
  std::vector<std::string> going;
  for (auto& [file, nothing] : host.database.all("file-going")) going.push_back(file);
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(host.home / "disks", missing))
    if (entry.path().extension() == ".new") going.push_back("disks/" + entry.path().filename().string());
  co_await remove_files(std::move(going));
  std::filesystem::remove_all(host.home / "images" / ".new", missing);  // of an image that was being added
  for (auto& [name, nothing] : host.database.all("image-going")) remove_going_image(name);
  for (const char* folder : {"", "access", "tls", "extensions"}) remove_drafts(host.home / folder);
  std::set<std::string> known;
  for (const auto& [key, disk] : disks.rows()) known.insert(file_of(disk));
  for (const auto& entry : std::filesystem::directory_iterator(host.home / "disks", missing))
    if (const std::string file = "disks/" + entry.path().filename().string(); !known.contains(file))
      spdlog::warn("{} belongs to no disk of this region", file);
}

void Region::Impl::take_up_group_deletion(const std::string& key, const std::string& name,
                                          Unfinished& unfinished) {
  if (!groups.find({name, name})) {  // its deletion was done
    records.write("group-going", key, std::nullopt);
    records.after([this, key] { groups_going.erase(key); });
    return;
  }
  const std::string target = "resourceGroups/" + name;
  begin(
      "group delete", target, [this, name](std::string op) { return remove_group(std::move(op), name); },
      take(unfinished, "group delete", target));
}

void Region::Impl::take_up_vm(const Vm& vm, Unfinished& unfinished) {
  const Ref ref = vm.ref();
  const std::string id = vm.id, target = "virtualMachines/" + ref.group + "/" + ref.name;
  const bool runs = host.driver.observe(id) == MachineState::running;
  if (vm.provisioning == Provisioning::deleting) {
    if (!groups_going.contains(lower(ref.group)))
      begin_removal(ref, {}, take(unfinished, "vm delete", target));
    return;
  }
  free_disks(ref, vm.disks());  // of a change that was under way
  if (vm.provisioning == Provisioning::creating && runs) {
    // The machine has its provisioning medium in memory and goes on: only the waiting is left to do.
    edit(ref).power = PowerState::running;
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
    Vm& failed = edit(ref);
    failed.provisioning = Provisioning::failed;
    failed.power = PowerState::deallocated;
    failed.problem = interrupted("the VM was being made");
  } else {
    const bool was_on = vm.power != PowerState::deallocated && vm.power != PowerState::deallocating;
    const PowerState power = runs     ? PowerState::running
                             : was_on ? PowerState::stopped
                                      : PowerState::deallocated;
    if (power != vm.power) edit(ref).power = power;
    if (vm.provisioning == Provisioning::updating) {
      edit(ref).provisioning = vm.provisioned ? Provisioning::succeeded : Provisioning::failed;
      if (runs)
        begin_vm(vm, "vm recovery", [this, ref, id](std::string) { return match_data_disks(ref, id); });
    }
    if (!runs && vm.provisioned) take_up_start(vm, unfinished);
  }
  for (const Extension& extension : std::vector<Extension>(vm.extensions))
    take_up_extension(ref, extension, runs, unfinished);
}

/// What was asked to run, does.
void Region::Impl::take_up_start(const Vm& vm, Unfinished& unfinished) {
  for (const char* kind : {"vm start", "vm restart", "vm redeploy"}) {
    const std::string operation = take(unfinished, kind, "virtualMachines/" + vm.group + "/" + vm.name);
    if (operation.empty()) continue;
    begin_vm(
        vm, kind,
        [this, ref = vm.ref(), id = vm.id](std::string op) { return power_on(std::move(op), ref, id, {}); },
        operation);
    return;
  }
}

void Region::Impl::take_up_extension(const Ref& ref, const Extension& extension, bool runs,
                                     Unfinished& unfinished) {
  if (extension.provisioning != Provisioning::creating && extension.provisioning != Provisioning::updating &&
      extension.provisioning != Provisioning::deleting)
    return;
  Vm& vm = edit(ref);  // played guests speak of it again
  const std::string id = vm.id, name = extension.name;
  const std::string target = "virtualMachines/" + ref.group + "/" + ref.name + "/extensions/" + name;
  if (!runs) {
    Extension& given_up = *find_extension(vm, name);
    given_up.problem = interrupted("the extension was being set");
    given_up.provisioning = Provisioning::failed;
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

bool Region::Impl::has_happened(const Operation& operation) const {
  std::vector<std::string> parts;
  for (std::istringstream target(operation.target); std::getline(target, parts.emplace_back(), '/');) {
  }
  parts.resize(6);  // "virtualMachines/GROUP/NAME/extensions/NAME"
  const Vm* vm = parts[0] == "virtualMachines" ? vms.find({parts[1], parts[2]}) : nullptr;
  if (operation.kind == "vm start") return vm && vm->power == PowerState::running;
  if (operation.kind == "vm stop") return vm && vm->power == PowerState::stopped;
  if (operation.kind == "vm deallocate") return vm && vm->power == PowerState::deallocated;
  if (parts[0] == "disks") {
    const Disk* disk = disks.find({parts[1], parts[2]});
    return operation.kind == "disk create" && disk && !disk->file.empty();
  }
  if (operation.kind == "image import") return host.gallery.find(parts[1]).has_value();
  if (operation.kind == "vm capture") {
    for (const auto& [id, image] : host.database.all("captured-image"))
      if (id == operation.id) return host.gallery.find(image).has_value();
    return false;
  }
  if (!operation.kind.ends_with(" delete")) return false;
  if (parts[0] == "resourceGroups") return !groups.find({parts[1], parts[1]});
  if (parts[0] != "virtualMachines") return false;
  return !vm || (parts[3] == "extensions" && !find_extension(*vm, parts[4]));
}

void Region::Impl::end_operations(const Unfinished& unfinished) {
  for (const auto& [what, id] : unfinished) {
    Operation& operation = operations.at(id)->operation;
    operation.ended = utc_now();
    operation.status = has_happened(operation) ? OperationStatus::succeeded : OperationStatus::failed;
    if (operation.status == OperationStatus::failed)
      operation.problem = interrupted("'" + operation.kind + "' was under way");
    records.write("operation", id, to_document(operation));
  }
  for (const auto& [id, image] : host.database.all("captured-image"))
    records.write("captured-image", id, std::nullopt);
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
      if (Vm* vm = vms.unkept(nic->vm)) vm->network_news = news;
  }
}

asio::awaitable<void> Region::Impl::remove_what_is_left() {
  if (!files_left.empty()) co_await remove_files({files_left.begin(), files_left.end()});
  for (const std::string& name : std::set<std::string>(images_left)) remove_going_image(name);
  if (std::exchange(image_files_left, false)) sweep_images();
}

asio::awaitable<void> Region::Impl::heal() {
  asio::steady_timer timer(host.executor);
  while (!stopping) {
    timer.expires_after(settings.heal_pause);
    co_await timer.async_wait(asio::use_awaitable);
    try {
      co_await host.networks.heal();
    } catch (const std::exception& error) {
      spdlog::warn("could not heal the networks: {}", error.what());
    }
    tell_deaths();
    co_await remove_what_is_left();
  }
}

}  // namespace berth
