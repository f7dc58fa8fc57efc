#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <thread>

#include "base/as_error.h"
#include "crypto/certificate.h"
#include "crypto/random.h"
#include "host/files.h"
#include "host/log_tail.h"
#include "model/catalog.h"
#include "region/impl.h"

// What goes on behind a request that vms.cpp has accepted: the steps of making, changing and removing a
// machine. Each step looks the VM up anew (`still`), for it may have been deleted meanwhile.
namespace berth {
namespace {

/// Azure hands out the VM's id with the first three groups of the SMBIOS uuid in the other byte order.
std::string smbios_uuid(const std::string& vm_id) {
  const auto swapped = [&](std::size_t at, std::size_t bytes) {
    std::string out;
    for (std::size_t i = bytes; i-- > 0;) out += vm_id.substr(at + 2 * i, 2);
    return out;
  };
  return swapped(0, 4) + "-" + swapped(9, 2) + "-" + swapped(14, 2) + vm_id.substr(18);
}

unsigned host_cpus() {
  return std::max(1u, std::thread::hardware_concurrency());
}

struct TransportCertificate {
  std::string certificate;
  Secret key;
};

TransportCertificate make_transport_certificate(const std::function<PrivateKey()>& new_key) {
  const PrivateKey key = new_key();
  CertificateOrder order;
  order.use = CertificateUse::encryption;
  order.common_name = "TenantEncryptionCert";
  order.subject_prefix = {{"DC", "Windows Azure CRP Certificate Generator"}};
  order.lifetime = std::chrono::days(3650);
  return {issue_certificate(order, key).to_pem(), key.to_pem()};
}

}  // namespace

void Region::Impl::keep_certificate(Vm& vm, std::string certificate, Secret key) {
  vm.certificate = std::move(certificate);
  records.write("vm-key", vm.id, key.reveal());
  keys[vm.id] = std::move(key);  // without the certificate it is nothing
}

bool Region::Impl::has_certificate(const Vm& vm) const {
  return !vm.certificate.empty() && keys.contains(vm.id);
}

void Region::Impl::ensure_certificate(Vm& vm) {
  if (has_certificate(vm)) return;
  TransportCertificate made = make_transport_certificate(host.vm_key);
  keep_certificate(vm, std::move(made.certificate), std::move(made.key));
}

asio::awaitable<void> Region::Impl::make_certificate(Ref ref, std::string id) {
  if (has_certificate(still(ref, id))) co_return;
  TransportCertificate made =
      co_await on_pool([new_key = host.vm_key] { return make_transport_certificate(new_key); });
  if (has_certificate(still(ref, id))) co_return;
  records.change([&] { keep_certificate(vms.edit(ref), std::move(made.certificate), std::move(made.key)); });
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
  spec.azure_disks = files.azure_disks;
  if (files.azure_disks && size && size->resource_disk_mib > 0) spec.temporary_disk = temporary_disk(vm.id);
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

std::filesystem::path Region::Impl::temporary_disk(const std::string& id) const {
  return host.driver.folder(id) / "temporary.qcow2";
}

std::string Region::Impl::file_of(const Disk& disk) {
  return disk.file.empty() ? "disks/" + disk.guid + ".qcow2" : disk.file;
}

asio::awaitable<void> Region::Impl::make_disk(Ref ref, std::uint64_t size_gib) {
  const Disk* disk = disks.find(ref);
  if (!disk) throw resource_not_found("Microsoft.Compute/disks", ref);
  const bool is_new = disk->file.empty();
  if (!is_new && disk->size_gib >= size_gib) co_return;
  const std::string guid = disk->guid, file = file_of(*disk);
  co_await on_pool([&gallery = host.gallery, path = host.home / file, size_gib, is_new] {
    if (!is_new) {
      gallery.grow_disk(path, size_gib);
      return 0;
    }
    make_folder(path.parent_path());
    std::filesystem::remove(path);  // of an attempt that ended early
    gallery.make_empty_disk(path, size_gib);
    return 0;
  });
  const Disk* made = disks.find(ref);
  if (!made || made->guid != guid) {
    co_await remove_files({file});
    throw Error(ErrorKind::conflict, "OperationPreempted", fmt::format("Disk '{}' was deleted.", ref.name));
  }
  records.change([&] {
    Disk& disk_made = disks.edit(ref);
    disk_made.file = file;
    disk_made.size_gib = size_gib;
    disk_made.etag = new_uuid();
    if (!vms.find(disk_made.vm)) return;
    for (DataDisk& data : vms.edit(disk_made.vm).data_disks)
      if (data.disk == ref) data.size_gib = size_gib;
  });
}

asio::awaitable<void> Region::Impl::make_data_disks(Ref ref, std::string id) {
  for (const DataDisk& data : std::vector<DataDisk>(still(ref, id).data_disks)) {
    co_await make_disk(data.disk, data.size_gib);
    still(ref, id);
  }
}

void Region::Impl::erase_disk(const Ref& ref, std::vector<std::string>& files) {
  const std::string file = file_of(*disks.find(ref));
  // The next process removes it if this one cannot any more.
  records.write("file-going", file, "");
  disks.erase(ref);
  files.push_back(file);
}

asio::awaitable<void> Region::Impl::remove_files(std::vector<std::string> files) {
  if (files.empty()) co_return;
  files_left.insert(files.begin(), files.end());
  const std::vector<std::string> gone = co_await on_pool([home = host.home, files = std::move(files)] {
    std::vector<std::string> removed;
    for (const std::string& file : files) {
      std::error_code trouble;
      std::filesystem::remove(home / file, trouble);
      if (trouble)
        spdlog::warn("could not remove {}: {}", file, trouble.message());
      else
        removed.push_back(file);
    }
    return removed;
  });
  for (const std::string& file : gone) files_left.erase(file);
  if (gone.empty()) co_return;
  co_await insist([&] {
    for (const std::string& file : gone) records.write("file-going", file, std::nullopt);
  });
}

asio::awaitable<void> Region::Impl::match_data_disks(Ref ref, std::string id) {
  const std::set<int> plugged = co_await host.driver.luns(id);
  const std::vector<DataDisk> recorded = still(ref, id).data_disks;
  for (const int lun : plugged)
    if (std::ranges::find(recorded, lun, &DataDisk::lun) == recorded.end())
      co_await host.driver.detach_disk(id, lun);
  for (const DataDisk& data : recorded)
    if (const Disk* disk = disks.find(data.disk); disk && !plugged.contains(data.lun))
      co_await host.driver.attach_disk(id, {data.lun, host.home / disk->file});
}

asio::awaitable<void> Region::Impl::start_attached(std::string operation, Ref ref, std::string id) {
  co_await make_data_disks(ref, id);
  co_await make_certificate(ref, id);
  co_await power_on(operation, ref, id, {});
  co_await await_agent(operation, ref, id);
}

asio::awaitable<void> Region::Impl::create(std::string operation, Ref ref, std::string id, Secret password,
                                           std::string custom_data, bool as_it_is) {
  const auto state = live_ptr(id);
  phase(operation, "Preparing the image");
  const std::string image = still(ref, id).image;
  const auto known = host.gallery.find(image);
  const ImageFiles files =
      co_await on(known && known->built ? host.pool : host.builds,
                  [&gallery = host.gallery, image, progress = image_progress(operation),
                   stop = state->giving_up.get_token()] { return gallery.ensure(image, progress, stop); });

  phase(operation, "Making the disk");
  const Disk* disk = disks.find(still(ref, id).os_disk);
  if (!disk) throw Error(ErrorKind::internal, "InternalError", ref.name + " has no OS disk.");
  const auto file = host.home / disk->file;
  co_await on_pool([&gallery = host.gallery, files, file, size = disk->size_gib] {
    make_folder(file.parent_path());
    std::filesystem::remove(file);  // of an attempt that ended early
    gallery.make_disk(files, file, size);
    return 0;
  });
  co_await make_data_disks(ref, id);
  co_await make_certificate(ref, id);
  co_await power_on(operation, ref, id,
                    as_it_is ? std::string() : provisioning_medium(still(ref, id), password, custom_data));
  co_await await_agent(operation, ref, id);
}

asio::awaitable<void> Region::Impl::conclude(Ref ref, std::string id, asio::awaitable<void> steps) {
  std::optional<Error> trouble;
  try {
    co_await std::move(steps);
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  co_await insist([&] {
    const Vm* known = vms.find(ref);
    if (!known || known->id != id || known->provisioning == Provisioning::deleting) return;
    Vm& done = edit(ref);
    // A machine that was never set up is not, whatever of it was changed since.
    const bool good = !trouble && done.provisioned;
    done.provisioning = good ? Provisioning::succeeded : Provisioning::failed;
    if (good) done.problem.reset();
    if (!trouble) return;
    done.problem = to_problem(*trouble);
    free_disks(ref, done.disks());  // that were to be attached
  });
  if (trouble) throw *trouble;
}

asio::awaitable<void> Region::Impl::power_on(std::string operation, Ref ref, std::string id,
                                             std::string medium) {
  still(ref, id);
  change_vm(ref, [](Vm& vm) {
    vm.power = PowerState::starting;
    vm.agent.reset();
    vm.health.reset();
    vm.delivery = {};
  });
  std::optional<Error> trouble;
  try {
    phase(operation, "Connecting the network");
    return_ports(still(ref, id));
    for (const Ref& nic_ref : std::vector<Ref>(still(ref, id).interfaces)) {
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
    if (host.driver.observe(id) != MachineState::running) {
      const MachineSpec spec = machine(still(ref, id), files);
      if (spec.temporary_disk)
        co_await on_pool([&gallery = host.gallery, file = *spec.temporary_disk,
                          size = find_vm_size(still(ref, id).size)->resource_disk_mib] {
          make_folder(file.parent_path());
          gallery.make_temporary_disk(file, size);
          return 0;
        });
      co_await host.driver.start(spec, std::move(medium));
    }
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  co_await insist([&] {
    if (const Vm* known = vms.find(ref); !known || known->id != id) return;
    Vm& vm = edit(ref);
    vm.power = !trouble         ? PowerState::running
               : vm.provisioned ? PowerState::stopped
                                : PowerState::deallocated;
  });
  if (trouble) throw *trouble;
  still(ref, id);
}

asio::awaitable<void> Region::Impl::await_agent(std::string operation, Ref ref, std::string id) {
  phase(operation, "Waiting for the guest agent");
  const auto state = live_ptr(id);
  const auto until = std::chrono::steady_clock::now() + settings.boot_limit;
  for (;;) {
    const Vm& vm = still(ref, id);
    const auto log = host.driver.serial_log(id);
    if ((vm.health && vm.health->state == "Ready") || (vm.agent && vm.agent->status == "Ready")) {
      co_await insist([&] {
        still(ref, id);
        edit(ref).provisioned = true;
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
                              vm.name, settings.boot_limit.count(), log_tail(log, 8)),
                  "See " + log.string() + "; the image must hold the Azure Linux Agent.");
    if (vm.health) detail(operation, vm.health->description);
    if (vm.waits_for_space()) detail(operation, std::string(held_for_space));
    co_await state->changed.wait(std::min(left, std::chrono::milliseconds(5000)));
  }
}

asio::awaitable<void> Region::Impl::power_off(std::string operation, Ref ref, std::string id,
                                              std::chrono::milliseconds grace, bool deallocate) {
  phase(operation, "Stopping the virtual machine");
  still(ref, id);
  change_vm(ref, [&](Vm& vm) { vm.power = deallocate ? PowerState::deallocating : PowerState::stopping; });
  co_await host.driver.stop(id, grace);
  host.guest_endpoints(id, {});
  if (deallocate)
    co_await on_pool([file = temporary_disk(id)] {
      std::error_code ignored;
      return std::filesystem::remove(file, ignored);
    });
  co_await insist([&] {
    still(ref, id);
    edit(ref).power = deallocate ? PowerState::deallocated : PowerState::stopped;
  });
  for (const Ref& nic : std::vector<Ref>(still(ref, id).interfaces))
    if (const NetworkInterface* found = interfaces.find(nic))
      for (const IpConfiguration& configuration : std::vector<IpConfiguration>(found->configurations))
        co_await settle(configuration.network);
}

asio::awaitable<void> Region::Impl::update(std::string operation, Ref ref, std::string id, std::string size,
                                           std::uint64_t os_disk_gib, std::vector<DataDisk> data_disks) {
  if (const Vm& resized = still(ref, id); resized.size != size) {
    const bool was_on = resized.power == PowerState::running;
    if (was_on) co_await power_off(operation, ref, id, settings.shutdown_grace, false);
    still(ref, id);
    change_vm(ref, [&](Vm& vm) { vm.size = size; });
    if (was_on) co_await power_on(operation, ref, id, {});
  }
  if (os_disk_gib != 0) co_await make_disk(still(ref, id).os_disk, os_disk_gib);
  const auto in = [](const DataDisk& disk, const std::vector<DataDisk>& list) {
    return std::ranges::any_of(list,
                               [&](const DataDisk& d) { return d.lun == disk.lun && d.disk == disk.disk; });
  };
  std::vector<DataDisk> gone, came;
  for (const DataDisk& old : still(ref, id).data_disks)
    if (!in(old, data_disks)) gone.push_back(old);
  for (const DataDisk& next : data_disks)
    if (!in(next, still(ref, id).data_disks)) came.push_back(next);
  if (!gone.empty() || !came.empty()) phase(operation, "Changing the data disks");
  const std::set<int> plugged = gone.empty() ? std::set<int>() : co_await host.driver.luns(id);
  for (const DataDisk& disk : gone) {
    if (still(ref, id).power == PowerState::running && plugged.contains(disk.lun))
      co_await host.driver.detach_disk(id, disk.lun);
    co_await insist([&] {
      still(ref, id);
      std::erase_if(edit(ref).data_disks, [&](const DataDisk& d) { return d.lun == disk.lun; });
    });
  }
  for (const DataDisk& disk : data_disks) co_await make_disk(disk.disk, disk.size_gib);
  for (const DataDisk& disk : came) {
    const Disk* record = disks.find(disk.disk);
    if (!record) throw resource_not_found("Microsoft.Compute/disks", disk.disk);
    if (still(ref, id).power == PowerState::running)
      co_await host.driver.attach_disk(id, {disk.lun, host.home / record->file});
    co_await insist([&] {
      still(ref, id);
      edit(ref).data_disks.push_back(disk);
    });
  }
  for (DataDisk& data : data_disks)
    if (const Disk* disk = disks.find(data.disk)) data.size_gib = disk->size_gib;
  co_await insist([&] {
    still(ref, id);
    Vm& vm = edit(ref);
    vm.data_disks = data_disks;  // in the order and with the caching of the request
    free_disks(ref, vm.disks());
  });
}

asio::awaitable<void> Region::Impl::remove(std::string operation, Ref ref, std::string id) {
  const auto state = live_ptr(id);
  phase(operation, "Deleting the virtual machine");
  // The operation under way gives up at its next step; a step that hangs is cut by the driver's destroy
  // below.
  for (int i = 0; i < 60 && !state->busy.empty(); ++i) {
    if (i == 3) co_await host.driver.destroy(id);
    co_await state->changed.wait(std::chrono::seconds(1));
  }
  state->busy = operation;
  const Occupied until_done{state, operation};
  std::optional<Error> trouble;
  try {
    co_await take_apart(ref, id);
  } catch (const std::exception& caught) {
    trouble = as_error(caught);
  }
  if (!trouble) co_return;
  co_await insist([&] {
    if (const Vm* known = vms.find(ref); !known || known->id != id) return;
    Vm& vm = edit(ref);
    vm.provisioning = Provisioning::failed;  // it is still there, and can be deleted again
    vm.problem = to_problem(*trouble);
    if (host.driver.observe(id) != MachineState::running) vm.power = PowerState::deallocated;
    records.after([state] { state->giving_up = std::stop_source(); });
  });
  throw *trouble;
}

/// What goes with a VM, within a change. Returns whether a name on this host is gone.
bool Region::Impl::erase_vm(const Vm& vm, std::vector<std::string>& files) {
  const Ref ref = vm.ref();
  bool names_gone = false;
  free_disks(ref, {});
  free_interfaces(ref);
  std::vector<Ref> going;
  if (vm.os_disk_deleted_with_vm) going.push_back(vm.os_disk);
  for (const DataDisk& data : vm.data_disks)
    if (data.deleted_with_vm) going.push_back(data.disk);
  for (const Ref& disk : going)
    if (disks.find(disk)) erase_disk(disk, files);
  for (const Ref& nic_ref : vm.interfaces_deleted_with_vm) {
    const NetworkInterface* nic = interfaces.find(nic_ref);
    if (!nic) continue;
    const auto configurations = nic->configurations;
    interfaces.erase(nic_ref);
    for (const IpConfiguration& configuration : configurations) {
      const Ref& address = configuration.public_address;
      if (!configuration.address_deleted_with_vm || !addresses.find(address) ||
          !interfaces.with(term("address", address)).empty())
        continue;
      addresses.erase(address);
      names_gone = true;
    }
  }
  records.write("vm-key", vm.id, std::nullopt);
  records.after([this, id = vm.id] {
    keys.erase(id);
    vm_keys.erase(id);
    live.erase(id);
  });
  vms.erase(ref);
  return names_gone;
}

asio::awaitable<void> Region::Impl::take_apart(Ref ref, std::string id) {
  co_await host.driver.destroy(id);
  host.guest_endpoints(id, {});
  std::vector<std::string> files;
  std::map<std::string, Ref> to_settle;
  bool names_gone = false;
  co_await insist([&] {
    files.clear();
    const Vm* vm = vms.find(ref);
    if (!vm || vm->id != id) return;
    for (const Ref& nic_ref : vm->interfaces)
      if (const NetworkInterface* nic = interfaces.find(nic_ref))
        for (const IpConfiguration& configuration : nic->configurations)
          to_settle.emplace(configuration.network.key(), configuration.network);
    names_gone = erase_vm(*vm, files);
  });
  if (stopping) co_return;
  if (names_gone) rewrite_hosts();
  co_await remove_files(std::move(files));
  sweep_images();
  for (const auto& [key, network] : to_settle) co_await settle(network);
}

void Region::Impl::on_machine_event(const std::string& id, MachineEvent event) {
  const auto key = vm_keys.find(id);
  if (key == vm_keys.end() || stopping) return;
  const Vm* vm = vms.find(key->second);
  if (!vm) return;
  const Ref ref = vm->ref();
  if (event == MachineEvent::no_space) {
    vms.unkept(ref)->held_until = std::chrono::steady_clock::now() + 2 * space_pause;
    live_vm(id).changed.notify();
    return;
  }
  if (event == MachineEvent::reset)
    return insist_soon([this, ref, id] {
      if (const Vm* known = vms.find(ref); !known || known->id != id) return;
      Vm& vm = edit(ref);
      vm.agent.reset();
      vm.delivery = {};
    });
  if (vm->power != PowerState::running && vm->power != PowerState::starting) return;
  spdlog::warn("{} vm={}", event == MachineEvent::crashed ? "crashed" : "powered off by itself", vm->name);
  insist_soon([this, ref, id] {
    const Vm* known = vms.find(ref);
    if (!known || known->id != id) return;
    if (known->power != PowerState::running && known->power != PowerState::starting) return;
    Vm& stopped = edit(ref);
    stopped.power = PowerState::stopped;
    for (const Ref& nic : stopped.interfaces)
      if (const NetworkInterface* found = interfaces.find(nic)) settle_after(*found);
  });
}

}  // namespace berth
