#include "api/arm/tokens.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "crypto/encoding.h"

namespace berth::arm {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

const Secret key("a key of thirty-two characters!!");
const sys_seconds now{seconds(1'800'000'000)};

TokenClaims claims() {
  TokenClaims made;
  made.issuer = "https://127.0.0.1/adfs";
  made.audience = "https://management.core.windows.net/";
  made.tenant = "11111111-1111-1111-1111-111111111111";
  made.subject = "client";
  made.issued = now;
  made.expires = now + seconds(3600);
  return made;
}

std::string code_of(std::string_view token, const Secret& with, sys_seconds when) {
  try {
    verify_token(token, with, when);
    return "accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::unauthorized);
    return error.code;
  }
}

TEST(Tokens, CarryTheirClaims) {
  const TokenClaims read = verify_token(sign_token(claims(), key).reveal(), key, now + seconds(10));

  EXPECT_EQ(read.tenant, claims().tenant);
  EXPECT_EQ(read.subject, "client");
  EXPECT_EQ(read.use, TokenUse::access);
  EXPECT_EQ(read.expires, claims().expires);
}

TEST(Tokens, Expire) {
  EXPECT_EQ(code_of(sign_token(claims(), key).reveal(), key, now + seconds(3600)),
            "ExpiredAuthenticationToken");
}

TEST(Tokens, OfAnotherKeyAreRefused) {
  EXPECT_EQ(code_of(sign_token(claims(), Secret("another key")).reveal(), key, now),
            "InvalidAuthenticationToken");
  EXPECT_EQ(code_of(sign_token(claims(), Secret()).reveal(), Secret(), now), "InvalidAuthenticationToken");
}

TEST(Tokens, WithOneChangedCharacterAreRefused) {
  const std::string token = sign_token(claims(), key).reveal();
  for (std::size_t at = 0; at + 1 < token.size(); at += 7) {
    std::string changed = token;
    changed[at] = changed[at] == 'A' ? 'B' : 'A';
    EXPECT_EQ(code_of(changed, key, now), "InvalidAuthenticationToken") << at;
  }
}

TEST(Tokens, WithoutASignatureAreRefusedWhateverTheirHeaderSays) {
  const std::string header = base64url_encode(R"({"alg":"none"})");
  const std::string body = base64url_encode(R"({"exp":9999999999,"iat":1,"tid":"x"})");

  for (const std::string& token : {header + "." + body + ".", header + "." + body, std::string("."),
                                   std::string(".."), std::string(9000, 'a'), std::string()})
    EXPECT_EQ(code_of(token, key, now), "InvalidAuthenticationToken");
}

}  // namespace
}  // namespace berth::arm
