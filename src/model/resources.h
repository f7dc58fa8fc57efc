#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/names.h"
#include "model/power_state.h"

/// The things a region holds, as every dialect sees them. Plain values, no I/O.
namespace berth {

/// What all resources have. `etag` changes with every change.
struct Resource {
  std::string group;
  std::string name;
  std::string location;  ///< "westus"
  Tags tags;
  std::string etag;     ///< a UUID
  std::string created;  ///< UTC, ISO 8601
  std::string guid;     ///< resourceGuid, constant
  std::string kept;     ///< members that a client sent and gets back, without effect here: JSON text; ""
  Ref ref() const { return {group, name}; }
};

/// Why something did not work, as it is told to clients. Holds no secrets.
struct Problem {
  std::string code;
  std::string message;
  std::string advice;
  std::vector<Problem> details;
};

struct ResourceGroup : Resource {};  ///< its own name stands in `name`; `group` is the same

struct Subnet {
  std::string name;
  std::string prefix;  ///< CIDR
  Ref security_group;  ///< optional
  std::string kept;    ///< as Resource::kept
};
struct VirtualNetwork : Resource {
  std::vector<std::string> prefixes;  ///< CIDR; locally the first one is the switch's network
  std::vector<Subnet> subnets;
};

struct PublicAddress : Resource {
  std::string label;  ///< DNS label; "" for none. Unique in the region
  std::string sku = "Basic";
  std::string allocation =
      "Dynamic";        ///< "Dynamic" or "Static"; locally both get an address at once and keep it
  std::string address;  ///< 127.x.y.z
  std::string fqdn;     ///< label + the region's DNS suffix; "" without label
  int idle_timeout_minutes = 4;
  /// Ports of this address that are open now: what the user asked for and where it really is.
  struct Port {
    std::string protocol = "tcp";
    std::uint16_t port = 0;  ///< the public port that was asked for
    std::uint16_t host_port =
        0;  ///< where it is open on `address`; differs from `port` when that one was not to be had
    std::uint16_t guest_port = 0;
    std::string moved_because;  ///< "permission denied", "address in use"; "" when it did not move
    bool operator==(const Port&) const = default;
  };
  std::vector<Port> ports;
};

struct SecurityRule {
  std::string name;
  std::string description;
  std::string protocol = "*";  ///< "Tcp", "Udp", "Icmp", "*"
  std::string access = "Allow";
  std::string direction = "Inbound";
  int priority = 100;                             ///< 100…4096, unique per direction
  std::vector<std::string> source_prefixes{"*"};  ///< CIDR, "*", or a tag ("Internet", "VirtualNetwork")
  std::vector<std::string> source_ports{"*"};     ///< "22", "1000-2000", "*"
  std::vector<std::string> destination_prefixes{"*"};
  std::vector<std::string> destination_ports{"*"};
};
struct SecurityGroup : Resource {
  std::vector<SecurityRule> rules;
};

struct IpConfiguration {
  std::string name;
  Ref network;
  std::string subnet;
  Ref public_address;                    ///< optional
  bool address_deleted_with_vm = false;  ///< goes with this interface when its VM is deleted
  std::string allocation = "Dynamic";
  std::string private_address;
  bool primary = true;
  std::vector<std::string> nat_rules, pools;  ///< ids below load balancers, as Resource Manager names them
  bool balanced = false;  ///< `public_address` is a load balancer's: only `endpoints` lead in from there
  std::string kept;       ///< as Resource::kept
};
/// A public port that leads to another private port (load balancer inbound NAT rule; classic input endpoint).
struct Endpoint {
  std::string name;
  std::string protocol = "tcp";
  std::uint16_t public_port = 0;
  std::uint16_t private_port = 0;
  std::vector<std::string> sources;  ///< CIDR; empty: everyone
};
struct NetworkInterface : Resource {
  std::vector<IpConfiguration> configurations;
  Ref security_group;  ///< optional: without one here or on the subnet, every port is open, as in Azure
  std::vector<Endpoint> endpoints;
  /// Its endpoints are all that is open, even when there are none; several such interfaces share one address.
  bool endpoints_only = false;
  std::string mac;  ///< "00-0D-3A-12-34-56"
  Ref vm;           ///< who uses it
  bool ip_forwarding = false;
};
/// What leads public ports to single VMs: its inbound NAT rules. It spreads no connections.
struct LoadBalancer : Resource {
  /// Has a public address to itself.
  struct Frontend {
    std::string id;
    Ref address;
  };
  /// A public port that leads to a port of whichever interface names the rule.
  struct NatRule {
    std::string id;  ///< as IpConfiguration::nat_rules has it
    std::string name;
    std::string protocol = "tcp";
    std::uint16_t frontend_port = 0, backend_port = 0;
    Ref address;  ///< of its frontend
  };
  std::vector<Frontend> frontends;
  std::vector<NatRule> nat_rules;
  std::string properties, sku;  ///< JSON text, as Resource Manager gives them back
};

struct DataDisk {
  int lun = 0;
  std::string name;
  std::uint64_t size_gib = 0;
  std::string caching = "None";
  Ref disk;  ///< the disk resource
  bool deleted_with_vm = false;
  std::string kept;  ///< as Resource::kept
};
struct Disk : Resource {
  std::uint64_t size_gib = 0;
  std::string sku = "Standard_LRS";
  std::string os;     ///< "Linux" for an OS disk, "" for data
  std::string image;  ///< gallery image it came from; ""
  Ref vm;             ///< who uses it
  std::string file;   ///< below the region's home; "" until it is made
};

struct SshKey {
  std::string path;  ///< "/home/ops/.ssh/authorized_keys"
  std::string key;   ///< "ssh-…"
};

/// What an extension handler reported last.
struct StatusItem {
  std::string name;
  std::string status;  ///< transitioning, warning, error, success
  int code = 0;
  std::string message;
};
struct HandlerStatus {
  std::string handler;  ///< "Microsoft.Azure.Extensions.DockerExtension"
  std::string version;
  std::string status;  ///< Ready, NotReady, Installing, Unresponsive
  int code = 0;
  std::string message;
  std::optional<int> sequence;  ///< of the settings that `settings` speaks of
  std::string operation;
  std::optional<StatusItem> settings;
  std::vector<StatusItem> substatus;
  std::string time;  ///< of the settings status
};
/// What the guest agent reported last (PUT /status).
struct AgentStatus {
  std::string version;
  std::string status;  ///< "Ready"
  std::string message;
  std::string os_name, os_version, computer_name;
  std::string incarnation;  ///< of the goal state it has processed last
  std::string time;
  std::string received;  ///< UTC, ISO 8601, our clock
  std::vector<HandlerStatus> handlers;
};
/// What it reported while provisioning (POST health).
struct HealthReport {
  std::string incarnation;
  std::string container_id;
  std::string instance_id;
  std::string state;  ///< Ready, NotReady
  std::string substatus;
  std::string description;
};

/// How far the VM's certificate and key have come since it was switched on.
struct CertificateDelivery {
  std::string holder;         ///< thumbprint of the transport certificate they were given to; "" for none yet
  bool acknowledged = false;  ///< the agent has reported on the same goal state since
  /// When the holder got them, and when a refusal was told last; not kept in the store.
  std::optional<std::chrono::steady_clock::time_point> given, told;
};

struct Extension {
  std::string name;            ///< resource name below its VM
  std::string publisher;       ///< "Microsoft.Azure.Extensions"
  std::string type;            ///< "DockerExtension"
  std::string version_wanted;  ///< "1.3" or "1.*"
  bool auto_upgrade = true;
  std::string version;             ///< what that came to
  std::string settings;            ///< public settings, JSON text; "" for none
  std::string protected_settings;  ///< base64 CMS to the VM's own certificate; "" for none
  std::string protected_print;  ///< by which other protected settings are told from these; "" when not known
  std::string force_update_tag;
  std::vector<std::string> after;  ///< names of the VM's extensions that have to succeed first
  bool suppress_failures = false;  ///< its failure is shown by itself alone, and fails nothing else
  Tags tags;
  std::string kept;  ///< as Resource::kept
  int sequence = 0;
  std::string state = "enabled";  ///< what the guest is told: enabled, disabled, uninstall
  Provisioning provisioning = Provisioning::creating;
  std::optional<Problem> problem;
  std::string handler() const { return publisher + "." + type; }
  /// The platform's own, by a name that no client can give: in the goal state, in nobody's lists.
  bool of_platform() const { return name.starts_with('#'); }
};
/// The handler of the run command action.
inline constexpr std::string_view run_command_extension = "#RunCommandLinux";

struct Vm : Resource {
  std::string id;     ///< 12 hexadecimal digits: its folder, its switch port
  std::string vm_id;  ///< UUID, upper level identity (instance metadata)
  std::string size;
  std::string computer_name;
  std::string admin_user;
  bool password_login = true;
  bool has_custom_data = false;
  /// crypt(3) forms by which another password or custom data is told from the first; "" when not known.
  std::string password_print, custom_data_print;
  std::vector<SshKey> ssh_keys;
  std::string image;  ///< gallery image name
  /// As the client named the image: publisher, offer, sku, version, or an id. Given back as it was.
  std::string image_publisher, image_offer, image_sku, image_version, image_id;
  Ref os_disk;
  bool os_disk_attached = false;  ///< the disk was there before it
  bool os_disk_deleted_with_vm = false;
  std::string os_disk_caching = "ReadWrite";
  std::vector<DataDisk> data_disks;
  std::vector<Ref> interfaces;                  ///< the first one is primary
  std::vector<Ref> interfaces_deleted_with_vm;  ///< some of `interfaces`
  Ref availability_set;
  bool boot_diagnostics = false;
  Provisioning provisioning = Provisioning::creating;
  std::optional<Problem> problem;  ///< why provisioning failed
  PowerState power = PowerState::deallocated;
  bool provisioned = false;  ///< the agent once reported Ready
  bool restored = false;     ///< it went on from a template, and its agent has not yet set it up
  bool generalized = false;
  // The guest protocol's side of it.
  unsigned incarnation = 1;
  std::string container_id;   ///< UUID
  std::string deployment_id;  ///< UUID
  std::string certificate;    ///< PEM, RSA: receives protected settings
  CertificateDelivery delivery;
  std::vector<Extension> extensions;
  std::optional<AgentStatus> agent;
  std::optional<HealthReport> health;
  std::string classic_deployment;  ///< name of the classic deployment it belongs to; ""
  /// Until when it is held for certain, for want of space on the host; not kept in the store.
  std::optional<std::chrono::steady_clock::time_point> held_until;
  std::string network_news;  ///< what befell its virtual network, in a sentence; "". Not kept in the store

  bool waits_for_space() const {
    return power == PowerState::running && held_until && *held_until > std::chrono::steady_clock::now();
  }

  /// Nothing of it ever ran: the same request makes it anew.
  bool never_made() const {
    return provisioning == Provisioning::failed && !provisioned && power == PowerState::deallocated;
  }
  /// Its OS disk and data disks.
  std::vector<Ref> disks() const {
    std::vector<Ref> all{os_disk};
    for (const DataDisk& data : data_disks) all.push_back(data.disk);
    return all;
  }
};

Extension* find_extension(Vm& vm, std::string_view name);
const Extension* find_extension(const Vm& vm, std::string_view name);
/// How many of the VM's extensions come before this one, one after the other; nullopt while one of them is
/// not there. Throws nothing: put_extension refuses circles.
std::optional<int> dependency_level(const Vm& vm, const Extension& extension);

/// What people are told of a VM that waits_for_space().
constexpr std::string_view held_for_space =
    "The host has no space left for the VM's disks: it is halted, and goes on when there is some.";

/// Kept and given back, with no effect on this host: storage accounts, availability sets, and alike.
struct InertResource : Resource {
  std::string type;        ///< "Microsoft.Storage/storageAccounts"
  std::string properties;  ///< JSON text
  std::string kind, sku;   ///< JSON text; ""
};

enum class OperationStatus { running, succeeded, failed, canceled };
std::string_view to_string(OperationStatus status);  ///< "InProgress", "Succeeded", "Failed", "Canceled"

/// One step of a long operation, for people.
struct Phase {
  std::string name;  ///< "Building the image", "Starting the virtual machine", "Waiting for the guest agent"
  std::string detail;  ///< the newest line about it
  std::string began;   ///< UTC, ISO 8601 with milliseconds
  std::string ended;   ///< "" while it runs
};
struct Operation {
  std::string id;      ///< 32 hexadecimal digits
  std::string kind;    ///< "vm create", "extension set", …
  std::string target;  ///< what for: "virtualMachines/GROUP/NAME"
  OperationStatus status = OperationStatus::running;
  std::optional<Problem> problem;
  std::string began, ended;
  std::vector<Phase> phases;
  std::string output;  ///< what a run command said; "" for every other operation
};

}  // namespace berth
