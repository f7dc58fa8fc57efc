#include "crypto/envelope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pkcs12.h>

#include "crypto/encoding.h"
#include "crypto/openssl.h"
#include "crypto/test_support.h"

namespace berth {
namespace {

using testing::HasSubstr;

/// A tenant's certificate, a stranger's, and openssl with both.
class Envelope : public testing::Test {
 protected:
  Envelope() {
    openssl.write("t.crt", tenant.first.to_pem());
    openssl.write("t.prv", tenant.second.to_pem().reveal());
  }

  const Identity tenant = self_signed(CertificateUse::encryption, rsa_key(), "TenantEncryptionCert");
  const Identity stranger = self_signed(CertificateUse::encryption, other_rsa_key(), "Stranger");
  const std::string plain = "{\"key\": \"\xc3\xa4\r\n\"}\n" + std::string(1, '\0');
  const OpensslProgram openssl;
};

TEST_F(Envelope, OpensForItsRecipient) {
  for (const auto cipher : {ContentCipher::des_ede3_cbc, ContentCipher::aes_256_cbc}) {
    const std::string der = cms_encrypt(plain, tenant.first, cipher);
    EXPECT_EQ(der.find("key"), std::string::npos);
    EXPECT_EQ(cms_decrypt(der, tenant.first, tenant.second).reveal(), plain);
  }
}

TEST_F(Envelope, CarriesEmptyAndLargeTexts) {
  for (const std::string& text : {std::string(), std::string(3'000'000, 'x')})
    EXPECT_EQ(
        cms_decrypt(cms_encrypt(text, tenant.first, ContentCipher::aes_256_cbc), tenant.first, tenant.second)
            .reveal(),
        text);
}

TEST_F(Envelope, IsOpenedByTheGuestsPrograms) {
  for (const auto& [cipher, name] : {std::pair(ContentCipher::des_ede3_cbc, "des-ede3-cbc"),
                                     std::pair(ContentCipher::aes_256_cbc, "aes-256-cbc")}) {
    openssl.write("p.der", cms_encrypt(plain, tenant.first, cipher));
    // What the agent runs for the certificates, and what public handlers run for protected settings.
    EXPECT_EQ(openssl.run("cms -decrypt -inform DER -in p.der -recip t.crt -inkey t.prv").text, plain);
    EXPECT_EQ(openssl.run("smime -inform DER -decrypt -in p.der -recip t.crt -inkey t.prv").text, plain);
    EXPECT_THAT(openssl.run("cms -cmsout -print -inform DER -in p.der").text, HasSubstr(name));
  }
}

TEST_F(Envelope, OfOthersIsOpenedWhateverTheCbcCipherAndTheWayTheRecipientIsNamed) {
  openssl.write("plain", plain);
  for (const std::string options :
       {"-des3", "-aes128", "-aes192", "-aes256", "-aes256 -keyid", "-aes256 -stream -indef"}) {
    const auto made =
        openssl.run("cms -encrypt -binary " + options + " -outform DER -in plain -out p.der t.crt");
    ASSERT_EQ(made.exit_code, 0) << made.text;
    EXPECT_EQ(cms_decrypt(openssl.read("p.der"), tenant.first, tenant.second).reveal(), plain) << options;
  }
  ASSERT_EQ(openssl.run("smime -encrypt -binary -des3 -outform DER -in plain -out p.der t.crt").exit_code, 0);
  EXPECT_EQ(cms_decrypt(openssl.read("p.der"), tenant.first, tenant.second).reveal(), plain);
}

TEST_F(Envelope, ForSeveralRecipientsOpensForEach) {
  openssl.write("plain", plain);
  openssl.write("s.crt", stranger.first.to_pem());
  ASSERT_EQ(
      openssl.run("cms -encrypt -binary -aes256 -outform DER -in plain -out p.der s.crt t.crt").exit_code, 0);
  EXPECT_EQ(cms_decrypt(openssl.read("p.der"), tenant.first, tenant.second).reveal(), plain);
  EXPECT_EQ(cms_decrypt(openssl.read("p.der"), stranger.first, stranger.second).reveal(), plain);
}

TEST_F(Envelope, StaysClosedForAnotherCertificate) {
  const std::string der = cms_encrypt(plain, tenant.first, ContentCipher::aes_256_cbc);
  const Error error = thrown_by([&] { cms_decrypt(der, stranger.first, stranger.second); });
  EXPECT_EQ(error.kind, ErrorKind::invalid);
  EXPECT_THAT(error.what(), HasSubstr("not for the certificate " + stranger.first.thumbprint()));
}

TEST_F(Envelope, StaysClosedForAKeyThatIsNotTheCertificates) {
  const std::string der = cms_encrypt(plain, tenant.first, ContentCipher::aes_256_cbc);
  const Error error = thrown_by([&] { cms_decrypt(der, tenant.first, stranger.second); });
  EXPECT_EQ(error.kind, ErrorKind::invalid);
  EXPECT_EQ(error.code, "InvalidKey");
}

TEST_F(Envelope, IsRefusedWhenMalformed) {
  const std::string der = cms_encrypt(plain, tenant.first, ContentCipher::aes_256_cbc);
  openssl.write("plain", plain);
  ASSERT_EQ(
      openssl.run("cms -sign -binary -nodetach -outform DER -in plain -out s.der -signer t.crt -inkey t.prv")
          .exit_code,
      0);
  for (const std::string& text :
       {std::string(), std::string("x"), std::string(1000, '\0'), openssl.read("s.der"),
        tenant.first.to_der(), base64_encode(der), std::string(20 << 20, '0')})
    EXPECT_EQ(thrown_by([&] { cms_decrypt(text, tenant.first, tenant.second); }).kind, ErrorKind::invalid);
  for (std::size_t size = 0; size < der.size(); ++size)
    EXPECT_THROW(cms_decrypt(der.substr(0, size), tenant.first, tenant.second), Error) << size;
}

TEST_F(Envelope, WithAnyByteChangedNeverCrashesAndNeverGivesAnInternalError) {
  const std::string der = cms_encrypt(plain, tenant.first, ContentCipher::des_ede3_cbc);
  for (std::size_t at = 0; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 0x21);
    try {
      (void)cms_decrypt(changed, tenant.first, tenant.second);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind, ErrorKind::invalid) << at << ": " << error.what();
    }
  }
}

TEST_F(Envelope, CannotBeMadeForAKeyThatOnlySigns) {
  const Identity ec = self_signed(CertificateUse::encryption, PrivateKey::generate_ec());
  EXPECT_EQ(thrown_by([&] { cms_encrypt(plain, ec.first, ContentCipher::aes_256_cbc); }).kind,
            ErrorKind::invalid);
}

TEST_F(Envelope, AndPfxGoTheWholeWayThatTheAgentTakesThem) {
  // The agent: base64 -d | openssl cms -decrypt | openssl pkcs12 -nodes -password pass:
  openssl.write("p.b64", base64_encode(cms_encrypt(pfx_for_guest({tenant, stranger}), tenant.first,
                                                   ContentCipher::des_ede3_cbc),
                                       64));
  const std::string message =
      "MIME-Version: 1.0\nContent-Disposition: attachment; filename=\"p7m\"\n"
      "Content-Type: application/x-pkcs7-mime; name=\"p7m\"\n"
      "Content-Transfer-Encoding: base64\n\n";
  openssl.write("p.p7m", message + openssl.read("p.b64"));
  ASSERT_EQ(openssl.run("cms -decrypt -in p.p7m -recip t.crt -inkey t.prv -out p.pfx").exit_code, 0);
  const auto opened = openssl.run("pkcs12 -nodes -password pass: -in p.pfx");
  EXPECT_EQ(opened.exit_code, 0) << opened.text;
  EXPECT_THAT(opened.text,
              testing::AllOf(HasSubstr(tenant.first.to_pem()), HasSubstr(stranger.first.to_pem()),
                             HasSubstr(tenant.second.to_pem().reveal()),
                             HasSubstr(stranger.second.to_pem().reveal())));
}

class Pfx : public Envelope {
 protected:
  using Pkcs12Ptr = std::unique_ptr<PKCS12, Releaser<PKCS12_free>>;
  struct ReleaseSafes {
    void operator()(STACK_OF(PKCS7) * safes) const { sk_PKCS7_pop_free(safes, &PKCS7_free); }
  };
  struct ReleaseBags {
    void operator()(STACK_OF(PKCS12_SAFEBAG) * bags) const {
      sk_PKCS12_SAFEBAG_pop_free(bags, &PKCS12_SAFEBAG_free);
    }
  };
  using BagsPtr = std::unique_ptr<STACK_OF(PKCS12_SAFEBAG), ReleaseBags>;

  /// Calls `look` with each safe, as a reader without OpenSSL's leniency about empty passwords would.
  static void each_safe(const std::string& der, const std::function<void(PKCS7*)>& look) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
    const Pkcs12Ptr pfx(d2i_PKCS12(nullptr, &bytes, static_cast<long>(der.size())));
    const std::unique_ptr<STACK_OF(PKCS7), ReleaseSafes> safes(PKCS12_unpack_authsafes(pfx.get()));
    for (int i = 0; i < sk_PKCS7_num(safes.get()); ++i) look(sk_PKCS7_value(safes.get(), i));
  }

  /// True when the encrypted safe of the certificate and the shrouded bag of the key open with it.
  static bool opens_all_bags(const std::string& der, const char* password) {
    int opened = 0;
    each_safe(der, [&](PKCS7* safe) {
      if (PKCS7_type_is_encrypted(safe)) {
        opened += BagsPtr(PKCS12_unpack_p7encdata(safe, password, 0)) != nullptr;
        return;
      }
      const BagsPtr bags(PKCS12_unpack_p7data(safe));
      const std::unique_ptr<PKCS8_PRIV_KEY_INFO, Releaser<PKCS8_PRIV_KEY_INFO_free>> key(
          PKCS12_decrypt_skey(sk_PKCS12_SAFEBAG_value(bags.get(), 0), password, 0));
      opened += key != nullptr;
    });
    return opened == 2;
  }

  static std::vector<int> ciphers_of(const std::string& der) {
    std::vector<int> ciphers;
    const auto note = [&](const X509_ALGOR* algorithm) {
      const ASN1_OBJECT* name = nullptr;
      X509_ALGOR_get0(&name, nullptr, nullptr, algorithm);
      ciphers.push_back(OBJ_obj2nid(name));
    };
    each_safe(der, [&](PKCS7* safe) {
      if (PKCS7_type_is_encrypted(safe)) return note(safe->d.encrypted->enc_data->algorithm);
      const BagsPtr bags(PKCS12_unpack_p7data(safe));
      const X509_ALGOR* algorithm = nullptr;
      X509_SIG_get0(PKCS12_SAFEBAG_get0_pkcs8(sk_PKCS12_SAFEBAG_value(bags.get(), 0)), &algorithm, nullptr);
      note(algorithm);
    });
    return ciphers;
  }
};

TEST_F(Pfx, ForTheGuestIsEncryptedWithAesAndReadsBack) {
  const std::string der = pfx_for_guest({tenant});
  openssl.write("t.pfx", der);
  EXPECT_THAT(
      openssl.run("pkcs12 -info -noout -passin pass: -in t.pfx").text,
      testing::AllOf(HasSubstr("AES-256-CBC"), HasSubstr("MAC: sha256"), testing::Not(HasSubstr("RC2"))));
  const Identity again = parse_pfx(der, "t.pfx");
  EXPECT_EQ(again.first.to_der(), tenant.first.to_der());
  EXPECT_TRUE(again.first.matches(again.second));
}

TEST_F(Pfx, ForPublishSettingsHasANullPasswordAndOldCiphers) {
  const Identity management = self_signed(CertificateUse::client, rsa_key(), "Management");
  const std::string der = pfx_for_publish_settings(management);
  const Identity again = parse_pfx(der, "management.pfx");
  EXPECT_EQ(again.first.to_der(), management.first.to_der());
  EXPECT_TRUE(again.first.matches(again.second));

  // The client reads it with its own code: a key derived from no bytes at all (an empty password would be two
  // zero bytes), and ciphers of 1999.
  EXPECT_TRUE(opens_all_bags(der, nullptr));
  EXPECT_FALSE(opens_all_bags(der, ""));
  EXPECT_THAT(ciphers_of(der), testing::Each(NID_pbe_WithSHA1And3_Key_TripleDES_CBC));
  EXPECT_EQ(ciphers_of(der).size(), 2u);
}

TEST_F(Pfx, ForPublishSettingsTakesRsaKeysOnly) {
  const Identity ec = self_signed(CertificateUse::client, PrivateKey::generate_ec());
  EXPECT_EQ(thrown_by([&] { pfx_for_publish_settings(ec); }).kind, ErrorKind::invalid);
}

TEST_F(Pfx, IsNotMadeOfACertificateAndAnothersKeyNorOfNothing) {
  const Identity mixed{tenant.first, stranger.second};
  EXPECT_EQ(thrown_by([&] { pfx_for_guest({mixed}); }).kind, ErrorKind::invalid);
  EXPECT_EQ(thrown_by([&] { pfx_for_publish_settings(mixed); }).kind, ErrorKind::invalid);
  EXPECT_EQ(thrown_by([&] { pfx_for_guest({}); }).kind, ErrorKind::invalid);
}

TEST_F(Pfx, OfOpensslWithAnEmptyPasswordIsRead) {
  for (const std::string options : {"", "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1", "-nomac",
                                    "-keypbe NONE -certpbe NONE"}) {
    ASSERT_EQ(
        openssl.run("pkcs12 -export -inkey t.prv -in t.crt -passout pass: -out t.pfx " + options).exit_code,
        0);
    EXPECT_EQ(parse_pfx(openssl.read("t.pfx"), "t.pfx").first.to_der(), tenant.first.to_der()) << options;
  }
}

TEST_F(Pfx, ThatAsksForTooManyIterationsIsRefusedBeforeAnythingIsDerived) {
  for (const std::string options :
       {"", "-keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1", "-certpbe NONE", "-nomac"}) {
    ASSERT_EQ(
        openssl.run("pkcs12 -export -inkey t.prv -in t.crt -passout pass: -out t.pfx -iter 65539 " + options)
            .exit_code,
        0);
    const std::string der = openssl.read("t.pfx");
    EXPECT_EQ(parse_pfx(der, "t.pfx").first.to_der(), tenant.first.to_der()) << options;
    // Not 65537: a certificate in clear has that as the exponent of its key.
    const std::string count("\x02\x03\x01\x00\x03", 5), more("\x02\x03\x7F\xFF\xFF", 5);
    int places = 0;
    for (std::size_t at = der.find(count); at != der.npos; at = der.find(count, at + 1), ++places) {
      std::string slow = der;
      slow.replace(at, count.size(), more);
      const Error error = thrown_by([&] { parse_pfx(slow, "t.pfx"); });
      EXPECT_EQ(error.code, "InvalidPfx");
      EXPECT_THAT(error.what(), HasSubstr("more than 1000000 iterations")) << options << " at " << at;
    }
    EXPECT_GE(places, 1) << options;
  }
}

TEST_F(Pfx, WithAPasswordIsSaidToHaveOne) {
  ASSERT_EQ(openssl.run("pkcs12 -export -inkey t.prv -in t.crt -passout pass:secret -out t.pfx").exit_code,
            0);
  const Error error = thrown_by([&] { parse_pfx(openssl.read("t.pfx"), "t.pfx"); });
  EXPECT_EQ(error.kind, ErrorKind::invalid);
  EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("t.pfx"), HasSubstr("password")));
}

TEST_F(Pfx, WithoutAKeyIsSaidToHaveNone) {
  ASSERT_EQ(openssl.run("pkcs12 -export -nokeys -in t.crt -passout pass: -out t.pfx").exit_code, 0);
  EXPECT_THAT(thrown_by([&] { parse_pfx(openssl.read("t.pfx"), "t.pfx"); }).what(), HasSubstr("private key"));
}

TEST_F(Pfx, IsRefusedWhenMalformed) {
  const std::string der = pfx_for_guest({tenant});
  for (const std::string& text : {std::string(), std::string("x"), std::string(1000, '\0'),
                                  tenant.first.to_der(), std::string(20 << 20, '0')}) {
    const Error error = thrown_by([&] { parse_pfx(text, "t.pfx"); });
    EXPECT_EQ(error.kind, ErrorKind::invalid);
    EXPECT_THAT(error.what(), testing::StartsWith("t.pfx is "));
  }
  for (std::size_t size = 0; size < der.size(); size += 7)
    EXPECT_THROW(parse_pfx(der.substr(0, size), "t.pfx"), Error) << size;
}

TEST_F(Pfx, WithAnyByteChangedIsRefused) {
  const std::string der = pfx_for_publish_settings(tenant);
  for (std::size_t at = 0; at < der.size(); at += 13) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 0x41);
    try {
      const Identity read = parse_pfx(changed, "t.pfx");
      EXPECT_TRUE(read.first.matches(read.second));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind, ErrorKind::invalid) << at << ": " << error.what();
    }
  }
}

}  // namespace
}  // namespace berth
