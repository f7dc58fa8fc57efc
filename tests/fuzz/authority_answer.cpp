#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "cli/account/environments.h"
#include "cli/sign_in/authority.h"
#include "cost.h"

/// What any server may answer to whoever signs in: tokens that fit a header, a printable refusal, or an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth;
  const CostLimit limit(8);
  if (size == 0) return 0;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    const TokenAnswer answer = parse_token_answer(data[0] < 128 ? 200 : 400, body, "x");
    if (answer.grant)
      for (const char c : answer.grant->access.reveal() + answer.grant->refresh.reveal())
        if (c <= ' ' || c > '~') std::abort();
    for (const char c : answer.refusal.error + answer.refusal.description)
      if ((c >= 0 && c < ' ') || c == 0x7F) std::abort();
    if (answer.grant) who_signed_in(answer.grant->id_token);
  } catch (const Error& error) {
    if (error.kind != ErrorKind::unavailable) std::abort();
  }
  who_signed_in(body);
  try {
    const Environment environment = parse_environment(body);
    if (!environment.login.starts_with("https://")) std::abort();
  } catch (const Error& error) {
    if (error.kind != ErrorKind::invalid) std::abort();
  }
  Response response;
  for (const char* name : {"Retry-After", "Date", "x-ms-retry-after-ms"}) response.headers[name] = body;
  if (const auto wait = retry_after(response); wait && (wait->count() < 0 || *wait > std::chrono::hours(24)))
    std::abort();
  clock_trouble(response, "x", std::chrono::system_clock::now());
  return 0;
}
