#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "handler/environment.h"

namespace berth::extension {

/// What the agent gives an operation beside HandlerEnvironment.json.
struct Invocation {
  HandlerEnvironment environment;
  std::filesystem::path executable;          ///< absolute; started again as the worker
  std::optional<std::string> told_sequence;  ///< ConfigSequenceNumber
};

/// The main function of a handler's program, `PROGRAM OPERATION`: finds its place, sets PATH and HOME as programs expect them
/// and leaves the operation to `run`. Returns the exit code; 2 when it was not called as the agent does.
int handler_main(int argc, char** argv, const char* version,
                 const std::function<int(Invocation, const std::string& operation)>& run);

}  // namespace berth::extension
