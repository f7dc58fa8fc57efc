#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace berth {

/// The last `lines` lines of a log, of what was written to it after its first `since` bytes; at most `most`
/// bytes of it, however large the file is. Carriage returns, which a serial console writes, are left out.
/// Empty when it cannot be read.
std::string log_tail(const std::filesystem::path& file, std::size_t lines, std::uintmax_t since = 0,
                     std::uintmax_t most = 16 * 1024);

}  // namespace berth
