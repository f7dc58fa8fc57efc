#pragma once

#include <filesystem>
#include <string>

namespace berth {

/// A new, empty folder (0700) that is deleted with everything in it when this object goes.
class TemporaryFolder {
 public:
  /// Under `parent`; empty: $TMPDIR, else /tmp. Throws Error(unavailable) naming the parent.
  explicit TemporaryFolder(const std::filesystem::path& parent = {});
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::filesystem::path& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace berth
