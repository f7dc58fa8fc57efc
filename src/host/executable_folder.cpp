#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "host/directories.h"

namespace berth {

std::filesystem::path executable_folder() {
  std::error_code trouble;
  const auto file = std::filesystem::read_symlink("/proc/self/exe", trouble);
  if (trouble)
    throw Error(ErrorKind::unavailable, "ProcUnavailable",
                "This program cannot find itself: /proc/self/exe cannot be read.", "Mount /proc.");
  return file.parent_path();
}

}  // namespace berth
