#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/error.h"
#include "hypervisor/driver.h"
#include "images/gallery.h"
#include "model/resources.h"
#include "region/extension_gallery.h"
#include "region/region.h"
#include "store/database.h"
#include "store/documents.h"

/// What region/'s own files share. Nobody else includes this.
namespace berth {

namespace asio = boost::asio;

std::string utc_now();  ///< "2026-11-23T21:16:02.123Z"

/// Lets coroutines of the region's thread wait for "something changed".
class Signal {
 public:
  explicit Signal(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  /// Returns at the next notify(), or after `limit`.
  asio::awaitable<void> wait(std::chrono::milliseconds limit);
  void notify();

 private:
  asio::any_io_executor executor_;
  std::vector<std::shared_ptr<asio::steady_timer>> waiting_;
};

/// The resources of one kind: held in memory in the order of their keys, written through to the store.
template <class T>
class Table {
 public:
  Table(Database& database, const char* kind) : database_(database), kind_(kind) {}

  void load() {
    for (auto& [key, document] : database_.all(kind_)) rows_.emplace(key, from_document<T>(document));
  }
  T* find(const Ref& ref) {
    const auto found = rows_.find(ref.key());
    return found == rows_.end() ? nullptr : &found->second;
  }
  const T* find(const Ref& ref) const { return const_cast<Table*>(this)->find(ref); }
  T& put(T value) {
    const std::string key = value.ref().key();
    database_.put(kind_, key, to_document(value));
    return rows_.insert_or_assign(key, std::move(value)).first->second;
  }
  void save(const T& value) { database_.put(kind_, value.ref().key(), to_document(value)); }
  void erase(const Ref& ref) {
    database_.erase(kind_, ref.key());
    rows_.erase(ref.key());
  }
  std::vector<const T*> list(const std::string& group) const {
    std::vector<const T*> found;
    if (group.empty()) {
      found.reserve(rows_.size());
      for (const auto& [key, row] : rows_) found.push_back(&row);
      return found;
    }
    const std::string prefix = lower(group) + "/";
    for (auto at = rows_.lower_bound(prefix); at != rows_.end() && at->first.starts_with(prefix); ++at)
      found.push_back(&at->second);
    return found;
  }
  std::map<std::string, T>& rows() { return rows_; }
  const std::map<std::string, T>& rows() const { return rows_; }

 private:
  Database& database_;
  const char* kind_;
  std::map<std::string, T> rows_;
};

/// An operation while this process knows it.
struct OperationEntry {
  Operation operation;
  std::shared_ptr<Signal> changed;
};

/// What a VM has besides its record, while this process runs.
struct LiveVm {
  explicit LiveVm(asio::any_io_executor executor) : changed(std::move(executor)) {}
  Signal changed;              ///< status arrived, power changed, deletion asked
  std::string busy;            ///< the operation that works on it; one at a time
  std::stop_source giving_up;  ///< stops slow work when the VM is being deleted
};

/// One virtual network's switch: settling is one at a time, later wishes are met by one more round.
struct LiveNetwork {
  explicit LiveNetwork(asio::any_io_executor executor) : changed(std::move(executor)) {}
  unsigned long wanted = 0, done = 0;
  bool running = false;
  Signal changed;
};

struct Region::Impl {
  Impl(Services services, RegionSettings settings);

  Services host;
  RegionSettings settings;
  Table<ResourceGroup> groups;
  Table<VirtualNetwork> networks;
  Table<PublicAddress> addresses;
  Table<SecurityGroup> security_groups;
  Table<NetworkInterface> interfaces;
  Table<Disk> disks;
  Table<Vm> vms;
  std::map<std::string, InertResource> inert;  ///< by lower-case type + " " + key
  std::map<std::string, std::shared_ptr<OperationEntry>> operations;
  std::map<std::string, std::string, std::less<>> vm_keys;              ///< Vm::id -> Ref key
  std::map<std::string, std::shared_ptr<LiveVm>> live;                  ///< by Vm::id
  std::map<std::string, std::shared_ptr<LiveNetwork>> live_networks;    ///< by network id
  std::map<std::string, Secret> keys;                                   ///< private keys by Vm::id
  std::set<std::string> groups_going;                                   ///< being deleted, lower case
  std::map<std::string, std::map<std::string, std::string>> documents;  ///< the dialects' own, by table
  std::string hosts_owner;
  bool stopping = false;

  // operations.cpp
  std::string begin(const std::string& kind, const std::string& target,
                    std::function<asio::awaitable<void>(std::string)> work, std::string id = {});
  asio::awaitable<void> run(std::shared_ptr<OperationEntry> entry,
                            std::function<asio::awaitable<void>(std::string)> work);
  void phase(const std::string& operation, const std::string& name);
  void detail(const std::string& operation, const std::string& text);
  asio::awaitable<Operation> wait(std::string id, std::chrono::milliseconds limit);
  asio::awaitable<void> finish(std::string id);
  void forget_old_operations();

  // networks.cpp
  std::string network_id(const VirtualNetwork& network) const;
  asio::awaitable<void> settle(Ref network);
  asio::awaitable<void> settle_once(Ref network);
  void settle_soon(const Ref& network);
  void settle_soon(const NetworkInterface& nic);
  /// What the switch of a network shall do now. Names the addresses that got ports they did not have.
  SwitchConfig switch_config(const VirtualNetwork& network, std::set<std::string>& new_ports_of);
  void write_hosts();
  std::string free_address();
  std::string free_private_address(const VirtualNetwork& network, const Subnet& subnet,
                                   const Ref& for_nic) const;
  bool uses_network(const NetworkInterface& nic, const Ref& network) const;

  // vms.cpp
  Vm& vm(const Ref& ref);
  LiveVm& live_vm(const std::string& id);
  std::shared_ptr<LiveVm> live_ptr(const std::string& id);
  void touch(Vm& vm);  ///< new etag, saved, waiters told
  Accepted begin_vm(Vm& vm, const std::string& kind, std::function<asio::awaitable<void>(std::string)> work,
                    std::string id = {});
  asio::awaitable<void> create(std::string operation, Ref ref, std::string id, Secret password,
                               std::string custom_data, bool as_it_is);
  asio::awaitable<void> start_attached(std::string operation, Ref ref, std::string id);
  asio::awaitable<void> update(std::string operation, Ref ref, std::string id, std::string size,
                               std::vector<DataDisk> data_disks);
  /// Runs the steps of a creation or an update, then writes into the VM's record what they came to.
  asio::awaitable<void> conclude(Ref ref, std::string id, asio::awaitable<void> steps);
  asio::awaitable<void> power_on(std::string operation, Ref ref, std::string id, std::string medium);
  asio::awaitable<void> power_off(std::string operation, Ref ref, std::string id,
                                  std::chrono::milliseconds grace, bool deallocate);
  asio::awaitable<void> await_agent(std::string operation, Ref ref, std::string id);
  asio::awaitable<void> remove(std::string operation, Ref ref, std::string id, VmDeletion also);
  asio::awaitable<void> remove_group(std::string operation, std::string name);
  asio::awaitable<void> make_data_disks(Vm& vm);
  /// The VM if it is still the same one and not being deleted; throws Error(conflict, "OperationPreempted")
  /// otherwise.
  Vm& still(const Ref& ref, const std::string& id);
  MachineSpec machine(const Vm& vm, const ImageFiles& files) const;
  void ensure_certificate(Vm& vm);
  void on_machine_event(const std::string& id, MachineEvent event);

  // extensions.cpp
  Extension* find_extension(Vm& vm, const std::string& name);
  /// Waits for the handler's word on these settings, then writes it into the extension's record.
  asio::awaitable<void> conclude_extension(std::string operation, Ref ref, std::string id, std::string name,
                                           int sequence);
  asio::awaitable<void> await_extension(std::string operation, Ref ref, std::string id, std::string name,
                                        int sequence);
  asio::awaitable<void> await_uninstall(std::string operation, Ref ref, std::string id, std::string name);

  // recovery.cpp
  asio::awaitable<void> recover();
  asio::awaitable<void> resume_creation(std::string operation, Ref ref, std::string id);
  asio::awaitable<void> heal();

  template <class F>
  asio::awaitable<std::invoke_result_t<F>> on_pool(F work) {
    // The pool runs `work`; what it returns or throws comes back to the region's thread.
    co_return co_await asio::co_spawn(
        host.pool,
        [](F inner) -> asio::awaitable<std::invoke_result_t<F>> { co_return inner(); }(std::move(work)),
        asio::use_awaitable);
  }
};

/// "The Resource 'Microsoft.Compute/virtualMachines/web1' under resource group 'g' was not found."
Error resource_not_found(const std::string& type, const Ref& ref);
/// The last lines of a text file, for messages; empty when there is none.
std::string last_lines(const std::filesystem::path& file, std::size_t lines);
Problem to_problem(const Error& error);
/// Sets what a new resource gets once, and what each change renews.
void stamp(Resource& resource, const Resource* before);

/// The ISO image that tells the guest agent who it is. `password` empty: keys only.
/// Source of the format: docs/wire/wireserver.md, provisioning medium (ovf-env.xml).
std::string provisioning_medium(const Vm& vm, const Secret& password, const std::string& custom_data);

}  // namespace berth
