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
#include "base/utc.h"
#include "crypto/certificate.h"
#include "host/workers.h"
#include "hypervisor/driver.h"
#include "images/gallery.h"
#include "model/resources.h"
#include "region/extension_gallery.h"
#include "region/records.h"
#include "region/region.h"

/// What region/'s own files share. Nobody else includes this.
namespace berth {

namespace asio = boost::asio;

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

/// Keeps a VM for one operation: others find it busy until this goes.
struct Occupied {
  std::shared_ptr<LiveVm> state;
  std::string operation;
  ~Occupied() {
    if (state->busy != operation) return;
    state->busy.clear();
    state->changed.notify();
  }
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
  Records records;
  Table<ResourceGroup> groups;
  Table<VirtualNetwork> networks;
  Table<PublicAddress> addresses;
  Table<SecurityGroup> security_groups;
  Table<NetworkInterface> interfaces;
  Table<Disk> disks;
  Table<Vm> vms;
  Table<InertResource> inert;  ///< by lower-case type + " " + key
  std::map<std::string, std::shared_ptr<OperationEntry>> operations;
  std::map<std::string, std::string, std::less<>> vm_keys;              ///< Vm::id -> Ref key
  std::map<std::string, std::shared_ptr<LiveVm>> live;                  ///< by Vm::id
  std::map<std::string, std::shared_ptr<LiveNetwork>> live_networks;    ///< by network id
  std::map<std::string, Secret> keys;                                   ///< private keys by Vm::id
  std::set<std::string> groups_going;                                   ///< being deleted, lower case
  std::map<std::string, std::map<std::string, std::string>> documents;  ///< the dialects' own, by table
  std::string hosts_owner;
  std::vector<std::string> set_aside;             ///< RowReader::aside()
  std::set<std::string> files_left, images_left;  ///< that are to be removed and still there
  bool image_files_left = false;                  ///< of images that are gone
  bool stopping = false;
  bool hosts_wait = false;  ///< until another region has written its names
  std::unique_ptr<Workers> workers;

  // operations.cpp
  /// Begins a long operation, once the change that it is part of is committed.
  std::string begin(const std::string& kind, const std::string& target,
                    std::function<asio::awaitable<void>(std::string)> work, std::string id = {});
  /// A change that must be made because what it says has happened already: tried again until the store takes
  /// it. Does nothing once the region stops.
  asio::awaitable<void> insist(std::function<void()> change);
  /// The same for those who cannot wait: at once if the store takes it.
  void insist_soon(std::function<void()> change);
  asio::awaitable<void> run(std::shared_ptr<OperationEntry> entry,
                            std::function<asio::awaitable<void>(std::string)> work);
  void phase(const std::string& operation, const std::string& name);
  void detail(const std::string& operation, const std::string& text);
  asio::awaitable<Operation> wait(std::string id, std::chrono::milliseconds limit);
  asio::awaitable<void> finish(std::string id);
  void forget_old_operations();

  // network_settling.cpp
  std::string network_id(const VirtualNetwork& network) const;
  asio::awaitable<void> settle(Ref network);
  asio::awaitable<void> settle_once(Ref network);
  asio::awaitable<void> settle_or_log(Ref network);
  void settle_soon(const Ref& network);
  /// The ports of a VM's addresses that had to move go back to where they were asked for, once its networks
  /// are settled again: whoever had them may be gone. They move again where they are refused again. False
  /// when none had moved.
  bool return_ports(const Vm& vm);
  /// Within a change: once that is committed.
  void settle_after(const NetworkInterface& nic);
  /// Ports of public addresses, by the address's key.
  using AddressPorts = std::map<std::string, std::vector<PublicAddress::Port>>;
  /// What the switch of a network shall do now, and which ports its addresses have then.
  SwitchConfig switch_config(const VirtualNetwork& network, AddressPorts& ports) const;
  /// Moves ports that the host refused; true when the switch must be told of that.
  bool move_refused(const SwitchReport& report, AddressPorts& ports) const;
  void keep_ports(AddressPorts ports);
  bool try_write_hosts();
  void write_hosts();
  asio::awaitable<void> write_hosts_in_turn();
  void rewrite_hosts();  ///< where nothing can be taken back any more: what the file refuses is logged

  // network_resources.cpp
  mutable std::uint32_t next_address = 0;  ///< where free_address() looks first
  std::string free_address() const;
  std::string free_private_address(const VirtualNetwork& network, const Subnet& subnet,
                                   const Ref& for_nic) const;
  /// Whether those who use a network as it stands can go on with what is wanted of it.
  void check_network_users(const VirtualNetwork& before, const VirtualNetwork& wanted) const;
  void check_security_group(const Ref& ref) const;  ///< "" is fine
  /// Throws conflict when another interface has this public or private address.
  void check_public_address(const NetworkInterface& wanted, const IpConfiguration& configuration,
                            const NetworkInterface* before) const;
  void check_private_address(const NetworkInterface& wanted, const IpConfiguration& configuration,
                             const Subnet& subnet) const;

  // vms.cpp
  const Vm& vm(const Ref& ref) const;
  LiveVm& live_vm(const std::string& id);
  std::shared_ptr<LiveVm> live_ptr(const std::string& id);
  /// Within a change: the VM to be changed, with a new etag; those who wait are told once that is committed.
  Vm& edit(const Ref& vm);
  /// One change of one VM.
  template <class F>
  void change_vm(const Ref& ref, F work) {
    records.change([&] { work(edit(ref)); });
  }
  /// The VM if it is still the same one and not being deleted; throws Error(conflict, "OperationPreempted")
  /// otherwise.
  const Vm& still(const Ref& ref, const std::string& id) const;
  static Error not_now(const Vm& vm, const std::string& what);
  void check_idle(const Vm& vm);  ///< throws conflict while an operation works on it
  Accepted begin_vm(const Vm& vm, const std::string& kind,
                    std::function<asio::awaitable<void>(std::string)> work, std::string id = {});

  /// Marks the VM, with what goes with it, as going, and begins its removal.
  std::string begin_removal(const Ref& vm, VmDeletion also, std::string id = {});

  // vm_orders.cpp
  Accepted create_vm(VmOrder order, const Vm* before);
  Accepted update_vm(const Vm& known, VmOrder order);
  /// The OS disk that an order wants, as its record will be; nothing is written.
  Disk os_disk_of(const VmOrder& order, const Vm* before) const;
  /// Whether the data disks and their sizes can be; `before` is the VM as it stands.
  void check_data_disks(const Vm& wanted, const Vm* before) const;
  void check_interfaces(const Vm& wanted) const;
  bool says_the_same(const Vm& known, const VmOrder& order) const;
  /// The data disks become the VM's own, new ones get their records.
  void take_data_disks(Vm& vm);
  /// Frees the disks that were taken for a VM, but for those in `has`.
  void free_disks(const Ref& vm, const std::vector<Ref>& has);
  void free_interfaces(const Ref& vm);

  // groups.cpp
  /// Throws ResourceGroupNotFound, or conflict when it is being deleted: nothing new may begin there.
  void check_group(const std::string& name) const;
  void check_use_from_outside(const std::string& group) const;
  void check_growth(const Disk& disk, std::uint64_t size_gib) const;
  void drop_inert(const std::string& key);  ///< within a change
  void remove_going_image(const std::string& name);
  void erase_group(const std::string& name, std::vector<std::string>& files);
  std::map<std::string, std::string>& documents_of(const std::string& table);
  /// Within a change.
  void write_document(const std::string& table, const std::string& key, std::optional<std::string> text);
  asio::awaitable<void> remove_group(std::string operation, std::string name);

  // vm_operations.cpp
  asio::awaitable<void> create(std::string operation, Ref ref, std::string id, Secret password,
                               std::string custom_data, bool as_it_is);
  asio::awaitable<void> start_attached(std::string operation, Ref ref, std::string id);
  asio::awaitable<void> update(std::string operation, Ref ref, std::string id, std::string size,
                               std::uint64_t os_disk_gib, std::vector<DataDisk> data_disks);
  /// Runs the steps of a creation or an update, then writes into the VM's record what they came to.
  asio::awaitable<void> conclude(Ref ref, std::string id, asio::awaitable<void> steps);
  asio::awaitable<void> power_on(std::string operation, Ref ref, std::string id, std::string medium);
  asio::awaitable<void> power_off(std::string operation, Ref ref, std::string id,
                                  std::chrono::milliseconds grace, bool deallocate);
  asio::awaitable<void> await_agent(std::string operation, Ref ref, std::string id);
  asio::awaitable<void> remove(std::string operation, Ref ref, std::string id);
  asio::awaitable<void> take_apart(Ref ref, std::string id);
  bool erase_vm(const Vm& vm, std::vector<std::string>& files);
  static std::string file_of(const Disk& disk);  ///< below the region's home, also before it is made
  /// Within a change; its file is added to those that remove_files() shall remove afterwards.
  void erase_disk(const Ref& ref, std::vector<std::string>& files);
  asio::awaitable<void> make_data_disks(Ref ref, std::string id);
  /// Makes the file of a disk that has none yet, or lets the one it has grow to `size_gib`.
  asio::awaitable<void> make_disk(Ref ref, std::uint64_t size_gib);
  /// Below the region's home. What cannot be removed now is tried again.
  asio::awaitable<void> remove_files(std::vector<std::string> files);
  /// Plugs and unplugs data disks of a running machine until they are those of its record.
  asio::awaitable<void> match_data_disks(Ref ref, std::string id);
  MachineSpec machine(const Vm& vm, const ImageFiles& files) const;
  std::filesystem::path temporary_disk(const std::string& id) const;  ///< there until the VM is deallocated
  /// Within a change.
  void keep_certificate(Vm& vm, std::string certificate, Secret key);
  bool has_certificate(const Vm& vm) const;  ///< with its key
  /// Within a change.
  void ensure_certificate(Vm& vm);
  void give_certificate(const Vm& vm, const std::string& transport);
  /// The same, with the key made by the pool.
  asio::awaitable<void> make_certificate(Ref ref, std::string id);
  void on_machine_event(const std::string& id, MachineEvent event);

  // extensions.cpp
  /// Puts the extension's record, as it was changed, into a new goal state and waits for the handler's word.
  std::vector<ExtensionMove> move_extensions();
  std::vector<ExtensionMove> published(const ExtensionPackage& package);
  std::string begin_extension(Vm& vm, Extension& extension, bool created);
  /// An operation that waits for what the guest says of the extension as it is.
  std::string await_again(const Vm& vm, const Extension& extension);
  /// Waits for the handler's word on these settings, then writes it into the extension's record.
  asio::awaitable<void> conclude_extension(std::string operation, Ref ref, std::string id, std::string name,
                                           int sequence);
  asio::awaitable<void> await_extension(std::string operation, Ref ref, std::string id, std::string name,
                                        int sequence);
  asio::awaitable<void> conclude_uninstall(std::string operation, Ref ref, std::string id, std::string name);
  asio::awaitable<void> await_uninstall(std::string operation, Ref ref, std::string id, std::string name);

  // images.cpp
  void check_image_name_is_free(const std::string& name) const;
  void sweep_images();  ///< after an image or a disk is gone
  ImageProgress image_progress(const std::string& operation);

  // recovery.cpp
  asio::awaitable<void> recover();
  /// Unfinished operations by kind and target: a new worker takes its number, the others end.
  using Unfinished = std::multimap<std::string, std::string>;
  void load_tables(RowReader& rows);
  /// Groups that are missing although something is in them: what they held besides is lost, but not how to
  /// reach that.
  void restore_groups();
  Unfinished load_operations(RowReader& rows);
  asio::awaitable<void> adopt(const Vm& vm);
  asio::awaitable<void> sweep_files();
  // All in one change.
  void take_up_vm(const Vm& vm, Unfinished& unfinished);
  void take_up_start(const Vm& vm, Unfinished& unfinished);
  void take_up_extension(const Ref& vm, const Extension& extension, bool runs, Unfinished& unfinished);
  void take_up_group_deletion(const std::string& key, const std::string& name, Unfinished& unfinished);
  /// An operation that ended with its work, but was not written down as ended.
  bool has_happened(const Operation& operation) const;
  void end_operations(const Unfinished& unfinished);
  asio::awaitable<void> resume_creation(std::string operation, Ref ref, std::string id);
  asio::awaitable<void> heal();
  asio::awaitable<void> remove_what_is_left();
  void tell_deaths();  ///< of switches, in what their VMs are shown with

  template <class F>
  asio::awaitable<std::invoke_result_t<F>> on_pool(F work) {
    return on(host.pool, std::move(work));
  }
  /// Other threads run `work`; what it returns or throws comes back to the region's thread.
  template <class F>
  asio::awaitable<std::invoke_result_t<F>> on(asio::any_io_executor threads, F work) {
    co_return co_await asio::co_spawn(
        threads,
        [](F inner) -> asio::awaitable<std::invoke_result_t<F>> { co_return inner(); }(std::move(work)),
        asio::use_awaitable);
  }
};

/// "The Resource 'Microsoft.Compute/virtualMachines/web1' under resource group 'g' was not found."
Error resource_not_found(const std::string& type, const Ref& ref);
Problem to_problem(const Error& error);
/// Sets what a new resource gets once, and what each change renews.
void stamp(Resource& resource, const Resource* before);

/// The ISO image that tells the guest agent who it is. `password` empty: keys only.
/// Source of the format: docs/wire/wireserver.md, provisioning medium (ovf-env.xml).
std::string provisioning_medium(const Vm& vm, const Secret& password, const std::string& custom_data);

}  // namespace berth
