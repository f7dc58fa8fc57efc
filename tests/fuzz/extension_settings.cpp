#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "extension/engine_config.h"
#include "extension/settings.h"

/// The settings file, then its public part, then the same bytes as protected part.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::extension;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto tried = [](auto&& call) {
    try {
      call();
    } catch (const berth::Error&) {
    }
  };
  tried([&] {
    const Envelope envelope = parse_envelope(text);
    const Settings settings = parse_settings(envelope.public_settings, berth::Secret("{}"));
    wanted_daemon_keys(settings, sort_options(settings.options), false);
  });
  tried([&] { parse_settings(text, berth::Secret("{}")); });
  tried([&] { parse_settings("{}", berth::Secret(text)); });
  return 0;
}
