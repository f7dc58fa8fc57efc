#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/secret.h"
#include "model/resources.h"

/// What clients ask of a region, in whichever dialect.
namespace berth {

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

/// An extension that is wanted on a VM.
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

/// What goes with a VM besides that which its record says ("deleted_with_vm").
struct VmDeletion {
  bool disks = false;       ///< its OS and data disks
  bool interfaces = false;  ///< its interfaces and their public addresses
};

}  // namespace berth
