#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "extension/root.h"
#include "host/files.h"

namespace berth::extension {

/// Only one enable works at a time: /run/docker-ext/lock, held by the kernel for the process, so that one
/// that died holds nothing. The file says who works on what.
class EnableLock {
 public:
  /// Waits up to `limit` while another number is worked on; does not wait for the same one.
  static EnableLock take(const Root& root, std::uint64_t number, std::chrono::milliseconds limit);

  bool held() const { return lock_.has_value(); }
  bool same_number_runs() const { return same_; }

 private:
  std::optional<FileLock> lock_;
  bool same_ = false;
};

}  // namespace berth::extension
