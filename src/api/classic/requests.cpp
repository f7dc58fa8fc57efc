#include "api/classic/requests.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/classic/xml_reader.h"
#include "base/error.h"
#include "crypto/encoding.h"

namespace berth::classic {
namespace {

/// The children of that name; throws when there are more than `most` of them.
std::vector<Element> some_children(const Element& element, std::string_view name, std::size_t most) {
  std::vector<Element> found = element.children(name);
  if (found.size() > most)
    throw bad_request(
        fmt::format("The request has {} elements {}; {} are allowed.", found.size(), name, most));
  return found;
}

/// A label stands in base64 in most documents; some clients send it plain.
std::string label_of(const Element& element) {
  const std::string text = element.text("Label");
  const auto decoded = base64_decode(text);
  return decoded && !text.empty() ? *decoded : text;
}

std::uint16_t port_of(const Element& endpoint, std::string_view name) {
  const auto number = endpoint.number(name, 1, 65535);
  if (!number) throw bad_request(fmt::format("An InputEndpoint has no {}.", name));
  return static_cast<std::uint16_t>(*number);
}

InputEndpoint read_endpoint(const Element& element) {
  InputEndpoint out;
  out.load_balanced_set = element.text("LoadBalancedEndpointSetName");
  out.endpoint.private_port = port_of(element, "LocalPort");
  out.endpoint.public_port =
      element.text("Port").empty() ? out.endpoint.private_port : port_of(element, "Port");
  out.endpoint.name = element.text("Name");
  out.endpoint.protocol = element.text("Protocol").empty() ? "tcp" : lower(element.text("Protocol"));
  if (out.endpoint.protocol != "tcp" && out.endpoint.protocol != "udp")
    throw bad_request(fmt::format("The protocol '{}' of endpoint '{}' is neither tcp nor udp.",
                                  out.endpoint.protocol.substr(0, 32), out.endpoint.name));
  if (out.endpoint.name.empty())
    out.endpoint.name =
        fmt::format("{}-{}-{}", out.endpoint.protocol, out.endpoint.public_port, out.endpoint.private_port);
  out.direct_server_return = element.boolean("EnableDirectServerReturn").value_or(false);
  out.idle_timeout_minutes = element.number("IdleTimeoutInMinutes", 4, 30).value_or(0);
  out.load_balancer = element.text("LoadBalancerName");
  out.distribution = element.text("LoadBalancerDistribution");
  for (const Element& rule : element.child("EndpointAcl").child("Rules").children("Rule")) {
    const std::string action = lower(rule.required("Action"));
    if (action != "permit" && action != "deny")
      throw bad_request(fmt::format("The action '{}' of a rule of endpoint '{}' is neither permit nor deny.",
                                    action.substr(0, 32), out.endpoint.name));
    out.rules.push_back({.order = rule.number("Order", 0, 65535).value_or(0),
                         .permit = action == "permit",
                         .subnet = rule.required("RemoteSubnet"),
                         .description = rule.text("Description")});
  }
  if (const Element probe = element.child("LoadBalancerProbe"))
    out.probe = {.path = probe.text("Path"),
                 .protocol = probe.text("Protocol"),
                 .port = probe.number("Port", 1, 65535).value_or(0),
                 .interval_seconds = probe.number("IntervalInSeconds", 5, 2147483).value_or(0),
                 .timeout_seconds = probe.number("TimeoutInSeconds", 11, 2147483).value_or(0)};
  return out;
}

void check_endpoints(const std::vector<InputEndpoint>& endpoints) {
  if (endpoints.size() > most_endpoints)
    throw bad_request(
        fmt::format("The role has {} endpoints; {} are allowed.", endpoints.size(), most_endpoints));
  for (std::size_t i = 0; i < endpoints.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) {
      const Endpoint &a = endpoints[i].endpoint, &b = endpoints[k].endpoint;
      if (same_name(a.name, b.name))
        throw bad_request(fmt::format("There are two endpoints named '{}'.", a.name));
      if (a.public_port == b.public_port && a.protocol == b.protocol)
        throw bad_request(fmt::format("The endpoints '{}' and '{}' both want the public {} port {}.", b.name,
                                      a.name, a.protocol, a.public_port));
    }
}

ProvisioningOrder read_linux(const Element& set) {
  ProvisioningOrder out;
  out.host_name = set.text("HostName");
  out.user = set.text("UserName");
  out.password = Secret(set.text("UserPassword"));
  out.disable_password_login = set.boolean("DisableSshPasswordAuthentication");
  for (const Element& key : set.child("SSH").child("PublicKeys").children("PublicKey"))
    out.keys.push_back({key.required("Fingerprint"), key.text("Path")});
  out.custom_data = set.base64("CustomData").value_or("");
  if (out.custom_data.size() > most_custom_data)
    throw bad_request(
        fmt::format("CustomData has {} bytes; {} are allowed.", out.custom_data.size(), most_custom_data));
  return out;
}

ExtensionReference read_extension(const Element& element) {
  ExtensionReference out;
  out.publisher = element.required("Publisher");
  out.name = element.required("Name");
  out.reference = element.text("ReferenceName").empty() ? out.name : element.text("ReferenceName");
  out.version = element.text("Version");
  out.state = element.text("State");
  const std::string state = lower(out.state);
  if (!state.empty() && state != "enable" && state != "disable" && state != "uninstall")
    throw bad_request(fmt::format("The state '{}' of extension '{}' is not Enable, Disable or Uninstall.",
                                  out.state.substr(0, 32), out.reference));
  for (const Element& value :
       element.child("ResourceExtensionParameterValues").children("ResourceExtensionParameterValue")) {
    const std::string type = lower(value.text("Type"));
    std::string json = value.base64("Value").value_or("");
    if (type == "private") {
      out.protected_settings = Secret(std::move(json));
    } else {
      out.public_key = value.text("Key");
      out.settings = std::move(json);
    }
  }
  return out;
}

DataDiskOrder read_data_disk(const Element& element) {
  DataDiskOrder out;
  out.lun = element.number("Lun", 0, 63);
  out.caching = element.text("HostCaching");
  out.label = element.text("DiskLabel");
  out.name = element.text("DiskName");
  out.size_gib = static_cast<std::uint64_t>(element.number("LogicalDiskSizeInGB", 1, 1023).value_or(0));
  out.media_link = element.text("MediaLink");
  out.source_media_link = element.text("SourceMediaLink");
  return out;
}

void read_configuration(const Element& set, RoleOrder& role) {
  const std::string type = set.text("ConfigurationSetType");
  if (type == "LinuxProvisioningConfiguration") {
    role.provisioning = read_linux(set);
  } else if (type == "WindowsProvisioningConfiguration") {
    role.windows = true;
  } else if (type == "NetworkConfiguration") {  // some clients send two: they count as one
    role.has_network = true;
    for (const Element& endpoint :
         some_children(set.child("InputEndpoints"), "InputEndpoint", most_endpoints))
      role.endpoints.push_back(read_endpoint(endpoint));
    for (const Element& subnet : set.child("SubnetNames").children("SubnetName"))
      role.subnets.push_back(subnet.text());
    role.public_addresses += set.child("PublicIPs").children("PublicIP").size();
    role.more_interfaces += set.child("NetworkInterfaces").children("NetworkInterface").size();
    if (const std::string address = set.text("StaticVirtualNetworkIPAddress"); !address.empty())
      role.static_address = address;
  } else {
    throw bad_request(fmt::format("The configuration set type '{}' is not known.", type.substr(0, 64)));
  }
}

RoleOrder read_role(const Element& element) {
  RoleOrder role;
  role.name = element.required("RoleName");
  if (const std::string type = element.text("RoleType"); !type.empty() && type != "PersistentVMRole")
    throw bad_request(fmt::format("The role '{}' is a {}; this region has persistent VM roles only.",
                                  role.name, type.substr(0, 64)));
  for (const Element& set : element.child("ConfigurationSets").children("ConfigurationSet"))
    read_configuration(set, role);
  check_endpoints(role.endpoints);
  if (const Element references = element.child("ResourceExtensionReferences")) {
    role.extensions.emplace();
    for (const Element& reference : some_children(references, "ResourceExtensionReference", most_extensions))
      role.extensions->push_back(read_extension(reference));
  }
  role.availability_set = element.text("AvailabilitySetName");
  role.vm_image = element.text("VMImageName");
  for (const Element& disk :
       some_children(element.child("DataVirtualHardDisks"), "DataVirtualHardDisk", most_data_disks))
    role.data_disks.push_back(read_data_disk(disk));
  const Element os_disk = element.child("OSVirtualHardDisk");
  role.image = os_disk.text("SourceImageName");
  role.media_link = os_disk.text("MediaLink");
  role.disk_name = os_disk.text("DiskName");
  role.caching = os_disk.text("HostCaching");
  role.size = element.text("RoleSize");
  role.boot_diagnostics = element.child("DebugSettings").boolean("BootDiagnosticsEnabled");
  return role;
}

}  // namespace

HostedServiceOrder parse_create_hosted_service(std::string_view xml) {
  const XmlReader reader(xml);
  const Element root = reader.root("CreateHostedService");
  HostedServiceOrder order{.name = root.required("ServiceName"),
                           .label = label_of(root),
                           .description = root.text("Description"),
                           .location = root.text("Location"),
                           .affinity_group = root.text("AffinityGroup")};
  if (order.location.empty() == order.affinity_group.empty())
    throw bad_request("A cloud service needs either a Location or an AffinityGroup.");
  return order;
}

HostedServiceOrder parse_update_hosted_service(std::string_view xml) {
  const XmlReader reader(xml);
  const Element root = reader.root("UpdateHostedService");
  return {.name = {},
          .label = label_of(root),
          .description = root.text("Description"),
          .location = {},
          .affinity_group = {}};
}

StorageOrder parse_create_storage_service(std::string_view xml) {
  const XmlReader reader(xml);
  const Element root = reader.root("CreateStorageServiceInput");
  StorageOrder order{.name = root.required("ServiceName"),
                     .label = label_of(root),
                     .description = root.text("Description"),
                     .location = root.text("Location"),
                     .affinity_group = root.text("AffinityGroup"),
                     .type = root.text("AccountType")};
  if (order.location.empty() == order.affinity_group.empty())
    throw bad_request("A storage account needs either a Location or an AffinityGroup.");
  return order;
}

StorageOrder parse_update_storage_service(std::string_view xml) {
  const XmlReader reader(xml);
  const Element root = reader.root("UpdateStorageServiceInput");
  return {.name = {},
          .label = label_of(root),
          .description = root.text("Description"),
          .location = {},
          .affinity_group = {},
          .type = root.text("AccountType")};
}

std::string parse_regenerate_key(std::string_view xml) {
  const XmlReader reader(xml);
  const std::string type = reader.root("RegenerateKeys").required("KeyType");
  if (!same_name(type, "Primary") && !same_name(type, "Secondary"))
    throw bad_request(fmt::format("KeyType '{}' is neither Primary nor Secondary.", type.substr(0, 32)));
  return type;
}

CertificateFile parse_certificate_file(std::string_view xml) {
  const XmlReader reader(xml);
  const Element root = reader.root("CertificateFile");
  CertificateFile file{.data = root.base64("Data").value_or(""), .password = Secret(root.text("Password"))};
  if (file.data.empty()) throw bad_request("The request's CertificateFile has no Data.");
  return file;
}

std::string parse_subscription_certificate(std::string_view xml) {
  const XmlReader reader(xml);
  const Element root = reader.root("SubscriptionCertificate");
  std::string data = root.base64("SubscriptionCertificateData").value_or("");
  if (data.empty())
    throw bad_request("The request's SubscriptionCertificate has no SubscriptionCertificateData.");
  return data;
}

DataDiskOrder parse_data_disk(std::string_view xml) {
  const XmlReader reader(xml);
  return read_data_disk(reader.root("DataVirtualHardDisk"));
}

RoleOrder parse_role(std::string_view xml) {
  const XmlReader reader(xml);
  return read_role(reader.root("PersistentVMRole"));
}

DeploymentOrder parse_deployment(std::string_view xml) {
  const XmlReader reader(xml);
  const Element root = reader.root("Deployment");
  DeploymentOrder order{.name = root.required("Name"),
                        .label = root.text("Label"),  // plain here, base64 in answers
                        .roles = {},
                        .virtual_network = root.text("VirtualNetworkName"),
                        .reserved_address = root.text("ReservedIPName")};
  if (const std::string slot = root.text("DeploymentSlot"); !slot.empty() && slot != "Production")
    throw bad_request(fmt::format("The deployment slot '{}' is not there.", slot.substr(0, 32)),
                      "Virtual machines are deployed to Production.");
  for (const Element& role : some_children(root.child("RoleList"), "Role", most_roles))
    order.roles.push_back(read_role(role));
  if (order.roles.empty()) throw bad_request(fmt::format("The deployment '{}' has no role.", order.name));
  for (std::size_t i = 0; i < order.roles.size(); ++i)
    for (std::size_t k = 0; k < i; ++k)
      if (same_name(order.roles[i].name, order.roles[k].name))
        throw bad_request(fmt::format("There are two roles named '{}'.", order.roles[i].name));
  return order;
}

RoleOperation parse_role_operation(std::string_view xml) {
  const XmlReader reader(xml);
  const Element root = reader.root();
  RoleOperation out;
  out.type = std::string(root.name().substr(0, 64));
  out.post_shutdown = root.text("PostShutdownAction");
  out.post_capture = root.text("PostCaptureAction");
  out.os_state = root.text("OSState");
  if (out.type == "CaptureRoleOperation") {
    out.image_name = root.required("TargetImageName");
    out.image_label = root.text("TargetImageLabel");
  } else if (out.type == "CaptureRoleAsVMImageOperation") {
    out.image_name = root.required("VMImageName");
    out.image_label = root.text("VMImageLabel");
    if (out.os_state != "Generalized" && out.os_state != "Specialized")
      throw bad_request(
          fmt::format("OSState '{}' is neither Generalized nor Specialized.", out.os_state.substr(0, 32)));
  }
  if (!out.post_shutdown.empty() && out.post_shutdown != "Stopped" &&
      out.post_shutdown != "StoppedDeallocated")
    throw bad_request(fmt::format("PostShutdownAction '{}' is neither Stopped nor StoppedDeallocated.",
                                  out.post_shutdown.substr(0, 32)));
  return out;
}

std::vector<InputEndpoint> parse_load_balanced_set(std::string_view xml) {
  const XmlReader reader(xml);
  std::vector<InputEndpoint> out;
  for (const Element& endpoint :
       some_children(reader.root("LoadBalancedEndpointList"), "InputEndpoint", most_endpoints))
    out.push_back(read_endpoint(endpoint));
  return out;
}

}  // namespace berth::classic
