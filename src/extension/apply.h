#pragma once

#include <string>
#include <vector>

#include "extension/machine.h"
#include "extension/settings.h"
#include "extension/state.h"
#include "handler/status.h"

namespace berth::extension {

/// True when applying these settings may take minutes (packages, container images), which the agent's limit
/// for enable does not allow for.
bool takes_long(Machine& machine, const Settings& settings, const State& state);

/// Brings the machine to the state that `settings` describe: compares, changes what differs, restarts only
/// what must restart, proves the result from outside. On trouble the engine's files go back to what they were
/// and the engine with them. `state` is kept on disk as it goes; `parts` says what was done, also when it
/// throws Error. `same_settings`: these were applied successfully before, so certificates that somebody
/// replaced by hand since are theirs to keep.
void apply_settings(Machine& machine, const Settings& settings, State& state, bool same_settings,
                    std::vector<Substatus>& parts);

/// A hash of what the file system says (size, time, mode, …) of every file that decides whether there is
/// something to do.
std::string fingerprint(const Root& root, const State& state);

/// Cheap, without a child process: what the last success left behind is still so, and the engine answers,
/// serves the certificate in /etc/docker and runs the compose project.
bool still_as_applied(Machine& machine, const State& state);

/// Puts the engine's configuration back to what it would be without us and closes the port; containers keep
/// running, and an engine that is stopped stays so. Files that others changed since stay. The engine's
/// package goes as well if it was installed for these settings and they asked for that; images and volumes
/// stay. Goes on past trouble: returns a sentence for each thing that is left, and `state` keeps it on
/// record.
std::vector<std::string> withdraw_settings(Machine& machine, State& state);

}  // namespace berth::extension
