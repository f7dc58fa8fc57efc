#include "model/catalog.h"

#include <algorithm>
#include <array>

#include "model/names.h"

namespace berth {
namespace {

constexpr Location all_locations[] = {
    {"westus", "West US", "37.783", "-122.417"},
    {"westus2", "West US 2", "47.233", "-119.852"},
    {"eastus", "East US", "37.3719", "-79.8164"},
    {"eastus2", "East US 2", "36.6681", "-78.3889"},
    {"centralus", "Central US", "41.5908", "-93.6208"},
    {"northcentralus", "North Central US", "41.8819", "-87.6278"},
    {"southcentralus", "South Central US", "29.4167", "-98.5"},
    {"northeurope", "North Europe", "53.3478", "-6.2597"},
    {"westeurope", "West Europe", "52.3667", "4.9"},
    {"uksouth", "UK South", "50.941", "-0.799"},
    {"germanywestcentral", "Germany West Central", "50.110924", "8.682127"},
    {"eastasia", "East Asia", "22.267", "114.188"},
    {"southeastasia", "Southeast Asia", "1.283", "103.833"},
    {"japaneast", "Japan East", "35.68", "139.77"},
    {"brazilsouth", "Brazil South", "-23.55", "-46.633"},
    {"australiaeast", "Australia East", "-33.86", "151.2094"},
};

// Processors and memory as Azure documents them for these sizes.
constexpr VmSize all_sizes[] = {
    {"Standard_A0", "ExtraSmall", 1, 768, 1'047'552, 20'480, 1},
    {"Standard_A1", "Small", 1, 1792, 1'047'552, 71'680, 2},
    {"Standard_A2", "Medium", 2, 3584, 1'047'552, 138'240, 4},
    {"Standard_A3", "Large", 4, 7168, 1'047'552, 291'840, 8},
    {"Standard_A4", "ExtraLarge", 8, 14'336, 1'047'552, 619'520, 16},
    {"Standard_A5", "A5", 2, 14'336, 1'047'552, 138'240, 4},
    {"Standard_A1_v2", "", 1, 2048, 1'047'552, 10'240, 2},
    {"Standard_A2_v2", "", 2, 4096, 1'047'552, 20'480, 4},
    {"Standard_B1s", "", 1, 1024, 1'047'552, 4096, 2},
    {"Standard_B1ms", "", 1, 2048, 1'047'552, 4096, 2},
    {"Standard_B2s", "", 2, 4096, 1'047'552, 8192, 4},
    {"Standard_B2ms", "", 2, 8192, 1'047'552, 16'384, 4},
    {"Standard_B4ms", "", 4, 16'384, 1'047'552, 32'768, 8},
    {"Standard_D1", "", 1, 3584, 1'047'552, 51'200, 4},
    {"Standard_D2", "", 2, 7168, 1'047'552, 102'400, 8},
    {"Standard_D1_v2", "", 1, 3584, 1'047'552, 51'200, 4},
    {"Standard_D2_v2", "", 2, 7168, 1'047'552, 102'400, 8},
    {"Standard_DS1", "", 1, 3584, 1'047'552, 7168, 4},
    {"Standard_DS1_v2", "", 1, 3584, 1'047'552, 7168, 4},
    {"Standard_DS2_v2", "", 2, 7168, 1'047'552, 14'336, 8},
    {"Standard_DS3_v2", "", 4, 14'336, 1'047'552, 28'672, 16},
    {"Standard_D2s_v3", "", 2, 8192, 1'047'552, 16'384, 4},
    {"Standard_D4s_v3", "", 4, 16'384, 1'047'552, 32'768, 8},
    {"Standard_D2s_v5", "", 2, 8192, 1'047'552, 0, 4},
    {"Standard_D4s_v5", "", 4, 16'384, 1'047'552, 0, 8},
    {"Standard_F1", "", 1, 2048, 1'047'552, 16'384, 4},
    {"Standard_F2", "", 2, 4096, 1'047'552, 32'768, 8},
};

constexpr std::string_view refused_users[] = {
    "administrator", "admin", "user", "user1", "test", "user2", "test1", "user3", "admin1", "1", "123", "a",
    "actuser", "adm", "admin2", "aspnet", "backup", "console", "david", "guest", "john", "owner", "root",
    "server", "sql", "support", "support_388945a0", "sys", "test2", "test3", "user4", "user5",
    // accounts that a Debian or Ubuntu system has already: the guest agent refuses them
    "daemon", "bin", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data", "list", "irc",
    "gnats", "nobody", "_apt", "systemd-network", "systemd-resolve", "systemd-timesync", "messagebus", "sshd",
    "syslog", "tcpdump", "landscape", "uuidd", "polkitd", "_chrony", "waagent"};

std::string squeezed(std::string_view name) {
  std::string out = lower(name);
  std::erase(out, ' ');
  return out;
}

bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

}  // namespace

std::span<const Location> locations() {
  return all_locations;
}

const Location* find_location(std::string_view name) {
  const std::string wanted = squeezed(name);
  const auto found = std::ranges::find(all_locations, wanted, &Location::name);
  return found == std::end(all_locations) ? nullptr : &*found;
}

std::span<const VmSize> vm_sizes() {
  return all_sizes;
}

const VmSize* find_vm_size(std::string_view name) {
  for (const VmSize& size : all_sizes)
    if (same_name(size.name, name) || (!size.classic_name.empty() && same_name(size.classic_name, name)))
      return &size;
  return nullptr;
}

std::optional<std::string> user_name_problem(std::string_view name) {
  if (name.empty()) return "The user name is empty.";
  if (same_name(name, "docker"))
    return "docker is not valid username for docker vm. Please specify another username.";
  if (std::ranges::find(refused_users, lower(name)) != std::end(refused_users))
    return "The user name '" + std::string(name) + "' is reserved.";
  if (name.size() > 32) return "The user name is longer than 32 characters.";
  const bool first = (name[0] >= 'a' && name[0] <= 'z') || name[0] == '_';
  const bool rest = std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
  if (!first || !rest)
    return "The user name '" + std::string(name) +
           "' must begin with a lower case letter or '_' and hold only lower case letters, digits, '_', '-' "
           "and '.'.";
  return std::nullopt;
}

std::optional<std::string> password_problem(std::string_view password) {
  bool lower_case = false, upper_case = false, digit = false, special = false;
  for (const char c : password) {
    lower_case |= c >= 'a' && c <= 'z';
    upper_case |= c >= 'A' && c <= 'Z';
    digit |= c >= '0' && c <= '9';
    special |= is_one_of(c, "*!@#$%^&+=");
    if (static_cast<unsigned char>(c) < 0x20) return "The password holds a control character.";
  }
  if (password.size() < 8 || !lower_case || !upper_case || !digit || !special)
    return "password must be at least 8 character in length, it must contain a lower case, an upper case, a "
           "number and a special character such as !@#$%^&+=";
  if (password.size() > 123) return "The password is longer than 123 characters.";
  return std::nullopt;
}

std::optional<std::string> host_name_problem(std::string_view name) {
  if (name.empty()) return "The host name is empty.";
  if (name.size() > 63) return "The host name is longer than 63 characters.";
  // A digit may begin it (RFC 1123), and it may be no number as a whole, which would be an address.
  const bool number = name.find_first_not_of("0123456789") == name.npos;
  if (!number && is_dns_label("a" + std::string(name.substr(1))) && name.front() != '-') return std::nullopt;
  return "The host name '" + std::string(name) +
         "' must begin with a letter or digit, hold only letters, digits and hyphens, not end with a hyphen, "
         "and "
         "be no number.";
}

}  // namespace berth
