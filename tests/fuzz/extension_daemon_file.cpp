#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "extension/engine_config.h"

/// A merge keeps the user's keys, says what it changed, is stable, and can be taken back.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::extension;
  using nlohmann::ordered_json;
  const std::string users(reinterpret_cast<const char*>(data), size);
  Settings settings;
  settings.port = 2376;
  settings.ca = "pem";
  settings.hardening = Hardening::cis;
  try {
    const auto wanted = wanted_daemon_keys(settings, {}, false);
    const DaemonFile merged = merge_daemon_file(users, wanted, {});
    const ordered_json after = ordered_json::parse(merged.text, nullptr, false);
    if (!after.is_object() || after["tlsverify"] != true) std::abort();
    const DaemonFile again = merge_daemon_file(merged.text, wanted, merged.owned);
    if (!again.changed.empty() || again.text != merged.text) std::abort();
    const DaemonFile back = merge_daemon_file(merged.text, {}, merged.owned);
    const ordered_json before = ordered_json::parse(users, nullptr, false);
    const ordered_json restored = ordered_json::parse(back.text, nullptr, false);
    if (before.is_object() && restored != before)
      for (const auto& [name, value] : before.items())
        if (!name.starts_with("tls") && (!restored.contains(name) || restored[name] != value)) std::abort();
  } catch (const berth::Error&) {
  }
  return 0;
}
