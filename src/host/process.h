#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "host/fd.h"

namespace berth {

/// The absolute path of a program in PATH or the sbin folders; nullopt if there is none.
std::optional<std::string> find_program(const std::string& name);

struct RunResult {
  int exit_code = 0;  ///< 128 + signal number when a signal ended it
  std::string out;
  std::string err;
};

struct RunOptions {
  std::string input;                               ///< given on standard input, then closed
  std::filesystem::path folder;                    ///< working directory; empty: ours
  std::map<std::string, std::string> environment;  ///< added to ours
  std::chrono::milliseconds limit{60'000};  ///< then SIGKILL to its process group and Error(unavailable)
  std::function<void(std::string_view)> on_line;  ///< each line of either stream as it comes
  /// Where not empty, the stream goes to this file (made anew, 0600) and nowhere else, however much it is.
  std::filesystem::path out_file, err_file;
  std::stop_token
      stop;  ///< when requested: SIGKILL to its process group and Error(unavailable, "OperationCanceled")
};

/// Runs a program to its end (argv[0] an absolute path or a name; no shell) and blocks: not for the region's
/// thread. Throws Error(unavailable) when it cannot be started or runs past the limit.
RunResult run(const std::vector<std::string>& argv, const RunOptions& options = {});

/// A process that outlives us, told apart from a later one with the same number by its start time
/// (/proc/PID/stat field 22, clock ticks since boot). Written to disk as "PID START".
struct ProcessId {
  pid_t pid = 0;
  unsigned long long started = 0;
  auto operator<=>(const ProcessId&) const = default;
};
std::string to_string(const ProcessId& id);
std::optional<ProcessId> parse_process_id(std::string_view text);

/// This one.
ProcessId own_process();

/// True while that very process runs (a zombie does not).
bool is_alive(const ProcessId& id);

/// A pidfd for it: readable once it has ended. Empty when it is gone.
Fd open_process(const ProcessId& id);

/// Signals that very process; false when it is gone.
bool send_signal(const ProcessId& id, int signal);

/// SIGTERM, then SIGKILL after `grace`; returns once it is gone. Blocks.
void end_process(const ProcessId& id, std::chrono::milliseconds grace);

struct DetachOptions {
  std::filesystem::path folder;  ///< working directory; empty: ours
  std::filesystem::path log;     ///< standard output and error are appended here (0600); empty: /dev/null
  std::map<std::string, std::string> environment;
  std::vector<std::pair<int, int>> inherit;  ///< (our descriptor, its number in the child)
};

/// Starts a process in a session of its own that outlives us; standard input is /dev/null and no other
/// descriptor than `inherit` reaches it. Throws Error(unavailable) naming the program when exec fails.
ProcessId spawn_detached(const std::vector<std::string>& argv, const DetachOptions& options);

}  // namespace berth
