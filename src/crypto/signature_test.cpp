#include "crypto/signature.h"

#include <gtest/gtest.h>

#include "crypto/test_support.h"

namespace berth {
namespace {

TEST(Signature, HoldsForItsBytesItsKeyAndItsSchemeAlone) {
  const Certificate certificate = issue_certificate({.common_name = "x"}, rsa_key());
  for (const SignatureScheme scheme : {SignatureScheme::rs256, SignatureScheme::ps256}) {
    const auto other = scheme == SignatureScheme::rs256 ? SignatureScheme::ps256 : SignatureScheme::rs256;
    const std::string signature = sign_bytes(rsa_key(), "the bytes", scheme, "key.pem");
    EXPECT_TRUE(is_signed_by(certificate, "the bytes", signature, scheme));
    EXPECT_FALSE(is_signed_by(certificate, "other bytes", signature, scheme));
    EXPECT_FALSE(is_signed_by(certificate, "the bytes", signature, other));
    EXPECT_FALSE(is_signed_by(certificate, "the bytes", signature.substr(1), scheme));
    EXPECT_FALSE(is_signed_by(certificate, "the bytes", "", scheme));
    const PrivateKey stranger = PrivateKey::generate_rsa();
    EXPECT_FALSE(
        is_signed_by(issue_certificate({.common_name = "y"}, stranger), "the bytes", signature, scheme));
  }
}

TEST(Signature, IsWhatTheOpensslProgramTakes) {
  const OpensslProgram openssl;
  openssl.write("cert.pem", issue_certificate({.common_name = "x"}, rsa_key()).to_pem());
  openssl.write("bytes", "the bytes");
  openssl.write("signature", sign_bytes(rsa_key(), "the bytes", SignatureScheme::ps256, "key.pem"));
  ASSERT_EQ(openssl.run("x509 -in cert.pem -pubkey -noout -out public.pem").exit_code, 0);
  EXPECT_EQ(
      openssl
          .run("dgst -sha256 -verify public.pem -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 "
               "-signature signature bytes")
          .exit_code,
      0);
}

TEST(Signature, IsMadeByRsaKeysAlone) {
  try {
    sign_bytes(PrivateKey::generate_ec(), "x", SignatureScheme::ps256, "mine.pem");
    FAIL() << "signed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    EXPECT_STREQ(error.what(), "The key in mine.pem is not an RSA key.");
  }
  const Certificate certificate = issue_certificate({.common_name = "x"}, PrivateKey::generate_ec());
  EXPECT_FALSE(is_signed_by(certificate, "x", "y", SignatureScheme::rs256));
}

}  // namespace
}  // namespace berth
