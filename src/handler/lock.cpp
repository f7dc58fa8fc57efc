#include "handler/lock.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <thread>

namespace berth::extension {
namespace {

using std::chrono::milliseconds;

/// Written in place: the lock is on the file itself, which must stay.
void record(const std::filesystem::path& file, const std::string& job) {
  const Fd fd(::open(file.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  const std::string text = fmt::format("{} {}\n", ::getpid(), job);
  if (fd && ::write(fd.get(), text.data(), text.size()) < 0) return;  // information only
}

bool works_on(const std::filesystem::path& file, const std::string& job) {
  const std::string text = read_file_if_there(file).value_or("");
  return text.ends_with(fmt::format(" {}\n", job));
}

}  // namespace

EnableLock EnableLock::take(const std::filesystem::path& folder, const std::string& job, milliseconds limit) {
  make_folder(folder, 0700);
  const auto file = folder / "lock";
  const auto end = std::chrono::steady_clock::now() + limit;
  EnableLock lock;
  for (milliseconds pause{10};; pause = std::min(pause * 2, milliseconds(250))) {
    lock.lock_ = FileLock::try_take(file);
    if (lock.lock_) {
      record(file, job);
      return lock;
    }
    if (works_on(file, job)) {
      lock.same_ = true;
      return lock;
    }
    if (std::chrono::steady_clock::now() + pause > end) return lock;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace berth::extension
