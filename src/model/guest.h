#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/resources.h"

/// What a VM is told through the guest protocol, before it becomes XML or JSON.
namespace berth {

/// One extension in the goal state. Those of one handler share name and version.
struct GuestPlugin {
  std::string handler;  ///< "Microsoft.Azure.Extensions.DockerExtension"
  std::string version;  ///< exact
  std::string state;    ///< enabled, disabled, uninstall
  int sequence = 0;
  std::string settings;            ///< public, JSON text; "" for none
  std::string protected_settings;  ///< base64 CMS; "" for none
  std::vector<std::string> after;  ///< handlers that have to succeed first
  int level = 0;                   ///< one more than the highest of those
};

/// Everything the wire server, the host plugin and the metadata service tell one VM.
struct GuestView {
  std::string vm_id;  ///< Vm::id, our own short one
  unsigned incarnation = 1;
  std::string container_id;
  std::string deployment_id;
  std::string role;              ///< VM name: role instance is "_NAME"
  std::string certificate;       ///< PEM of the VM's own certificate; its thumbprint is what settings name
  bool has_certificate = false;  ///< its agent has reported so since it was switched on
  std::vector<GuestPlugin> plugins;
  std::string agent_location;  ///< "westus"
  // Instance metadata.
  std::string subscription, group, uuid, size, offer, publisher, sku, version, admin_user, tags;
  struct Nic {
    std::string mac;  ///< "000D3A123456"
    std::string address, public_address, subnet;
    int prefix = 24;
  };
  std::vector<Nic> nics;
};

}  // namespace berth
