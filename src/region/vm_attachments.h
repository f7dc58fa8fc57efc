#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "model/resources.h"

namespace berth {

class Disks;
class RegionRecords;
class VmRecords;
struct VmSize;

/// The disks and interfaces of virtual machines: each belongs to one at a time.
class VmAttachments {
 public:
  VmAttachments(RegionRecords& records, VmRecords& vms, Disks& disks);

  /// Whether the data disks and their sizes can be; `before` is the VM as it stands.
  void check_data_disks(const Vm& wanted, const Vm* before) const;
  void check_interfaces(const Vm& wanted) const;

  // --- within a change
  /// The data disks become the VM's own, new ones get their records.
  void take_data_disks(Vm& vm);
  void take_interfaces(const Vm& vm);
  /// Frees the disks that were taken for a VM, but for those in `has`.
  void free_disks(const Ref& vm, const std::vector<Ref>& has);
  void free_interfaces(const Ref& vm);

  /// Makes the files of data disks that have none yet.
  boost::asio::awaitable<void> make_data_disks(Ref vm, std::string id);

 private:
  RegionRecords& records_;
  VmRecords& vms_;
  Disks& disks_;
};

/// The size by that name; throws Error(invalid).
const VmSize& get_vm_size(const std::string& name);
void check_disk_count(const Vm& vm, const VmSize& size);
/// An order names a new disk by its LUN alone, and again when it is there.
void name_known_disks(std::vector<DataDisk>& wanted, const std::vector<DataDisk>& known);
Error invalid_parameter(const std::string& message, const std::string& advice = {});
Error disk_exists_already(const Ref& disk);
void check_disk_is_free(const Disk& disk, const Ref& vm);

}  // namespace berth
