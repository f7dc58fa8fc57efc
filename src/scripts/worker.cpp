#include "scripts/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "base/error.h"
#include "host/files.h"
#include "host/process.h"

namespace berth::extension {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr const char* who = "worker";  ///< beside the lock: the process that holds it

/// Until nobody holds the lock in `folder`.
void end_worker(const fs::path& folder, milliseconds grace) {
  const auto end = std::chrono::steady_clock::now() + grace;
  while (!FileLock::try_take(folder / "lock")) {
    // It may have the lock before it says who it is.
    const auto id = parse_process_id(read_file_if_there(folder / who).value_or(""));
    if (id && is_alive(*id)) {
      end_process(*id, grace);
    } else if (std::chrono::steady_clock::now() > end) {
      throw Error(ErrorKind::unavailable, "WorkerUnavailable",
                  fmt::format("Somebody unknown holds {} and does not end.", (folder / "lock").string()),
                  "End that process, or restart the machine.");
    } else {
      std::this_thread::sleep_for(milliseconds(10));
    }
  }
}

}  // namespace

FolderIdentity::FolderIdentity(fs::path folder)
    : path_(std::move(folder)), fd_(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

bool FolderIdentity::is_there_still() const {
  struct stat held {};
  struct stat there {};
  return fd_ && ::fstat(fd_.get(), &held) == 0 && ::stat(path_.c_str(), &there) == 0 &&
         held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

std::string FolderIdentity::key() const {
  struct stat held {};
  if (!fd_ || ::fstat(fd_.get(), &held) != 0) return "none";
  return fmt::format("{}-{}", held.st_dev, held.st_ino);
}

WorkerLock::WorkerLock(const fs::path& folder, milliseconds limit)
    : lock_(EnableLock::take(folder, "work", limit)) {
  if (lock_.held()) write_file(folder / who, to_string(own_process()) + "\n", 0600);
}

void end_workers(const fs::path& folder, milliseconds grace) {
  std::error_code trouble;
  for (const auto& entry : fs::recursive_directory_iterator(folder, trouble))
    if (entry.path().filename() == "lock") end_worker(entry.path().parent_path(), grace);
  fs::remove_all(folder, trouble);
}

EndSignal::EndSignal() : over_(::eventfd(0, EFD_CLOEXEC)) {
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &end, &before_);  // programs that we start begin with none blocked
  signal_ = Fd(::signalfd(-1, &end, SFD_CLOEXEC));
  watcher_ = std::thread([this] {
    pollfd events[] = {{signal_.get(), POLLIN, 0}, {over_.get(), POLLIN, 0}};
    while (::poll(events, 2, -1) < 0) {
    }
    if (events[0].revents != 0) source_.request_stop();
  });
}

EndSignal::~EndSignal() {
  ::eventfd_write(over_.get(), 1);
  watcher_.join();
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace berth::extension
