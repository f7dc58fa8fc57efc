#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "model/guest.h"
#include "model/resources.h"
#include "network/virtual_network.h"

namespace berth {

class Driver;
class Gallery;
class ExtensionGallery;
struct ExtensionPackage;
class Database;
class PrivateKey;
class Workers;

/// What is fixed for the life of one region; kept in its store, set by `azure region start`.
struct RegionSettings {
  std::string subscription;  ///< UUID
  std::string subscription_name = "Local";
  std::string tenant;  ///< UUID
  std::string dns_suffix = "cloudapp.net";
  Egress egress;                               ///< of virtual networks
  std::filesystem::path hosts_file;            ///< "/etc/hosts" as root; empty: names are not written
  std::chrono::seconds boot_limit{900};        ///< from power-on to the agent's first report
  std::chrono::seconds extension_limit{1800};  ///< from the goal state to the handler's final status
  std::chrono::seconds shutdown_grace{90};
  /// How long the one that got a VM's certificate may take until the agent reports on it. An agent that ended
  /// in between has made itself another transport certificate, and asks again.
  std::chrono::seconds certificate_patience{60};
  std::chrono::milliseconds heal_pause{5'000};  ///< between looks at the switches
};

/// The outcome of a put.
template <class T>
struct Put {
  T resource;
  bool created = false;
};

/// A long operation was begun; wait() or find_operation() tell the rest.
struct Accepted {
  std::string operation;
  bool created = false;
};

/// A VM that is wanted, with what is never kept.
struct VmOrder {
  Vm vm;            ///< group, name, location, tags, size, users, keys, disks, interfaces; the rest is ours
  Secret password;  ///< empty: none, or (update) unchanged
  std::string custom_data;        ///< decoded; given to the guest once
  std::uint64_t os_disk_gib = 0;  ///< 0: the image's own; of an update: as it is
  std::string os_disk_name;       ///< "": made up
  /// The disk `os_disk_name` is there already and starts as it is; nobody is set up in it.
  bool attach_os_disk = false;
  std::string os_disk_group;  ///< of that disk; "": the VM's own
  /// The image holds a system that was set up before: it starts as it is.
  bool specialized = false;
};

struct ExtensionOrder {
  std::string name, publisher, type, version;
  bool auto_upgrade = true;
  std::string settings;                 ///< JSON text
  Secret protected_settings;            ///< JSON text; encrypted to the VM's certificate at once
  bool has_protected_settings = false;  ///< false: those that stand there stay
  std::string force_update_tag;
  Tags tags;
  std::vector<std::string> after;  ///< Extension::after
  bool suppress_failures = false;
  std::string kept;
  std::string state = "enabled";
};

/// A VM whose extension goes over to another package.
struct ExtensionMove {
  Ref vm;
  std::string extension;
  std::string operation;  ///< "" for a VM that does not run: its agent sees it at the next start
};

/// What goes with a VM besides that which its record says ("deleted_with_vm").
struct VmDeletion {
  bool disks = false;       ///< its OS and data disks
  bool interfaces = false;  ///< its interfaces and their public addresses
};

/// The control plane of one local region: holds the resources, keeps them in the store, and makes the host
/// agree. The only thing that decides; dialects parse, ask, and render. One thread: that of the executor;
/// references that it returns do not outlive the next co_await. Changes throw Error: invalid, not_found
/// ("ResourceNotFound", "ResourceGroupNotFound"), conflict (in use, state forbids it), each with Azure's
/// code.
class Region {
 public:
  struct Services {
    boost::asio::any_io_executor executor;  ///< the region's one thread
    boost::asio::any_io_executor pool;      ///< threads for slow work: seconds
    boost::asio::any_io_executor builds;    ///< threads for what takes minutes: images
    Database& database;
    Driver& driver;
    VirtualNetworks& networks;
    Gallery& gallery;
    ExtensionGallery& extensions;
    std::filesystem::path home;
    /// Opens the guest endpoints of a VM (endpoints/guest): called with its id and the folder for its sockets
    /// before it starts, and again when the region takes it up; and with an empty folder when they shall
    /// close.
    std::function<void(const std::string& vm_id, const std::filesystem::path& folder)> guest_endpoints;
    /// Told after each change of a VM's record; may be empty. For guests that are only played (FakeGuests).
    std::function<void(const Vm& vm)> vm_changed;
    /// The key by which a VM reads its protected settings; called on the pool. Empty: a new one for each.
    /// Played guests read nothing, and may share one.
    std::function<PrivateKey()> vm_key;
  };

  Region(Services services, RegionSettings settings);
  ~Region();

  /// Reads the store, takes up what runs, finishes or rolls back what was under way. Call once, before
  /// serving.
  boost::asio::awaitable<void> recover();
  /// Stops watching; VMs and switches go on.
  boost::asio::awaitable<void> shut_down();

  const RegionSettings& settings() const;
  /// What of the store could not be read when it was: "vm g/web1: why".
  const std::vector<std::string>& set_aside() const;

  // --- resource groups
  Put<ResourceGroup> put_group(const std::string& name, const std::string& location, const Tags& tags);
  std::vector<const ResourceGroup*> groups() const;
  const ResourceGroup* find_group(const std::string& name) const;
  const ResourceGroup& get_group(const std::string& name) const;  ///< throws ResourceGroupNotFound
  /// With everything in it. Throws conflict while something in another group uses what is in this one.
  Accepted delete_group(const std::string& name);

  // --- networks (finished when they return)
  Put<VirtualNetwork> put_virtual_network(VirtualNetwork wanted);
  Put<SecurityGroup> put_security_group(
      SecurityGroup wanted);  ///< opens and closes ports of running VMs (in the background)
  Put<PublicAddress> put_public_address(PublicAddress wanted);
  Put<NetworkInterface> put_interface(NetworkInterface wanted);
  void delete_virtual_network(
      const Ref& ref);  ///< these throw conflict while something uses it; quiet when there is none
  void delete_security_group(const Ref& ref);
  void delete_public_address(const Ref& ref);
  void delete_interface(const Ref& ref);
  /// Empty group: of all groups. In the order of their names.
  std::vector<const VirtualNetwork*> virtual_networks(const std::string& group = {}) const;
  std::vector<const SecurityGroup*> security_groups(const std::string& group = {}) const;
  std::vector<const PublicAddress*> public_addresses(const std::string& group = {}) const;
  std::vector<const NetworkInterface*> interfaces(const std::string& group = {}) const;
  const VirtualNetwork* find_virtual_network(const Ref& ref) const;
  const SecurityGroup* find_security_group(const Ref& ref) const;
  const PublicAddress* find_public_address(const Ref& ref) const;
  const NetworkInterface* find_interface(const Ref& ref) const;
  /// False when another resource of the region has that DNS label.
  bool is_label_free(const std::string& label) const;
  /// Returns once the host's ports of this VM's addresses are as its security rules say.
  boost::asio::awaitable<void> settle_ports(Ref vm);

  // --- disks, inert resources
  /// Makes an empty disk, or changes tags and kind of the one that is there, and its size when that grows.
  /// The operation is "" when there is nothing to do on the host. Conflict when it would shrink, or grow
  /// while its VM is not deallocated.
  Accepted put_disk(Disk wanted);
  void delete_disk(const Ref& ref);
  std::vector<const Disk*> disks(const std::string& group = {}) const;
  const Disk* find_disk(const Ref& ref) const;
  Put<InertResource> put_inert(InertResource wanted);
  void delete_inert(const std::string& type, const Ref& ref);  ///< of a managed image: the image, too
  std::vector<const InertResource*> inert(const std::string& type, const std::string& group = {}) const;
  const InertResource* find_inert(const std::string& type, const Ref& ref) const;

  // --- virtual machines
  std::vector<const Vm*> vms(const std::string& group = {}) const;
  const Vm* find_vm(const Ref& ref) const;
  const Vm& get_vm(const Ref& ref) const;
  const Vm* find_vm_by_id(const std::string& id) const;
  /// Creates it, anew when nothing of it ever ran (Vm::never_made), or updates the one that is there: tags,
  /// size (restarted for it), data disks, boot diagnostics, the OS disk's caching and size (deallocated
  /// only), and what is deleted with it; nothing else of the order is looked at. All is checked before
  /// anything is changed. Disks and interfaces are its own from then on. While it is being made, an order
  /// that says the same gets that operation. Conflict: "AnotherOperationInProgress"; "DiskInUse", "NicInUse"
  /// (another VM's); "ConflictingUserInput" (a new disk has the name of one that is there);
  /// "OperationNotAllowed" (too many disks, a size that cannot be); "ResourceGroupBeingDeleted".
  Accepted put_vm(VmOrder order);
  Accepted start_vm(const Ref& ref);
  Accepted restart_vm(const Ref& ref);
  Accepted stop_vm(const Ref& ref, bool skip_shutdown);  ///< "powerOff": keeps what it has
  Accepted deallocate_vm(const Ref& ref);
  Accepted redeploy_vm(const Ref& ref);
  Accepted delete_vm(const Ref& ref, VmDeletion also = {});
  void retag_vm(const Ref& ref, Tags tags);
  void generalize_vm(const Ref& ref);  ///< it must be stopped
  Accepted capture_vm(const Ref& ref, const std::string& image_name, const std::string& label);
  std::filesystem::path serial_log(const Ref& vm) const;
  boost::asio::awaitable<std::string> screenshot(Ref vm);  ///< PNG

  // --- extensions
  Accepted put_extension(const Ref& vm, ExtensionOrder order);
  /// Before put_extension(): lets the pool make the key by which the VM reads its protected settings, unless
  /// it has one. Quiet when there is no such VM.
  boost::asio::awaitable<void> prepare_extension(Ref vm);
  /// Uninstalls it in the guest first. With `force` the guest is only told to forget it: its files go, no
  /// command of the handler runs; there is no operation then.
  Accepted delete_extension(const Ref& vm, const std::string& name, bool force = false);
  /// Puts a package into the gallery (ExtensionGallery::publish). VMs that have the one that it replaces go
  /// over to it, with the settings that they have.
  std::vector<ExtensionMove> publish_extension(const std::filesystem::path& zip, const std::string& publisher,
                                               const std::string& type, const std::string& version,
                                               bool replace);
  /// The same, with the package read and written by the workers, on behalf of `client`.
  boost::asio::awaitable<std::vector<ExtensionMove>> publish_extension(std::string client,
                                                                       std::filesystem::path zip,
                                                                       std::string publisher,
                                                                       std::string type, std::string version,
                                                                       bool replace);
  /// Takes it out of the gallery again; conflict while a VM has it.
  void unpublish_extension(const std::string& publisher, const std::string& type, const std::string& version);

  // --- operations
  const Operation* find_operation(const std::string& id) const;
  std::vector<const Operation*> operations_of(const std::string& target) const;
  /// What `work` changes of the region is changed at once or not at all; operations that it begins run then.
  /// It throws what `work` throws, or that the store refuses.
  void change(const std::function<void()>& work);
  /// A change that must be made: returns when the store has taken it, or the region stops.
  boost::asio::awaitable<void> insist(std::function<void()> work);
  /// Returns when it has ended, or after `limit` as it stands then.
  boost::asio::awaitable<Operation> wait(std::string id, std::chrono::milliseconds limit);
  /// Throws the operation's problem as an Error when it failed.
  boost::asio::awaitable<void> finish(std::string id);
  /// A long operation of a dialect's own (a deployment): `work` runs on the region's thread, and what it
  /// throws becomes the operation's problem.
  std::string begin(const std::string& kind, const std::string& target,
                    std::function<boost::asio::awaitable<void>(std::string operation)> work);

  // --- the guest protocol's side
  std::optional<GuestView> guest_view(const std::string& vm_id) const;
  void take_health(const std::string& vm_id, HealthReport report);
  void take_status(const std::string& vm_id, AgentStatus status);
  /// DER of the PKCS#12 with the VM's own certificate and key, for the certificates document. They are given
  /// to one transport certificate (`transport`, its thumbprint) a boot, the first that asks, and to another
  /// one only when no agent reports on them within RegionSettings::certificate_patience. Throws
  /// Error(conflict) for all others.
  Secret guest_pfx(const std::string& vm_id, const std::string& transport);
  std::optional<ExtensionPackage> guest_package(const std::string& handler, const std::string& version) const;
  std::vector<ExtensionPackage> guest_packages(const std::string& handler) const;

  // --- images
  Gallery& gallery() const;
  /// Threads for what a request can make slow.
  Workers& workers() const;
  /// Copies a disk file of this machine (qcow2, raw, VHD) into the gallery as an image of the user. Throws
  /// Error(conflict) when the name is taken; what Gallery::import throws ends the operation.
  Accepted import_image(const std::filesystem::path& file, const std::string& name, const std::string& label);
  /// Removes a user's own image; disks that stand on it go on. Throws Error: not_found; conflict for a public
  /// one.
  void delete_image(const std::string& name);
  ExtensionGallery& extension_gallery() const;

  /// A table of small documents for the dialects: kept with the rest, opaque here (deployments, management
  /// certificates).
  void keep_document(const std::string& table, const std::string& key, const std::string& document);
  void drop_document(const std::string& table, const std::string& key);
  std::optional<std::string> document(const std::string& table, const std::string& key) const;
  std::vector<std::pair<std::string, std::string>> documents(const std::string& table,
                                                             const std::string& prefix = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
