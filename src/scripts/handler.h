#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

#include "handler/allowance.h"
#include "handler/invocation.h"
#include "handler/log.h"
#include "handler/root.h"
#include "handler/runner.h"
#include "handler/status.h"
#include "scripts/kind.h"
#include "scripts/settings.h"
#include "scripts/worker.h"

namespace berth::extension {

/// The handlers that run a command or a script once for each number of settings: CustomScript and RunCommand.
/// Source: docs/wire/script-handlers.md.
class ScriptHandler {
 public:
  /// `runner` runs everything but the user's command itself.
  ScriptHandler(Invocation invocation, const ScriptKind& kind, Root root, Runner& runner, Log& log);

  /// install, enable, disable, update, uninstall, or work (enable's own, in the background). Returns the exit code: 0; 1 when
  /// it failed; 2 when it is no operation.
  int run(const std::string& operation);

  std::chrono::milliseconds limit =
      std::chrono::minutes(90);  ///< for files and command together, as Azure allows it
  std::stop_token stop;          ///< the worker's: when requested, it ends what it runs, and itself

 private:
  int install();
  int enable();
  int work();
  int uninstall();
  int take_note(const std::string& operation);

  ScriptOrder read_order(const std::filesystem::path& settings);
  Report carry_out(std::uint64_t number, const std::filesystem::path& settings);
  void fetch_files(const ScriptOrder& order, const std::filesystem::path& folder, const Allowance& allowance);
  RunResult run_command(const ScriptOrder& order, const std::filesystem::path& folder,
                        const Allowance& allowance);
  std::filesystem::path put_script(const ScriptOrder& order, const std::filesystem::path& folder);
  std::string output_of(const std::filesystem::path& folder) const;
  bool is_done(std::uint64_t number) const;
  std::filesystem::path data_folder() const;
  std::filesystem::path locks_folder() const;
  std::filesystem::path lock_folder(std::uint64_t number) const;
  void report(std::uint64_t number, const Report& report);
  Report make(Outcome outcome, std::string message) const;

  Invocation invocation_;
  const ScriptKind& kind_;
  Root root_;
  Runner& runner_;
  Log& log_;
  FolderIdentity folder_;
};

/// The last `most` bytes of a file, from the beginning of a character on; "" when there is none.
std::string tail_of(const std::filesystem::path& file, std::size_t most);

}  // namespace berth::extension
