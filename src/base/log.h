#pragma once

#include <string>

namespace berth {

/// Sends spdlog's default logger to `file` (appended; created 0600; turned over at 10 MiB, three kept):
/// one line per event, UTC, flushed at once. The level is `BERTH_LOG` (trace…error, off) or info. Threads may
/// log. Throws Error(unavailable) naming the file when it cannot be opened.
void log_to_file(const std::string& file);

/// The same to standard error; what programs use that a person starts by hand.
void log_to_stderr();

}  // namespace berth
