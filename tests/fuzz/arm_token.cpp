#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/arm/ids.h"
#include "api/arm/tokens.h"
#include "base/error.h"
#include "crypto/encoding.h"

/// Whatever stands behind "Bearer", as it is and signed with our key; and whatever stands in a path.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::arm;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const berth::Secret key("a key of thirty-two characters!!");
  const std::chrono::sys_seconds now{std::chrono::seconds(1'800'000'000)};
  try {
    verify_token(text, key, now);
    std::abort();  // nobody guesses a signature
  } catch (const berth::Error&) {
  }
  const std::string body = "e30." + berth::base64url_encode(text);
  try {
    verify_token(body + "." + berth::base64url_encode(berth::hmac_sha256(key.reveal(), body)), key, now);
  } catch (const berth::Error&) {
  }
  if (const auto id = ResourceId::parse(text)) {
    const auto again = ResourceId::parse(id->text());
    if (!again || again->text() != id->text()) std::abort();
  }
  return 0;
}
