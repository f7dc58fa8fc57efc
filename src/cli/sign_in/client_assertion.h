#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/secret.h"

namespace berth {

/// How a service principal proves by a certificate who it is.
struct AssertionOrder {
  std::filesystem::path file;  ///< PEM: the certificate, its chain if wanted, and the RSA key
  std::string client_id;
  std::string audience;     ///< the authority's token URL
  bool for_adfs = false;    ///< RS256 and x5t, which ADFS knows; else PS256 and x5t#S256, as Entra wants it
  bool with_chain = false;  ///< x5c: for applications that trust a subject and issuer, not one certificate
};

/// A JSON Web Token that is good for ten minutes from `now` (RFC 7523; Microsoft identity platform, "certificate credentials"). Throws
/// Error naming the file: not_found, unavailable; invalid when it has no key, no certificate of that key, another key than RSA, or a
/// certificate that is not valid at `now`.
Secret client_assertion(const AssertionOrder& order, std::chrono::system_clock::time_point now);

}  // namespace berth
