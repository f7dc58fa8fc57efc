#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/classic/publish_settings.h"
#include "base/error.h"
#include "cost.h"
#include "crypto/envelope.h"

/// Any file that somebody imports: an Error(invalid), or subscriptions with an id and a certificate, which
/// opens or not but soon.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::classic;
  const CostLimit limit(8);
  try {
    for (const PublishedSubscription& one :
         parse_publish_settings(std::string_view(reinterpret_cast<const char*>(data), size), "the file"))
      if (one.id.empty() || one.pfx.empty())
        std::abort();
      else
        berth::parse_pfx(one.pfx.reveal(), "the certificate");
  } catch (const berth::Error& error) {
    if (error.kind != berth::ErrorKind::invalid) std::abort();
  }
  return 0;
}
