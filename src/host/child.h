#pragma once

#include <sys/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "host/process.h"

namespace berth {

/// A program about to run, for run() and spawn_detached() only.
struct ChildPlan {
  const std::vector<std::string>& argv;
  std::filesystem::path folder;
  const std::map<std::string, std::string>& environment;
  std::vector<std::pair<int, int>> descriptors;  ///< (ours, its number in the child); all others are closed
};

/// Starts it in a process group of its own, as our child: the caller reaps it.
/// Both throw Error(unavailable) naming the program when it is not found or exec fails.
ProcessId start_child(const ChildPlan& plan);

/// Starts it in a session of its own, as nobody's child: whoever adopts orphans reaps it.
ProcessId start_orphan(const ChildPlan& plan);

/// The process whose /proc/PID/stat this is; nullopt for a zombie and for anything malformed.
std::optional<ProcessId> parse_process_status(std::string_view stat);

}  // namespace berth
