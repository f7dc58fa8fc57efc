#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "model/resources.h"

/// The documents that clients of the classic API send. Each parse function throws Error(invalid,
/// "BadRequest") naming the element that is missing or wrong. Source: docs/wire/classic.md.
namespace berth::classic {

struct HostedServiceOrder {
  std::string name;
  std::string label;  ///< decoded
  std::string description;
  std::string location;
  std::string affinity_group;
};
HostedServiceOrder parse_create_hosted_service(std::string_view xml);
/// label, description; the rest empty.
HostedServiceOrder parse_update_hosted_service(std::string_view xml);

struct StorageOrder {
  std::string name, label, description, location, affinity_group;
  std::string type;  ///< "Standard_LRS"; "" if not said
};
StorageOrder parse_create_storage_service(std::string_view xml);
StorageOrder parse_update_storage_service(std::string_view xml);
/// "Primary" or "Secondary".
std::string parse_regenerate_key(std::string_view xml);

/// A certificate for a cloud service: the file's bytes, whatever they are, and the password of a PFX.
struct CertificateFile {
  std::string data;
  std::string format;  ///< "pfx", "cer"; not to be believed
  Secret password;
};
CertificateFile parse_certificate_file(std::string_view xml);

/// A management certificate: DER or what else the client has.
std::string parse_subscription_certificate(std::string_view xml);

struct InputEndpoint {
  Endpoint endpoint;
  std::string load_balanced_set;
  bool direct_server_return = false;
  int idle_timeout_minutes = 0;  ///< 0: not said
};

struct ExtensionReference {
  std::string reference;  ///< its name on the role
  std::string publisher, name, version;
  std::string state;  ///< "enable", "Disable", "Uninstall", as written; "" is enable
  std::string public_key, private_key;
  std::optional<std::string> settings;  ///< JSON text; nullopt: not sent
  std::optional<Secret> protected_settings;
};

struct DataDiskOrder {
  std::optional<int> lun;
  std::string caching;
  std::string label, name;  ///< `name`: a disk that is there
  std::uint64_t size_gib = 0;
  std::string media_link, source_media_link;
};
DataDiskOrder parse_data_disk(std::string_view xml);

struct PublicKey {
  std::string fingerprint, path;
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
  std::string type;
  std::optional<ProvisioningOrder> provisioning;
  bool windows = false;  ///< has a Windows provisioning set
  bool has_network = false;
  std::vector<InputEndpoint> endpoints;  ///< of all network sets
  std::vector<std::string> subnets;
  std::string static_address;
  std::size_t public_addresses = 0;  ///< of its own, beside the service's
  /// nullopt: not sent, which leaves extensions as they are.
  std::optional<std::vector<ExtensionReference>> extensions;
  std::string availability_set;
  std::string image;     ///< SourceImageName
  std::string vm_image;  ///< VMImageName
  std::string media_link;
  std::string disk_name;  ///< an OS disk that is there
  std::string os;
  std::string caching;
  std::vector<DataDiskOrder> data_disks;
  bool has_data_disks = false;
  std::string size;
  std::optional<bool> boot_diagnostics;
};
RoleOrder parse_role(std::string_view xml);  ///< <PersistentVMRole>

struct DeploymentOrder {
  std::string name, slot, label;
  std::vector<RoleOrder> roles;
  std::string virtual_network, reserved_address;
};
DeploymentOrder parse_deployment(std::string_view xml);

/// What is to be done with one role instance.
struct RoleOperation {
  std::string type;           ///< "StartRoleOperation", …
  std::string post_shutdown;  ///< "Stopped", "StoppedDeallocated"; "" is Stopped
  std::string post_capture;   ///< "Delete", "Reprovision"
  std::string image_name, image_label;
  std::string os_state;  ///< of a VM image: "Generalized", "Specialized"
};
RoleOperation parse_role_operation(std::string_view xml);

/// A load-balanced set's new look: its endpoints, each naming the set.
std::vector<InputEndpoint> parse_load_balanced_set(std::string_view xml);

}  // namespace berth::classic
