#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/secret.h"

namespace berth {

/// Asks on the controlling terminal without echo. Throws Error: invalid when standard input is no terminal
/// (`advice` says how else to give it), unavailable("OperationCanceled") on Ctrl-C or end of input.
Secret prompt_secret(const std::string& prompt, const std::string& advice);

/// True when there is a terminal to ask on.
bool can_prompt();

/// The first line of a file, or of standard input ("-").
Secret read_password(const std::string& file);

/// Asks on the controlling terminal; true for y or yes. Throws as above.
bool prompt_yes(const std::string& question, const std::string& advice);

/// Overwrites every argument that is `secret`, or ends in "=secret", so that `ps` no longer shows it.
void wipe_argument(int argc, char** argv, std::string_view secret);

/// Ctrl-C (and SIGTERM, SIGHUP) of this process. The first one is a request that long work looks at; the next
/// one ends the process at once, with exit code 130.
namespace interrupt {

inline constexpr int exit_code = 130;

void install();
bool requested();
/// Throws Error(unavailable, "OperationCanceled") when requested.
void check();
/// What is printed when a second Ctrl-C ends the process: what is left behind.
void set_farewell(const std::string& text);
/// Takes note of the request: requested() is false again for this thread, so that clean-up can talk to the
/// region; the next Ctrl-C ends the process.
void begin_cleanup();
/// From now on several threads work for this process: the first Ctrl-C is a request to all of them, even while some of them clean up, and
/// what set_farewell() was told last before this stays.
void share();
/// Sleeps; true when it was cut short by a request.
bool sleep(std::chrono::milliseconds time);

}  // namespace interrupt
}  // namespace berth
