#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"
#include "model/guest.h"
#include "model/resources.h"
#include "region/extension_gallery.h"

namespace berth {

class Region;

/// What the guest endpoints ask of the region. Methods are those of Region by the same names.
class GuestHost {
 public:
  virtual ~GuestHost() = default;
  virtual std::optional<GuestView> guest_view(const std::string& vm_id) const = 0;
  virtual void take_health(const std::string& vm_id, HealthReport report) = 0;
  virtual void take_status(const std::string& vm_id, AgentStatus status) = 0;
  virtual Secret guest_pfx(const std::string& vm_id, const std::string& transport) = 0;
  virtual std::optional<ExtensionPackage> guest_package(const std::string& handler,
                                                        const std::string& version) const = 0;
  virtual std::vector<ExtensionPackage> guest_packages(const std::string& handler) const = 0;
};

/// `region` outlives what it returns.
std::unique_ptr<GuestHost> make_guest_host(Region& region);

}  // namespace berth
