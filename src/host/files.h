#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "host/fd.h"

namespace berth {

/// Opens a regular file for reading, once: whoever swaps the name afterwards changes nothing. Nothing else is
/// opened at all, so no fifo holds us up and no device notices. Links are followed, but one that belongs to
/// another user (than us and root), anywhere in the path, only to a file of that user: nobody leads us to
/// what he may not read. Throws Error: not_found, unavailable, invalid ("NotAFile", "ForeignLink").
Fd open_file(const std::filesystem::path& file);

/// The whole file, opened as by open_file(); besides, a pipe that we were given (/dev/stdin, /dev/fd/N) to
/// its end, and /dev/null. Throws as that; Error(invalid) above `limit` bytes.
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

/// Removes a file so that no loss of power brings it back; nothing when it is not there. Throws Error(unavailable)
/// naming it.
void remove_file(const std::filesystem::path& file);

/// Removes what write_file() and create_file() left in a folder when they were killed. Nobody may be writing
/// there.
void remove_drafts(const std::filesystem::path& folder);

/// Makes the folder (and its parents, 0700). From one that is there, what `mode` does not give to others is
/// taken away. Throws Error(unavailable) naming it, also when it belongs to another user.
void make_folder(const std::filesystem::path& folder, mode_t mode = 0700);

/// Bytes that an ordinary user may still write on the file system that holds `path`.
std::uintmax_t free_space(const std::filesystem::path& path);

/// An exclusive lock held by the kernel for this process; gone with it, however it ends. Its file is our
/// user's alone: whoever can open a file can lock it, too. Both throw Error(unavailable): the file cannot be
/// made, is not a file, or belongs to another user.
class FileLock {
 public:
  /// nullopt when another process holds it.
  static std::optional<FileLock> try_take(const std::filesystem::path& file);
  /// Waits, never on the region's thread. Throws Error(unavailable) also when it is still held at the limit.
  static FileLock take(const std::filesystem::path& file,
                       std::chrono::milliseconds limit = std::chrono::seconds(60));

 private:
  explicit FileLock(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace berth
