#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "base/error.h"
#include "host/files.h"

namespace berth {
namespace {

[[noreturn]] void throw_cannot_lock(const std::filesystem::path& file) {
  throw Error(ErrorKind::unavailable, "LockUnavailable",
              fmt::format("{} cannot be locked: {}.", file.string(), std::strerror(errno)));
}

/// False when the file was deleted or replaced while we waited: then what we hold excludes nobody.
bool still_stands_there(const Fd& fd, const std::filesystem::path& file) {
  struct stat held {};
  struct stat there {};
  return ::fstat(fd.get(), &held) == 0 && ::stat(file.c_str(), &there) == 0 && held.st_dev == there.st_dev &&
         held.st_ino == there.st_ino;
}

/// Another user's file, or one that others could open, would let them hold us up.
void make_ours_alone(const Fd& fd, const std::filesystem::path& file) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) throw_cannot_lock(file);
  const bool ours = S_ISREG(status.st_mode) && status.st_uid == ::geteuid();
  if (!ours)
    throw Error(ErrorKind::unavailable, "LockUnavailable",
                fmt::format("{} cannot be locked: it is not a file of this user.", file.string()),
                "Remove it, or use a folder that nobody else writes to.");
  if ((status.st_mode & 077) != 0 && ::fchmod(fd.get(), 0600) != 0) throw_cannot_lock(file);
}

/// Empty when another process holds it.
Fd try_lock(const std::filesystem::path& file) {
  while (true) {
    Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600));
    if (!fd) throw_cannot_lock(file);
    make_ours_alone(fd, file);
    while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) return Fd();
      if (errno != EINTR) throw_cannot_lock(file);
    }
    if (still_stands_there(fd, file)) return fd;
  }
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const std::filesystem::path& file) {
  Fd fd = try_lock(file);
  if (!fd) return std::nullopt;
  return FileLock(std::move(fd));
}

FileLock FileLock::take(const std::filesystem::path& file, std::chrono::milliseconds limit) {
  constexpr std::chrono::milliseconds pause{10};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    if (auto lock = try_take(file)) return *std::move(lock);
    if (std::chrono::steady_clock::now() >= deadline)
      throw Error(ErrorKind::unavailable, "LockUnavailable",
                  fmt::format("{} has been locked by another process for {:.0f} s.", file.string(),
                              std::chrono::duration<double>(limit).count()),
                  "End that process, or try again later.");
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace berth
