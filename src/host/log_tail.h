#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace berth {

/// The last `lines` lines of a log, of what was written to it after its first `since` bytes; at most 16 KiB
/// of it, however large the file is. Empty when it cannot be read.
std::string log_tail(const std::filesystem::path& file, std::size_t lines, std::uintmax_t since = 0);

}  // namespace berth
