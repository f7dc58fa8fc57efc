#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/secret.h"

namespace berth {

/// What the resources of a host are called.
struct ResourceNames {
  std::string interface, address, network, security_group, balancer, disk;
  static ResourceNames usual(const std::string& host);  ///< "web1-nic", …
};

/// A Docker host that is wanted, as one deployment: virtual network, public address, security group,
/// interface, virtual machine, Docker extension; and a load balancer, when SSH is not to be at port 22. All of them carry the tag `host_tag`.
struct DockerHost {
  std::string name;  ///< DNS label, and the stem of all names
  std::string vm_name;
  std::string location;  ///< "westus"
  std::string size;      ///< "Standard_B2s"
  std::string image;     ///< gallery name, "publisher:offer:sku:version", or a resource id
  std::string user;
  bool password_login = true;
  std::vector<std::string> ssh_keys;      ///< OpenSSH lines
  std::optional<std::uint16_t> ssh_port;  ///< the public port; nullopt: not reachable by SSH
  std::uint16_t docker_port = 4243;
  std::string custom_data;  ///< bytes; "" for none
  bool cold = false;        ///< the local region boots it, also where it could restore it from a template
  /// A virtual network that is there already, as it was named, then its resource id; "": one of the host's own.
  std::string virtual_network;
  std::string subnet = "default";
  std::string private_address = {};  ///< IPv4, of that subnet; "": the next free one
  /// On Azure itself, which publishes no Docker extension: the machine's first boot makes the host (cloud_init.h), and its address is of the
  /// kind that is still sold, known before anything runs.
  bool on_azure = false;
  ResourceNames names = {};  ///< where they are not the usual ones; "": that is
  std::string network_prefix = "172.16.0.0/16", subnet_prefix = "172.16.0.0/24";  ///< of a network of its own
  std::vector<std::string> allow_from = {};  ///< addresses and blocks that reach its ports; empty: everybody
};

/// Tag of a resource (and of a group made for it alone) whose value is the host's name.
inline constexpr const char* host_tag = "berth:host";

/// Tag of a machine without the Docker extension whose value is the engine's port.
inline constexpr const char* docker_port_tag = "berth:docker";

/// Those that were chosen, and the usual ones.
ResourceNames names_of(const DockerHost& host);

/// The public address alone, as it also stands in the template: made first, so that its address is known when
/// the server's certificate is made.
nlohmann::ordered_json public_address_resource(const DockerHost& host);

/// The deployment template. Parameters: adminPassword (securestring) if the user has a password;
/// dockerCertificates (secureObject): {"certs": {"ca", "cert", "key"}}, base64 of PEM; on Azure in its place cloudInit (securestring), base64.
nlohmann::ordered_json docker_host_template(const DockerHost& host);

/// The value of the parameter dockerCertificates.
nlohmann::ordered_json docker_certificates_value(const std::string& ca_pem,
                                                 const std::string& certificate_pem, const Secret& key_pem);

/// The body of PUT …/deployments/NAME; `docker` is the value of dockerCertificates, or of cloudInit.
nlohmann::ordered_json deployment_body(const DockerHost& host, const Secret& password,
                                       const nlohmann::ordered_json& docker);

}  // namespace berth
