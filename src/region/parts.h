#pragma once

#include "host/workers.h"
#include "region/dialect_documents.h"
#include "region/disks.h"
#include "region/extensions.h"
#include "region/groups.h"
#include "region/guests.h"
#include "region/host_names.h"
#include "region/images.h"
#include "region/inert_resources.h"
#include "region/machines.h"
#include "region/networks.h"
#include "region/operations.h"
#include "region/region.h"
#include "region/region_records.h"
#include "region/switches.h"
#include "region/vm_attachments.h"
#include "region/vm_certificates.h"
#include "region/vm_changes.h"
#include "region/vm_hibernation.h"
#include "region/vm_making.h"
#include "region/vm_power.h"
#include "region/vm_records.h"
#include "region/vm_recovery.h"
#include "region/vm_removal.h"
#include "region/vm_restoring.h"

namespace berth {

/// The parts of a region, in the order in which they need each other: each is given the records, the
/// operations and its neighbours above it.
struct Parts {
  Parts(const Region::Services& host, const RegionSettings& settings);

  RegionRecords records;
  Operations operations;
  Workers workers;
  VmRecords vms;
  Images images;
  Disks disks;
  InertResources inert;
  DialectDocuments documents;
  HostNames names;
  Switches switches;
  Networks networks;
  VmCertificates certificates;
  VmRestoring restoring;
  Extensions extensions;
  Guests guests;
  VmAttachments attachments;
  VmPower power;
  VmHibernation hibernation;
  VmMaking making;
  VmChanges changes;
  VmRemoval removal;
  VmRecovery vm_recovery;
  Machines machines;
  Groups groups;
};

}  // namespace berth
