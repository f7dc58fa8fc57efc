#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/wire/reports.h"
#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    if (berth::wire::parse_telemetry({reinterpret_cast<const char*>(data), size}).size() > 100) std::abort();
  } catch (const berth::Error&) {
  }
  return 0;
}
