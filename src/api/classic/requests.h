#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "model/resources.h"

/// The documents that clients of the classic API send. Each parse function throws Error(invalid,
/// "BadRequest") naming the element that is missing or wrong; elements that are not known are skipped, one
/// that is there twice is refused. Text is as it was sent, and "" when the element is missing or nil; names
/// compare without case, words of the protocol exactly. Numbers are checked for the ranges given here.
/// Source: Service Management REST, version 2014-06-01 and later, and what the classic clients send of it:
/// docs/wire/classic.md, "Requests"; examples in tests/fuzz/seeds/classic_request. How XML is read and how
/// large it may be: xml_reader.h.
namespace berth::classic {

inline constexpr std::size_t most_custom_data = 256 * 1024;  ///< bytes, decoded
inline constexpr std::size_t most_roles = 50;                ///< of a deployment
inline constexpr std::size_t most_endpoints = 150;           ///< of a role: the service's own limit
inline constexpr std::size_t most_data_disks = 64;           ///< of a role
inline constexpr std::size_t most_extensions = 64;           ///< of a role

struct HostedServiceOrder {
  std::string name;
  std::string label;  ///< decoded from base64, or as it is where it is none
  std::string description;
  std::string location;  ///< either this or an affinity group
  std::string affinity_group;
};
/// <CreateHostedService>
HostedServiceOrder parse_create_hosted_service(std::string_view xml);
/// <UpdateHostedService>: label, description; the rest empty.
HostedServiceOrder parse_update_hosted_service(std::string_view xml);

struct StorageOrder {
  std::string name, label, description, location, affinity_group;
  std::string type;  ///< "Standard_LRS"; "" if not said
};
/// <CreateStorageServiceInput>
StorageOrder parse_create_storage_service(std::string_view xml);
/// <UpdateStorageServiceInput>: label, description, type; the rest empty.
StorageOrder parse_update_storage_service(std::string_view xml);
/// <RegenerateKeys>: "Primary" or "Secondary", in any case.
std::string parse_regenerate_key(std::string_view xml);

/// A certificate for a cloud service. Its CertificateFormat ("pfx", "cer") is not to be believed, and not
/// read.
struct CertificateFile {
  std::string data;  ///< decoded: the file's bytes, whatever they are
  Secret password;   ///< of a PFX
};
/// <CertificateFile>
CertificateFile parse_certificate_file(std::string_view xml);

/// <SubscriptionCertificate>: the bytes of a management certificate, decoded; DER or what else the client
/// has.
std::string parse_subscription_certificate(std::string_view xml);

/// One line of an endpoint's access list; the lowest order counts first.
struct AclRule {
  int order = 0;  ///< 0 to 65535
  bool permit = true;
  std::string subnet;  ///< "10.0.0.0/8"; not checked here
  std::string description;
};

struct EndpointProbe {
  std::string path, protocol;
  int port = 0;              ///< these are 0 when not said
  int interval_seconds = 0;  ///< 5 and more
  int timeout_seconds = 0;   ///< 11 and more
};

struct InputEndpoint {
  Endpoint endpoint;  ///< but for its sources, which follow from the rules
  std::vector<AclRule> rules;
  std::optional<EndpointProbe> probe;
  std::string load_balancer;  ///< an internal one
  std::string distribution;   ///< "sourceIP", …
  std::string load_balanced_set;
  bool direct_server_return = false;
  int idle_timeout_minutes = 0;  ///< 4 to 30; 0: not said
};

struct ExtensionReference {
  std::string reference;  ///< its name on the role; its handler's when not said
  std::string publisher, name, version;
  std::string state;                    ///< "enable", "Disable", "Uninstall", as written; "" is enable
  std::string public_key;               ///< name of the parameter that `settings` came in
  std::optional<std::string> settings;  ///< decoded: JSON text, not checked here; nullopt: not sent
  std::optional<Secret> protected_settings;
};

struct DataDiskOrder {
  std::optional<int> lun;  ///< 0 to 63; nullopt: the first free one
  std::string caching;     ///< "None", "ReadOnly", "ReadWrite"
  std::string label;
  std::string name;            ///< a disk that is there; "": a new one
  std::uint64_t size_gib = 0;  ///< 1 to 1023; 0: not said
  std::string media_link,
      source_media_link;  ///< addresses of blobs: where it would be, what it would be made of
};
/// <DataVirtualHardDisk>
DataDiskOrder parse_data_disk(std::string_view xml);

struct PublicKey {
  std::string fingerprint;  ///< of a certificate of the service
  std::string path;         ///< the file in the guest
};

struct ProvisioningOrder {
  std::string host_name, user;
  Secret password;
  std::optional<bool> disable_password_login;
  std::vector<PublicKey> keys;
  std::string custom_data;  ///< decoded
};

struct RoleOrder {
  std::string name;
  std::optional<ProvisioningOrder> provisioning;
  bool windows = false;  ///< has a Windows provisioning set
  bool has_network = false;
  std::vector<InputEndpoint> endpoints;  ///< of all network sets
  std::vector<std::string> subnets;
  std::string static_address;
  std::size_t public_addresses = 0;  ///< of its own, beside the service's
  std::size_t more_interfaces = 0;   ///< beside the first
  /// nullopt: not sent, which leaves extensions as they are.
  std::optional<std::vector<ExtensionReference>> extensions;
  std::string availability_set;
  std::string image;     ///< SourceImageName
  std::string vm_image;  ///< VMImageName
  std::string media_link;
  std::string disk_name;  ///< an OS disk that is there
  std::string caching;    ///< of the OS disk
  std::vector<DataDiskOrder> data_disks;
  std::string size;  ///< "Small", "Standard_A1"
  std::optional<bool> boot_diagnostics;
};
RoleOrder parse_role(std::string_view xml);  ///< <PersistentVMRole>

struct DeploymentOrder {
  std::string name, label;
  std::vector<RoleOrder> roles;
  std::string virtual_network, reserved_address;
};
/// <Deployment>, with one role at least and no two of one name; of the slot Production.
DeploymentOrder parse_deployment(std::string_view xml);

/// What is to be done with one role instance: the document's name says it.
struct RoleOperation {
  std::string type;           ///< "StartRoleOperation", …
  std::string post_shutdown;  ///< "Stopped", "StoppedDeallocated"; "" is Stopped
  std::string post_capture;   ///< "Delete", "Reprovision"
  std::string image_name, image_label;
  std::string os_state;  ///< of a VM image: "Generalized", "Specialized"
};
RoleOperation parse_role_operation(std::string_view xml);

/// <LoadBalancedEndpointList>: new looks of load-balanced sets, most_endpoints of them; each names its set.
std::vector<InputEndpoint> parse_load_balanced_set(std::string_view xml);

}  // namespace berth::classic
