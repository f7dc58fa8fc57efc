#include "store/documents.h"

#include <concepts>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace berth {
namespace {

using Json = nlohmann::json;

// Each type lists its fields once; writing and reading both walk that list.
template <class V>
void fields(V&& v, Problem& x) {
  v("code", x.code), v("message", x.message), v("advice", x.advice), v("details", x.details);
}
template <class V>
void fields(V&& v, Ref& x) {
  v("group", x.group), v("name", x.name);
}
template <class V>
void resource_fields(V&& v, Resource& x) {
  v("group", x.group), v("name", x.name), v("location", x.location), v("tags", x.tags), v("etag", x.etag);
  v("created", x.created), v("guid", x.guid);
}
template <class V>
void fields(V&& v, ResourceGroup& x) {
  resource_fields(v, x);
}
template <class V>
void fields(V&& v, Subnet& x) {
  v("name", x.name), v("prefix", x.prefix), v("security_group", x.security_group);
}
template <class V>
void fields(V&& v, VirtualNetwork& x) {
  resource_fields(v, x);
  v("prefixes", x.prefixes), v("subnets", x.subnets);
}
template <class V>
void fields(V&& v, PublicAddress::Port& x) {
  v("protocol", x.protocol), v("port", x.port), v("host_port", x.host_port), v("guest_port", x.guest_port);
  v("moved_because", x.moved_because);
}
template <class V>
void fields(V&& v, PublicAddress& x) {
  resource_fields(v, x);
  v("label", x.label), v("sku", x.sku), v("allocation", x.allocation), v("address", x.address),
      v("fqdn", x.fqdn);
  v("idle_timeout_minutes", x.idle_timeout_minutes), v("ports", x.ports);
}
template <class V>
void fields(V&& v, SecurityRule& x) {
  v("name", x.name), v("description", x.description), v("protocol", x.protocol), v("access", x.access);
  v("direction", x.direction), v("priority", x.priority), v("source_prefixes", x.source_prefixes);
  v("source_ports", x.source_ports), v("destination_prefixes", x.destination_prefixes);
  v("destination_ports", x.destination_ports);
}
template <class V>
void fields(V&& v, SecurityGroup& x) {
  resource_fields(v, x);
  v("rules", x.rules);
}
template <class V>
void fields(V&& v, IpConfiguration& x) {
  v("name", x.name), v("network", x.network), v("subnet", x.subnet), v("public_address", x.public_address);
  v("allocation", x.allocation), v("private_address", x.private_address), v("primary", x.primary);
  v("nat_rules", x.nat_rules), v("pools", x.pools), v("balanced", x.balanced);
  v("address_deleted_with_vm", x.address_deleted_with_vm);
}
template <class V>
void fields(V&& v, Endpoint& x) {
  v("name", x.name), v("protocol", x.protocol), v("public_port", x.public_port),
      v("private_port", x.private_port);
  v("sources", x.sources);
}
template <class V>
void fields(V&& v, NetworkInterface& x) {
  resource_fields(v, x);
  v("configurations", x.configurations), v("security_group", x.security_group), v("endpoints", x.endpoints);
  v("endpoints_only", x.endpoints_only);
  v("mac", x.mac), v("vm", x.vm), v("ip_forwarding", x.ip_forwarding);
}
template <class V>
void fields(V&& v, DataDisk& x) {
  v("lun", x.lun), v("name", x.name), v("size_gib", x.size_gib), v("caching", x.caching), v("disk", x.disk);
  v("deleted_with_vm", x.deleted_with_vm);
}
template <class V>
void fields(V&& v, Disk& x) {
  resource_fields(v, x);
  v("size_gib", x.size_gib), v("sku", x.sku), v("os", x.os), v("image", x.image), v("vm", x.vm),
      v("file", x.file);
}
template <class V>
void fields(V&& v, SshKey& x) {
  v("path", x.path), v("key", x.key);
}
template <class V>
void fields(V&& v, StatusItem& x) {
  v("name", x.name), v("status", x.status), v("code", x.code), v("message", x.message);
}
template <class V>
void fields(V&& v, HandlerStatus& x) {
  v("handler", x.handler), v("version", x.version), v("status", x.status), v("code", x.code);
  v("message", x.message), v("sequence", x.sequence), v("operation", x.operation), v("settings", x.settings);
  v("substatus", x.substatus), v("time", x.time);
}
template <class V>
void fields(V&& v, AgentStatus& x) {
  v("version", x.version), v("status", x.status), v("message", x.message), v("os_name", x.os_name);
  v("os_version", x.os_version), v("computer_name", x.computer_name), v("incarnation", x.incarnation);
  v("time", x.time), v("received", x.received), v("handlers", x.handlers);
}
template <class V>
void fields(V&& v, HealthReport& x) {
  v("incarnation", x.incarnation), v("container_id", x.container_id), v("instance_id", x.instance_id);
  v("state", x.state), v("substatus", x.substatus), v("description", x.description);
}
template <class V>
void fields(V&& v, Extension& x) {
  v("name", x.name), v("publisher", x.publisher), v("type", x.type), v("version_wanted", x.version_wanted);
  v("auto_upgrade", x.auto_upgrade), v("version", x.version), v("settings", x.settings);
  v("protected_settings", x.protected_settings), v("force_update_tag", x.force_update_tag), v("tags", x.tags);
  v("sequence", x.sequence), v("state", x.state), v("provisioning", x.provisioning), v("problem", x.problem);
}
template <class V>
void fields(V&& v, CertificateDelivery& x) {
  v("holder", x.holder), v("acknowledged", x.acknowledged);
}
template <class V>
void fields(V&& v, Vm& x) {
  resource_fields(v, x);
  v("id", x.id), v("vm_id", x.vm_id), v("size", x.size), v("computer_name", x.computer_name);
  v("admin_user", x.admin_user), v("password_login", x.password_login),
      v("has_custom_data", x.has_custom_data);
  v("ssh_keys", x.ssh_keys), v("image", x.image), v("image_publisher", x.image_publisher);
  v("image_offer", x.image_offer), v("image_sku", x.image_sku), v("image_version", x.image_version);
  v("image_id", x.image_id), v("os_disk", x.os_disk), v("os_disk_attached", x.os_disk_attached);
  v("os_disk_caching", x.os_disk_caching), v("os_disk_deleted_with_vm", x.os_disk_deleted_with_vm);
  v("interfaces_deleted_with_vm", x.interfaces_deleted_with_vm);
  v("data_disks", x.data_disks), v("interfaces", x.interfaces), v("availability_set", x.availability_set);
  v("boot_diagnostics", x.boot_diagnostics), v("provisioning", x.provisioning), v("problem", x.problem);
  v("power", x.power), v("provisioned", x.provisioned), v("generalized", x.generalized);
  v("incarnation", x.incarnation), v("container_id", x.container_id), v("deployment_id", x.deployment_id);
  v("certificate", x.certificate), v("delivery", x.delivery), v("extensions", x.extensions),
      v("agent", x.agent), v("health", x.health);
  v("classic_deployment", x.classic_deployment);
}
template <class V>
void fields(V&& v, InertResource& x) {
  resource_fields(v, x);
  v("type", x.type), v("properties", x.properties), v("kind", x.kind), v("sku", x.sku);
}
template <class V>
void fields(V&& v, Phase& x) {
  v("name", x.name), v("detail", x.detail), v("began", x.began), v("ended", x.ended);
}
template <class V>
void fields(V&& v, Operation& x) {
  v("id", x.id), v("kind", x.kind), v("target", x.target), v("status", x.status), v("problem", x.problem);
  v("began", x.began), v("ended", x.ended), v("phases", x.phases);
}

template <class T>
concept HasFields = requires(T& x) { fields([](const char*, auto&) {}, x); };

template <class T>
Json write(const T& value);
template <class T>
void read(const Json& json, T& value);

template <class T>
Json write(const std::vector<T>& list) {
  Json out = Json::array();
  for (const T& item : list) out.push_back(write(item));
  return out;
}
template <class T>
Json write(const std::optional<T>& value) {
  return value ? write(*value) : Json();
}
template <class T>
Json write(const T& value) {
  if constexpr (HasFields<T>) {
    Json out = Json::object();
    fields([&](const char* name, auto& field) { out[name] = write(field); }, const_cast<T&>(value));
    return out;
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<int>(value);
  } else {
    return value;
  }
}

template <class T>
void read(const Json& json, std::vector<T>& list) {
  for (const Json& item : json) read(item, list.emplace_back());
}
template <class T>
void read(const Json& json, std::optional<T>& value) {
  if (!json.is_null()) read(json, value.emplace());
}
template <class T>
void read(const Json& json, T& value) {
  if constexpr (HasFields<T>) {
    fields(
        [&](const char* name, auto& field) {
          if (const auto found = json.find(name); found != json.end()) read(*found, field);
        },
        value);
  } else if constexpr (std::is_enum_v<T>) {
    value = static_cast<T>(json.get<int>());
  } else {
    json.get_to(value);
  }
}

}  // namespace

template <class T>
std::string to_document(const T& value) {
  return write(value).dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <class T>
T from_document(std::string_view document) {
  T value;
  try {
    read(Json::parse(document), value);
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::internal, "StoreDamaged",
                std::string("A document of the region's store is damaged: ") + e.what());
  }
  return value;
}

template std::string to_document(const ResourceGroup&);
template std::string to_document(const VirtualNetwork&);
template std::string to_document(const PublicAddress&);
template std::string to_document(const SecurityGroup&);
template std::string to_document(const NetworkInterface&);
template std::string to_document(const Disk&);
template std::string to_document(const Vm&);
template std::string to_document(const InertResource&);
template std::string to_document(const Operation&);
template ResourceGroup from_document(std::string_view);
template VirtualNetwork from_document(std::string_view);
template PublicAddress from_document(std::string_view);
template SecurityGroup from_document(std::string_view);
template NetworkInterface from_document(std::string_view);
template Disk from_document(std::string_view);
template Vm from_document(std::string_view);
template InertResource from_document(std::string_view);
template Operation from_document(std::string_view);

}  // namespace berth
