#include "crypto/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>

#include <set>

#include "crypto/encoding.h"
#include "crypto/openssl.h"
#include "crypto/test_support.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

/// A CA with a server and a client certificate, as for one Docker host.
class Authority : public testing::Test {
 protected:
  Certificate issued(const CertificateOrder& order, const PrivateKey& subject) const {
    return issue_certificate(order, subject, &ca, &ca_key);
  }
  std::string text_of(const Certificate& certificate) const {
    openssl.write("x.pem", certificate.to_pem());
    return openssl.run("x509 -in x.pem -noout -text").text;
  }

  const PrivateKey ca_key = PrivateKey::generate_ec();
  const Certificate ca =
      issue_certificate({.use = CertificateUse::authority, .common_name = "Berth CA"}, ca_key);
  const PrivateKey key = PrivateKey::generate_ec();
  const Certificate server =
      issued({.use = CertificateUse::server,
              .common_name = "web1",
              .dns_names = {"web1.cloudapp.net", "*.web1.cloudapp.net", "localhost", "localhost"},
              .ip_addresses = {"127.1.0.1", "::1", "fd00:0::0:1", "0:0::1"}},
             key);
  const Certificate client = issued({.use = CertificateUse::client, .common_name = "ada"}, key);
  const OpensslProgram openssl;
};

TEST_F(Authority, PassesTheStrictVerificationOfOpenssl) {
  openssl.write("ca.pem", ca.to_pem());
  openssl.write("server.pem", server.to_pem());
  openssl.write("client.pem", client.to_pem());
  for (const std::string check :
       {"-purpose sslserver -verify_hostname web1.cloudapp.net server.pem",
        "-purpose sslserver -verify_hostname x.web1.cloudapp.net server.pem",
        "-purpose sslserver -verify_ip 127.1.0.1 server.pem", "-purpose sslserver -verify_ip ::1 server.pem",
        "-purpose sslclient client.pem"}) {
    const auto answer = openssl.run("verify -x509_strict -CAfile ca.pem " + check);
    EXPECT_EQ(answer.exit_code, 0) << check << "\n" << answer.text;
  }
  for (const std::string check : {"-purpose sslclient server.pem", "-purpose sslserver client.pem",
                                  "-purpose sslserver -verify_hostname web2.cloudapp.net server.pem",
                                  "-purpose sslserver -verify_ip 127.1.0.2 server.pem"})
    EXPECT_NE(openssl.run("verify -x509_strict -CAfile ca.pem " + check).exit_code, 0) << check;
}

TEST_F(Authority, SaysWhatEachCertificateMayDo) {
  EXPECT_THAT(text_of(ca), AllOf(HasSubstr("Basic Constraints: critical\n                CA:TRUE"),
                                 HasSubstr("Certificate Sign, CRL Sign"), HasSubstr("Subject Key Identifier"),
                                 Not(HasSubstr("Extended Key Usage"))));
  EXPECT_THAT(text_of(server), AllOf(HasSubstr("Key Usage: critical\n                Digital Signature\n"),
                                     HasSubstr("TLS Web Server Authentication"), HasSubstr("CA:FALSE"),
                                     HasSubstr("Authority Key Identifier"), HasSubstr("ecdsa-with-SHA256")));
  EXPECT_THAT(text_of(client),
              AllOf(HasSubstr("TLS Web Client Authentication"), Not(HasSubstr("Server Authentication")),
                    HasSubstr("Digital Signature")));
  EXPECT_TRUE(ca.is_ca());
  EXPECT_FALSE(server.is_ca());
  EXPECT_TRUE(server.allows_server_auth());
  EXPECT_FALSE(server.allows_client_auth());
  EXPECT_TRUE(client.allows_client_auth());
  EXPECT_FALSE(client.allows_server_auth());
  EXPECT_TRUE(ca.allows_server_auth());  // no extended key usage: no limit
}

TEST_F(Authority, NamesEachHostAndAddressOnce) {
  EXPECT_THAT(server.dns_names(), ElementsAre("web1.cloudapp.net", "*.web1.cloudapp.net", "localhost"));
  EXPECT_THAT(server.ip_addresses(), ElementsAre("127.1.0.1", "::1", "fd00::1"));
  EXPECT_THAT(text_of(server), AllOf(HasSubstr("DNS:localhost, IP Address:127.1.0.1"),
                                     HasSubstr("IP Address:FD00:0:0:0:0:0:0:1")));
  EXPECT_THAT(client.dns_names(), IsEmpty());
  EXPECT_THAT(client.ip_addresses(), IsEmpty());
}

TEST_F(Authority, BeginsFiveMinutesAgoAndEndsAfterTheLifetime) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  EXPECT_NEAR(static_cast<double>((now - server.not_before()).count()), 300, 60);
  EXPECT_NEAR(static_cast<double>((server.not_after() - now).count()), 365 * 86400, 60);
  const Certificate old = issued({.common_name = "x", .lifetime = std::chrono::days(36500)}, key);
  EXPECT_NEAR(static_cast<double>((old.not_after() - now).count()), 36500.0 * 86400, 60);  // beyond 2049
}

TEST_F(Authority, GivesRandomPositiveSerials) {
  std::set<std::string> seen;
  for (int i = 0; i < 20; ++i) {
    openssl.write("x.pem", issued({.common_name = "x"}, key).to_pem());
    const std::string serial = openssl.run("x509 -in x.pem -noout -serial").text;
    EXPECT_THAT(serial, testing::MatchesRegex("serial=[0-9A-F]+\n"));
    EXPECT_GT(serial.size(), 30u);
    EXPECT_TRUE(seen.insert(serial).second);
  }
}

TEST_F(Authority, KnowsItsOwnCertificates) {
  const PrivateKey other_key = PrivateKey::generate_ec();
  const Certificate namesake =
      issue_certificate({.use = CertificateUse::authority, .common_name = "Berth CA"}, other_key);
  EXPECT_TRUE(server.is_issued_by(ca));
  EXPECT_TRUE(ca.is_issued_by(ca));
  EXPECT_FALSE(server.is_issued_by(namesake));
  EXPECT_FALSE(server.is_issued_by(server));
  const Certificate leaf = issue_certificate({.use = CertificateUse::client, .common_name = "self"}, key);
  EXPECT_FALSE(leaf.is_issued_by(leaf));  // it is no CA
}

TEST_F(Authority, KnowsItsOwnKeys) {
  EXPECT_TRUE(ca.matches(ca_key));
  EXPECT_FALSE(ca.matches(key));
  EXPECT_FALSE(ca.matches(rsa_key()));
}

TEST_F(Authority, RefusesToSignWithAnothersKey) {
  EXPECT_EQ(thrown_by([&] { issue_certificate({.common_name = "x"}, key, &ca, &key); }).kind,
            ErrorKind::invalid);
  EXPECT_EQ(thrown_by([&] { issue_certificate({.common_name = "x"}, key, &ca, nullptr); }).kind,
            ErrorKind::invalid);
}

TEST_F(Authority, RefusesNamesThatACertificateCannotCarry) {
  for (const std::string name :
       {"", "a b", "a,DNS:evil", "a\nb", "ä", "*", "a.*.b", "*a", ".a", "a.", "a..b", "-a/", "http://a"})
    EXPECT_THAT(thrown_by([&] { issued({.common_name = "x", .dns_names = {name}}, key); }).what(),
                HasSubstr("'" + name + "'"));
  EXPECT_EQ(thrown_by([&] { issued({.common_name = "x", .dns_names = {std::string(64, 'a')}}, key); }).kind,
            ErrorKind::invalid);
  for (const std::string address :
       {"", "127.0.0", "127.0.0.256", "::g", "127.0.0.1/8", "fe80::1%eth0", "host"})
    EXPECT_THAT(thrown_by([&] { issued({.common_name = "x", .ip_addresses = {address}}, key); }).what(),
                HasSubstr("'" + address + "'"));
  for (const std::string& name :
       {std::string(), std::string(65, 'x'), std::string("a\0b", 3), std::string("\xff\xfe")})
    EXPECT_EQ(thrown_by([&] { issued({.common_name = name}, key); }).kind, ErrorKind::invalid);
}

TEST_F(Authority, SignsWithKeysMadeElsewhere) {
  ASSERT_EQ(openssl.run("req -x509 -newkey ed25519 -nodes -keyout k.pem -out c.pem -days 30 -subj /CN=Ed")
                .exit_code,
            0);
  const auto theirs = Certificate::parse_pem(openssl.read("c.pem"), "c.pem");
  const auto their_key = PrivateKey::parse_pem(Secret(openssl.read("k.pem")), "k.pem");
  const Certificate leaf = issue_certificate({.common_name = "x"}, key, &theirs, &their_key);
  EXPECT_TRUE(leaf.is_issued_by(theirs));
}

TEST(EncryptionCertificate, CarriesTheSubjectOfATenant) {
  const Certificate certificate =
      issue_certificate({.use = CertificateUse::encryption,
                         .common_name = "TenantEncryptionCert",
                         .lifetime = std::chrono::days(3650),
                         .subject_prefix = {{"DC", "Windows Azure CRP Certificate Generator"}}},
                        rsa_key());
  EXPECT_EQ(certificate.subject(), "CN=TenantEncryptionCert,DC=Windows Azure CRP Certificate Generator");
  const OpensslProgram openssl;
  openssl.write("x.pem", certificate.to_pem());
  EXPECT_EQ(openssl.run("x509 -in x.pem -noout -subject -nameopt oneline").text,
            "subject=DC = Windows Azure CRP Certificate Generator, CN = TenantEncryptionCert\n");
  EXPECT_THAT(openssl.run("x509 -in x.pem -noout -ext keyUsage").text,
              AllOf(HasSubstr("critical"), HasSubstr("Key Encipherment\n"), Not(HasSubstr("Signature"))));
  EXPECT_THAT(thrown_by([] {
                issue_certificate({.common_name = "x", .subject_prefix = {{"NoSuchPart", "y"}}}, rsa_key());
              }).what(),
              HasSubstr("NoSuchPart"));
}

TEST(CertificateText, ReadsBackAsPemAndDer) {
  const Certificate certificate = issue_certificate({.common_name = "x"}, PrivateKey::generate_ec());
  EXPECT_EQ(Certificate::parse_pem(certificate.to_pem(), "x").to_der(), certificate.to_der());
  EXPECT_EQ(Certificate::parse_der(certificate.to_der(), "x").to_pem(), certificate.to_pem());
}

TEST(CertificateText, TakesTheFirstOfAPemTextWhateverIsAroundIt) {
  const PrivateKey key = PrivateKey::generate_ec();
  const Certificate first = issue_certificate({.common_name = "first"}, key);
  const Certificate second = issue_certificate({.common_name = "second"}, key);
  std::string with_crlf;
  for (const char c :
       "Bag Attributes\n" + key.to_pem().reveal() + first.to_pem() + "text\n" + second.to_pem())
    with_crlf += c == '\n' ? std::string("\r\n") : std::string(1, c);
  EXPECT_EQ(Certificate::parse_pem(with_crlf, "x").subject(), "CN=first");
  const auto both = Certificate::parse_bundle(with_crlf, "x");
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[1].subject(), "CN=second");
}

TEST(NameConstraints, AreCriticalAndSayTheNames) {
  const OpensslProgram openssl;
  const Certificate ca = issue_certificate(
      {.use = CertificateUse::authority, .common_name = "x", .permitted_names = {"localhost", "a.example"}},
      rsa_key());
  openssl.write("x.pem", ca.to_pem());
  EXPECT_THAT(openssl.run("x509 -in x.pem -noout -text").text,
              AllOf(HasSubstr("Name Constraints: critical"), HasSubstr("DNS:a.example")));
  EXPECT_TRUE(ca.has_name_constraints());
  EXPECT_FALSE(issue_certificate({.use = CertificateUse::authority, .common_name = "x"}, rsa_key())
                   .has_name_constraints());
}

TEST(NameConstraints, OfNamesThatAreNoneAreRefused) {
  const CertificateOrder order{.common_name = "x", .permitted_names = {"a,permitted;DNS:b"}};
  EXPECT_EQ(thrown_by([&] { issue_certificate(order, rsa_key()); }).code, "InvalidCertificateName");
}

TEST(CertificateText, IsNamedWhenItIsMalformed) {
  const Certificate good = issue_certificate({.common_name = "x"}, PrivateKey::generate_ec());
  const std::string pem = good.to_pem();
  std::string broken = pem;
  broken[pem.size() / 2] = '*';
  for (const std::string& text :
       {std::string(), std::string("x"), pem.substr(0, pem.size() / 2), broken, std::string(1000, '\0'),
        std::string("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
        std::string("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        std::string(20 << 20, 'x'), PrivateKey::generate_ec().to_pem().reveal()}) {
    for (const auto& parse : {+[](const std::string& t) { Certificate::parse_pem(t, "ca.pem"); },
                              +[](const std::string& t) { Certificate::parse_bundle(t, "ca.pem"); }}) {
      const Error error = thrown_by([&] { parse(text); });
      EXPECT_EQ(error.kind, ErrorKind::invalid);
      EXPECT_THAT(error.what(), testing::StartsWith("ca.pem is "));
    }
  }
  EXPECT_THROW(Certificate::parse_bundle(pem + pem.substr(0, pem.size() / 2), "x"), Error);
}

TEST(CertificateText, IsRefusedWhereverItsDerIsCut) {
  const std::string der = issue_certificate({.common_name = "x"}, PrivateKey::generate_ec()).to_der();
  for (std::size_t size = 0; size < der.size(); ++size)
    EXPECT_THROW(Certificate::parse_der(der.substr(0, size), "x"), Error) << size;
  EXPECT_THROW(Certificate::parse_der(der + "x", "x"), Error);
}

TEST(CertificateText, WithAnyByteChangedIsRefusedOrReadWithoutHarm) {
  const PrivateKey key = PrivateKey::generate_ec();
  const Certificate good = issue_certificate(
      {.common_name = "x", .dns_names = {"web1"}, .ip_addresses = {"::1"}, .subject_prefix = {{"DC", "y"}}},
      key);
  const std::string der = good.to_der();
  int verified = 0;
  for (std::size_t at = 0; at < der.size(); ++at) {
    std::string changed = der;
    changed[at] = static_cast<char>(changed[at] ^ 0x15);
    try {
      const Certificate other = Certificate::parse_der(changed, "x");
      (void)other.subject();
      (void)other.dns_names();
      (void)other.ip_addresses();
      (void)other.is_ca();
      (void)other.allows_server_auth();
      (void)other.ssh_rsa_key();
      (void)other.matches(key);
      (void)other.thumbprint();
      if (other.is_issued_by(good)) ++verified;
      (void)other.not_before();
      (void)other.not_after();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind, ErrorKind::invalid);
    }
  }
  EXPECT_EQ(verified, 0);
}

TEST(CertificateDetails, MatchWhatOpensslSays) {
  const OpensslProgram openssl;
  const Certificate certificate = issue_certificate({.common_name = "x"}, rsa_key());
  openssl.write("x.pem", certificate.to_pem());
  std::string fingerprint = openssl.run("x509 -in x.pem -noout -fingerprint -sha1").text;
  fingerprint = fingerprint.substr(fingerprint.find('=') + 1);
  std::erase(fingerprint, ':');
  EXPECT_EQ(certificate.thumbprint() + "\n", fingerprint);
}

TEST(CertificateDetails, GiveTheSshLineOfAnRsaKeyOnly) {
  // Modulus 0x00b3…, exponent 65537: checked against the layout of RFC 4253 section 6.6.
  const auto line = issue_certificate({.common_name = "x"}, rsa_key()).ssh_rsa_key();
  ASSERT_TRUE(line);
  EXPECT_THAT(*line, testing::StartsWith("ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB"));
  const std::string blob = base64_decode(line->substr(8)).value();
  EXPECT_EQ(blob.size(), 4u + 7u + 4u + 3u + 4u + 257u);
  EXPECT_EQ(issue_certificate({.common_name = "x"}, PrivateKey::generate_ec()).ssh_rsa_key(), std::nullopt);
}

/// What the classic client wraps an OpenSSH key in: no issuer, generalized times, and a signature of one
/// byte.
std::string wrapped_ssh_key(const PrivateKey& key) {
  X509Ptr x509(X509_new());
  X509_set_version(x509.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 1);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509.get()), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("dummy"), -1, -1, 0);
  ASN1_GENERALIZEDTIME_set_string(X509_getm_notBefore(x509.get()), "20200101000000Z");
  ASN1_GENERALIZEDTIME_set_string(X509_getm_notAfter(x509.get()), "20300101000000Z");
  X509_set_pubkey(x509.get(), key.impl().key.get());
  X509_sign(x509.get(), key.impl().key.get(), EVP_sha1());
  const ASN1_BIT_STRING* signature = nullptr;
  X509_get0_signature(&signature, nullptr, x509.get());
  ASN1_STRING_set(const_cast<ASN1_BIT_STRING*>(signature), "", 1);
  const BioPtr pem = writing_bio();
  PEM_write_bio_X509(pem.get(), x509.get());
  return std::string(written_to(pem));
}

TEST(CertificateDetails, OfAWrappedSshKeyAreReadThoughNobodySignedIt) {
  const Certificate wrapped = Certificate::parse_pem(wrapped_ssh_key(rsa_key()), "the SSH certificate");
  EXPECT_EQ(wrapped.ssh_rsa_key(), issue_certificate({.common_name = "x"}, rsa_key()).ssh_rsa_key());
  EXPECT_EQ(wrapped.not_before(), std::chrono::sys_days(std::chrono::year(2020) / 1 / 1));
  EXPECT_EQ(wrapped.thumbprint().size(), 40u);
  EXPECT_FALSE(wrapped.is_issued_by(wrapped));
}

TEST(CertificateDetails, OfVersionOneAreRead) {
  const OpensslProgram openssl;
  openssl.write("key.pem", rsa_key().to_pem().reveal());
  ASSERT_EQ(openssl.run("req -new -key key.pem -subj '/C=AU/CN=*' -out r.csr").exit_code, 0);
  ASSERT_EQ(openssl.run("x509 -req -in r.csr -signkey key.pem -set_serial 1 -days 30 -out c.pem").exit_code,
            0);
  const Certificate old = Certificate::parse_pem(openssl.read("c.pem"), "c.pem");
  EXPECT_EQ(old.subject(), "CN=*,C=AU");
  EXPECT_TRUE(old.is_ca());
  EXPECT_TRUE(old.is_issued_by(old));
  EXPECT_TRUE(old.allows_server_auth());
  EXPECT_THAT(old.dns_names(), IsEmpty());
}

}  // namespace
}  // namespace berth
