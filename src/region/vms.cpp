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

/// Azure hands out the VM's id with the first three groups of the SMBIOS uuid in the other byte order.
std::string smbios_uuid(const std::string& vm_id) {
  const auto swapped = [&](std::size_t at, std::size_t bytes) {
    std::string out;
    for (std::size_t i = bytes; i-- > 0;) out += vm_id.substr(at + 2 * i, 2);
    return out;
  };
  return swapped(0, 4) + "-" + swapped(9, 2) + "-" + swapped(14, 2) + vm_id.substr(18);
}

std::string target_of(const Ref& ref) {
  return "virtualMachines/" + ref.group + "/" + ref.name;
}

Error not_now(const Vm& vm, const std::string& what) {
  return Error(ErrorKind::conflict, "OperationNotAllowed",
               fmt::format("{} is {} and cannot be {} now.", vm.name, to_string(vm.power), what),
               "See 'azure vm show " + vm.name + "', then try again.");
}

unsigned host_cpus() {
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace

Vm& Region::Impl::vm(const Ref& ref) {
  Vm* found = vms.find(ref);
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

void Region::Impl::touch(Vm& vm) {
  vm.etag = new_uuid();
  vms.save(vm);
  live_vm(vm.id).changed.notify();
  if (host.vm_changed) host.vm_changed(vm);
}

Vm& Region::Impl::still(const Ref& ref, const std::string& id) {
  Vm* found = vms.find(ref);
  if (!found || found->id != id || found->provisioning == Provisioning::deleting)
    throw Error(ErrorKind::conflict, "OperationPreempted", fmt::format("{} is being deleted.", ref.name));
  return *found;
}

Accepted Region::Impl::begin_vm(Vm& vm, const std::string& kind,
                                std::function<asio::awaitable<void>(std::string)> work, std::string id) {
  const auto state = live_ptr(vm.id);
  if (!state->busy.empty())
    throw Error(ErrorKind::conflict, "AnotherOperationInProgress",
                fmt::format("Another operation on {} is in progress ({}).", vm.name,
                            operations.contains(state->busy) ? operations.at(state->busy)->operation.kind
                                                             : "unknown"),
                "Wait until it has ended, then try again.");
  auto guarded = [state, work = std::move(work)](std::string operation) -> asio::awaitable<void> {
    struct Release {
      std::shared_ptr<LiveVm> state;
      ~Release() {
        state->busy.clear();
        state->changed.notify();
      }
    } release{state};
    co_await work(std::move(operation));
  };
  state->busy = id.empty() ? random_hex(32) : std::move(id);
  try {
    return {begin(kind, target_of(vm.ref()), std::move(guarded), state->busy), false};
  } catch (...) {
    state->busy.clear();
    throw;
  }
}

void Region::Impl::ensure_certificate(Vm& vm) {
  if (!vm.certificate.empty()) return;
  const PrivateKey key = PrivateKey::generate_rsa();
  CertificateOrder order;
  order.use = CertificateUse::encryption;
  order.common_name = "TenantEncryptionCert";
  order.subject_prefix = {{"DC", "Windows Azure CRP Certificate Generator"}};
  order.lifetime = std::chrono::days(3650);
  vm.certificate = issue_certificate(order, key).to_pem();
  keys[vm.id] = key.to_pem();
  host.database.put("vm-key", vm.id, keys[vm.id].reveal());
  vms.save(vm);
}

MachineSpec Region::Impl::machine(const Vm& vm, const ImageFiles& files) const {
  const VmSize* size = find_vm_size(vm.size);
  MachineSpec spec;
  spec.id = vm.id;
  spec.name = vm.name;
  spec.uuid = smbios_uuid(vm.vm_id);
  spec.cpus = std::min(size ? size->cpus : 1, host_cpus());
  spec.memory_mib = size ? size->memory_mib : 1024;
  if (const Disk* disk = disks.find(vm.os_disk)) spec.os_disk = host.home / disk->file;
  if (!files.kernel.empty())
    spec.direct_boot = MachineSpec::DirectBoot{files.kernel, files.initrd, files.command_line};
  for (const DataDisk& data : vm.data_disks)
    if (const Disk* disk = disks.find(data.disk))
      spec.data_disks.push_back({data.lun, host.home / disk->file});
  for (const Ref& ref : vm.interfaces) {
    const NetworkInterface* nic = interfaces.find(ref);
    const VirtualNetwork* network = nic ? networks.find(nic->configurations.front().network) : nullptr;
    if (!network) continue;
    std::string mac = lower(nic->mac);
    std::ranges::replace(mac, '-', ':');
    std::string port = nic->guid;
    std::erase(port, '-');
    spec.nics.push_back({mac, host.networks.folder(network_id(*network)) / (port.substr(0, 12) + ".sock")});
  }
  return spec;
}

Accepted Region::put_vm(VmOrder order) {
  Impl& self = *impl_;
  Vm& wanted = order.vm;
  get_group(wanted.group);
  if (self.groups_going.contains(lower(wanted.group)))
    throw Error(ErrorKind::conflict, "ResourceGroupBeingDeleted",
                fmt::format("The resource group '{}' is being deleted.", wanted.group),
                "Try again when it is gone.");
  if (Vm* known = self.vms.find(wanted.ref())) {
    const bool never_ran = known->provisioning == Provisioning::failed && !known->provisioned &&
                           known->power == PowerState::deallocated;
    if (known->provisioning == Provisioning::creating) return {self.live_vm(known->id).busy, false};
    if (known->provisioning == Provisioning::deleting) throw not_now(*known, "changed");
    if (!never_ran) {
      known->tags = wanted.tags;
      if (wanted.boot_diagnostics) known->boot_diagnostics = true;
      if (!wanted.size.empty() && !find_vm_size(wanted.size))
        throw Error(ErrorKind::invalid, "InvalidParameter",
                    fmt::format("There is no VM size '{}'.", wanted.size));
      const Ref ref = known->ref();
      known->provisioning = Provisioning::updating;
      self.touch(*known);
      try {
        return self.begin_vm(
            *known, "vm update",
            [&self, ref, id = known->id, size = wanted.size.empty() ? known->size : wanted.size,
             disks = wanted.data_disks](std::string operation) {
              return self.conclude(ref, id, self.update(std::move(operation), ref, id, size, disks));
            });
      } catch (...) {
        known->provisioning = Provisioning::succeeded;
        self.touch(*known);
        throw;
      }
    }
  }

  const auto invalid = [](const std::string& message, const std::string& advice = {}) {
    return Error(ErrorKind::invalid, "InvalidParameter", message, advice);
  };
  if (wanted.name.empty() || wanted.name.size() > 64)
    throw invalid("The name of a VM has 1 to 64 characters.");
  if (wanted.computer_name.empty()) wanted.computer_name = wanted.name;
  if (const auto problem = host_name_problem(wanted.computer_name)) throw invalid(*problem);
  const bool as_it_is = order.attach_os_disk || order.specialized;
  if (!as_it_is)
    if (const auto problem = user_name_problem(wanted.admin_user)) throw invalid(*problem);
  if (wanted.size.empty()) wanted.size = default_vm_size;
  const VmSize* size = find_vm_size(wanted.size);
  if (!size)
    throw invalid(fmt::format("There is no VM size '{}'.", wanted.size),
                  "'az vm list-sizes' shows those there are.");
  if (wanted.size.starts_with("Standard_") == false) wanted.size = size->name;
  if (order.password.empty() && wanted.ssh_keys.empty() && !as_it_is)
    throw invalid(fmt::format("{} has neither a password nor an SSH key.", wanted.name));
  // Each dialect has a rule of its own for passwords; none of them goes below this.
  if (!order.password.empty() && order.password.reveal().size() < 6)
    throw invalid("The password is shorter than 6 characters.");
  for (const SshKey& key : wanted.ssh_keys)
    if (!key.key.starts_with("ssh-"))
      throw invalid(
          "An SSH key must begin with 'ssh-' (ssh-rsa, ssh-ed25519): the guest agent accepts no other.");
  const auto image = self.host.gallery.find(wanted.image);
  if (!image)
    throw Error(ErrorKind::not_found, "ImageNotFound", fmt::format("Image \"{}\" not found", wanted.image),
                "'azure vm image list' shows those there are.");
  if (wanted.interfaces.empty()) throw invalid(fmt::format("{} has no network interface.", wanted.name));
  for (const Ref& ref : wanted.interfaces) {
    const NetworkInterface* nic = self.interfaces.find(ref);
    if (!nic) throw resource_not_found("Microsoft.Network/networkInterfaces", ref);
    if (!nic->vm.empty() && !(nic->vm == wanted.ref()))
      throw Error(ErrorKind::conflict, "NicInUse",
                  fmt::format("Network interface '{}' is used by VM '{}'.", nic->name, nic->vm.name));
  }
  if (wanted.data_disks.size() > size->max_data_disks)
    throw invalid(fmt::format("{} data disks are more than the {} that {} takes.", wanted.data_disks.size(),
                              size->max_data_disks, size->name));

  const Vm* before = self.vms.find(wanted.ref());
  stamp(wanted, before);
  wanted.id = before ? before->id : random_hex(12);
  wanted.vm_id = before ? before->vm_id : new_uuid();
  wanted.container_id = new_uuid();
  wanted.deployment_id = new_uuid();
  wanted.certificate = before ? before->certificate : "";
  wanted.image = image->name;
  wanted.provisioning = Provisioning::creating;
  wanted.power = PowerState::deallocated;
  wanted.incarnation = 1;
  wanted.has_custom_data = !order.custom_data.empty();
  wanted.os_disk_attached = order.attach_os_disk;
  const std::uint64_t disk_gib = std::max(order.os_disk_gib, image->size_gib);

  Database::Transaction change(self.host.database);
  Disk os_disk;
  os_disk.group = order.os_disk_group.empty() ? wanted.group : order.os_disk_group;
  os_disk.name = !order.os_disk_name.empty() ? order.os_disk_name
                                             : fmt::format("{}_OsDisk_1_{}", wanted.name, wanted.id);
  os_disk.location = wanted.location;
  os_disk.os = image->os;
  os_disk.image = image->name;
  os_disk.size_gib = disk_gib;
  os_disk.vm = wanted.ref();
  const Disk* old_disk = self.disks.find(os_disk.ref());
  if (old_disk && !old_disk->vm.empty() && !(old_disk->vm == wanted.ref()))
    throw Error(ErrorKind::conflict, "DiskInUse",
                fmt::format("Disk '{}' is used by VM '{}'.", os_disk.name, old_disk->vm.name));
  if (order.attach_os_disk && !old_disk) throw resource_not_found("Microsoft.Compute/disks", os_disk.ref());
  stamp(os_disk, old_disk);
  os_disk.file = order.attach_os_disk ? old_disk->file : "disks/" + wanted.id + ".qcow2";
  if (order.attach_os_disk) os_disk.size_gib = old_disk->size_gib;
  wanted.os_disk = self.disks.put(std::move(os_disk)).ref();
  const Ref ref = wanted.ref();
  const std::string id = wanted.id;
  self.vm_keys[id] = ref.key();
  Vm& vm = self.vms.put(std::move(wanted));
  for (const Ref& nic_ref : vm.interfaces) {
    NetworkInterface& nic = *self.interfaces.find(nic_ref);
    nic.vm = ref;
    self.interfaces.save(nic);
  }
  Accepted accepted = self.begin_vm(
      vm, "vm create",
      [&self, ref, id, password = order.password, data = order.custom_data, as_it_is,
       attach = order.attach_os_disk](std::string operation) {
        return self.conclude(ref, id,
                             attach     ? self.start_attached(std::move(operation), ref, id)
                             : as_it_is ? self.create(std::move(operation), ref, id, {}, {}, true)
                                        : self.create(std::move(operation), ref, id, password, data, false));
      });
  change.commit();
  accepted.created = true;
  return accepted;
}

asio::awaitable<void> Region::Impl::make_data_disks(Vm& vm) {
  for (DataDisk& data : vm.data_disks) {
    if (const Disk* there = disks.find(data.disk);
        there && !there->file.empty() && std::filesystem::exists(host.home / there->file))
      continue;
    Disk disk;
    disk.group = vm.group;
    disk.name =
        data.name.empty() ? fmt::format("{}_disk{}_{}", vm.name, data.lun + 2, random_hex(8)) : data.name;
    disk.location = vm.location;
    disk.size_gib = data.size_gib ? data.size_gib : 32;
    stamp(disk, disks.find(disk.ref()));
    disk.file = "disks/" + random_hex(12) + ".qcow2";
    disk.vm = vm.ref();
    data.name = disk.name;
    data.disk = disk.ref();
    data.size_gib = disk.size_gib;
    const auto file = host.home / disk.file;
    disks.put(disk);
    vms.save(vm);
    const Ref ref = vm.ref();
    const std::string id = vm.id;
    co_await on_pool([this, file, size = disk.size_gib] {
      host.gallery.make_empty_disk(file, size);
      return 0;
    });
    still(ref, id);
  }
}

asio::awaitable<void> Region::Impl::start_attached(std::string operation, Ref ref, std::string id) {
  co_await make_data_disks(still(ref, id));
  ensure_certificate(still(ref, id));
  co_await power_on(operation, ref, id, {});
  co_await await_agent(operation, ref, id);
}

asio::awaitable<void> Region::Impl::create(std::string operation, Ref ref, std::string id, Secret password,
                                           std::string custom_data, bool as_it_is) {
  const auto state = live_ptr(id);
  phase(operation, "Preparing the image");
  const std::string image = still(ref, id).image;
  const auto progress = [this, operation](const std::string& what, double fraction) {
    const std::string text = fraction < 0 ? what : fmt::format("{} ({:.0f} %)", what, fraction * 100);
    asio::post(host.executor, [this, operation, text] { detail(operation, text); });
  };
  const ImageFiles files =
      co_await on_pool([&gallery = host.gallery, image, progress, stop = state->giving_up.get_token()] {
        return gallery.ensure(image, progress, stop);
      });

  phase(operation, "Making the disk");
  const Disk* disk = disks.find(still(ref, id).os_disk);
  if (!disk) throw Error(ErrorKind::internal, "InternalError", ref.name + " has no OS disk.");
  const auto file = host.home / disk->file;
  co_await on_pool([&gallery = host.gallery, files, file, size = disk->size_gib] {
    std::filesystem::create_directories(file.parent_path());
    std::filesystem::remove(file);  // of an attempt that ended early
    gallery.make_disk(files, file, size);
    return 0;
  });
  co_await make_data_disks(still(ref, id));
  ensure_certificate(still(ref, id));
  co_await power_on(operation, ref, id,
                    as_it_is ? std::string() : provisioning_medium(still(ref, id), password, custom_data));
  co_await await_agent(operation, ref, id);
}

asio::awaitable<void> Region::Impl::conclude(Ref ref, std::string id, asio::awaitable<void> steps) {
  std::optional<Error> trouble;
  try {
    co_await std::move(steps);
  } catch (const Error& error) {
    trouble = error;
  }
  Vm* done = vms.find(ref);
  const bool same = done && done->id == id && done->provisioning != Provisioning::deleting && !stopping;
  if (same) {
    done->provisioning = trouble ? Provisioning::failed : Provisioning::succeeded;
    done->problem = trouble ? std::optional(to_problem(*trouble)) : std::nullopt;
    touch(*done);
  }
  if (trouble) throw *trouble;
}

asio::awaitable<void> Region::Impl::power_on(std::string operation, Ref ref, std::string id,
                                             std::string medium) {
  Vm& vm = still(ref, id);
  vm.power = PowerState::starting;
  vm.agent.reset();
  vm.health.reset();
  touch(vm);
  bool failed = false;
  std::optional<Error> trouble;
  try {
    phase(operation, "Connecting the network");
    for (const Ref& nic_ref : std::vector<Ref>(vm.interfaces)) {
      const NetworkInterface* nic = interfaces.find(nic_ref);
      if (!nic) throw resource_not_found("Microsoft.Network/networkInterfaces", nic_ref);
      const Ref network_ref = nic->configurations.front().network;
      const VirtualNetwork* network = networks.find(network_ref);
      if (!network) throw resource_not_found("Microsoft.Network/virtualNetworks", network_ref);
      host.guest_endpoints(id, host.networks.folder(network_id(*network)));
      co_await settle(network_ref);
    }
    phase(operation, "Starting the virtual machine");
    const Disk* disk = disks.find(still(ref, id).os_disk);
    if (!disk) throw Error(ErrorKind::internal, "InternalError", ref.name + " has no OS disk.");
    const ImageFiles files = co_await on_pool(
        [&gallery = host.gallery, file = host.home / disk->file] { return gallery.files_of(file); });
    if (host.driver.observe(id) != MachineState::running)
      co_await host.driver.start(machine(still(ref, id), files), std::move(medium));
    Vm& running = still(ref, id);
    running.power = PowerState::running;
    touch(running);
  } catch (const Error& error) {
    failed = true;
    trouble = error;
  }
  if (!failed) co_return;
  if (Vm* stopped = vms.find(ref); stopped && stopped->id == id) {
    stopped->power = stopped->provisioned ? PowerState::stopped : PowerState::deallocated;
    touch(*stopped);
  }
  throw *trouble;
}

asio::awaitable<void> Region::Impl::await_agent(std::string operation, Ref ref, std::string id) {
  phase(operation, "Waiting for the guest agent");
  const auto state = live_ptr(id);
  const auto until = std::chrono::steady_clock::now() + settings.boot_limit;
  for (;;) {
    Vm& vm = still(ref, id);
    const auto log = host.driver.serial_log(id);
    if ((vm.health && vm.health->state == "Ready") || (vm.agent && vm.agent->status == "Ready")) {
      vm.provisioned = true;
      touch(vm);
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
                              vm.name, last_lines(log, 8)),
                  "See " + log.string());
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left <= std::chrono::milliseconds(0))
      throw Error(ErrorKind::unavailable, "OSProvisioningTimedOut",
                  fmt::format("The guest agent of {} did not report within {} s. Its console ends with:\n{}",
                              vm.name, settings.boot_limit.count(), last_lines(log, 8)),
                  "See " + log.string() + "; the image must hold the Azure Linux Agent.");
    if (vm.health) detail(operation, vm.health->description);
    co_await state->changed.wait(std::min(left, std::chrono::milliseconds(5000)));
  }
}

asio::awaitable<void> Region::Impl::power_off(std::string operation, Ref ref, std::string id,
                                              std::chrono::milliseconds grace, bool deallocate) {
  phase(operation, "Stopping the virtual machine");
  Vm& vm = still(ref, id);
  vm.power = deallocate ? PowerState::deallocating : PowerState::stopping;
  touch(vm);
  co_await host.driver.stop(id, grace);
  host.guest_endpoints(id, {});
  Vm& stopped = still(ref, id);
  stopped.power = deallocate ? PowerState::deallocated : PowerState::stopped;
  touch(stopped);
  for (const Ref& nic : std::vector<Ref>(stopped.interfaces))
    if (const NetworkInterface* found = interfaces.find(nic))
      for (const IpConfiguration& configuration : std::vector<IpConfiguration>(found->configurations))
        co_await settle(configuration.network);
}

asio::awaitable<void> Region::Impl::update(std::string operation, Ref ref, std::string id, std::string size,
                                           std::vector<DataDisk> data_disks) {
  if (Vm& resized = still(ref, id); resized.size != size) {
    const bool was_on = resized.power == PowerState::running;
    if (was_on) co_await power_off(operation, ref, id, settings.shutdown_grace, false);
    Vm& again = still(ref, id);
    again.size = find_vm_size(size)->name;
    touch(again);
    if (was_on) co_await power_on(operation, ref, id, {});
  }
  // Detach what is no longer named, attach what is new.
  std::vector<DataDisk> gone, came;
  for (const DataDisk& old : still(ref, id).data_disks)
    if (std::ranges::none_of(data_disks, [&](const DataDisk& d) { return d.lun == old.lun; }))
      gone.push_back(old);
  for (const DataDisk& next : data_disks)
    if (std::ranges::none_of(still(ref, id).data_disks, [&](const DataDisk& d) { return d.lun == next.lun; }))
      came.push_back(next);
  if (!gone.empty() || !came.empty()) phase(operation, "Changing the data disks");
  for (const DataDisk& disk : gone) {
    if (still(ref, id).power == PowerState::running) co_await host.driver.detach_disk(id, disk.lun);
    Vm& vm = still(ref, id);
    std::erase_if(vm.data_disks, [&](const DataDisk& d) { return d.lun == disk.lun; });
    if (Disk* record = disks.find(disk.disk)) {
      record->vm = {};
      disks.save(*record);
    }
    touch(vm);
  }
  for (const DataDisk& disk : came) {
    Vm& vm = still(ref, id);
    vm.data_disks.push_back(disk);
    if (Disk* record = disks.find(disk.disk)) {
      if (!record->vm.empty() && !(record->vm == ref))
        throw Error(ErrorKind::conflict, "DiskInUse",
                    fmt::format("Disk '{}' is used by VM '{}'.", record->name, record->vm.name));
      record->vm = ref;
      disks.save(*record);
    }
    co_await make_data_disks(vm);
    Vm& now = still(ref, id);
    touch(now);
    const auto added = std::ranges::find(now.data_disks, disk.lun, &DataDisk::lun);
    const Disk* record = added == now.data_disks.end() ? nullptr : disks.find(added->disk);
    if (record && now.power == PowerState::running)
      co_await host.driver.attach_disk(id, {disk.lun, host.home / record->file});
  }
}

Accepted Region::start_vm(const Ref& ref) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  if (vm.power == PowerState::starting || vm.power == PowerState::running) {
    if (const std::string& busy = self.live_vm(vm.id).busy; !busy.empty()) return {busy, false};
    return {self.begin("vm start", target_of(ref), [](std::string) -> asio::awaitable<void> { co_return; }),
            false};
  }
  if (!vm.provisioned) throw not_now(vm, "started: it was never made");
  if (vm.generalized) throw not_now(vm, "started: it is generalized");
  return self.begin_vm(vm, "vm start", [&self, ref, id = vm.id](std::string operation) {
    return self.power_on(std::move(operation), ref, id, {});
  });
}

Accepted Region::restart_vm(const Ref& ref) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  if (vm.power != PowerState::running) throw not_now(vm, "restarted");
  return self.begin_vm(vm, "vm restart",
                       [&self, ref, id = vm.id](std::string operation) -> asio::awaitable<void> {
                         co_await self.power_off(operation, ref, id, self.settings.shutdown_grace, false);
                         co_await self.power_on(operation, ref, id, {});
                       });
}

Accepted Region::stop_vm(const Ref& ref, bool skip_shutdown) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  if (vm.power == PowerState::deallocated) throw not_now(vm, "stopped");
  const auto grace =
      skip_shutdown ? std::chrono::milliseconds(0) : std::chrono::milliseconds(self.settings.shutdown_grace);
  return self.begin_vm(vm, "vm stop", [&self, ref, id = vm.id, grace](std::string operation) {
    return self.power_off(std::move(operation), ref, id, grace, false);
  });
}

Accepted Region::deallocate_vm(const Ref& ref) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  return self.begin_vm(vm, "vm deallocate", [&self, ref, id = vm.id](std::string operation) {
    return self.power_off(std::move(operation), ref, id, self.settings.shutdown_grace, true);
  });
}

Accepted Region::redeploy_vm(const Ref& ref) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  if (!vm.provisioned) throw not_now(vm, "redeployed: it was never made");
  return self.begin_vm(vm, "vm redeploy",
                       [&self, ref, id = vm.id](std::string operation) -> asio::awaitable<void> {
                         co_await self.power_off(operation, ref, id, self.settings.shutdown_grace, true);
                         co_await self.power_on(operation, ref, id, {});
                       });
}

void Region::retag_vm(const Ref& ref, Tags tags) {
  Vm& vm = impl_->vm(ref);
  vm.tags = std::move(tags);
  impl_->touch(vm);
}

void Region::generalize_vm(const Ref& ref) {
  Vm& vm = impl_->vm(ref);
  if (vm.power != PowerState::stopped && vm.power != PowerState::deallocated)
    throw not_now(vm, "generalized");
  vm.generalized = true;
  impl_->touch(vm);
}

Accepted Region::capture_vm(const Ref& ref, const std::string& image_name, const std::string& label) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  if (vm.power != PowerState::stopped && vm.power != PowerState::deallocated) throw not_now(vm, "captured");
  if (self.host.gallery.find(image_name))
    throw Error(ErrorKind::conflict, "ImageExists",
                fmt::format("There is an image '{}' already.", image_name), "Choose another name.");
  return self.begin_vm(
      vm, "vm capture",
      [&self, ref, id = vm.id, image_name, label](std::string operation) -> asio::awaitable<void> {
        self.phase(operation, "Copying the disk");
        const Vm& vm = self.still(ref, id);
        const Disk* disk = self.disks.find(vm.os_disk);
        if (!disk) throw Error(ErrorKind::internal, "InternalError", ref.name + " has no OS disk.");
        const auto progress = [&self, operation](const std::string& what, double) {
          asio::post(self.host.executor, [&self, operation, what] { self.detail(operation, what); });
        };
        co_await self.on_pool([&gallery = self.host.gallery, file = self.host.home / disk->file,
                               image = vm.image, image_name, label, progress] {
          const ImageFiles base = gallery.ensure(image, progress, {});
          gallery.capture(file, base, image_name, label, progress);
          return 0;
        });
      });
}

Accepted Region::delete_vm(const Ref& ref, VmDeletion also) {
  Impl& self = *impl_;
  Vm& vm = self.vm(ref);
  const auto state = self.live_ptr(vm.id);
  if (vm.provisioning == Provisioning::deleting && self.operations.contains(state->busy))
    return {state->busy, false};
  vm.provisioning = Provisioning::deleting;
  state->giving_up.request_stop();
  self.touch(vm);  // whoever works on it sees that and gives up
  return {self.begin("vm delete", target_of(ref),
                     [&self, ref, id = vm.id, also](std::string operation) {
                       return self.remove(std::move(operation), ref, id, also);
                     }),
          false};
}

asio::awaitable<void> Region::Impl::remove(std::string operation, Ref ref, std::string id, VmDeletion also) {
  const auto state = live_ptr(id);
  phase(operation, "Deleting the virtual machine");
  // The operation under way gives up at its next step; a step that hangs is cut by the driver's destroy
  // below.
  for (int i = 0; i < 60 && !state->busy.empty() && state->busy != operation; ++i) {
    if (i == 3) co_await host.driver.destroy(id);
    co_await state->changed.wait(std::chrono::seconds(1));
  }
  state->busy = operation;
  co_await host.driver.destroy(id);
  host.guest_endpoints(id, {});
  Vm* vm = vms.find(ref);
  if (!vm || vm->id != id) co_return;
  std::vector<std::filesystem::path> files;
  std::set<std::string> settle_keys;
  std::vector<Ref> to_settle;
  {
    Database::Transaction change(host.database);
    for (const Ref& nic_ref : vm->interfaces) {
      NetworkInterface* nic = interfaces.find(nic_ref);
      if (!nic) continue;
      for (const IpConfiguration& configuration : nic->configurations)
        if (settle_keys.insert(configuration.network.key()).second)
          to_settle.push_back(configuration.network);
      nic->vm = {};
      interfaces.save(*nic);
    }
    std::vector<Ref> mine{vm->os_disk};
    for (const DataDisk& data : vm->data_disks) mine.push_back(data.disk);
    for (const Ref& disk_ref : mine) {
      Disk* disk = disks.find(disk_ref);
      if (!disk) continue;
      if (also.disks) {
        files.push_back(host.home / disk->file);
        disks.erase(disk_ref);
      } else {
        disk->vm = {};
        disks.save(*disk);
      }
    }
    host.database.erase("vm-key", id);
    keys.erase(id);
    vm_keys.erase(id);
    if (also.interfaces)
      for (const Ref& nic_ref : std::vector<Ref>(vm->interfaces))
        if (const NetworkInterface* nic = interfaces.find(nic_ref)) {
          const auto configurations = nic->configurations;
          interfaces.erase(nic_ref);
          for (const IpConfiguration& configuration : configurations)
            if (addresses.find(configuration.public_address) &&
                std::ranges::none_of(interfaces.rows(), [&](const auto& row) {
                  return std::ranges::any_of(row.second.configurations, [&](const IpConfiguration& c) {
                    return c.public_address == configuration.public_address;
                  });
                }))
              addresses.erase(configuration.public_address);
        }
    vms.erase(ref);
    change.commit();
  }
  if (also.interfaces) write_hosts();
  co_await on_pool([files] {
    std::error_code ignored;
    for (const auto& file : files) std::filesystem::remove(file, ignored);
    return 0;
  });
  for (const Ref& network : to_settle) co_await settle(network);
  live.erase(id);
}

void Region::Impl::on_machine_event(const std::string& id, MachineEvent event) {
  const auto key = vm_keys.find(id);
  if (key == vm_keys.end() || stopping) return;
  const auto row = vms.rows().find(key->second);
  if (row == vms.rows().end()) return;
  Vm& vm = row->second;
  if (event == MachineEvent::reset) {
    vm.agent.reset();
    touch(vm);
    return;
  }
  if (vm.power != PowerState::running && vm.power != PowerState::starting) return;
  spdlog::warn("{} vm={}", event == MachineEvent::crashed ? "crashed" : "powered off by itself", vm.name);
  vm.power = PowerState::stopped;
  touch(vm);
  for (const Ref& nic : vm.interfaces)
    if (const NetworkInterface* found = interfaces.find(nic)) settle_soon(*found);
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
