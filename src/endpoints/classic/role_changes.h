#pragma once

#include <string>
#include <vector>

#include "api/classic/requests.h"
#include "endpoints/classic/mapping.h"

/// What creating and changing a role have in common.
namespace berth::classic {

/// The extensions that the role's references ask for. Throws invalid naming the one whose settings are no
/// JSON object.
std::vector<ExtensionOrder> extension_orders(const RoleOrder& role);

/// Throws invalid for what no role of this region can have.
void check_role(const RoleOrder& role);

/// Keeps what the model has no place for, to give it back: words of the client, not facts.
void keep_role_words(Region& region, const Ref& vm, const RoleOrder& role);

/// What becomes of the machine itself.
struct MachineChange {
  VmOrder order;
  std::vector<DataDisk> disks;  ///< those that the order's data disks mean, in their order
  bool needed = false;          ///< false: it is so already
};
/// Size, boot diagnostics and data disks: those that the order names are added or changed, the others stay (a
/// disk goes by a request of its own). Throws Error for what cannot be; changes nothing.
MachineChange machine_change(const Region& region, const Vm& vm, const RoleOrder& wanted);

/// Keeps the private address that was asked for; "": whichever it has.
void change_address(Region& region, const CloudService& service, const Vm& vm, const std::string& wanted);

/// Sets, disables and removes the extensions that the references name; returns the operations.
std::vector<std::string> change_extensions(Region& region, const Ref& vm,
                                           const std::vector<ExtensionReference>& references);

}  // namespace berth::classic
