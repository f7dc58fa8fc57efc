#pragma once

#include <string_view>

namespace berth::qemu {

/// What the probe's guest writes to port 0xe9 when all went well.
constexpr std::string_view probe_word = "berth-probe-ok";

/// Its boot sector.
std::string_view probe_guest();

}  // namespace berth::qemu
