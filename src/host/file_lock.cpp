#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

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

/// Empty when another holds it and LOCK_NB is among the flags.
Fd lock(const std::filesystem::path& file, int flags) {
  while (true) {
    Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!fd) throw_cannot_lock(file);
    while (::flock(fd.get(), flags) != 0) {
      if (errno == EWOULDBLOCK) return Fd();
      if (errno != EINTR) throw_cannot_lock(file);
    }
    if (still_stands_there(fd, file)) return fd;
  }
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const std::filesystem::path& file) {
  Fd fd = lock(file, LOCK_EX | LOCK_NB);
  if (!fd) return std::nullopt;
  return FileLock(std::move(fd));
}

FileLock FileLock::take(const std::filesystem::path& file) {
  return FileLock(lock(file, LOCK_EX));
}

}  // namespace berth
