#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/vm/hosts.h"

namespace berth {

/// How a host is reached by the system's OpenSSH. Its key is kept in a file of Berth's for this host alone: the next host of this name or
/// address has another one. In a region it is learned at the first connection, which does not leave this machine; on Azure it was made here.
struct SshAccess {
  std::string user, address;
  std::uint16_t port = 22;
  std::string identity;  ///< file of a private key; "": those that ssh has
  std::filesystem::path known_hosts;
  std::string target() const { return user + "@" + address; }
};

/// nullopt when its SSH port is not open. `identity` is the key made for the host, if there is one.
std::optional<SshAccess> find_ssh_access(const HostView& host);
/// The same; throws Error(conflict, "SshNotOpen") saying how to open it.
SshAccess get_ssh_access(const HostView& host);

/// The program ("ssh" or "scp") with its options for that host. Who is signed in as, and where, follows: `target()`.
std::vector<std::string> ssh_argv(const SshAccess& access, const char* program = "ssh");
/// "ssh -p 10022 … ops@127.0.0.1", for a shell.
std::string ssh_command(const SshAccess& access);

/// Where keys of that host are kept; and when it is deleted or made anew, they are forgotten.
std::filesystem::path known_hosts_file(const std::string& host);
void forget_host_key(const std::string& host);
/// `line` is its public key, `addresses` what it is reached as. Throws Error(unavailable) when it cannot be kept.
void keep_host_key(const std::string& host, const std::vector<std::string>& addresses,
                   const std::string& line);

/// Runs a program of PATH with our streams, and returns its exit code (128 + the signal that ended it). Ctrl-C is the program's. What it
/// makes gets the modes that the user's shell would give. Throws Error(unavailable) when it cannot be started.
int run_in_terminal(const std::vector<std::string>& argv);

/// For a shell; only when it needs it.
std::string shell_quoted(const std::string& text);

}  // namespace berth
