#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "model/orders.h"
#include "region/outcomes.h"

namespace berth {

class Driver;
class Operations;
class RegionRecords;
class VmChanges;
class VmMaking;
class VmPower;
class VmRecords;
class VmRemoval;
struct RegionSettings;

/// Virtual machines, as clients ask for them.
class Machines {
 public:
  struct Neighbours {
    VmRecords& vms;
    VmMaking& making;
    VmChanges& changes;
    VmPower& power;
    VmRemoval& removal;
  };
  Machines(RegionRecords& records, Operations& operations, Neighbours neighbours, Driver& driver,
           const RegionSettings& settings);

  std::vector<const Vm*> list(const std::string& group = {}) const;
  const Vm* find(const Ref& ref) const;
  const Vm& get(const Ref& ref) const;  ///< throws ResourceNotFound
  /// Creates it, anew when nothing of it ever ran (Vm::never_made), or updates the one that is there: tags,
  /// size (restarted for it), data disks, boot diagnostics, the OS disk's caching and size (deallocated
  /// only), and what is deleted with it; nothing else of the order is looked at. All is checked before
  /// anything is changed. Disks and interfaces are its own from then on. While it is being made, an order
  /// that says the same gets that operation. Conflict: "AnotherOperationInProgress"; "DiskInUse", "NicInUse"
  /// (another VM's); "ConflictingUserInput" (a new disk has the name of one that is there);
  /// "OperationNotAllowed" (too many disks, a size that cannot be); "ResourceGroupBeingDeleted".
  Accepted put(VmOrder order);
  Accepted start(const Ref& ref);
  Accepted restart(const Ref& ref);
  Accepted stop(const Ref& ref, bool skip_shutdown);  ///< "powerOff": keeps what it has
  Accepted deallocate(const Ref& ref);
  Accepted redeploy(const Ref& ref);
  Accepted remove(const Ref& ref, VmDeletion also = {});
  void retag(const Ref& ref, Tags tags);
  void generalize(const Ref& ref);  ///< it must be stopped
  std::filesystem::path serial_log(const Ref& vm) const;
  boost::asio::awaitable<std::string> screenshot(Ref vm);  ///< PNG

 private:
  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  VmMaking& making_;
  VmChanges& changes_;
  VmPower& power_;
  VmRemoval& removal_;
  Driver& driver_;
  const RegionSettings& settings_;
};

}  // namespace berth
