#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>

#include <cstring>

#include "crypto/encoding.h"
#include "crypto/envelope.h"
#include "crypto/openssl.h"

namespace berth {
namespace {

using Pkcs12Ptr = std::unique_ptr<PKCS12, Releaser<PKCS12_free>>;

struct ReleaseBags {
  void operator()(STACK_OF(PKCS12_SAFEBAG) * bags) const {
    sk_PKCS12_SAFEBAG_pop_free(bags, &PKCS12_SAFEBAG_free);
  }
};
using BagsPtr = std::unique_ptr<STACK_OF(PKCS12_SAFEBAG), ReleaseBags>;

struct ReleaseSafes {
  void operator()(STACK_OF(PKCS7) * safes) const { sk_PKCS7_pop_free(safes, &PKCS7_free); }
};
using SafesPtr = std::unique_ptr<STACK_OF(PKCS7), ReleaseSafes>;

/// A reader pairs a key with the certificate that carries the same id.
void set_pair_id(PKCS12_SAFEBAG* bag, const Certificate& certificate) {
  std::string id = sha1(certificate.to_der());
  must(bag && PKCS12_add_localkeyid(bag, reinterpret_cast<unsigned char*>(id.data()),
                                    static_cast<int>(id.size())),
       "fill a PFX");
}

template <typename Owner, typename Stack>
void take_back(Owner& owner, Stack* stack) {  // OpenSSL may have made or moved it
  (void)owner.release();
  owner.reset(stack);
}

void add_identity(const Identity& identity, BagsPtr& certificates, BagsPtr& keys) {
  const auto& [certificate, key] = identity;
  if (!certificate.matches(key))
    throw Error(ErrorKind::invalid, "InvalidKey",
                fmt::format("The private key is not that of the certificate {}.", certificate.thumbprint()));
  auto* certificate_stack = certificates.get();
  PKCS12_SAFEBAG* bag = PKCS12_add_cert(&certificate_stack, certificate.impl().x509.get());
  take_back(certificates, certificate_stack);
  set_pair_id(bag, certificate);

  auto* key_stack = keys.get();
  bag = PKCS12_add_key(&key_stack, key.impl().key.get(), 0, PKCS12_DEFAULT_ITER, NID_aes_256_cbc, "");
  take_back(keys, key_stack);
  set_pair_id(bag, certificate);
}

}  // namespace

std::string pfx_for_guest(const std::vector<Identity>& identities) {
  if (identities.empty())
    throw Error(ErrorKind::invalid, "InvalidPfx", "A PFX without any certificate cannot be made.");
  ERR_clear_error();
  BagsPtr certificates;
  BagsPtr keys;
  for (const Identity& identity : identities) add_identity(identity, certificates, keys);

  SafesPtr safes;
  auto* stack = safes.get();
  const bool added =
      PKCS12_add_safe(&stack, certificates.get(), NID_aes_256_cbc, PKCS12_DEFAULT_ITER, "") == 1 &&
      PKCS12_add_safe(&stack, keys.get(), -1, 0, nullptr) == 1;  // each key is encrypted already
  take_back(safes, stack);
  must(added, "fill a PFX");
  const Pkcs12Ptr pfx(must(PKCS12_add_safes(safes.get(), 0), "make a PFX"));
  must(PKCS12_set_mac(pfx.get(), "", 0, nullptr, 0, PKCS12_DEFAULT_ITER, EVP_sha256()), "protect a PFX");
  return der_of(&i2d_PKCS12, pfx.get(), "write a PFX");
}

std::string pfx_for_publish_settings(const Identity& identity) {
  const auto& [certificate, key] = identity;
  if (EVP_PKEY_get_base_id(key.impl().key.get()) != EVP_PKEY_RSA)
    throw Error(ErrorKind::invalid, "InvalidKey", "A publish-settings file can carry only an RSA key.");
  if (!certificate.matches(key))
    throw Error(ErrorKind::invalid, "InvalidKey",
                fmt::format("The private key is not that of the certificate {}.", certificate.thumbprint()));
  constexpr int iterations = 2000;
  constexpr int cipher = NID_pbe_WithSHA1And3_Key_TripleDES_CBC;
  constexpr int without_mac = -1;  // it is set below: PKCS12_create would take SHA-256
  ERR_clear_error();
  const Pkcs12Ptr pfx(
      must(PKCS12_create(nullptr, "management", key.impl().key.get(), certificate.impl().x509.get(), nullptr,
                         cipher, cipher, iterations, without_mac, 0),
           "make a PFX"));
  must(PKCS12_set_mac(pfx.get(), nullptr, 0, nullptr, 0, iterations, EVP_sha1()), "protect a PFX");
  return der_of(&i2d_PKCS12, pfx.get(), "write a PFX");
}

Identity parse_pfx(std::string_view der, std::string_view what, const Secret& secret) {
  const BioPtr bio = reading_bio(der, what);
  const Pkcs12Ptr pfx(d2i_PKCS12_bio(bio.get(), nullptr));
  if (!pfx)
    throw Error(ErrorKind::invalid, "InvalidPfx",
                fmt::format("{} is not a PFX file: {}.", what, openssl_reason()));
  const auto opens_with = [&](const char* password) {
    return !PKCS12_mac_present(pfx.get()) || PKCS12_verify_mac(pfx.get(), password, password ? static_cast<int>(std::strlen(password)) : 0) == 1;
  };
  KeyPtr key;
  X509Ptr x509;
  std::string reason = secret.empty() ? "it is protected by a password" : "its password is another one";
  std::vector<const char*> passwords{nullptr, ""};
  if (!secret.empty()) passwords.push_back(secret.reveal().c_str());
  for (const char* password : passwords) {
    ERR_clear_error();
    if (!opens_with(password)) continue;
    EVP_PKEY* raw_key = nullptr;
    X509* raw_x509 = nullptr;
    const bool parsed = PKCS12_parse(pfx.get(), password, &raw_key, &raw_x509, nullptr) == 1;
    key.reset(raw_key);
    x509.reset(raw_x509);
    if (parsed && key && x509) break;
    reason = parsed ? "it holds no certificate with its private key" : openssl_reason();
  }
  ERR_clear_error();
  if (!key || !x509)
    throw Error(ErrorKind::invalid, "InvalidPfx", fmt::format("{} cannot be opened: {}.", what, reason));
  return {Certificate::Impl::wrap(std::move(x509)), PrivateKey::Impl::wrap(std::move(key))};
}

}  // namespace berth
