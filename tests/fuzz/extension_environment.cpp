#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "handler/environment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto environment =
        berth::extension::parse_handler_environment({reinterpret_cast<const char*>(data), size});
    if (!environment.status_folder.is_absolute()) std::abort();
    environment.library_folder();
  } catch (const berth::Error&) {
  }
  return 0;
}
