#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "extension/settings.h"
#include "extension/system.h"
#include "handler/runner.h"

namespace berth::extension {

/// Programs of this machine that install packages.
enum class PackageTool { apt, dnf, zypper, none };
PackageTool find_package_tool(const Root& root);

/// Installs and removes packages. Locks of other package managers are waited for by the tool itself (and by
/// us where it cannot), network trouble is tried again with growing pauses, what cannot get better fails at
/// once.
class Packages {
 public:
  /// `longest`: for one command, and for all pauses together.
  Packages(const Root& root, Runner& runner, Log& log, std::function<void(std::chrono::milliseconds)> pause,
           std::chrono::milliseconds longest = std::chrono::minutes(20))
      : tool_(find_package_tool(root)),
        runner_(runner),
        log_(log),
        pause_(std::move(pause)),
        longest_(longest) {}

  PackageTool tool() const { return tool_; }
  /// Finishes what an installation that was cut off left unpacked.
  void mend();
  /// Reads the lists of packages anew.
  void refresh();
  /// Throws Error: not_found when the machine's sources do not have one of them, unavailable otherwise. A
  /// package is missing only when every source could be read.
  void install(const std::vector<std::string>& packages) { install_any({packages}); }
  /// The first of `candidates` that the sources have. Throws Error(not_found) when there is none.
  void install_first(const std::vector<std::string>& candidates);
  /// Those of `candidates` that are installed. Throws Error(unavailable).
  void remove(const std::vector<std::string>& candidates);

 private:
  void install_any(const std::vector<std::vector<std::string>>& alternatives);
  RunResult run(const std::vector<std::string>& arguments);
  RunResult run_patiently(const std::vector<std::string>& command);
  bool wait(std::string_view because, std::chrono::milliseconds time);

  PackageTool tool_;
  Runner& runner_;
  Log& log_;
  std::function<void(std::chrono::milliseconds)> pause_;
  std::chrono::milliseconds longest_, waited_{0};
  std::string unread_;  ///< what apt-get said of a source that it could not read; "" when it read them all
};

/// "docker.io" and "20.10" as the tool takes it: an exact version, or the beginning of one.
std::string pinned_package(PackageTool tool, const std::string& package, const std::string& version);

/// Brings an engine onto a machine that has none, from where the settings say. Adds the files that it wrote
/// (package source, key, units) to `files` (path -> SHA-256). Throws Error saying what is missing.
void install_engine(const Root& root, Runner& runner, Log& log, Packages& packages, const Settings& settings,
                    std::map<std::string, std::string>& files);

/// Takes it off again, whichever of its names the package has here. Throws Error(unavailable).
void remove_engine_packages(Packages& packages);

}  // namespace berth::extension
