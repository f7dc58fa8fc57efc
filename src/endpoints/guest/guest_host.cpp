#include "endpoints/guest/guest_host.h"

#include "region/region.h"

namespace berth {
namespace {

class RegionGuestHost final : public GuestHost {
 public:
  explicit RegionGuestHost(Region& region) : region_(region) {}
  std::optional<GuestView> guest_view(const std::string& vm_id) const override {
    return region_.guest_view(vm_id);
  }
  void take_health(const std::string& vm_id, HealthReport report) override {
    region_.take_health(vm_id, std::move(report));
  }
  void take_status(const std::string& vm_id, AgentStatus status) override {
    region_.take_status(vm_id, std::move(status));
  }
  Secret guest_pfx(const std::string& vm_id, const std::string& transport) override {
    return region_.guest_pfx(vm_id, transport);
  }
  std::optional<ExtensionPackage> guest_package(const std::string& handler,
                                                const std::string& version) const override {
    return region_.guest_package(handler, version);
  }
  std::vector<ExtensionPackage> guest_packages(const std::string& handler) const override {
    return region_.guest_packages(handler);
  }

 private:
  Region& region_;
};

}  // namespace

std::unique_ptr<GuestHost> make_guest_host(Region& region) {
  return std::make_unique<RegionGuestHost>(region);
}

}  // namespace berth
