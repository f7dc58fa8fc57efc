#pragma once

#include <sys/types.h>

#include <filesystem>

#include "host/fd.h"

/// How files.cpp comes from a name to a file. Nobody else includes this.
namespace berth {

/// Us and root: what they say about our files is followed.
bool is_trusted(uid_t user);

[[noreturn]] void throw_foreign_link(const std::filesystem::path& link);

/// What stands there, as a place (O_PATH): nothing is opened yet. Empty with errno set when there is nothing.
/// Throws Error(invalid, "ForeignLink") as open_file().
Fd find_file(const std::filesystem::path& file);

/// What open_file() and read_file() open at that place. An empty place throws by errno.
Fd open_regular(Fd place, const std::filesystem::path& file);
Fd open_stream(Fd place, const std::filesystem::path& file);
inline Fd open_stream(const std::filesystem::path& file) {
  return open_stream(find_file(file), file);
}

}  // namespace berth
