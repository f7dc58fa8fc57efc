#pragma once

#include <set>
#include <string>
#include <type_traits>

#include "base/error.h"
#include "region/table.h"

namespace berth {

/// All that a region holds, and how it changes (records.h).
class RegionRecords : public Records {
 public:
  explicit RegionRecords(Database& database);

  Table<ResourceGroup> groups;
  Table<VirtualNetwork> networks;
  Table<PublicAddress> addresses;
  Table<SecurityGroup> security_groups;
  Table<NetworkInterface> interfaces;
  Table<LoadBalancer> load_balancers;
  Table<Disk> disks;
  Table<Vm> vms;
  Table<InertResource> inert;          ///< by lower-case type + " " + key
  std::set<std::string> groups_going;  ///< being deleted, lower case

  void load(RowReader& rows);
  /// Throws ResourceGroupNotFound, or conflict when it is being deleted: nothing new may begin there.
  void check_group(const std::string& name) const;
  void check_group_stays(const std::string& name) const;  ///< the second half of it

  /// The table of the resources that are a T.
  template <class T>
  const Table<T>& table() const {
    if constexpr (std::is_same_v<T, VirtualNetwork>) return networks;
    if constexpr (std::is_same_v<T, PublicAddress>) return addresses;
    if constexpr (std::is_same_v<T, SecurityGroup>) return security_groups;
    if constexpr (std::is_same_v<T, NetworkInterface>) return interfaces;
    if constexpr (std::is_same_v<T, LoadBalancer>) return load_balancers;
  }
};

/// "The Resource 'Microsoft.Compute/virtualMachines/web1' under resource group 'g' was not found."
Error resource_not_found(const std::string& type, const Ref& ref);
Error group_not_found(const std::string& name);
/// Sets what a new resource gets once, and what each change renews.
void stamp(Resource& resource, const Resource* before);

}  // namespace berth
