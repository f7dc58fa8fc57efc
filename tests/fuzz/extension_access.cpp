#include <cstdint>
#include <string>

#include "base/error.h"
#include "vm_access/settings.h"

/// The same bytes as public and as protected settings.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::extension;
  const std::string text(reinterpret_cast<const char*>(data), size);
  for (const bool hidden : {false, true}) {
    try {
      parse_access_settings(hidden ? "{}" : text, berth::Secret(hidden ? text : "{}"));
    } catch (const berth::Error&) {
    }
  }
  return 0;
}
