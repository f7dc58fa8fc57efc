#pragma once

#include <string>
#include <string_view>

#include "cli/vm/hosts.h"

namespace berth {

/// Why the engine of a host may not answer, seen from inside by ssh with the keys that there are: a disk that is full, a service that does
/// not run. "" when SSH is closed, lets nobody in, or shows nothing.
std::string look_inside(const HostView& host);

/// What `df -P` and `systemctl is-active` said, in a sentence. Source: POSIX df, six columns; systemctl(1).
std::string explain_inside(std::string_view said);

}  // namespace berth
