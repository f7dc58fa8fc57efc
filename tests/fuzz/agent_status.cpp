#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "api/wire/reports.h"
#include "base/error.h"

/// Whatever a guest uploads: an Error(invalid), or a status that can be given to clients as JSON.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    if (const auto content = berth::wire::parse_status_upload(text)) berth::wire::parse_status(*content);
  } catch (const berth::Error&) {
  }
  try {
    const berth::AgentStatus status = berth::wire::parse_status(text);
    if (status.handlers.size() > 100) std::abort();
    nlohmann::json(status.message).dump();  // throws on what is no UTF-8
    for (const berth::HandlerStatus& handler : status.handlers)
      nlohmann::json({handler.handler, handler.version, handler.message}).dump();
  } catch (const berth::Error&) {
  }
  try {
    for (const std::string& name : berth::wire::unhealthy_observations(text)) nlohmann::json(name).dump();
  } catch (const berth::Error&) {
  }
  return 0;
}
