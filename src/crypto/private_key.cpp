#include <fmt/format.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "crypto/openssl.h"

namespace berth {
namespace {

/// OpenSSL asks for a pass phrase: then the key is encrypted, which is all we want to know.
int note_and_refuse(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

}  // namespace

PrivateKey PrivateKey::generate_ec() {
  return Impl::wrap(must(KeyPtr(EVP_EC_gen("P-256")), "make a key"));
}

PrivateKey PrivateKey::generate_rsa() {
  return Impl::wrap(must(KeyPtr(EVP_RSA_gen(2048)), "make a key"));
}

PrivateKey PrivateKey::parse_pem(const Secret& pem, std::string_view what) {
  const BioPtr bio = reading_bio(pem.reveal(), what);
  bool encrypted = false;
  KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &note_and_refuse, &encrypted));
  const std::string reason = openssl_reason();
  if (encrypted)
    throw Error(ErrorKind::invalid, "InvalidKey", fmt::format("{} is encrypted with a pass phrase.", what),
                "Decrypt it first: openssl pkey -in ENCRYPTED -out KEY.");
  if (!key)
    throw Error(ErrorKind::invalid, "InvalidKey",
                fmt::format("{} is not a private key in PEM form: {}.", what, reason));
  return Impl::wrap(std::move(key));
}

Secret PrivateKey::to_pem() const {
  const BioPtr bio = writing_bio();
  must(PEM_write_bio_PKCS8PrivateKey(bio.get(), impl_->key.get(), nullptr, nullptr, 0, nullptr, nullptr),
       "write a private key");
  return Secret(std::string(written_to(bio)));
}

}  // namespace berth
