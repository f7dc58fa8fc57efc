#pragma once

#include "model/resources.h"
#include "region/operations.h"

namespace berth {

class Extensions;
class RegionRecords;
class VmAttachments;
class VmChanges;
class VmHibernation;
class VmMaking;
class VmPower;
class VmRecords;
class VmRemoval;

/// Goes on with what an earlier process had begun of virtual machines. They run on without us; what was under
/// way is finished where the machine itself goes on, and rolled back where a secret would be needed that was
/// never kept.
class VmRecovery {
 public:
  struct Neighbours {
    VmRecords& vms;
    VmAttachments& attachments;
    VmMaking& making;
    VmChanges& changes;
    VmPower& power;
    VmHibernation& hibernation;
    VmRemoval& removal;
    Extensions& extensions;
  };
  VmRecovery(RegionRecords& records, Neighbours neighbours);

  /// Within a change: all of them.
  void take_up(Operations::Unfinished& unfinished);

 private:
  void take_up_vm(const Vm& vm, Operations::Unfinished& unfinished);
  void take_up_start(const Vm& vm, Operations::Unfinished& unfinished);

  RegionRecords& records_;
  VmRecords& vms_;
  VmAttachments& attachments_;
  VmMaking& making_;
  VmChanges& changes_;
  VmPower& power_;
  VmHibernation& hibernation_;
  VmRemoval& removal_;
  Extensions& extensions_;
};

}  // namespace berth
