#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/test_support.h"

namespace berth {
namespace {

using testing::HasSubstr;

TEST(PrivateKey, ReadsWhatItWrote) {
  for (const PrivateKey& key : {PrivateKey::generate_ec(), rsa_key()}) {
    const Certificate certificate = issue_certificate({.common_name = "x"}, key);
    EXPECT_THAT(key.to_pem().reveal(), testing::StartsWith("-----BEGIN PRIVATE KEY-----\n"));
    EXPECT_TRUE(certificate.matches(PrivateKey::parse_pem(key.to_pem(), "key.pem")));
  }
}

TEST(PrivateKey, IsOfTheKindThatWasAskedFor) {
  const OpensslProgram openssl;
  openssl.write("ec.pem", PrivateKey::generate_ec().to_pem().reveal());
  openssl.write("rsa.pem", rsa_key().to_pem().reveal());
  EXPECT_THAT(openssl.run("pkey -in ec.pem -noout -text").text, HasSubstr("NIST CURVE: P-256"));
  EXPECT_THAT(openssl.run("pkey -in rsa.pem -noout -text").text, HasSubstr("2048 bit"));
}

TEST(PrivateKey, IsReadInEveryUnencryptedForm) {
  const OpensslProgram openssl;
  ASSERT_EQ(openssl.run("ecparam -name prime256v1 -genkey -out with-parameters.pem").exit_code, 0);
  ASSERT_EQ(openssl.run("ec -in with-parameters.pem -out sec1.pem").exit_code, 0);
  ASSERT_EQ(openssl.run("genrsa -traditional -out pkcs1.pem 2048").exit_code, 0);
  ASSERT_EQ(openssl.run("genpkey -algorithm ed25519 -out ed25519.pem").exit_code, 0);
  EXPECT_THAT(openssl.read("with-parameters.pem"), HasSubstr("BEGIN EC PARAMETERS"));
  EXPECT_THAT(openssl.read("pkcs1.pem"), HasSubstr("BEGIN RSA PRIVATE KEY"));
  for (const char* name : {"with-parameters.pem", "sec1.pem", "pkcs1.pem", "ed25519.pem"})
    EXPECT_NO_THROW(PrivateKey::parse_pem(Secret(openssl.read(name)), name)) << name;
}

TEST(PrivateKey, ThatIsEncryptedIsNamedAndSaidToBe) {
  const OpensslProgram openssl;
  ASSERT_EQ(openssl.run("genrsa -aes128 -passout pass:secret -traditional -out old.pem 2048").exit_code, 0);
  ASSERT_EQ(openssl.run("genrsa -aes128 -passout pass:secret -out new.pem 2048").exit_code, 0);
  for (const char* name : {"old.pem", "new.pem"}) {
    const Error error = thrown_by([&] { PrivateKey::parse_pem(Secret(openssl.read(name)), name); });
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr(name), HasSubstr("encrypted")));
    EXPECT_NE(error.advice, "");
  }
}

TEST(PrivateKey, ThatIsNoneIsNamedAndNotQuoted) {
  const std::string pem = PrivateKey::generate_ec().to_pem().reveal();
  const std::string certificate = issue_certificate({.common_name = "x"}, PrivateKey::generate_ec()).to_pem();
  std::string broken = pem;
  broken[pem.size() / 2] = '*';
  for (const std::string& text :
       {std::string(), std::string("hunter2"), certificate, pem.substr(0, pem.size() / 2), broken,
        std::string("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"), std::string(1000, '\0'),
        std::string(
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n-----END OPENSSH PRIVATE KEY-----\n")}) {
    const Error error = thrown_by([&] { PrivateKey::parse_pem(Secret(text), "key.pem"); });
    EXPECT_EQ(error.kind, ErrorKind::invalid) << text;
    EXPECT_THAT(error.what(), testing::StartsWith("key.pem is not a private key in PEM form: ")) << text;
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("hunter2")));
  }
}

TEST(PrivateKey, ThatIsHugeIsRefused) {
  EXPECT_EQ(thrown_by([] { PrivateKey::parse_pem(Secret(std::string(20 << 20, 'x')), "key.pem"); }).kind,
            ErrorKind::invalid);
}

}  // namespace
}  // namespace berth
