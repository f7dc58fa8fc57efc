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
    {"westus3", "West US 3", "33.448376", "-112.074036"},
    {"westcentralus", "West Central US", "40.89", "-110.234"},
    {"canadacentral", "Canada Central", "43.653", "-79.383"},
    {"canadaeast", "Canada East", "46.817", "-71.217"},
    {"mexicocentral", "Mexico Central", "20.588818", "-100.389888"},
    {"brazilsoutheast", "Brazil Southeast", "-22.90278", "-43.2075"},
    {"ukwest", "UK West", "53.427", "-3.084"},
    {"francecentral", "France Central", "46.3772", "2.373"},
    {"francesouth", "France South", "43.8345", "2.1972"},
    {"germanynorth", "Germany North", "53.073635", "8.806422"},
    {"italynorth", "Italy North", "45.46888", "9.18109"},
    {"norwayeast", "Norway East", "59.913868", "10.752245"},
    {"norwaywest", "Norway West", "58.969975", "5.733107"},
    {"polandcentral", "Poland Central", "52.23334", "21.01666"},
    {"spaincentral", "Spain Central", "40.4259", "3.4209"},
    {"swedencentral", "Sweden Central", "60.67488", "17.14127"},
    {"switzerlandnorth", "Switzerland North", "47.451542", "8.564572"},
    {"switzerlandwest", "Switzerland West", "46.204391", "6.143158"},
    {"israelcentral", "Israel Central", "31.2655698", "33.4506633"},
    {"qatarcentral", "Qatar Central", "25.551462", "51.439327"},
    {"uaecentral", "UAE Central", "24.466667", "54.366669"},
    {"uaenorth", "UAE North", "25.266666", "55.316666"},
    {"southafricanorth", "South Africa North", "-25.73134", "28.21837"},
    {"southafricawest", "South Africa West", "-34.075691", "18.843266"},
    {"centralindia", "Central India", "18.5822", "73.9197"},
    {"southindia", "South India", "12.9822", "80.1636"},
    {"westindia", "West India", "19.088", "72.868"},
    {"japanwest", "Japan West", "34.6939", "135.5022"},
    {"koreacentral", "Korea Central", "37.5665", "126.978"},
    {"koreasouth", "Korea South", "35.1796", "129.0756"},
    {"australiacentral", "Australia Central", "-35.3075", "149.1244"},
    {"australiacentral2", "Australia Central 2", "-35.3075", "149.1244"},
    {"australiasoutheast", "Australia Southeast", "-37.8136", "144.9631"},
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

std::optional<std::string> user_name_problem(std::string_view name) {
  if (name.empty()) return "The user name is empty.";
  if (same_name(name, "docker"))
    return "docker is not valid username for docker vm. Please specify another username.";
  if (std::ranges::find(refused_users, lower(name)) != std::end(refused_users))
    return "The user name '" + std::string(name) + "' is reserved.";
  if (name.size() > 32) return "The user name is longer than 32 characters.";
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const bool rest = std::ranges::all_of(name, [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
  if (!(is_letter(name[0]) || name[0] == '_') || !rest)
    return "The user name '" + std::string(name) +
           "' must begin with a letter or '_' and hold only letters, digits, '_', '-' and '.'.";
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
  const bool number = name.find_first_not_of("0123456789.") == name.npos;
  bool good = !number;
  for (std::string_view rest = name; good;) {  // a name with a domain behind it is taken, too
    const std::string_view label = rest.substr(0, rest.find('.'));
    good = !label.empty() && label.front() != '-' && is_dns_label("a" + std::string(label.substr(1)));
    if (label.size() == rest.size()) break;
    rest.remove_prefix(label.size() + 1);
  }
  if (good) return std::nullopt;
  return "The host name '" + std::string(name) +
         "' must begin with a letter or digit, hold only letters, digits and hyphens, not end with a hyphen, "
         "and "
         "be no number.";
}

}  // namespace berth
