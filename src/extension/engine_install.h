#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "extension/runner.h"
#include "extension/settings.h"
#include "extension/system.h"

namespace berth::extension {

/// Programs of this machine that install packages.
enum class PackageTool { apt, dnf, zypper, none };
PackageTool find_package_tool(const Root& root);

/// Installs packages. Locks of other package managers are waited for by the tool itself (and by us where it
/// cannot), network trouble is tried again with growing pauses, what cannot get better fails at once.
class Packages {
 public:
  Packages(const Root& root, Runner& runner, Log& log, std::function<void(std::chrono::milliseconds)> pause)
      : tool_(find_package_tool(root)), runner_(runner), log_(log), pause_(std::move(pause)) {}

  PackageTool tool() const { return tool_; }
  /// Reads the lists of packages anew.
  void refresh();
  /// Throws Error: not_found when the machine's sources do not have one of them, unavailable otherwise.
  void install(const std::vector<std::string>& packages);
  /// The first of `candidates` that the sources have. Throws Error(not_found) when there is none.
  void install_first(const std::vector<std::string>& candidates);

 private:
  RunResult run(std::vector<std::string> arguments);

  PackageTool tool_;
  Runner& runner_;
  Log& log_;
  std::function<void(std::chrono::milliseconds)> pause_;
};

/// "docker.io" and "20.10" as the tool takes it: an exact version, or the beginning of one.
std::string pinned_package(PackageTool tool, const std::string& package, const std::string& version);

/// Brings an engine onto a machine that has none, from where the settings say. Adds the files that it wrote
/// (package source, key, units) to `files` (path -> SHA-256). Throws Error saying what is missing.
void install_engine(const Root& root, Runner& runner, Log& log, Packages& packages, const Settings& settings,
                    std::map<std::string, std::string>& files);

}  // namespace berth::extension
