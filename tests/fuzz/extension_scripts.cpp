#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "scripts/settings.h"

/// The same bytes as public and as protected settings of each handler, and as an address.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::extension;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto tried = [](auto&& call) {
    try {
      call();
    } catch (const berth::Error&) {
    }
  };
  for (const ScriptKind& kind : script_kinds) {
    tried([&] { parse_script_settings(kind, text, berth::Secret("{}")); });
    tried([&] { parse_script_settings(kind, "{}", berth::Secret(text)); });
  }
  tried([&] { parse_file_uri(text); });
  return 0;
}
