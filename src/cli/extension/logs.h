#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/secret.h"
#include "cli/vm/hosts.h"

namespace berth {

struct GuestLog {
  std::string file;  ///< in the guest
  std::vector<std::string> lines;
};

struct LogAccess {
  std::string identity;  ///< private key to sign in with; "": those that ssh and `azure` have
  Secret password;       ///< empty: keys only
};

/// The last lines of the files below /var/log/azure/HANDLER, oldest file first, then what the agent's own log
/// says about the handler; by ssh, for the agent has no other way out for logs (docs/decisions/0008). Throws
/// Error: conflict when SSH is not open; unauthorized("SshRefused") when the guest lets us not in;
/// unavailable.
std::vector<GuestLog> read_guest_logs(const HostView& host, const std::string& handler, std::size_t lines,
                                      const LogAccess& access);

}  // namespace berth
