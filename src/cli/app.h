#pragma once

namespace berth {

/// The `azure` program: finds the command that the arguments name, runs it, and returns the exit code (0, or
/// what base/error.h says of the kind). Wipes secrets out of `argv`.
int run_azure(int argc, char** argv, const char* version);

}  // namespace berth
