#include "crypto/envelope.h"

#include <fmt/format.h>
#include <openssl/cms.h>
#include <openssl/err.h>

#include "crypto/openssl.h"

namespace berth {
namespace {

using CmsPtr = std::unique_ptr<CMS_ContentInfo, Releaser<CMS_ContentInfo_free>>;
struct ReleaseStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }  // the certificates stay
};
using StackPtr = std::unique_ptr<STACK_OF(X509), ReleaseStack>;

[[noreturn]] void throw_invalid(const std::string& happened) {
  throw Error(ErrorKind::invalid, "InvalidEnvelope", happened);
}

/// By issuer and serial number, or by subject key identifier.
bool is_for(CMS_ContentInfo* cms, const Certificate& recipient) {
  STACK_OF(CMS_RecipientInfo)* infos = CMS_get0_RecipientInfos(cms);
  for (int i = 0; i < sk_CMS_RecipientInfo_num(infos); ++i) {
    CMS_RecipientInfo* info = sk_CMS_RecipientInfo_value(infos, i);
    if (CMS_RecipientInfo_type(info) == CMS_RECIPINFO_TRANS &&
        CMS_RecipientInfo_ktri_cert_cmp(info, recipient.impl().x509.get()) == 0)
      return true;
  }
  return false;
}

}  // namespace

std::string cms_encrypt(std::string_view plain, const Certificate& recipient, ContentCipher cipher) {
  const EVP_PKEY* key = X509_get0_pubkey(recipient.impl().x509.get());
  if (!key || EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA) {
    ERR_clear_error();
    throw_invalid(
        fmt::format("Nothing can be encrypted to {}: its key is not an RSA key.", recipient.subject()));
  }
  const BioPtr input = reading_bio(plain, "The text to encrypt");
  const StackPtr recipients(must(sk_X509_new_null(), "take memory"));
  must(sk_X509_push(recipients.get(), recipient.impl().x509.get()), "take memory");
  const CmsPtr cms(CMS_encrypt(recipients.get(), input.get(),
                               cipher == ContentCipher::aes_256_cbc ? EVP_aes_256_cbc() : EVP_des_ede3_cbc(),
                               CMS_BINARY));
  if (!cms) {
    const std::string reason = openssl_reason();
    throw_invalid(fmt::format("Nothing can be encrypted to {}: {}.", recipient.subject(), reason));
  }
  return der_of(&i2d_CMS_ContentInfo, cms.get(), "write an envelope");
}

Secret cms_decrypt(std::string_view der, const Certificate& recipient, const PrivateKey& key) {
  // OpenSSL answers a wrong key with noise, to give attackers no oracle; we ask before.
  if (!recipient.matches(key))
    throw Error(ErrorKind::invalid, "InvalidKey",
                fmt::format("The private key is not that of the certificate {}.", recipient.thumbprint()));
  const BioPtr input = reading_bio(der, "The encrypted message");
  const CmsPtr cms(d2i_CMS_bio(input.get(), nullptr));
  if (!cms) throw_invalid(fmt::format("The encrypted message is not CMS in DER form: {}.", openssl_reason()));
  if (OBJ_obj2nid(CMS_get0_type(cms.get())) != NID_pkcs7_enveloped)
    throw_invalid("The encrypted message is CMS, but not enveloped data.");
  if (!is_for(cms.get(), recipient))
    throw_invalid(
        fmt::format("The encrypted message is not for the certificate {}.", recipient.thumbprint()));
  const BioPtr output = writing_bio();
  if (CMS_decrypt(cms.get(), key.impl().key.get(), recipient.impl().x509.get(), nullptr, output.get(),
                  CMS_BINARY) != 1) {
    const std::string reason = openssl_reason();
    throw_invalid(fmt::format("The encrypted message cannot be decrypted with the certificate {}: {}.",
                              recipient.thumbprint(), reason));
  }
  return Secret(std::string(written_to(output)));
}

}  // namespace berth
