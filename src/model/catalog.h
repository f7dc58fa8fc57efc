#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace berth {

struct Location {
  std::string_view name;          ///< "westus"
  std::string_view display_name;  ///< "West US"
  std::string_view latitude, longitude;
};
std::span<const Location> locations();
/// By either name, without case and spaces.
const Location* find_location(std::string_view name);

/// A VM size. Locally its processors and memory are what the guest gets (host limits apply at start).
struct VmSize {
  std::string_view name;          ///< "Standard_B2s"
  std::string_view classic_name;  ///< "Small"; empty if it has none
  unsigned cpus = 1;
  unsigned memory_mib = 1024;
  unsigned os_disk_mib = 1'047'552;
  unsigned resource_disk_mib = 0;
  unsigned max_data_disks = 2;
};
std::span<const VmSize> vm_sizes();
const VmSize* find_vm_size(std::string_view name);  ///< by either name, without case
/// What a VM gets when no size is named.
inline constexpr std::string_view default_vm_size = "Standard_B2s";

/// Why a user name cannot be that of the VM's administrator; nullopt if it can. Source: Azure's own list of
/// refused names, the guest agent's rule (no system account), and "docker", which the Docker host keeps for
/// its group.
std::optional<std::string> user_name_problem(std::string_view name);
/// The article's rule: at least 8 characters, a lower and an upper case letter, a digit, one of !@#$%^&+=*
/// and alike.
std::optional<std::string> password_problem(std::string_view password);
/// A host name: is_dns_label() with the reason in words.
std::optional<std::string> host_name_problem(std::string_view name);

}  // namespace berth
