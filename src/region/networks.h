#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/resources.h"
#include "region/outcomes.h"

namespace berth {

class HostNames;
class RegionRecords;
class Switches;
struct RegionSettings;

/// Virtual networks, security groups, public addresses, interfaces and load balancers: what may stand beside
/// what, and who uses which. A change is finished when it returns; the switches follow in the background.
class Networks {
 public:
  Networks(RegionRecords& records, Switches& switches, HostNames& names, const RegionSettings& settings,
           const std::filesystem::path& home);

  Put<VirtualNetwork> put(VirtualNetwork wanted);
  Put<SecurityGroup> put(SecurityGroup wanted);  ///< opens and closes ports of running VMs
  Put<PublicAddress> put(PublicAddress wanted);
  /// Inbound NAT rules that it names become endpoints of it.
  Put<NetworkInterface> put(NetworkInterface wanted);
  /// Interfaces that name its rules follow. Conflict: "PublicIPAddressInUse", "InboundNatRuleInUse" (one that
  /// an interface names would be gone).
  Put<LoadBalancer> put(LoadBalancer wanted);
  /// These throw conflict while something uses it; quiet when there is none.
  void remove_virtual_network(const Ref& ref);
  void remove_security_group(const Ref& ref);
  void remove_public_address(const Ref& ref);
  void remove_interface(const Ref& ref);
  void remove_load_balancer(const Ref& ref);
  /// T: one of the five. Empty group: of all groups. In the order of their names.
  template <class T>
  std::vector<const T*> list(const std::string& group = {}) const;
  template <class T>
  const T* find(const Ref& ref) const;
  /// False when another resource of the region has that DNS label.
  bool is_label_free(const std::string& label) const;
  /// Returns once the host's ports of this VM's addresses are as its security rules say.
  boost::asio::awaitable<void> settle_ports(Ref vm);

 private:
  /// Throws conflict when an interface names a rule that `before` has and `wanted` has not.
  void check_rules_stay(const LoadBalancer& before, const LoadBalancer& wanted) const;
  void check_frontends(const LoadBalancer& wanted) const;
  /// Sets addresses and endpoints from the rules that an interface names; `before` is what stands there.
  void balance(NetworkInterface& nic, const NetworkInterface* before) const;
  std::string free_address() const;
  std::string free_private_address(const VirtualNetwork& network, const Subnet& subnet,
                                   const Ref& for_nic) const;
  /// Whether those who use a network as it stands can go on with what is wanted of it.
  void check_network_users(const VirtualNetwork& before, const VirtualNetwork& wanted) const;
  void check_security_group(const Ref& ref) const;  ///< "" is fine
  /// Throws conflict when another interface has this public or private address.
  void check_public_address(const NetworkInterface& wanted, const IpConfiguration& configuration,
                            const NetworkInterface* before) const;
  void check_private_address(const NetworkInterface& wanted, const IpConfiguration& configuration,
                             const Subnet& subnet) const;

  RegionRecords& records_;
  Switches& switches_;
  HostNames& names_;
  const RegionSettings& settings_;
  std::string home_hash_;                   ///< of the region's folder
  mutable std::uint32_t next_address_ = 0;  ///< where free_address() looks first
};

}  // namespace berth
