#pragma once

#include <filesystem>

#include "host/fd.h"

namespace berth::network {

constexpr std::size_t longest_socket_path = 107;

/// A non-blocking stream socket that is connected or about to be; empty with errno set when it cannot be.
/// EAGAIN: somebody listens and has no room now.
Fd connect_unix(const std::filesystem::path& path);

/// Listens at `path` (0600), in the place of any socket that was there. Throws Error(unavailable).
Fd listen_unix(const std::filesystem::path& path, int backlog);

}  // namespace berth::network
