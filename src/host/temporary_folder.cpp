#include "host/temporary_folder.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "base/error.h"

namespace berth {

TemporaryFolder::TemporaryFolder(const std::filesystem::path& parent) {
  std::error_code ignored;
  const auto folder = parent.empty() ? std::filesystem::temp_directory_path(ignored) : parent;
  std::string name = (folder / "berth-XXXXXX").string();
  if (!::mkdtemp(name.data()))
    throw Error(
        ErrorKind::unavailable, "FileUnavailable",
        fmt::format("No temporary folder can be made in {}: {}.", folder.string(), std::strerror(errno)),
        "Make it writable, or name another one in TMPDIR.");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace berth
