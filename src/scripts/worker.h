#pragma once

#include <signal.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <thread>

#include "handler/lock.h"
#include "host/fd.h"

namespace berth::extension {

/// The handler's folder that an operation began with. The agent may remove it meanwhile, and unpack the handler anew under
/// the same name: that is another one. While this lives, no other folder has its key.
class FolderIdentity {
 public:
  explicit FolderIdentity(std::filesystem::path folder);

  bool is_there_still() const;
  std::string key() const;  ///< "DEVICE-INODE"; "none" when there was no folder

 private:
  std::filesystem::path path_;
  Fd fd_;
};

/// The right to carry out one number of settings, in a folder of its own; gone with the process.
class WorkerLock {
 public:
  /// Waits up to `limit`, but not for another worker.
  WorkerLock(const std::filesystem::path& folder, std::chrono::milliseconds limit);
  bool held() const { return lock_.held(); }

 private:
  EnableLock lock_;
};

/// Ends all workers whose locks are below `folder`, with what they run: SIGTERM, SIGKILL after `grace`; then removes it. Throws
/// Error(unavailable) when one is there still.
void end_workers(const std::filesystem::path& folder, std::chrono::milliseconds grace);

/// Makes SIGTERM a request to stop, while it lives. To be made while the process has one thread.
class EndSignal {
 public:
  EndSignal();
  EndSignal(const EndSignal&) = delete;
  EndSignal& operator=(const EndSignal&) = delete;
  ~EndSignal();

  std::stop_token token() const { return source_.get_token(); }

 private:
  sigset_t before_;
  Fd signal_, over_;
  std::stop_source source_;
  std::thread watcher_;
};

}  // namespace berth::extension
