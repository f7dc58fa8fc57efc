#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "http/target.h"

/// A path that is accepted begins with a slash, holds no two in a row and no control characters.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto target = berth::parse_target({reinterpret_cast<const char*>(data), size});
  if (!target || target->path == "*") return 0;
  if (!target->path.starts_with('/') || target->path.find("//") != std::string::npos) std::abort();
  for (const char c : target->path)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) std::abort();
  if (berth::percent_decode(berth::percent_encode(target->path)) != target->path) std::abort();
  return 0;
}
