#pragma once

#include <string>
#include <string_view>

#include "crypto/certificate.h"

namespace berth {

/// RSA with SHA-256, by the names of JSON Web Algorithms (RFC 7518): PKCS#1 v1.5, and PSS with a salt as long as the hash.
enum class SignatureScheme { rs256, ps256 };

/// The signature's bytes. Throws Error(invalid) naming `what` when the key is not RSA.
std::string sign_bytes(const PrivateKey& key, std::string_view bytes, SignatureScheme scheme,
                       std::string_view what);

/// False also when the certificate's key is not RSA.
bool is_signed_by(const Certificate& certificate, std::string_view bytes, std::string_view signature,
                  SignatureScheme scheme);

}  // namespace berth
