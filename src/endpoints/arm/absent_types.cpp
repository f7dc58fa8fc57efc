#include "endpoints/arm/absent_types.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "model/names.h"

namespace berth::arm {
namespace {

constexpr std::string_view single_machines =
    "Make single virtual machines: 'copy' makes several in a template, 'az vm create --count' on the command "
    "line.";
constexpr std::string_view single_addresses =
    "Use inbound NAT rules, or a public address for each virtual machine.";
constexpr std::string_view own_docker = "Run containers on a virtual machine ('azure vm docker create').";
constexpr std::string_view group_rules = "Use network security groups, and leave this out.";
constexpr std::string_view one_network =
    "Put machines that must reach each other into one virtual network, and leave this out.";
constexpr std::string_view region_names =
    "Machines of a network find each other as NAME.internal; leave this out.";
constexpr std::string_view secure_values =
    "Give the value itself, as a parameter of the type 'securestring', and leave this out.";
constexpr std::string_view own_images = "Use images ('azure vm image create'), and leave this out.";
constexpr std::string_view in_the_machine = "Run it in a virtual machine, by cloud-init or an extension.";

constexpr AbsentType absent[] = {
    {"Microsoft.Compute/virtualMachineScaleSets", "it has no scale sets", single_machines},
    {"Microsoft.Insights/autoscaleSettings", "it has no scale sets", single_machines},
    {"Microsoft.ServiceFabric/", "it has no scale sets", single_machines},
    {"Microsoft.Network/applicationGateways", "it does not spread connections", single_addresses},
    {"Microsoft.Network/applicationGatewayWebApplicationFirewallPolicies", "it does not spread connections",
     single_addresses},
    {"Microsoft.Network/trafficManagerProfiles", "it does not spread connections", single_addresses},
    {"Microsoft.Network/frontDoors", "it does not spread connections", single_addresses},
    {"Microsoft.Network/loadBalancers", "it does not spread connections", single_addresses},
    {"Microsoft.Cdn/", "it does not spread connections", single_addresses},
    {"Microsoft.Network/azureFirewalls", "it has no firewalls between networks", group_rules},
    {"Microsoft.Network/firewallPolicies", "it has no firewalls between networks", group_rules},
    {"Microsoft.Network/ipGroups", "it has no firewalls between networks", group_rules},
    {"Microsoft.Network/connections", "it has no ways into other networks", one_network},
    {"Microsoft.Network/localNetworkGateways", "it has no ways into other networks", one_network},
    {"Microsoft.Network/virtualNetworkGateways", "it has no ways into other networks", one_network},
    {"Microsoft.Network/virtualHubs", "it has no ways into other networks", one_network},
    {"Microsoft.Network/virtualWans", "it has no ways into other networks", one_network},
    {"Microsoft.Network/vpnGateways", "it has no ways into other networks", one_network},
    {"Microsoft.Network/expressRouteCircuits", "it has no ways into other networks", one_network},
    {"Microsoft.Network/privateEndpoints", "it has no private links",
     "Leave it out, with the service that it leads to."},
    {"Microsoft.Network/privateLinkServices", "it has no private links",
     "Leave it out, with the service that it leads to."},
    {"Microsoft.Network/privateDnsZones", "it has no DNS zones", region_names},
    {"Microsoft.Network/dnsZones", "it has no DNS zones", region_names},
    {"Microsoft.Network/dnsResolvers", "it has no DNS zones", region_names},
    {"Microsoft.KeyVault/", "it has no key vault", secure_values},
    {"Microsoft.Compute/diskEncryptionSets", "it has no key vault", "Leave it out."},
    {"Microsoft.Compute/galleries", "it has no shared galleries", own_images},
    {"Microsoft.VirtualMachineImages/", "it has no image builder", own_images},
    {"Microsoft.Compute/hostGroups", "its machines all run on this one", "Leave it out."},
    {"Microsoft.Compute/capacityReservationGroups", "its machines all run on this one", "Leave it out."},
    {"Microsoft.ContainerService/", "it has no clusters", own_docker},
    {"Microsoft.RedHatOpenShift/", "it has no clusters", own_docker},
    {"Microsoft.ContainerInstance/", "it runs containers in virtual machines only", own_docker},
    {"Microsoft.App/", "it runs containers in virtual machines only", own_docker},
    {"Microsoft.ContainerRegistry/", "it has no registries", "Use a registry that your machines reach."},
    {"Microsoft.RecoveryServices/", "it makes no backups", "Leave it out, and copy what must last yourself."},
    {"Microsoft.DataProtection/", "it makes no backups", "Leave it out, and copy what must last yourself."},
    {"Microsoft.Resources/deploymentScripts", "it runs nothing outside of virtual machines", in_the_machine},
    {"Microsoft.Automation/", "it runs nothing outside of virtual machines", in_the_machine},
    {"Microsoft.Logic/", "it runs nothing outside of virtual machines", in_the_machine},
    {"Microsoft.Resources/templateSpecs", "it keeps no templates",
     "Send the template itself, or serve its folder with 'azure region serve-templates FOLDER'."},
};

/// Providers of which the region has some types: one that is not among them may be a mistyped one.
constexpr std::string_view own_providers[] = {
    "Microsoft.Compute/",       "Microsoft.Network/",         "Microsoft.Storage/", "Microsoft.Resources/",
    "Microsoft.Authorization/", "Microsoft.ManagedIdentity/", "Berth.Local/"};

bool begins_with(std::string_view type, std::string_view start) {
  return same_name(type.substr(0, start.size()), start) &&
         (start.ends_with('/') || type.size() == start.size() || type[start.size()] == '/');
}

}  // namespace

std::span<const AbsentType> absent_types() {
  return absent;
}

Error not_supported(std::string_view type) {
  const auto error = [&](std::string_view why, std::string_view instead) {
    return Error(ErrorKind::not_found, "InvalidResourceType",
                 fmt::format("'{}' is not supported by the local region: {}.", type.substr(0, 200), why),
                 std::string(instead));
  };
  for (const AbsentType& known : absent)
    if (begins_with(type, known.type)) return error(known.why, known.instead);
  if (std::ranges::any_of(own_providers, [&](std::string_view own) { return begins_with(type, own); }))
    return error("it has no such type", "'az provider list' (GET …/providers) tells those that there are.");
  return error("it has virtual machines and what belongs to them, and no other services",
               "Leave it out, and let what needs it use such a service elsewhere.");
}

}  // namespace berth::arm
