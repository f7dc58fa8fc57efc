#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "network/virtual_network.h"

namespace berth {

/// What is fixed for the life of one region; kept in its store, set by `azure region start`.
struct RegionSettings {
  std::string subscription;  ///< UUID
  std::string subscription_name = "Local";
  std::string tenant;  ///< UUID
  std::string dns_suffix = "cloudapp.net";
  Egress egress;                               ///< of virtual networks
  std::filesystem::path hosts_file;            ///< "/etc/hosts" as root; empty: names are not written
  std::chrono::seconds boot_limit{900};        ///< from power-on to the agent's first report
  std::chrono::seconds extension_limit{1800};  ///< from the goal state to the handler's final status
  std::chrono::seconds work_limit{5400};       ///< the same, of one that says that it is at work; as on Azure
  std::chrono::seconds shutdown_grace{90};
  std::chrono::seconds set_up_patience{120};  ///< with a restored machine's agent, before it is shut down
  /// How long the one that got a VM's certificate may take until the agent reports on it. An agent that ended
  /// in between has made itself another transport certificate, and asks again.
  std::chrono::seconds certificate_patience{60};
  std::chrono::milliseconds heal_pause{5'000};  ///< between looks at the switches
};

}  // namespace berth
