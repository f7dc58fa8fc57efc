#include "crypto/signature.h"

#include <fmt/format.h>
#include <openssl/rsa.h>

#include "crypto/openssl.h"

namespace berth {
namespace {

using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, Releaser<EVP_MD_CTX_free>>;

const unsigned char* raw_bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

void choose_padding(EVP_PKEY_CTX* context, SignatureScheme scheme) {
  if (scheme == SignatureScheme::rs256) return;
  must(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), "choose the padding");
  must(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST), "choose the salt");
}

}  // namespace

std::string sign_bytes(const PrivateKey& key, std::string_view bytes, SignatureScheme scheme,
                       std::string_view what) {
  EVP_PKEY* const native = key.impl().key.get();
  if (EVP_PKEY_is_a(native, "RSA") != 1)
    throw Error(ErrorKind::invalid, "InvalidKey", fmt::format("The key in {} is not an RSA key.", what),
                "Take a certificate with an RSA key of 2048 bits or more.");
  const DigestContextPtr context = must(DigestContextPtr(EVP_MD_CTX_new()), "sign");
  EVP_PKEY_CTX* parameters = nullptr;
  must(EVP_DigestSignInit(context.get(), &parameters, EVP_sha256(), nullptr, native), "sign");
  choose_padding(parameters, scheme);
  std::size_t size = 0;
  must(EVP_DigestSign(context.get(), nullptr, &size, raw_bytes(bytes), bytes.size()), "sign");
  std::string signature(size, '\0');
  must(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                      raw_bytes(bytes), bytes.size()),
       "sign");
  signature.resize(size);
  return signature;
}

bool is_signed_by(const Certificate& certificate, std::string_view bytes, std::string_view signature,
                  SignatureScheme scheme) {
  EVP_PKEY* const native = X509_get0_pubkey(certificate.impl().x509.get());
  if (native == nullptr || EVP_PKEY_is_a(native, "RSA") != 1) return false;
  const DigestContextPtr context = must(DigestContextPtr(EVP_MD_CTX_new()), "check a signature");
  EVP_PKEY_CTX* parameters = nullptr;
  must(EVP_DigestVerifyInit(context.get(), &parameters, EVP_sha256(), nullptr, native), "check a signature");
  choose_padding(parameters, scheme);
  const bool good = EVP_DigestVerify(context.get(), raw_bytes(signature), signature.size(), raw_bytes(bytes),
                                     bytes.size()) == 1;
  if (!good) openssl_reason();  // the queue is for errors that somebody reads
  return good;
}

}  // namespace berth
