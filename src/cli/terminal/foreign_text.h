#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace berth {

/// What others said, as it may stand on a terminal: what would steer it (control characters, those of C1 in UTF-8 too) is left
/// out; line breaks stay, and a tab becomes a blank.
std::string printable(std::string_view text);

/// Its first line, printable, of at most `most` bytes, whole UTF-8 characters.
std::string printable_line(std::string_view text, std::size_t most = 300);

}  // namespace berth
