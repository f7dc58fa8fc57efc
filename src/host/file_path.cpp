#include "host/file_path.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <deque>
#include <optional>
#include <string>

#include "base/error.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

constexpr int most_links = 40;  // the kernel's own limit

bool is_on(const Fd& fd, long file_system) {
  struct statfs status {};
  return ::fstatfs(fd.get(), &status) == 0 && status.f_type == file_system;
}

void put_in_front(std::deque<std::string>& names, const fs::path& path) {
  std::deque<std::string> front;
  for (const fs::path& name : path)
    if (name != "/" && !name.empty()) front.push_back(name.string());
  names.insert(names.begin(), front.begin(), front.end());
}

std::optional<std::string> text_of_link(const Fd& link) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlinkat(link.get(), "", text.data(), text.size());
  if (size <= 0) return std::nullopt;
  return std::string(text.data(), static_cast<std::size_t>(size));
}

Fd open_start(const fs::path& path) {
  return Fd(::open(path.is_absolute() ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

[[noreturn]] void throw_not_opened(const fs::path& file, int error) {
  const bool absent = error == ENOENT || error == ENOTDIR;
  throw Error(absent ? ErrorKind::not_found : ErrorKind::unavailable,
              absent ? "FileNotFound" : "FileUnavailable",
              fmt::format("{} cannot be opened: {}.", file.string(), std::strerror(error)));
}

/// The kernel looks through the descriptor at the file itself, whatever has its name now.
Fd open_place(const Fd& place, const fs::path& file) {
  Fd fd(::open(fmt::format("/proc/self/fd/{}", place.get()).c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd && errno == ENOENT && ::access("/proc/self/fd", F_OK) != 0)
    throw Error(ErrorKind::unavailable, "ProcUnavailable",
                fmt::format("{} cannot be opened: /proc is not mounted.", file.string()), "Mount /proc.");
  if (!fd) throw_not_opened(file, errno);
  return fd;
}

struct stat status_at(const Fd& place, const fs::path& file) {
  struct stat status {};
  if (!place || ::fstat(place.get(), &status) != 0) throw_not_opened(file, errno);
  return status;
}

[[noreturn]] void throw_no_file(const fs::path& file, mode_t mode) {
  throw Error(ErrorKind::invalid, "NotAFile",
              fmt::format("{} is {}, not a file.", file.string(),
                          S_ISDIR(mode)    ? "a folder"
                          : S_ISFIFO(mode) ? "a fifo"
                          : S_ISSOCK(mode) ? "a socket"
                                           : "a device"));
}

}  // namespace

bool is_trusted(uid_t user) {
  return user == 0 || user == ::geteuid();
}

void throw_foreign_link(const fs::path& link) {
  throw Error(
      ErrorKind::invalid, "ForeignLink",
      fmt::format("{} leads, by a link of another user, to a file that is not that user's.", link.string()),
      "Name the file itself, if it is meant.");
}

Fd find_file(const fs::path& file) {
  std::deque<std::string> rest;
  put_in_front(rest, file);
  Fd at = open_start(file);
  std::optional<uid_t> guide;  // another user whose link we followed
  struct stat status {};
  for (int links = 0; at && !rest.empty();) {
    const std::string name = std::move(rest.front());
    rest.pop_front();
    Fd next(::openat(at.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!next || ::fstat(next.get(), &status) != 0) return Fd();
    if (!S_ISLNK(status.st_mode)) {
      at = std::move(next);
      continue;
    }
    if (++links > most_links) {
      errno = ELOOP;
      return Fd();
    }
    if (is_on(next, PROC_SUPER_MAGIC)) {  // the kernel's own, to what may have no name
      at = Fd(::openat(at.get(), name.c_str(), O_PATH | O_CLOEXEC));
      continue;
    }
    const auto text = text_of_link(next);
    if (!text) return Fd();
    if (!is_trusted(status.st_uid)) {
      if (guide && *guide != status.st_uid) throw_foreign_link(file);
      guide = status.st_uid;
    }
    put_in_front(rest, *text);
    if (text->front() == '/') at = open_start("/");
  }
  if (at && guide && (::fstat(at.get(), &status) != 0 || status.st_uid != *guide)) throw_foreign_link(file);
  return at;
}

Fd open_regular(Fd place, const fs::path& file) {
  const struct stat status = status_at(place, file);
  if (!S_ISREG(status.st_mode)) throw_no_file(file, status.st_mode);
  return open_place(place, file);
}

Fd open_stream(Fd place, const fs::path& file) {
  const struct stat status = status_at(place, file);
  const bool given_to_us = S_ISFIFO(status.st_mode) && is_on(place, PIPEFS_MAGIC);
  const bool null = S_ISCHR(status.st_mode) && status.st_rdev == ::makedev(1, 3);
  if (!S_ISREG(status.st_mode) && !given_to_us && !null) throw_no_file(file, status.st_mode);
  return open_place(place, file);
}

Fd open_file(const fs::path& file) {
  return open_regular(find_file(file), file);
}

}  // namespace berth
