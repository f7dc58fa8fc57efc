#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "host/files.h"

namespace berth::extension {

/// Only one operation works at a time: the file `lock` in a folder of the handler's, held by the kernel for the process,
/// so that one that died holds nothing. The file says who works on what.
class EnableLock {
 public:
  /// `folder` is made when it is missing (0700). `job` names the settings and the handler that applies them, without line breaks. Waits up to `limit`
  /// while another job is worked on; does not wait for the same one.
  static EnableLock take(const std::filesystem::path& folder, const std::string& job,
                         std::chrono::milliseconds limit);

  bool held() const { return lock_.has_value(); }
  bool same_job_runs() const { return same_; }

 private:
  std::optional<FileLock> lock_;
  bool same_ = false;
};

}  // namespace berth::extension
