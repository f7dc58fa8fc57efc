#include "api/arm/tokens.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/signature.h"

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

/// What a client signs, with one of its parts as the test wants it.
class Assertions : public testing::Test {
 protected:
  Assertions() {
    wanted.certificate =
        issue_certificate({.use = CertificateUse::client, .common_name = "client"}, rsa()).to_pem();
    wanted.client_id = "client";
    wanted.audiences = {"https://127.0.0.1/adfs/oauth2/token"};
  }
  static const PrivateKey& rsa() {
    static const PrivateKey made = PrivateKey::generate_rsa();
    return made;
  }
  std::string signed_text(const std::string& algorithm, const PrivateKey& by) const {
    const std::string text = base64url_encode(R"({"typ":"JWT","alg":")" + algorithm + "\"}") + "." +
                             base64url_encode(parts.dump());
    return text + "." +
           base64url_encode(sign_bytes(
               by, text, algorithm == "PS256" ? SignatureScheme::ps256 : SignatureScheme::rs256, "key"));
  }
  std::string problem(const std::string& algorithm = "PS256") const {
    return assertion_problem(signed_text(algorithm, rsa()), wanted, now);
  }

  ClientAssertion wanted;
  nlohmann::json parts = {{"aud", "https://127.0.0.1/adfs/oauth2/token/"},
                          {"iss", "client"},
                          {"sub", "client"},
                          {"nbf", 1'800'000'000},
                          {"exp", 1'800'000'600}};
};

TEST_F(Assertions, ProveAClientByItsCertificate) {
  EXPECT_EQ(problem("PS256"), "");
  EXPECT_EQ(problem("RS256"), "");
  parts["exp"] = 1'800'000'600.25;  // as az writes it
  EXPECT_EQ(problem(), "");
}

TEST_F(Assertions, ThatSayOrAreAnythingElseProveNothing) {
  for (const auto& [name, value] : std::vector<std::pair<const char*, nlohmann::json>>{
           {"aud", "https://login.microsoftonline.com/x/oauth2/token"},
           {"aud", nullptr},
           {"iss", "another"},
           {"sub", "another"},
           {"sub", nullptr},
           {"exp", 1'800'000'000},
           {"exp", "soon"},
           {"exp", 1e300},
           {"exp", -1e300},
           {"exp", 1'800'000'000 + 86'401},
           {"exp", nullptr},
           {"nbf", 1'800'001'000}}) {
    const nlohmann::json before = parts;
    if (value.is_null())
      parts.erase(name);
    else
      parts[name] = value;
    EXPECT_NE(problem(), "") << name << value;
    parts = before;
  }
  EXPECT_NE(problem("none"), "");
  EXPECT_NE(problem("HS256"), "");
  EXPECT_NE(assertion_problem(signed_text("PS256", PrivateKey::generate_rsa()), wanted, now), "");
  for (const char* text : {"", ".", "..", "a.b", "e30.e30.e30", "e30.e30."})
    EXPECT_NE(assertion_problem(text, wanted, now), "") << text;
  wanted.certificate.clear();
  EXPECT_NE(problem(), "");
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
