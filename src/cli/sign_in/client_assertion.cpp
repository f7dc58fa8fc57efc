#include "cli/sign_in/client_assertion.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "crypto/signature.h"
#include "host/files.h"

namespace berth {
namespace {

using nlohmann::ordered_json;
using namespace std::chrono_literals;
using std::chrono::floor;
using std::chrono::seconds;

constexpr std::size_t largest_certificate_file = std::size_t{256} << 10;

void check_dates(const Certificate& certificate, const std::string& file,
                 std::chrono::system_clock::time_point now) {
  const auto day = [](CertificateTime time) {
    return fmt::format("{:%Y-%m-%d %H:%M} UTC", std::chrono::system_clock::time_point(time));
  };
  if (now > certificate.not_after())
    throw Error(ErrorKind::invalid, "CertificateExpired",
                fmt::format("The certificate in {} was valid until {}.", file, day(certificate.not_after())),
                "Make a new one, register it with the application, and put both into the file.");
  if (now + 5min < certificate.not_before())
    throw Error(
        ErrorKind::invalid, "CertificateNotYetValid",
        fmt::format("The certificate in {} is valid from {} on.", file, day(certificate.not_before())),
        "Is the clock of this machine right ('date -u')?");
}

}  // namespace

Secret client_assertion(const AssertionOrder& order, std::chrono::system_clock::time_point now) {
  const std::string file = order.file.string();
  const Secret pem(read_file(order.file, largest_certificate_file));
  const PrivateKey key = PrivateKey::parse_pem(pem, file);
  const std::vector<Certificate> chain = Certificate::parse_bundle(pem.reveal(), file);
  const auto leaf = std::ranges::find_if(chain, [&](const Certificate& one) { return one.matches(key); });
  if (leaf == chain.end())
    throw Error(ErrorKind::invalid, "CertificateMismatch",
                fmt::format("The key in {} belongs to none of the certificates in it.", file),
                "Put the certificate and its own key into one file: cat cert.pem key.pem > both.pem");
  check_dates(*leaf, file, now);

  ordered_json header = {{"alg", order.for_adfs ? "RS256" : "PS256"}, {"typ", "JWT"}};
  if (order.for_adfs)
    header["x5t"] = base64url_encode(sha1(leaf->to_der()));
  else
    header["x5t#S256"] = base64url_encode(sha256(leaf->to_der()));
  if (order.with_chain) {
    header["x5c"] = {base64_encode(leaf->to_der())};  // the leaf stands first
    for (const Certificate& one : chain)
      if (&one != &*leaf) header["x5c"].push_back(base64_encode(one.to_der()));
  }
  const auto issued = floor<seconds>(now).time_since_epoch().count();
  const ordered_json claims = {{"aud", order.audience}, {"iss", order.client_id}, {"sub", order.client_id},
                               {"jti", new_uuid()},     {"nbf", issued},          {"iat", issued},
                               {"exp", issued + 600}};
  const std::string text = base64url_encode(header.dump()) + "." + base64url_encode(claims.dump());
  const auto scheme = order.for_adfs ? SignatureScheme::rs256 : SignatureScheme::ps256;
  return Secret(text + "." + base64url_encode(sign_bytes(key, text, scheme, file)));
}

}  // namespace berth
