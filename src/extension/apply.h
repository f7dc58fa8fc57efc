#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "extension/engine.h"
#include "extension/runner.h"
#include "extension/settings.h"
#include "extension/state.h"
#include "extension/status.h"

namespace berth::extension {

/// The machine that the handler looks after, and how long it may be waited for.
struct Machine {
  Root root;
  Runner& runner;
  EngineProbe& probe;
  Log& log;
  std::function<std::chrono::sys_seconds()> now;

  std::chrono::milliseconds engine_up_limit{60'000};  ///< from start to the first answer
  std::chrono::milliseconds handshake_limit{15'000};  ///< from there to TLS on the port
  std::chrono::milliseconds reload_limit{10'000};     ///< until a reload shows
};

/// True when applying these settings may take minutes (packages, container images), which the agent's limit
/// for enable does not allow for.
bool takes_long(const Machine& machine, const Settings& settings, const State& state);

/// Brings the machine to the state that `settings` describe: compares, changes what differs, restarts only
/// what must restart, proves the result from outside. On trouble the engine's files go back to what they were
/// and the engine with them. `state` is kept on disk as it goes. `same_settings`: these were applied
/// successfully before, so certificates that somebody replaced by hand since are theirs to keep.
/// Throws Error.
std::vector<Substatus> apply_settings(Machine& machine, const Settings& settings, State& state,
                                      bool same_settings);

/// A hash of every file that decides whether there is something to do.
std::string fingerprint(const Root& root, const State& state);

/// Cheap, without a child process: what the last success left behind is still so, and the engine answers and
/// serves the certificate in /etc/docker.
bool still_as_applied(Machine& machine, const State& state);

/// Puts the engine's configuration back to what it would be without us and closes the port; containers keep
/// running. Files that others changed since stay.
void withdraw_settings(Machine& machine, State& state);

}  // namespace berth::extension
