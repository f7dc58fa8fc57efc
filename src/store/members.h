#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>

#include "model/resources.h"

/// What the store keeps of each type: every member with its name in a document. The one list for writing,
/// reading and the tests; a member that it lacks does not compile. Only documents.cpp and its tests include
/// this.
namespace berth {

template <class Owner, class Field>
struct Member {
  const char* name;
  Field Owner::*field;
};
template <class Owner, class Field>
Member(const char*, Field Owner::*) -> Member<Owner, Field>;

template <class T>
constexpr auto members = nullptr;

constexpr auto resource_members = std::tuple(
    Member("group", &Resource::group), Member("name", &Resource::name),
    Member("location", &Resource::location), Member("tags", &Resource::tags), Member("etag", &Resource::etag),
    Member("created", &Resource::created), Member("guid", &Resource::guid), Member("kept", &Resource::kept));

template <class... Own>
constexpr auto resource_with(Own... own) {
  return std::tuple_cat(resource_members, std::tuple(own...));
}

template <>
inline constexpr auto members<Problem> =
    std::tuple(Member("code", &Problem::code), Member("message", &Problem::message),
               Member("advice", &Problem::advice), Member("details", &Problem::details));
template <>
inline constexpr auto members<Ref> = std::tuple(Member("group", &Ref::group), Member("name", &Ref::name));
template <>
inline constexpr auto members<ResourceGroup> = resource_with();
template <>
inline constexpr auto members<Subnet> =
    std::tuple(Member("name", &Subnet::name), Member("prefix", &Subnet::prefix),
               Member("security_group", &Subnet::security_group), Member("kept", &Subnet::kept));
template <>
inline constexpr auto members<VirtualNetwork> =
    resource_with(Member("prefixes", &VirtualNetwork::prefixes), Member("subnets", &VirtualNetwork::subnets));
template <>
inline constexpr auto members<PublicAddress::Port> =
    std::tuple(Member("protocol", &PublicAddress::Port::protocol), Member("port", &PublicAddress::Port::port),
               Member("host_port", &PublicAddress::Port::host_port),
               Member("guest_port", &PublicAddress::Port::guest_port),
               Member("moved_because", &PublicAddress::Port::moved_because));
template <>
inline constexpr auto members<PublicAddress> =
    resource_with(Member("label", &PublicAddress::label), Member("sku", &PublicAddress::sku),
                  Member("allocation", &PublicAddress::allocation),
                  Member("address", &PublicAddress::address), Member("fqdn", &PublicAddress::fqdn),
                  Member("idle_timeout_minutes", &PublicAddress::idle_timeout_minutes),
                  Member("ports", &PublicAddress::ports));
template <>
inline constexpr auto members<SecurityRule> =
    std::tuple(Member("name", &SecurityRule::name), Member("description", &SecurityRule::description),
               Member("protocol", &SecurityRule::protocol), Member("access", &SecurityRule::access),
               Member("direction", &SecurityRule::direction), Member("priority", &SecurityRule::priority),
               Member("source_prefixes", &SecurityRule::source_prefixes),
               Member("source_ports", &SecurityRule::source_ports),
               Member("destination_prefixes", &SecurityRule::destination_prefixes),
               Member("destination_ports", &SecurityRule::destination_ports));
template <>
inline constexpr auto members<SecurityGroup> = resource_with(Member("rules", &SecurityGroup::rules));
template <>
inline constexpr auto members<IpConfiguration> = std::tuple(
    Member("name", &IpConfiguration::name), Member("network", &IpConfiguration::network),
    Member("subnet", &IpConfiguration::subnet), Member("public_address", &IpConfiguration::public_address),
    Member("address_deleted_with_vm", &IpConfiguration::address_deleted_with_vm),
    Member("allocation", &IpConfiguration::allocation),
    Member("private_address", &IpConfiguration::private_address),
    Member("primary", &IpConfiguration::primary), Member("nat_rules", &IpConfiguration::nat_rules),
    Member("pools", &IpConfiguration::pools), Member("balanced", &IpConfiguration::balanced),
    Member("kept", &IpConfiguration::kept));
template <>
inline constexpr auto members<Endpoint> =
    std::tuple(Member("name", &Endpoint::name), Member("protocol", &Endpoint::protocol),
               Member("public_port", &Endpoint::public_port), Member("private_port", &Endpoint::private_port),
               Member("sources", &Endpoint::sources));
template <>
inline constexpr auto members<NetworkInterface> = resource_with(
    Member("configurations", &NetworkInterface::configurations),
    Member("security_group", &NetworkInterface::security_group),
    Member("endpoints", &NetworkInterface::endpoints),
    Member("endpoints_only", &NetworkInterface::endpoints_only), Member("mac", &NetworkInterface::mac),
    Member("vm", &NetworkInterface::vm), Member("ip_forwarding", &NetworkInterface::ip_forwarding));
template <>
inline constexpr auto members<LoadBalancer::Frontend> = std::tuple(
    Member("id", &LoadBalancer::Frontend::id), Member("address", &LoadBalancer::Frontend::address));
template <>
inline constexpr auto members<LoadBalancer::NatRule> =
    std::tuple(Member("id", &LoadBalancer::NatRule::id), Member("name", &LoadBalancer::NatRule::name),
               Member("protocol", &LoadBalancer::NatRule::protocol),
               Member("frontend_port", &LoadBalancer::NatRule::frontend_port),
               Member("backend_port", &LoadBalancer::NatRule::backend_port),
               Member("address", &LoadBalancer::NatRule::address));
template <>
inline constexpr auto members<LoadBalancer> = resource_with(
    Member("frontends", &LoadBalancer::frontends), Member("nat_rules", &LoadBalancer::nat_rules),
    Member("properties", &LoadBalancer::properties), Member("sku", &LoadBalancer::sku));
template <>
inline constexpr auto members<DataDisk> = std::tuple(
    Member("lun", &DataDisk::lun), Member("name", &DataDisk::name), Member("size_gib", &DataDisk::size_gib),
    Member("caching", &DataDisk::caching), Member("disk", &DataDisk::disk),
    Member("deleted_with_vm", &DataDisk::deleted_with_vm), Member("kept", &DataDisk::kept));
template <>
inline constexpr auto members<Disk> =
    resource_with(Member("size_gib", &Disk::size_gib), Member("sku", &Disk::sku), Member("os", &Disk::os),
                  Member("image", &Disk::image), Member("vm", &Disk::vm), Member("file", &Disk::file));
template <>
inline constexpr auto members<SshKey> =
    std::tuple(Member("path", &SshKey::path), Member("key", &SshKey::key));
template <>
inline constexpr auto members<StatusItem> =
    std::tuple(Member("name", &StatusItem::name), Member("status", &StatusItem::status),
               Member("code", &StatusItem::code), Member("message", &StatusItem::message));
template <>
inline constexpr auto members<HandlerStatus> =
    std::tuple(Member("handler", &HandlerStatus::handler), Member("version", &HandlerStatus::version),
               Member("status", &HandlerStatus::status), Member("code", &HandlerStatus::code),
               Member("message", &HandlerStatus::message), Member("sequence", &HandlerStatus::sequence),
               Member("operation", &HandlerStatus::operation), Member("settings", &HandlerStatus::settings),
               Member("substatus", &HandlerStatus::substatus), Member("time", &HandlerStatus::time));
template <>
inline constexpr auto members<AgentStatus> = std::tuple(
    Member("version", &AgentStatus::version), Member("status", &AgentStatus::status),
    Member("message", &AgentStatus::message), Member("os_name", &AgentStatus::os_name),
    Member("os_version", &AgentStatus::os_version), Member("computer_name", &AgentStatus::computer_name),
    Member("incarnation", &AgentStatus::incarnation), Member("time", &AgentStatus::time),
    Member("received", &AgentStatus::received), Member("handlers", &AgentStatus::handlers));
template <>
inline constexpr auto members<HealthReport> = std::tuple(
    Member("incarnation", &HealthReport::incarnation), Member("container_id", &HealthReport::container_id),
    Member("instance_id", &HealthReport::instance_id), Member("state", &HealthReport::state),
    Member("substatus", &HealthReport::substatus), Member("description", &HealthReport::description));
template <>
inline constexpr auto members<Extension> = std::tuple(
    Member("name", &Extension::name), Member("publisher", &Extension::publisher),
    Member("type", &Extension::type), Member("version_wanted", &Extension::version_wanted),
    Member("auto_upgrade", &Extension::auto_upgrade), Member("version", &Extension::version),
    Member("settings", &Extension::settings), Member("protected_settings", &Extension::protected_settings),
    Member("protected_print", &Extension::protected_print), Member("after", &Extension::after),
    Member("suppress_failures", &Extension::suppress_failures), Member("kept", &Extension::kept),
    Member("force_update_tag", &Extension::force_update_tag), Member("tags", &Extension::tags),
    Member("sequence", &Extension::sequence), Member("state", &Extension::state),
    Member("provisioning", &Extension::provisioning), Member("problem", &Extension::problem));
template <>
inline constexpr auto members<CertificateDelivery> =
    std::tuple(Member("holder", &CertificateDelivery::holder),
               Member("acknowledged", &CertificateDelivery::acknowledged));
template <>
inline constexpr auto members<Vm> = resource_with(
    Member("id", &Vm::id), Member("vm_id", &Vm::vm_id), Member("size", &Vm::size),
    Member("computer_name", &Vm::computer_name), Member("admin_user", &Vm::admin_user),
    Member("password_login", &Vm::password_login), Member("has_custom_data", &Vm::has_custom_data),
    Member("password_print", &Vm::password_print), Member("custom_data_print", &Vm::custom_data_print),
    Member("ssh_keys", &Vm::ssh_keys), Member("image", &Vm::image),
    Member("image_publisher", &Vm::image_publisher), Member("image_offer", &Vm::image_offer),
    Member("image_sku", &Vm::image_sku), Member("image_version", &Vm::image_version),
    Member("image_id", &Vm::image_id), Member("os_disk", &Vm::os_disk),
    Member("os_disk_attached", &Vm::os_disk_attached), Member("restored", &Vm::restored),
    Member("os_disk_deleted_with_vm", &Vm::os_disk_deleted_with_vm),
    Member("os_disk_caching", &Vm::os_disk_caching), Member("data_disks", &Vm::data_disks),
    Member("interfaces", &Vm::interfaces),
    Member("interfaces_deleted_with_vm", &Vm::interfaces_deleted_with_vm),
    Member("availability_set", &Vm::availability_set), Member("boot_diagnostics", &Vm::boot_diagnostics),
    Member("provisioning", &Vm::provisioning), Member("problem", &Vm::problem), Member("power", &Vm::power),
    Member("provisioned", &Vm::provisioned), Member("generalized", &Vm::generalized),
    Member("incarnation", &Vm::incarnation), Member("container_id", &Vm::container_id),
    Member("deployment_id", &Vm::deployment_id), Member("certificate", &Vm::certificate),
    Member("delivery", &Vm::delivery), Member("extensions", &Vm::extensions), Member("agent", &Vm::agent),
    Member("health", &Vm::health), Member("classic_deployment", &Vm::classic_deployment));
template <>
inline constexpr auto members<InertResource> =
    resource_with(Member("type", &InertResource::type), Member("properties", &InertResource::properties),
                  Member("kind", &InertResource::kind), Member("sku", &InertResource::sku));
template <>
inline constexpr auto members<Phase> =
    std::tuple(Member("name", &Phase::name), Member("detail", &Phase::detail), Member("began", &Phase::began),
               Member("ended", &Phase::ended));
template <>
inline constexpr auto members<Operation> = std::tuple(
    Member("id", &Operation::id), Member("kind", &Operation::kind), Member("target", &Operation::target),
    Member("status", &Operation::status), Member("problem", &Operation::problem),
    Member("began", &Operation::began), Member("ended", &Operation::ended),
    Member("phases", &Operation::phases), Member("output", &Operation::output));

template <class T>
concept HasMembers = !std::is_null_pointer_v<std::remove_cv_t<decltype(members<T>)>>;

/// Calls visit(name, field...) for every member, with that field of each of `values`, objects of one type.
template <class Visit, class T, class... Same>
void for_each_member(Visit&& visit, T& value, Same&... values) {
  const auto one = [&](const auto& member) {
    visit(member.name, value.*member.field, values.*member.field...);
  };
  std::apply([&](const auto&... member) { (one(member), ...); }, members<std::remove_const_t<T>>);
}

/// The last value of each enumeration that is kept.
template <class E>
constexpr E last_of = E();
template <>
inline constexpr PowerState last_of<PowerState> = PowerState::waking;
template <>
inline constexpr Provisioning last_of<Provisioning> = Provisioning::deleting;
template <>
inline constexpr OperationStatus last_of<OperationStatus> = OperationStatus::canceled;

// --- No member is forgotten.

/// Stands for a value of any type.
struct AnyValue {
  template <class T>
  operator T() const {
    return T();
  }
};
template <class T, class... Values>
constexpr std::size_t count_members() {  // a base class counts as one
  if constexpr (requires { T{Values{}..., AnyValue{}}; })
    return count_members<T, Values..., AnyValue>();
  else
    return sizeof...(Values);
}
template <class T>
constexpr bool keeps_all_but(std::size_t not_kept) {
  constexpr std::size_t inherited =
      std::is_base_of_v<Resource, T> ? std::tuple_size_v<decltype(resource_members)> - 1 : 0;
  return std::tuple_size_v<std::remove_const_t<decltype(members<T>)>> + not_kept ==
         count_members<T>() + inherited;
}
template <class... T>
constexpr bool keep_all = (keeps_all_but<T>(0) && ...);

static_assert(std::tuple_size_v<decltype(resource_members)> == count_members<Resource>());
static_assert(
    keep_all<Problem, Ref, ResourceGroup, Subnet, VirtualNetwork, PublicAddress::Port, PublicAddress,
             SecurityRule, SecurityGroup, IpConfiguration, Endpoint, NetworkInterface, LoadBalancer::Frontend,
             LoadBalancer::NatRule, LoadBalancer, DataDisk, Disk, SshKey, StatusItem, HandlerStatus,
             AgentStatus, HealthReport, Extension, InertResource, Phase, Operation>);
static_assert(keeps_all_but<CertificateDelivery>(2));  // given, told
static_assert(keeps_all_but<Vm>(2));  // held_until, network_news: they are of this process alone

}  // namespace berth
