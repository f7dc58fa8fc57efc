#include "host/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <system_error>

#include "base/error.h"
#include "host/file_path.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_unavailable(const fs::path& file, std::string_view cannot, int error) {
  const auto kind = error == ENOENT || error == ENOTDIR ? ErrorKind::not_found : ErrorKind::unavailable;
  throw Error(kind, kind == ErrorKind::not_found ? "FileNotFound" : "FileUnavailable",
              fmt::format("{} cannot be {}: {}.", file.string(), cannot, std::strerror(error)));
}

[[noreturn]] void throw_unwritable(const fs::path& file, int error) {
  const bool full = error == ENOSPC || error == EDQUOT;
  throw Error(ErrorKind::unavailable, full ? "NoSpace" : "FileUnavailable",
              fmt::format("{} cannot be written: {}.", file.string(), std::strerror(error)),
              full ? "Free some space on that file system, then try again." : "");
}

[[noreturn]] void throw_no_folder(const fs::path& folder, std::string_view why) {
  throw Error(ErrorKind::unavailable, "FileUnavailable",
              fmt::format("The folder {} cannot be made: {}.", folder.string(), why));
}

std::string read_all(const Fd& fd, const fs::path& file, std::size_t limit) {
  constexpr std::size_t chunk = 64u << 10;
  struct stat status {};
  std::size_t expected = chunk;
  if (::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode))
    expected = std::min(static_cast<std::size_t>(status.st_size), limit) + 1;

  std::string bytes;
  std::size_t used = 0;
  while (true) {
    bytes.resize(std::max(used + chunk, expected));
    const ssize_t got = ::read(fd.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_unavailable(file, "read", errno);
    used += static_cast<std::size_t>(got);
    if (used > limit)
      throw Error(ErrorKind::invalid, "FileTooLarge",
                  fmt::format("{} is larger than the limit of {} bytes.", file.string(), limit));
    if (got == 0) break;
  }
  bytes.resize(used);
  return bytes;
}

/// The file that a write must replace: the end of the chain when `file` is a symbolic link.
fs::path target_of(const fs::path& file) {
  std::error_code not_there;
  struct stat link {};
  if (::lstat(file.c_str(), &link) == 0 && S_ISLNK(link.st_mode) && !is_trusted(link.st_uid))
    throw_foreign_link(file);
  const fs::path target = fs::is_symlink(file, not_there) ? fs::canonical(file, not_there) : file;
  return not_there || target.empty() ? file : target;
}

void sync_folder_of(const fs::path& file) {
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd) ::fsync(fd.get());  // some file systems cannot, and then need not
}

/// A complete, synced file beside its destination, deleted unless it was moved there.
class Draft {
 public:
  Draft(const fs::path& destination, std::string_view bytes, mode_t mode) : destination_(destination) {
    const std::string name = "." + destination.filename().string().substr(0, 200) + ".XXXXXX";
    name_ = (destination.parent_path() / name).string();
    const Fd fd(::mkostemp(name_.data(), O_CLOEXEC));
    if (!fd) throw_unwritable(destination, errno);
    try {
      fill(fd, bytes, mode);
    } catch (...) {
      ::unlink(name_.c_str());
      throw;
    }
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  ~Draft() {
    if (!name_.empty()) ::unlink(name_.c_str());
  }

  void replace() {
    if (::rename(name_.c_str(), destination_.c_str()) != 0) throw_unwritable(destination_, errno);
    name_.clear();
    sync_folder_of(destination_);
  }

  /// False when the destination exists.
  bool create() {
    int done = ::renameat2(AT_FDCWD, name_.c_str(), AT_FDCWD, destination_.c_str(), RENAME_NOREPLACE);
    if (done == 0)
      name_.clear();
    else if (errno == EINVAL || errno == ENOSYS)  // the file system lacks it: a second name does the same
      done = ::link(name_.c_str(), destination_.c_str());
    if (done != 0 && errno == EEXIST) return false;
    if (done != 0) throw_unwritable(destination_, errno);
    sync_folder_of(destination_);
    return true;
  }

 private:
  void fill(const Fd& fd, std::string_view bytes, mode_t mode) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) throw_unwritable(destination_, errno);
      bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    if (::fchmod(fd.get(), mode) != 0 || ::fsync(fd.get()) != 0) throw_unwritable(destination_, errno);
  }

  fs::path destination_;
  std::string name_;
};

}  // namespace

std::string read_file(const fs::path& file, std::size_t limit) {
  return read_all(open_stream(file), file, limit);
}

std::optional<std::string> read_file_if_there(const fs::path& file) {
  Fd place = find_file(file);
  if (!place && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  return read_all(open_stream(std::move(place), file), file, 64u << 20);
}

void write_file(const fs::path& file, std::string_view bytes, mode_t mode) {
  Draft(target_of(file), bytes, mode).replace();
}

void create_file(const fs::path& file, std::string_view bytes, mode_t mode) {
  if (!Draft(file, bytes, mode).create())
    throw Error(ErrorKind::conflict, "FileExists", fmt::format("{} exists already.", file.string()),
                "Move it away, or choose another place.");
}

void remove_drafts(const fs::path& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();  // ".NAME.XXXXXX"
    if (name.size() > 8 && name.front() == '.' && name[name.size() - 7] == '.')
      fs::remove(entry.path(), ignored);
  }
}

void move_into_place(const fs::path& draft, const fs::path& file) {
  const Fd fd(::open(draft.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || ::fsync(fd.get()) != 0 || ::rename(draft.c_str(), file.c_str()) != 0)
    throw_unwritable(file, errno);
  sync_folder_of(file);
}

void remove_file(const fs::path& file) {
  if (::unlink(file.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} cannot be removed: {}.", file.string(), std::strerror(errno)));
  sync_folder_of(file);  // also of a removal before, which may not have come so far
}

void make_folder(const fs::path& folder, mode_t mode) {
  const fs::path path = folder.has_filename() ? folder : folder.parent_path();  // "a/b/" is "a/b"
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    const fs::path parent = path.parent_path();
    std::error_code unknown;
    if (!parent.empty() && parent != path && !fs::is_directory(parent, unknown)) make_folder(parent);
    if (::mkdir(path.c_str(), mode) == 0) {
      ::chmod(path.c_str(), mode);  // whatever the umask took away
      return;
    }
    if (errno != EEXIST || ::stat(path.c_str(), &status) != 0) throw_no_folder(path, std::strerror(errno));
  }
  if (!S_ISDIR(status.st_mode))
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} must be a folder, but it is a file.", path.string()), "Move it away.");
  if (status.st_uid != ::geteuid()) throw_no_folder(path, "one that belongs to another user is there");
  const mode_t too_much = status.st_mode & 077 & ~mode;
  if (too_much != 0 && ::chmod(path.c_str(), status.st_mode & 07777 & ~too_much) != 0)
    throw_no_folder(path, std::strerror(errno));
}

std::uintmax_t free_space(const fs::path& path) {
  std::error_code ignored;
  fs::path place = fs::absolute(path, ignored);
  struct statvfs status {};
  while (::statvfs(place.c_str(), &status) != 0) {
    if (errno != ENOENT || place == place.root_path()) throw_unavailable(path, "measured", errno);
    place = place.parent_path();
  }
  return static_cast<std::uintmax_t>(status.f_bavail) * status.f_frsize;
}

}  // namespace berth
