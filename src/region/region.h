#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "region/dialect_documents.h"
#include "region/disks.h"
#include "region/extensions.h"
#include "region/groups.h"
#include "region/guests.h"
#include "region/images.h"
#include "region/inert_resources.h"
#include "region/machines.h"
#include "region/networks.h"
#include "region/operations.h"
#include "region/settings.h"

namespace berth {

class Database;
class PrivateKey;

/// The control plane of one local region: holds the resources, keeps them in the store, and makes the host
/// agree. The only thing that decides; dialects parse, ask one of its parts, and render. One thread: that of
/// the executor; references that parts return do not outlive the next co_await. Changes throw Error: invalid,
/// not_found ("ResourceNotFound", "ResourceGroupNotFound"), conflict (in use, state forbids it), each with
/// Azure's code.
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
    /// Told after each change of a VM's record; may be empty. For guests that are only played (SimulatedGuests).
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
  /// What of the store could not be read when it was: "vm g/web1: why".
  const std::vector<std::string>& set_aside() const;
  const RegionSettings& settings() const;
  /// Threads for what a request can make slow.
  Workers& workers() const;

  Operations& operations() const;
  Groups& groups() const;
  Images& images() const;
  Disks& disks() const;
  Networks& networks() const;
  Machines& machines() const;
  Extensions& extensions() const;
  Guests& guests() const;
  InertResources& inert() const;
  DialectDocuments& documents() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
