#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "api/wire/reports.h"
#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const berth::HealthReport report = berth::wire::parse_health({reinterpret_cast<const char*>(data), size});
    nlohmann::json({report.incarnation, report.state, report.description}).dump();  // throws on no UTF-8
  } catch (const berth::Error&) {
  }
  return 0;
}
