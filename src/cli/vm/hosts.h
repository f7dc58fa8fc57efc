#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/arm/arm_client.h"
#include "cli/docker/host_template.h"

namespace berth {

/// A public port, and where it really is on the address of the host (as an ordinary user, ports below 1024
/// have to move).
struct PublicPort {
  std::uint16_t port = 0, host_port = 0;
  std::string moved_because;
  std::string protocol = "tcp";  ///< or "udp"
  std::uint16_t guest_port = 0;  ///< where it leads in the machine
};

struct PublicAddressView {
  std::string address, fqdn, label, id;
  std::vector<PublicPort> ports;
  bool tells_ports = false;  ///< regions do; on Azure the rules of security groups say which are open
  /// Where `port` is open.
  std::uint16_t host_port(std::uint16_t port) const;
  /// A line for each port that had to move; "" when none had to.
  std::string moved_ports() const;
};

/// A virtual machine with its addresses and its Docker extension, put together from what Resource Manager
/// tells about each, whichever client made them.
struct HostView {
  std::string name, group, location, size, image, user, id;
  std::string provisioning;  ///< "Succeeded"
  std::string power;         ///< "running", "asleep", "deallocated"; "" if not known
  std::string halted;        ///< why its processors stand still, though its power is on; usually ""
  std::string network_news;  ///< what happened to its virtual network by itself; usually ""
  std::string agent_version, agent_status;
  std::string serial_log;  ///< URL
  std::string private_address;
  PublicAddressView public_address;
  std::string interface_id, security_group_id, subnet_id;  ///< of its first interface; "" without one
  std::string host_tag;  ///< name under which docker create made it; "" if another client made it
  struct Extension {
    std::string name, handler, version, provisioning, message;
    std::optional<std::uint16_t> docker_port;  ///< of the Docker extension, if its settings name one
    struct Part {
      std::string name, status, message;  ///< "tls", "succeeded", …
    };
    std::vector<Part> parts;  ///< what the handler says of each part of its work
  };
  std::vector<Extension> extensions;
  std::optional<std::uint16_t> tagged_docker_port;  ///< of a Docker host without the extension
  /// Under which its keys, contexts and certificates are kept here.
  const std::string& tag() const { return host_tag.empty() ? name : host_tag; }
  std::string path() const;                   ///< of the VM, below the subscription
  bool can_be_reached() const;                ///< it runs, or wakes for who connects
  std::string status() const;                 ///< in a word: "running", "halted", "Creating"
  const Extension* docker_extension() const;  ///< null without one
  bool is_docker_host() const { return docker_extension() != nullptr || tagged_docker_port; }
  std::optional<std::uint16_t> docker_port() const;
  /// "tcp://web1.cloudapp.net:4243"; "" without Docker. By name only if `name_resolves`.
  std::string docker_endpoint(bool name_resolves) const;
};

std::vector<HostView> list_hosts(ArmClient& arm);
/// By name or DNS label, without case; throws conflict when it stands in several groups and `group` is empty.
std::optional<HostView> find_host(ArmClient& arm, const std::string& name, const std::string& group);
/// The same; throws not_found when there is none.
HostView get_host(ArmClient& arm, const std::string& name, const std::string& group);

/// Paths of what docker create makes for a host, in the order in which they can be deleted; nothing for an empty name.
std::vector<std::string> host_resources(const std::string& group, const ResourceNames& names,
                                        const std::string& vm_name);

/// The part after `kind`: "web1" for "virtualMachines" in ".../virtualMachines/web1/extensions/Echo"; "" if
/// there is none.
std::string part_of_id(const std::string& id, const std::string& kind);

PublicAddressView parse_public_address(const nlohmann::json& document);

/// True when this machine's own hosts file leads `name` to `address`. The network is not asked: the suffix is
/// a real one.
bool hosts_file_knows(const std::string& name, const std::string& address);

}  // namespace berth
