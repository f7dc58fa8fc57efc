#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "model/orders.h"
#include "region/extension_gallery.h"
#include "region/operations.h"
#include "region/outcomes.h"

namespace berth {

class RegionRecords;
class VmCertificates;
class VmRecords;
class VmRestoring;
class Workers;
struct RegionSettings;

/// A VM whose extension goes over to another package.
struct ExtensionMove {
  Ref vm;
  std::string extension;
  std::string operation;  ///< "" for a VM that does not run: its agent sees it at the next start
};

/// The extensions of virtual machines, and the gallery that they come from.
class Extensions {
 public:
  Extensions(RegionRecords& records, Operations& operations, VmRecords& vms, VmCertificates& certificates,
             VmRestoring& restoring, ExtensionGallery& gallery, Workers& workers,
             const RegionSettings& settings);

  Accepted put(const Ref& vm, ExtensionOrder order);
  /// Runs a script by the platform's own handler (docs/wire/script-handlers.md), with these protected settings. The operation ends
  /// with what it said as its output. Conflict while another one runs.
  Accepted run_command(const Ref& vm, const Secret& settings);
  /// What an order would install. Throws Error(not_found, "VMExtensionNotFound" or "VMExtensionVersionNotFound").
  ExtensionPackage package_for(const ExtensionOrder& order) const;
  /// Before put(): lets the pool make the key by which the VM reads its protected settings, unless it has
  /// one. Quiet when there is no such VM.
  boost::asio::awaitable<void> prepare(Ref vm);
  /// Uninstalls it in the guest first. With `force` the guest is only told to forget it: its files go, no
  /// command of the handler runs; there is no operation then.
  Accepted remove(const Ref& vm, const std::string& name, bool force = false);

  ExtensionGallery& gallery() const { return gallery_; }
  /// Puts a package into the gallery (ExtensionGallery::publish). VMs that have the one that it replaces go
  /// over to it, with the settings that they have.
  std::vector<ExtensionMove> publish(const std::filesystem::path& zip, const std::string& publisher,
                                     const std::string& type, const std::string& version, bool replace);
  /// The same, with the package read and written by the workers, on behalf of `client`.
  boost::asio::awaitable<std::vector<ExtensionMove>> publish(std::string client, std::filesystem::path zip,
                                                             std::string publisher, std::string type,
                                                             std::string version, bool replace);
  /// Takes it out of the gallery again; conflict while a VM has it.
  void unpublish(const std::string& publisher, const std::string& type, const std::string& version);

  /// Where a replaced package is still wanted, its successor is from now on.
  std::vector<ExtensionMove> move_on();
  /// Within a change: goes on with what an earlier process had begun of it. `runs`: the VM does.
  void take_up(const Ref& vm, const Extension& extension, bool runs, Operations::Unfinished& unfinished);

 private:
  std::vector<ExtensionMove> published(const ExtensionPackage& package);
  /// Within a change: encrypts them to the VM's certificate. "" for none.
  void set_protected(Vm& vm, Extension& extension, std::string_view secret);
  /// Puts the extension's record, as it was changed, into a new goal state and waits for the handler's word.
  std::string begin(Vm& vm, Extension& extension, bool created);
  /// An operation that waits for what the guest says of the extension as it is.
  std::string await_again(const Vm& vm, const Extension& extension);
  /// Waits for the handler's word on these settings, then writes it into the extension's record.
  boost::asio::awaitable<void> conclude(std::string operation, Ref ref, std::string id, std::string name,
                                        int sequence);
  boost::asio::awaitable<void> await_report(std::string operation, Ref ref, std::string id, std::string name,
                                            int sequence);
  boost::asio::awaitable<void> conclude_uninstall(std::string operation, Ref ref, std::string id,
                                                  std::string name);
  boost::asio::awaitable<void> await_uninstall(std::string operation, Ref ref, std::string id,
                                               std::string name);

  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  VmCertificates& certificates_;
  VmRestoring& restoring_;
  ExtensionGallery& gallery_;
  Workers& workers_;
  const RegionSettings& settings_;
};

}  // namespace berth
