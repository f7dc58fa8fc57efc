#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace berth {

/// SHA-256, lower-case hexadecimal, of the pieces that `next` gives until an empty one: for what is too large
/// to be held in memory.
std::string sha256_hex(const std::function<std::string_view()>& next);

}  // namespace berth
