#include "api/classic/documents.h"

#include "api/classic/xml_writer.h"
#include "model/catalog.h"

namespace berth::classic {
namespace {

void write_endpoint(XmlWriter& xml, const EndpointView& endpoint) {
  xml.open("InputEndpoint");
  xml.leaf_if("LoadBalancedEndpointSetName", endpoint.load_balanced_set);
  xml.leaf("LocalPort", static_cast<int>(endpoint.local_port));
  xml.leaf("Name", endpoint.name);
  xml.leaf("Port", static_cast<int>(endpoint.port));
  if (const auto& probe = endpoint.probe) {
    xml.open("LoadBalancerProbe").leaf_if("Path", probe->path);
    if (probe->port) xml.leaf("Port", probe->port);
    xml.leaf_if("Protocol", probe->protocol);
    if (probe->interval_seconds) xml.leaf("IntervalInSeconds", probe->interval_seconds);
    if (probe->timeout_seconds) xml.leaf("TimeoutInSeconds", probe->timeout_seconds);
    xml.close();
  }
  xml.leaf("Protocol", endpoint.protocol);
  xml.leaf_if("Vip", endpoint.address);
  xml.leaf("EnableDirectServerReturn", endpoint.direct_server_return);
  if (!endpoint.rules.empty()) {
    xml.open("EndpointAcl").open("Rules");
    for (const AclRule& rule : endpoint.rules) {
      xml.open("Rule").leaf("Order", rule.order).leaf("Action", rule.permit ? "permit" : "deny");
      xml.leaf("RemoteSubnet", rule.subnet).leaf("Description", rule.description).close();
    }
    xml.close().close();
  }
  if (endpoint.idle_timeout_minutes) xml.leaf("IdleTimeoutInMinutes", endpoint.idle_timeout_minutes);
  xml.leaf_if("LoadBalancerDistribution", endpoint.distribution);
  xml.close();
}

void write_network(XmlWriter& xml, const RoleView& role) {
  xml.open("ConfigurationSets").open_typed("ConfigurationSet", "NetworkConfigurationSet");
  xml.leaf("ConfigurationSetType", "NetworkConfiguration");
  if (!role.endpoints.empty()) {
    xml.open("InputEndpoints");
    for (const EndpointView& endpoint : role.endpoints) write_endpoint(xml, endpoint);
    xml.close();
  }
  xml.open("SubnetNames");
  for (const std::string& subnet : role.subnets) xml.leaf("SubnetName", subnet);
  xml.close().leaf_if("StaticVirtualNetworkIPAddress", role.static_address).close().close();
}

void write_extensions(XmlWriter& xml, const RoleView& role) {
  xml.open("ResourceExtensionReferences");
  for (const ExtensionView& extension : role.extensions) {
    xml.open("ResourceExtensionReference");
    xml.leaf("ReferenceName", extension.reference).leaf("Publisher", extension.publisher);
    xml.leaf("Name", extension.name).leaf("Version", extension.version);
    xml.open("ResourceExtensionParameterValues");
    if (!extension.settings.empty())
      xml.open("ResourceExtensionParameterValue")
          .leaf("Key", extension.key)
          .base64("Value", extension.settings)
          .leaf("Type", "Public")
          .close();
    xml.close().leaf("State", extension.state).close();
  }
  xml.close();
}

void write_data_disk_body(XmlWriter& xml, const DataDiskView& disk) {
  xml.leaf_if("HostCaching", disk.caching).leaf_if("DiskLabel", disk.label).leaf("DiskName", disk.name);
  xml.leaf("Lun", disk.lun).leaf("LogicalDiskSizeInGB", disk.size_gib).leaf("MediaLink", disk.media_link);
  xml.leaf("IOType", "Standard");
}

void write_role_body(XmlWriter& xml, const RoleView& role) {
  xml.leaf("RoleName", role.name).leaf("OsVersion", "").leaf("RoleType", "PersistentVMRole");
  write_network(xml, role);
  write_extensions(xml, role);
  xml.leaf_if("AvailabilitySetName", role.availability_set);
  xml.open("DataVirtualHardDisks");
  for (const DataDiskView& disk : role.data_disks) {
    xml.open("DataVirtualHardDisk");
    write_data_disk_body(xml, disk);
    xml.close();
  }
  xml.close().open("OSVirtualHardDisk");
  xml.leaf("HostCaching", role.os_disk_caching).leaf("DiskName", role.os_disk);
  xml.leaf("MediaLink", role.os_disk_media_link).leaf("SourceImageName", role.image).leaf("OS", role.os);
  xml.leaf("IOType", "Standard").close();
  xml.leaf("RoleSize", role.size).leaf("ProvisionGuestAgent", true);
  xml.open("DebugSettings").leaf("BootDiagnosticsEnabled", role.boot_diagnostics).close();
}

void write_message(XmlWriter& xml, const std::string& message) {
  xml.open("FormattedMessage").leaf("Language", "en-US").leaf("Message", message).close();
}

/// The classic words for what a status file says.
std::string setting_status(const std::string& status) {
  if (status == "success") return "Success";
  if (status == "error") return "Error";
  if (status == "warning") return "Warning";
  return "Transitioning";
}

void write_handler(XmlWriter& xml, const HandlerStatus& handler) {
  xml.open("ResourceExtensionStatus").leaf("HandlerName", handler.handler).leaf("Version", handler.version);
  xml.leaf("Status", handler.status).leaf("Code", handler.code);
  write_message(xml, handler.message);
  if (handler.settings) {
    xml.open("ExtensionSettingStatus").leaf("Timestamp", handler.time);
    xml.leaf("Name", handler.settings->name).leaf("Operation", handler.operation);
    xml.leaf("Status", setting_status(handler.settings->status)).leaf("Code", handler.settings->code);
    write_message(xml, handler.settings->message);
    xml.open("SubStatusList");
    for (const StatusItem& item : handler.substatus) {
      xml.open("SubStatus").leaf("Name", item.name).leaf("Status", setting_status(item.status));
      write_message(xml, item.message);
      xml.close();
    }
    xml.close().close();
  }
  xml.close();
}

void write_instance(XmlWriter& xml, const RoleView& role) {
  xml.open("RoleInstance").leaf("RoleName", role.name).leaf("InstanceName", role.name);
  xml.leaf("InstanceStatus", role.instance_status);
  xml.leaf("InstanceUpgradeDomain", 0).leaf("InstanceFaultDomain", 0);
  xml.leaf("InstanceSize", role.size).leaf("InstanceStateDetails", role.state_details);
  xml.leaf_if("IpAddress", role.private_address);
  xml.open("InstanceEndpoints");
  for (const EndpointView& endpoint : role.endpoints) {
    xml.open("InstanceEndpoint").leaf("Name", endpoint.name).leaf("Vip", endpoint.address);
    xml.leaf("PublicPort", static_cast<int>(endpoint.host_port ? endpoint.host_port : endpoint.port));
    xml.leaf("LocalPort", static_cast<int>(endpoint.local_port)).leaf("Protocol", endpoint.protocol).close();
  }
  xml.close().leaf("PowerState", role.power).leaf("HostName", role.host_name);
  if (role.agent) {
    xml.open("GuestAgentStatus").leaf("ProtocolVersion", "1.0");
    xml.leaf("Timestamp", role.agent->time.empty() ? role.agent->received : role.agent->time);
    xml.leaf("GuestAgentVersion", role.agent->version).leaf("Status", role.agent->status);
    write_message(xml, role.agent->message);
    xml.close().open("ResourceExtensionStatusList");
    for (const HandlerStatus& handler : role.agent->handlers) write_handler(xml, handler);
    xml.close();
  }
  xml.close();
}

void write_deployment_body(XmlWriter& xml, const DeploymentView& deployment) {
  xml.leaf("Name", deployment.name).leaf("DeploymentSlot", "Production");
  xml.leaf("PrivateID", deployment.private_id).leaf("Status", deployment.status);
  xml.base64("Label", deployment.label).leaf("Url", deployment.url);
  xml.base64("Configuration", "<ServiceConfiguration/>");
  xml.open("RoleInstanceList");
  for (const RoleView& role : deployment.roles) write_instance(xml, role);
  xml.close().leaf("UpgradeDomainCount", 1).open("RoleList");
  for (const RoleView& role : deployment.roles) {
    xml.open_typed("Role", "PersistentVMRole");
    write_role_body(xml, role);
    xml.close();
  }
  xml.close().leaf("SdkVersion", "").leaf("Locked", false).leaf("RollbackAllowed", false);
  xml.leaf_if("VirtualNetworkName", deployment.virtual_network);
  xml.leaf("CreatedTime", deployment.created).leaf("LastModifiedTime", deployment.changed);
  xml.leaf("ExtendedProperties", "").open("VirtualIPs");
  if (!deployment.address.empty())
    xml.open("VirtualIP")
        .leaf("Address", deployment.address)
        .leaf("IsDnsProgrammed", true)
        .leaf("Name", deployment.name + "ContractContract")
        .close();
  xml.close();
}

void write_service_body(XmlWriter& xml, const HostedServiceView& service) {
  xml.leaf("Url", service.url).leaf("ServiceName", service.name).open("HostedServiceProperties");
  xml.leaf("Description", service.description);
  if (service.affinity_group.empty())
    xml.leaf("Location", service.location);
  else
    xml.leaf("AffinityGroup", service.affinity_group);
  xml.base64("Label", service.label).leaf("Status", service.status);
  xml.leaf("DateCreated", service.created).leaf("DateLastModified", service.changed);
  xml.leaf("ExtendedProperties", "").close();
}

void write_certificate_body(XmlWriter& xml, const CertificateView& certificate) {
  xml.leaf("CertificateUrl", certificate.url).leaf("Thumbprint", certificate.thumbprint);
  xml.leaf("ThumbprintAlgorithm", "sha1").base64("Data", certificate.der);
}

void write_management_certificate_body(XmlWriter& xml, const ManagementCertificateView& certificate) {
  xml.base64("SubscriptionCertificatePublicKey", certificate.public_key);
  xml.leaf("SubscriptionCertificateThumbprint", certificate.thumbprint);
  xml.base64("SubscriptionCertificateData", certificate.der).leaf("Created", certificate.created);
}

void write_image_body(XmlWriter& xml, const ImageView& image) {
  xml.leaf("Category", image.category).leaf("Label", image.label).leaf("Location", image.locations);
  xml.leaf("LogicalSizeInGB", image.size_gib).leaf_if("MediaLink", image.media_link);
  xml.leaf("Name", image.name).leaf("OS", image.os).leaf_if("Description", image.description);
  xml.leaf_if("ImageFamily", image.family).leaf("ShowInGui", true);
  xml.leaf_if("PublishedDate", image.published).leaf("IsPremium", false);
  xml.leaf("RecommendedVMSize", "Small").leaf_if("PublisherName", image.publisher);
  xml.leaf("IOType", "Standard");
}

void write_vm_image(XmlWriter& xml, const VmImageView& image) {
  xml.open("VMImage").leaf("Name", image.name).leaf("Label", image.label).leaf("Category", "User");
  xml.open("OSDiskConfiguration").leaf("Name", image.name + "-os-0").leaf("HostCaching", "ReadWrite");
  xml.leaf("OSState", image.os_state).leaf("OS", image.os).leaf("MediaLink", image.media_link);
  xml.leaf("LogicalDiskSizeInGB", image.size_gib).leaf("IOType", "Standard").close();
  xml.leaf("DataDiskConfigurations", "").leaf_if("ServiceName", image.service);
  xml.leaf_if("DeploymentName", image.deployment).leaf_if("RoleName", image.role);
  xml.leaf("Location", image.location).leaf("CreatedTime", image.created);
  xml.leaf("ModifiedTime", image.created).close();
}

void write_disk_body(XmlWriter& xml, const DiskView& disk) {
  if (!disk.role.empty())
    xml.open("AttachedTo")
        .leaf("HostedServiceName", disk.service)
        .leaf("DeploymentName", disk.deployment)
        .leaf("RoleName", disk.role)
        .close();
  xml.leaf_if("OS", disk.os).leaf("Location", disk.location).leaf("LogicalDiskSizeInGB", disk.size_gib);
  xml.leaf("MediaLink", disk.media_link).leaf("Name", disk.name).leaf_if("SourceImageName", disk.image);
  xml.leaf_if("Label", disk.label).leaf("IsCorrupted", false).leaf("IsPremium", false);
  xml.leaf("IOType", "Standard");
}

void write_storage_body(XmlWriter& xml, const StorageView& account) {
  xml.leaf("Url", account.url).leaf("ServiceName", account.name).open("StorageServiceProperties");
  xml.leaf("Description", account.description).leaf("Location", account.location);
  xml.base64("Label", account.label).leaf("Status", "Created").open("Endpoints");
  for (const std::string& endpoint : account.endpoints) xml.leaf("Endpoint", endpoint);
  xml.close().leaf("GeoPrimaryRegion", account.location).leaf("StatusOfPrimary", "Available");
  xml.leaf("CreationTime", account.created).leaf("AccountType", account.type).close();
}

void write_sites(XmlWriter& xml, const VirtualNetworkView& network) {
  xml.open("AddressSpace").open("AddressPrefixes");
  for (const std::string& prefix : network.prefixes) xml.leaf("AddressPrefix", prefix);
  xml.close().close().open("Subnets");
  for (const auto& [name, prefix] : network.subnets)
    xml.open("Subnet").leaf("Name", name).leaf("AddressPrefix", prefix).close();
  xml.close();
}

std::string list(std::string_view root, std::string_view item, const auto& all, auto&& write) {
  XmlWriter xml(root);
  for (const auto& one : all) {
    xml.open(item);
    write(xml, one);
    xml.close();
  }
  return xml.take();
}

std::string single(std::string_view root, const auto& one, auto&& write) {
  XmlWriter xml(root);
  write(xml, one);
  return xml.take();
}

}  // namespace

InputEndpoint order_of(const EndpointView& endpoint) {
  InputEndpoint out;
  out.endpoint = {.name = endpoint.name,
                  .protocol = endpoint.protocol,
                  .public_port = endpoint.port,
                  .private_port = endpoint.local_port,
                  .sources = {}};
  out.rules = endpoint.rules;
  out.probe = endpoint.probe;
  out.distribution = endpoint.distribution;
  out.load_balanced_set = endpoint.load_balanced_set;
  out.direct_server_return = endpoint.direct_server_return;
  out.idle_timeout_minutes = endpoint.idle_timeout_minutes;
  return out;
}

std::string error_xml(std::string_view code, std::string_view message) {
  // Clients print the code when there is no message, and a stack trace when it is empty.
  return XmlWriter("Error").leaf("Code", code).leaf("Message", message.empty() ? code : message).take();
}

std::string operation_xml(const Operation& operation) {
  XmlWriter xml("Operation");
  xml.leaf("ID", operation.id);
  if (operation.status == OperationStatus::running) return xml.leaf("Status", "InProgress").take();
  if (operation.status == OperationStatus::succeeded)
    return xml.leaf("Status", "Succeeded").leaf("HttpStatusCode", 200).take();
  const Problem problem = operation.problem.value_or(Problem{
      .code = "OperationCanceled", .message = "The operation was cancelled.", .advice = {}, .details = {}});
  const std::string message =
      problem.advice.empty() ? problem.message : problem.message + " " + problem.advice;
  const std::string code = problem.code.empty() ? "InternalError" : problem.code;
  xml.leaf("Status", "Failed").leaf("HttpStatusCode", code == "InternalError" ? 500 : 409);
  xml.open("Error").leaf("Code", code).leaf("Message", message.empty() ? code : message).close();
  return xml.take();
}

std::string subscription_xml(const std::string& id, const std::string& name, std::size_t services,
                             std::size_t storage_accounts) {
  XmlWriter xml("Subscription");
  xml.leaf("SubscriptionID", id).leaf("SubscriptionName", name).leaf("SubscriptionStatus", "Active");
  xml.leaf("MaxCoreCount", 10'000).leaf("MaxStorageAccounts", 10'000).leaf("MaxHostedServices", 10'000);
  xml.leaf("CurrentHostedServices", std::uint64_t{services});
  return xml.leaf("CurrentStorageAccounts", std::uint64_t{storage_accounts}).take();
}

std::string locations_xml() {
  XmlWriter xml("Locations");
  for (const Location& location : locations()) {
    xml.open("Location").leaf("Name", location.display_name).leaf("DisplayName", location.display_name);
    xml.open("AvailableServices");
    for (const char* service : {"Compute", "Storage", "PersistentVMRole", "HighMemory"})
      xml.leaf("AvailableService", service);
    xml.close().open("ComputeCapabilities").leaf("WebWorkerRoleSizes", "").open("VirtualMachinesRoleSizes");
    for (const VmSize& size : vm_sizes())
      xml.leaf("RoleSize", size.classic_name.empty() ? size.name : size.classic_name);
    xml.close().close().open("StorageCapabilities").open("StorageAccountTypes");
    xml.leaf("StorageAccountType", "Standard_LRS").close().close().close();
  }
  return xml.take();
}

std::string affinity_groups_xml() {
  return empty_list_xml("AffinityGroups");
}

std::string hosted_services_xml(const std::vector<HostedServiceView>& services) {
  return list("HostedServices", "HostedService", services, write_service_body);
}

std::string hosted_service_xml(const HostedServiceView& service, bool detail) {
  XmlWriter xml("HostedService");
  write_service_body(xml, service);
  if (!detail) return xml.take();
  xml.open("Deployments");
  for (const DeploymentView& deployment : service.deployments) {
    xml.open("Deployment");
    write_deployment_body(xml, deployment);
    xml.close();
  }
  return xml.take();
}

std::string deployment_xml(const DeploymentView& deployment) {
  return single("Deployment", deployment, write_deployment_body);
}

std::string role_xml(const RoleView& role) {
  return single("PersistentVMRole", role, write_role_body);
}

std::string data_disk_xml(const DataDiskView& disk) {
  return single("DataVirtualHardDisk", disk, write_data_disk_body);
}

std::string certificates_xml(const std::vector<CertificateView>& certificates) {
  return list("Certificates", "Certificate", certificates, write_certificate_body);
}

std::string certificate_xml(const CertificateView& certificate) {
  return XmlWriter("Certificate").base64("Data", certificate.der).take();
}

std::string management_certificates_xml(const std::vector<ManagementCertificateView>& certificates) {
  return list("SubscriptionCertificates", "SubscriptionCertificate", certificates,
              write_management_certificate_body);
}

std::string management_certificate_xml(const ManagementCertificateView& certificate) {
  return single("SubscriptionCertificate", certificate, write_management_certificate_body);
}

std::string images_xml(const std::vector<ImageView>& images) {
  return list("Images", "OSImage", images, write_image_body);
}

std::string image_xml(const ImageView& image) {
  return single("OSImage", image, write_image_body);
}

std::string vm_images_xml(const std::vector<VmImageView>& images) {
  XmlWriter xml("VMImages");
  for (const VmImageView& image : images) write_vm_image(xml, image);
  return xml.take();
}

std::string disks_xml(const std::vector<DiskView>& disks) {
  return list("Disks", "Disk", disks, write_disk_body);
}

std::string disk_xml(const DiskView& disk) {
  return single("Disk", disk, write_disk_body);
}

std::string storage_services_xml(const std::vector<StorageView>& accounts) {
  return list("StorageServices", "StorageService", accounts, write_storage_body);
}

std::string storage_service_xml(const StorageView& account) {
  return single("StorageService", account, write_storage_body);
}

std::string storage_keys_xml(const std::string& url, const std::string& primary,
                             const std::string& secondary) {
  XmlWriter xml("StorageService");
  xml.leaf("Url", url).open("StorageServiceKeys").leaf("Primary", primary).leaf("Secondary", secondary);
  return xml.take();
}

std::string availability_xml(const std::string& reason) {
  XmlWriter xml("AvailabilityResponse");
  xml.leaf("Result", reason.empty());
  if (reason.empty())
    xml.raw("<Reason i:nil=\"true\"/>");
  else
    xml.leaf("Reason", reason);
  return xml.take();
}

std::string resource_extensions_xml(const std::vector<ExtensionImageView>& extensions) {
  return list("ResourceExtensions", "ResourceExtension", extensions,
              [](XmlWriter& xml, const ExtensionImageView& extension) {
                xml.leaf("Publisher", extension.publisher).leaf("Name", extension.name);
                xml.leaf("Version", extension.version).leaf("Label", extension.label);
                xml.leaf("Description", extension.description);
                xml.leaf("ReplicationCompleted", true).leaf("IsJsonExtension", true);
                xml.leaf("IsInternalExtension", false).leaf("DisallowMajorVersionUpgrade", true);
                xml.leaf("SupportedOS", "Linux").leaf("CompanyName", extension.publisher);
                xml.leaf_if("PublishedDate", extension.published);
              });
}

std::string virtual_networks_xml(const std::vector<VirtualNetworkView>& networks) {
  return list("VirtualNetworkSites", "VirtualNetworkSite", networks,
              [](XmlWriter& xml, const VirtualNetworkView& network) {
                xml.leaf("Name", network.name).leaf("Id", network.id).leaf("Location", network.location);
                xml.leaf("State", "Created").leaf("InUse", true);
                write_sites(xml, network);
              });
}

std::string network_configuration_xml(const std::vector<VirtualNetworkView>& networks) {
  std::string xml =
      "<?xml version=\"1.0\" encoding=\"utf-8\"?><NetworkConfiguration "
      "xmlns=\"http://schemas.microsoft.com/ServiceHosting/2011/07/NetworkConfiguration\">"
      "<VirtualNetworkConfiguration><Dns/><VirtualNetworkSites>";
  for (const VirtualNetworkView& network : networks) {
    xml += "<VirtualNetworkSite name=\"" + network.name + "\" Location=\"" + network.location +
           "\"><AddressSpace>";
    for (const std::string& prefix : network.prefixes) xml += "<AddressPrefix>" + prefix + "</AddressPrefix>";
    xml += "</AddressSpace><Subnets>";
    for (const auto& [name, prefix] : network.subnets)
      xml += "<Subnet name=\"" + name + "\"><AddressPrefix>" + prefix + "</AddressPrefix></Subnet>";
    xml += "</Subnets></VirtualNetworkSite>";
  }
  return xml + "</VirtualNetworkSites></VirtualNetworkConfiguration></NetworkConfiguration>";
}

std::string empty_list_xml(std::string_view root) {
  return XmlWriter(root).take();
}

std::string role_sizes_xml() {
  XmlWriter xml("RoleSizes");
  for (const VmSize& size : vm_sizes()) {
    const std::string_view name = size.classic_name.empty() ? size.name : size.classic_name;
    xml.open("RoleSize").leaf("Name", name).leaf("Label", name);
    xml.leaf("Cores", std::uint64_t{size.cpus}).leaf("MemoryInMb", std::uint64_t{size.memory_mib});
    xml.leaf("SupportedByWebWorkerRoles", false).leaf("SupportedByVirtualMachines", true);
    xml.leaf("MaxDataDiskCount", std::uint64_t{size.max_data_disks}).close();
  }
  return xml.take();
}

}  // namespace berth::classic
