#pragma once

#include "region/guest_host.h"

namespace berth {

class RegionRecords;
class VmCertificates;
class VmRecords;
struct RegionSettings;

/// The guests of a region's virtual machines.
class Guests final : public GuestHost {
 public:
  Guests(RegionRecords& records, VmRecords& vms, VmCertificates& certificates, ExtensionGallery& gallery,
         const RegionSettings& settings);

  std::optional<GuestView> guest_view(const std::string& vm_id) const override;
  void take_health(const std::string& vm_id, HealthReport report) override;
  void take_status(const std::string& vm_id, AgentStatus status) override;
  Secret guest_pfx(const std::string& vm_id, const std::string& transport) override;
  std::optional<ExtensionPackage> guest_package(const std::string& handler,
                                                const std::string& version) const override;
  std::vector<ExtensionPackage> guest_packages(const std::string& handler) const override;
  const Vm* find_vm(const std::string& vm_id) const;

 private:
  RegionRecords& records_;
  VmRecords& vms_;
  VmCertificates& certificates_;
  ExtensionGallery& gallery_;
  const RegionSettings& settings_;
};

}  // namespace berth
