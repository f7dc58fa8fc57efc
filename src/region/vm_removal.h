#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "model/orders.h"
#include "region/outcomes.h"

namespace berth {

class Disks;
class HostNames;
class Images;
class Operations;
class RegionRecords;
class Switches;
class VmAttachments;
class VmCertificates;
class VmPower;
class VmRecords;

/// Removes virtual machines, with what goes with them.
class VmRemoval {
 public:
  struct Neighbours {
    VmRecords& vms;
    VmAttachments& attachments;
    VmCertificates& certificates;
    VmPower& power;
    Disks& disks;
    Images& images;
    Switches& switches;
    HostNames& names;
  };
  VmRemoval(RegionRecords& records, Operations& operations, Neighbours neighbours);

  /// Marks the VM, with what goes with it, as going, and begins its removal; its number.
  std::string begin(const Ref& vm, VmDeletion also, std::string id = {});

 private:
  boost::asio::awaitable<void> remove(std::string operation, Ref ref, std::string id);
  boost::asio::awaitable<void> take_apart(Ref ref, std::string id);
  bool erase(const Vm& vm, std::vector<std::string>& files);

  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  VmAttachments& attachments_;
  VmCertificates& certificates_;
  VmPower& power_;
  Disks& disks_;
  Images& images_;
  Switches& switches_;
  HostNames& names_;
};

}  // namespace berth
