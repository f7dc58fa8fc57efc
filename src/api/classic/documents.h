#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/classic/requests.h"
#include "model/resources.h"

/// The documents that the classic API answers with, rendered from plain values. Source: docs/wire/classic.md.
/// Times are UTC, ISO 8601; labels are given plain and stand in base64.
namespace berth::classic {

struct EndpointView {
  std::string name, protocol;
  std::uint16_t port = 0;       ///< public, as it was asked for
  std::uint16_t host_port = 0;  ///< where it is open; 0: it is not
  std::uint16_t local_port = 0;
  std::string address;
  std::string load_balanced_set, distribution;
  bool direct_server_return = false;
  int idle_timeout_minutes = 0;
  std::vector<AclRule> rules;
  std::optional<EndpointProbe> probe;
};
/// What a client would send to have it so.
InputEndpoint order_of(const EndpointView& endpoint);

struct ExtensionView {
  std::string reference, publisher, name, version, state;
  std::string key;       ///< of the public settings
  std::string settings;  ///< JSON text; "" for none. Private ones are never given out.
};

struct DataDiskView {
  int lun = 0;
  std::string name, label, caching, media_link;
  std::uint64_t size_gib = 0;
};

/// A virtual machine as a role and its one instance.
struct RoleView {
  std::string name;
  std::string size;
  std::string host_name;
  std::string instance_status;  ///< "ReadyRole", "StoppedDeallocated", …
  std::string power;            ///< "Started", "Stopped", "Starting", "Stopping", "Unknown"
  std::string state_details;    ///< why, when it failed
  std::string private_address;  ///< "" when it has none now
  std::string static_address;   ///< the one it keeps; "" when none was asked for
  std::vector<EndpointView> endpoints;
  std::vector<std::string> subnets;
  std::vector<ExtensionView> extensions;
  std::string availability_set;
  std::string os_disk, os_disk_caching, os_disk_media_link, image, os;
  std::vector<DataDiskView> data_disks;
  bool boot_diagnostics = false;
  std::optional<AgentStatus> agent;
};

struct DeploymentView {
  std::string name, label, private_id;
  std::string status;  ///< "Running", "Deploying", "Suspended", "Deleting"
  std::string url;     ///< "http://web1.cloudapp.net/"
  std::string address;
  std::string virtual_network;
  std::string created, changed;
  std::vector<RoleView> roles;
};

struct HostedServiceView {
  std::string url, name, description, location, affinity_group, label, status, created, changed;
  std::vector<DeploymentView> deployments;
};

struct CertificateView {
  std::string url, thumbprint, der;
};

struct ManagementCertificateView {
  std::string thumbprint, der, public_key, created;
};

struct ImageView {
  std::string name, label, category, os, publisher, family, description;
  std::string locations;  ///< "West US;East US"
  std::string published, media_link;
  std::uint64_t size_gib = 0;
};

struct VmImageView {
  std::string name, label, os_state, os, service, deployment, role, location, created, media_link;
  std::uint64_t size_gib = 0;
};

struct DiskView {
  std::string name, label, os, location, media_link, image;
  std::string service, deployment, role;  ///< who uses it; "" for nobody
  std::uint64_t size_gib = 0;
};

struct StorageView {
  std::string url, name, description, location, label, type, created;
  std::vector<std::string> endpoints;  ///< blob, queue, table
};

struct ExtensionImageView {
  std::string publisher, name, version, label, description, published;
};

struct VirtualNetworkView {
  std::string name, id, location;
  std::vector<std::string> prefixes;
  std::vector<std::pair<std::string, std::string>> subnets;  ///< name, prefix
};

std::string error_xml(std::string_view code, std::string_view message);
std::string operation_xml(const Operation& operation);
std::string subscription_xml(const std::string& id, const std::string& name, std::size_t services,
                             std::size_t storage_accounts);
std::string locations_xml();
std::string affinity_groups_xml();
std::string hosted_services_xml(const std::vector<HostedServiceView>& services);
/// With `detail`, deployments stand in it.
std::string hosted_service_xml(const HostedServiceView& service, bool detail);
std::string deployment_xml(const DeploymentView& deployment);
std::string role_xml(const RoleView& role);
std::string data_disk_xml(const DataDiskView& disk);
std::string certificates_xml(const std::vector<CertificateView>& certificates);
std::string certificate_xml(const CertificateView& certificate);
std::string management_certificates_xml(const std::vector<ManagementCertificateView>& certificates);
std::string management_certificate_xml(const ManagementCertificateView& certificate);
std::string images_xml(const std::vector<ImageView>& images);
std::string image_xml(const ImageView& image);
std::string vm_images_xml(const std::vector<VmImageView>& images);
std::string disks_xml(const std::vector<DiskView>& disks);
std::string disk_xml(const DiskView& disk);
std::string storage_services_xml(const std::vector<StorageView>& accounts);
std::string storage_service_xml(const StorageView& account);
std::string storage_keys_xml(const std::string& url, const std::string& primary,
                             const std::string& secondary);
/// `reason` empty: it is available.
std::string availability_xml(const std::string& reason);
std::string resource_extensions_xml(const std::vector<ExtensionImageView>& extensions);
std::string virtual_networks_xml(const std::vector<VirtualNetworkView>& networks);
/// The network configuration file of a subscription (GET services/networking/media).
std::string network_configuration_xml(const std::vector<VirtualNetworkView>& networks);
std::string empty_list_xml(std::string_view root);
std::string role_sizes_xml();

}  // namespace berth::classic
