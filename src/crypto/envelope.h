#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/secret.h"
#include "crypto/certificate.h"

namespace berth {

enum class ContentCipher { des_ede3_cbc, aes_256_cbc };

/// CMS EnvelopedData (RFC 5652), DER, for one RSA recipient: what the guest agent and the handlers decrypt.
std::string cms_encrypt(std::string_view plain, const Certificate& recipient, ContentCipher cipher);

/// Opens such an envelope: RSA PKCS#1 v1.5, content 3DES-CBC or AES-CBC of any size, recipient by issuer and
/// serial or by key id. Throws Error(invalid) when it is malformed, or not for this certificate.
Secret cms_decrypt(std::string_view der, const Certificate& recipient, const PrivateKey& key);

using Identity = std::pair<Certificate, PrivateKey>;

/// PKCS#12 with an empty password, AES: what the guest agent unpacks from the certificates document.
std::string pfx_for_guest(const std::vector<Identity>& identities);

/// PKCS#12 with a null (not: empty) password, PBE-SHA1-3DES: what the classic client reads from a
/// publish-settings file. Source: reference of the classic API, section 5. RSA keys only.
std::string pfx_for_publish_settings(const Identity& identity);

/// Reads such a file, or one with an empty password, or with that one. Throws Error(invalid) naming `what`.
Identity parse_pfx(std::string_view der, std::string_view what, const Secret& password = {});

}  // namespace berth
