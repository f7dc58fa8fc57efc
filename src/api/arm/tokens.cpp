#include "api/arm/tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/encoding.h"
#include "crypto/signature.h"
#include "model/names.h"

namespace berth::arm {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr std::size_t longest_token = 8192;
constexpr seconds clock_difference{120};

Error invalid_token(const std::string& why) {
  return Error(ErrorKind::unauthorized, "InvalidAuthenticationToken", "The access token is invalid: " + why,
               "Sign in again.");
}

json claims_document(const TokenClaims& claims) {
  json document = {{"aud", claims.audience},
                   {"iss", claims.issuer},
                   {"iat", claims.issued.time_since_epoch().count()},
                   {"nbf", claims.issued.time_since_epoch().count()},
                   {"exp", claims.expires.time_since_epoch().count()},
                   {"sub", claims.subject},
                   {"tid", claims.tenant},
                   {"ver", "1.0"}};
  document[claims.is_user ? "upn" : "appid"] = claims.subject;
  if (!claims.principal.empty()) {
    document["oid"] = claims.principal;
    document["xms_mirid"] = claims.resource;
    document["idtyp"] = "app";
  }
  return document;
}

std::string text_of(const json& document, const char* key) {
  const auto found = document.find(key);
  return found != document.end() && found->is_string() ? found->get<std::string>() : std::string();
}

sys_seconds time_of(const json& document, const char* key) {
  const auto found = document.find(key);
  if (found == document.end() || !found->is_number_integer())
    throw invalid_token(fmt::format("'{}' is missing.", key));
  return sys_seconds(seconds(found->get<std::int64_t>()));
}

}  // namespace

Secret sign_token(const TokenClaims& claims, const Secret& key) {
  json document = claims_document(claims);
  document["use"] = claims.use == TokenUse::access ? "access" : "refresh";
  const std::string text =
      base64url_encode(R"({"alg":"HS256","typ":"JWT"})") + "." + base64url_encode(document.dump());
  return Secret(text + "." + base64url_encode(hmac_sha256(key.reveal(), text)));
}

TokenClaims verify_token(std::string_view token, const Secret& key, sys_seconds now) {
  if (token.empty() || token.size() > longest_token) throw invalid_token("it is none.");
  const std::size_t second_dot = token.rfind('.');
  const std::size_t first_dot = token.find('.');
  if (first_dot == token.npos || first_dot == second_dot)
    throw invalid_token("it does not have three parts.");
  const auto signature = base64url_decode(token.substr(second_dot + 1));
  if (key.empty() || !signature ||
      !equal_in_constant_time(*signature, hmac_sha256(key.reveal(), token.substr(0, second_dot))))
    throw invalid_token("its signature is not ours.");
  // From here on it is our own text; it is still read with care.
  const auto body = base64url_decode(token.substr(first_dot + 1, second_dot - first_dot - 1));
  const json document = body ? json::parse(*body, nullptr, false) : json();
  if (!document.is_object()) throw invalid_token("its claims are not JSON.");
  TokenClaims claims;
  claims.use = text_of(document, "use") == "refresh" ? TokenUse::refresh : TokenUse::access;
  claims.issuer = text_of(document, "iss");
  claims.audience = text_of(document, "aud");
  claims.tenant = text_of(document, "tid");
  claims.subject = text_of(document, "sub");
  claims.is_user = document.contains("upn");
  claims.resource = text_of(document, "xms_mirid");
  if (!claims.resource.empty()) claims.principal = text_of(document, "oid");
  claims.issued = time_of(document, "iat");
  claims.expires = time_of(document, "exp");
  if (claims.issued > now + clock_difference) throw invalid_token("it is from the future.");
  if (claims.expires <= now)
    throw Error(
        ErrorKind::unauthorized, "ExpiredAuthenticationToken",
        fmt::format("The access token expiry UTC time is earlier than the current UTC time: it expired {} "
                    "seconds ago.",
                    (now - claims.expires).count()),
        "Sign in again.");
  return claims;
}

std::string assertion_problem(std::string_view token, const ClientAssertion& wanted, sys_seconds now) {
  const std::size_t first_dot = token.find('.'), second_dot = token.rfind('.');
  if (wanted.certificate.empty()) return "The region has no certificate for its client.";
  if (token.size() > longest_token || first_dot == token.npos || first_dot == second_dot)
    return "The client assertion is no token of three parts.";
  const auto part = [&](std::size_t begin, std::size_t end) {
    const auto text = base64url_decode(token.substr(begin, end - begin));
    json document = text ? json::parse(*text, nullptr, false) : json();
    return document.is_object() ? document : json::object();
  };
  const std::string algorithm = text_of(part(0, first_dot), "alg");
  if (algorithm != "RS256" && algorithm != "PS256")
    return "The client assertion is signed by neither RS256 nor PS256.";
  const auto signature = base64url_decode(token.substr(second_dot + 1));
  const auto scheme = algorithm == "RS256" ? SignatureScheme::rs256 : SignatureScheme::ps256;
  if (!signature || !is_signed_by(Certificate::parse_pem(wanted.certificate, "the client's certificate"),
                                  token.substr(0, second_dot), *signature, scheme))
    return "The client assertion is not signed with the client's certificate.";
  const json claims = part(first_dot + 1, second_dot);
  if (!same_name(text_of(claims, "iss"), wanted.client_id) ||
      !same_name(text_of(claims, "sub"), wanted.client_id))
    return "The client assertion is another client's.";
  std::string audience = text_of(claims, "aud");
  while (audience.ends_with('/')) audience.pop_back();
  if (std::ranges::find(wanted.audiences, audience) == wanted.audiences.end())
    return "The client assertion is for another authority.";
  const auto time = [&](const char* key) {  // az writes them with fractions
    const auto found = claims.find(key);
    const double value = found != claims.end() && found->is_number() ? found->get<double>() : 0;
    return sys_seconds(seconds(static_cast<std::int64_t>(std::clamp(value, 0.0, 1e12))));
  };
  const sys_seconds end = time("exp");
  if (end <= now || end > now + std::chrono::hours(24) || time("nbf") > now + clock_difference)
    return "The client assertion is not within its time.";
  return {};
}

std::string make_id_token(const TokenClaims& claims, std::string_view client_id) {
  json document = claims_document(claims);
  document["aud"] = client_id;
  document["name"] = claims.subject;
  document["oid"] = claims.subject;
  document["unique_name"] = claims.subject;
  document["preferred_username"] = claims.subject;
  return base64url_encode(R"({"alg":"none","typ":"JWT"})") + "." + base64url_encode(document.dump()) + ".";
}

}  // namespace berth::arm
