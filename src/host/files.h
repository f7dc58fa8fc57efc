#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "host/fd.h"

namespace berth {

/// The whole file. Throws Error(not_found | unavailable) naming it; Error(invalid) above `limit` bytes.
std::string read_file(const std::filesystem::path& file, std::size_t limit = 64u << 20);

/// As above, nullopt when it does not exist.
std::optional<std::string> read_file_if_there(const std::filesystem::path& file);

/// A temporary file beside it, fsync, rename, fsync of the folder: readers see the old bytes or the new
/// ones. `mode` is the file's mode whatever it was before. Throws Error(unavailable) naming the file.
void write_file(const std::filesystem::path& file, std::string_view bytes, mode_t mode = 0600);

/// The same, but never over an existing file: throws Error(conflict) then.
void create_file(const std::filesystem::path& file, std::string_view bytes, mode_t mode = 0600);

/// Gives the complete file `draft` the name `file`, in the same folder, over what has it: synced, file and
/// folder. Throws Error(unavailable) naming the file.
void move_into_place(const std::filesystem::path& draft, const std::filesystem::path& file);

/// Removes what write_file() and create_file() left in a folder when they were killed. Nobody may be writing
/// there.
void remove_drafts(const std::filesystem::path& folder);

/// Makes the folder (and its parents, 0700). Throws Error(unavailable) naming it.
void make_folder(const std::filesystem::path& folder, mode_t mode = 0700);

/// Bytes that an ordinary user may still write on the file system that holds `path`.
std::uintmax_t free_space(const std::filesystem::path& path);

/// An exclusive lock held by the kernel for this process; gone with it, however it ends.
class FileLock {
 public:
  /// nullopt when another process holds it.
  static std::optional<FileLock> try_take(const std::filesystem::path& file);
  /// Waits; for command line programs and threads, never on the region's thread.
  static FileLock take(const std::filesystem::path& file);

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace berth
