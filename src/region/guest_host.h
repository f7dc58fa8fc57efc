#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/secret.h"
#include "model/guest.h"
#include "model/resources.h"
#include "region/extension_gallery.h"

namespace berth {

/// For which resource a program in the VM wants a token, and by which identity: one of them, or none for the only one.
struct IdentityQuestion {
  std::string resource, client_id, object_id, identity_id;
};

/// What guests are told, and what they say: all that the guest endpoints ask of a region.
class GuestHost {
 public:
  virtual ~GuestHost() = default;
  virtual std::optional<GuestView> guest_view(const std::string& vm_id) const = 0;
  virtual void take_health(const std::string& vm_id, HealthReport report) = 0;
  virtual void take_status(const std::string& vm_id, AgentStatus status) = 0;
  /// DER of the PKCS#12 with the VM's own certificate and key, for the certificates document. They are given
  /// to one transport certificate (`transport`, its thumbprint) a boot, the first that asks, and to another
  /// one only when no agent reports on them within RegionSettings::certificate_patience. Throws
  /// Error(conflict) for all others.
  virtual Secret guest_pfx(const std::string& vm_id, const std::string& transport) = 0;
  virtual std::optional<ExtensionPackage> guest_package(const std::string& handler,
                                                        const std::string& version) const = 0;
  virtual std::vector<ExtensionPackage> guest_packages(const std::string& handler) const = 0;
  /// The token of one of the VM's managed identities, as JSON. Throws Error(invalid): it has no such identity.
  virtual Secret identity_token(const std::string&, const IdentityQuestion&) const {
    throw Error(ErrorKind::invalid, "invalid_request", "Identity not found");
  }
};

}  // namespace berth
