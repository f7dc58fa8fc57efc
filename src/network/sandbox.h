#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace berth::network {

/// A user and group of this number that exist for one purpose: no login, no files but those given to it.
struct Account {
  uid_t id = 0;
};

/// What a process that reads bytes of strangers keeps. All else is taken from it, for ever.
struct Sandbox {
  std::optional<Account> account;  ///< to become; only root can
  std::filesystem::path sockets;   ///< folder where it makes and removes unix sockets
  std::vector<std::filesystem::path>
      readable;  ///< files and folders; those that are not there are passed over
};

/// What this kernel has for it.
struct SandboxSupport {
  int landlock = 0;  ///< version of its interface; 0: none
  bool seccomp = false;
};
SandboxSupport sandbox_support();

/// In words for the log and the status: "seccomp, Landlock 3", "seccomp; no Landlock in this kernel: …".
std::string describe(const SandboxSupport& support);

/// True when BERTH_SWITCH_SANDBOX is "off": for debuggers and tools that a sandbox keeps out, never for use.
bool sandbox_is_switched_off();

/// Takes from this process: its account and privileges, but for opening ports below 1024; files and folders
/// (Landlock); system calls that a switch does not need, among them starting programs and processes, tracing,
/// and sockets of other families than unix and IP (seccomp: EPERM); memory and descriptors without end; core
/// dumps. Threads may still be started. Call it once, while there is one thread. Returns what could not be
/// taken, a sentence each, since this kernel lacks it or does not let us. Throws Error(unavailable) when the
/// kernel has it and refuses nevertheless.
std::vector<std::string> enter_sandbox(const Sandbox& sandbox);

}  // namespace berth::network
