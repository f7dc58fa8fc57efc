#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"

namespace berth::arm {

class Field;
class JsonText;

inline constexpr std::string_view user_identity_type = "Microsoft.ManagedIdentity/userAssignedIdentities";

/// The managed identities of a VM: its own, and user-assigned ones by their ids. They stand among what is kept of it.
struct VmIdentities {
  bool system = false;
  std::vector<std::string> users;  ///< ids, as they were written
};
VmIdentities identities_of(const Vm& vm);

/// Takes the 'identity' of a document into what is kept of the VM; one that is missing leaves what is there. Throws
/// Error(invalid).
void take_identities(Vm& vm, const Field& identity, std::string_view kept_before);
/// "identity": {…} with principals, if the VM has any.
void write_identities(JsonText& out, const Vm& vm, std::string_view tenant);

/// What an identity is known by: UUIDs, the same as long as it lives.
struct Principal {
  std::string principal, client;
  std::string resource;  ///< id of the VM or of the user-assigned identity
};
Principal principal_of(const Vm& vm, std::string_view subscription);
Principal principal_of(std::string_view user_identity_id);

}  // namespace berth::arm
