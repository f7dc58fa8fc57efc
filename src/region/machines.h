#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "model/orders.h"
#include "region/outcomes.h"

namespace berth {

class Driver;
struct GalleryImage;
class Operations;
class RegionRecords;
class VmChanges;
class VmHibernation;
class VmMaking;
class VmPower;
class VmRecords;
class VmRemoval;
class VmRestoring;
struct RegionSettings;

/// Virtual machines, as clients ask for them.
class Machines {
 public:
  struct Neighbours {
    VmRecords& vms;
    VmMaking& making;
    VmChanges& changes;
    VmPower& power;
    VmHibernation& hibernation;
    VmRestoring& restoring;
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
  Accepted start(const Ref& ref);  ///< one that is hibernated goes on
  Accepted restart(const Ref& ref);
  Accepted stop(const Ref& ref, bool skip_shutdown);  ///< "powerOff": keeps what it has
  Accepted deallocate(const Ref& ref);                ///< the memory of one that is hibernated is given up
  Accepted hibernate(const Ref& ref);
  void wake(const std::string& vm_id);  ///< somebody wants it, if it is hibernated
  Accepted redeploy(const Ref& ref);
  Accepted remove(const Ref& ref, VmDeletion also = {});
  void retag(const Ref& ref, Tags tags);
  void generalize(const Ref& ref);  ///< it must be stopped
  /// Makes the image, and the template that its machines of that size would go on from (docs/instant.md), unless
  /// they are there. Throws Error: not_found; the operation ends in a conflict when such machines boot.
  Accepted warm(const std::string& image, const std::string& size);
  std::string_view template_of(
      const GalleryImage& image) const;  ///< "none", "making" or "ready", of any size
  std::filesystem::path serial_log(const Ref& vm) const;
  boost::asio::awaitable<std::string> screenshot(Ref vm);  ///< PNG

 private:
  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  VmMaking& making_;
  VmChanges& changes_;
  VmPower& power_;
  VmHibernation& hibernation_;
  VmRestoring& restoring_;
  VmRemoval& removal_;
  Driver& driver_;
  const RegionSettings& settings_;
};

}  // namespace berth
