#include "cli/docker/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "base/error.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class Certificates : public testing::Test {
 protected:
  /// What is wrong with the set: message and advice; "" if nothing.
  std::string trouble() const {
    try {
      DockerCertificates::check(folder);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind, ErrorKind::invalid);
      return std::string(error.what()) + " | " + error.advice;
    }
    return {};
  }
  std::map<std::string, std::string> contents() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::directory_iterator(folder))
      if (entry.is_regular_file() && entry.path().extension() == ".pem")
        all[entry.path().filename()] = read_file(entry.path());
    return all;
  }
  static mode_t mode(const fs::path& file) {
    struct stat status {};
    EXPECT_EQ(::stat(file.c_str(), &status), 0) << file;
    return status.st_mode & 0777;
  }
  void put(const char* name, const std::string& bytes) const { write_file(folder / name, bytes, 0600); }
  /// Replaces the client pair by one issued as `order` says.
  void put_client(CertificateOrder order, const Certificate& issuer, const PrivateKey& issuer_key) const {
    const PrivateKey key = PrivateKey::generate_ec();
    put("key.pem", key.to_pem().reveal());
    put("cert.pem", issue_certificate(order, key, &issuer, &issuer_key).to_pem());
  }
  Certificate ca() const { return Certificate::parse_pem(read_file(folder / "ca.pem"), "ca.pem"); }
  PrivateKey ca_key() const {
    return PrivateKey::parse_pem(Secret(read_file(folder / "ca-key.pem")), "ca-key.pem");
  }

  TemporaryFolder temporary;
  fs::path folder = temporary / "docker";
};

}  // namespace

TEST_F(Certificates, AreMadeInAnEmptyPlaceWithKeysOnlyTheUserCanRead) {
  const DockerCertificates made = DockerCertificates::load_or_make(folder);
  EXPECT_TRUE(made.made_authority() && made.made_client());
  EXPECT_EQ(contents().size(), 4U);
  EXPECT_EQ(mode(folder), 0700U);
  EXPECT_EQ(mode(folder / "key.pem"), 0600U);
  EXPECT_EQ(mode(folder / "ca-key.pem"), 0600U);
  EXPECT_TRUE(ca().is_ca());
  EXPECT_EQ(trouble(), "");
}

TEST_F(Certificates, AreUsedAgainByteForByte) {
  DockerCertificates::load_or_make(folder);
  const auto before = contents();
  const DockerCertificates again = DockerCertificates::load_or_make(folder);
  EXPECT_FALSE(again.made_authority() || again.made_client());
  EXPECT_EQ(contents(), before);
}

TEST_F(Certificates, CheckingAnEmptyPlaceMakesNothing) {
  EXPECT_EQ(trouble(), "");
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(Certificates, AClientPairIsMadeForAnAuthorityThatHasNone) {
  DockerCertificates::load_or_make(folder);
  const std::string authority = read_file(folder / "ca.pem");
  fs::remove(folder / "cert.pem");
  fs::remove(folder / "key.pem");
  const DockerCertificates again = DockerCertificates::load_or_make(folder);
  EXPECT_FALSE(again.made_authority());
  EXPECT_TRUE(again.made_client());
  EXPECT_EQ(read_file(folder / "ca.pem"), authority);
}

TEST_F(Certificates, AMissingFileIsNamedAndNothingIsWrittenOver) {
  for (const char* missing : {"ca.pem", "ca-key.pem", "cert.pem", "key.pem"}) {
    fs::remove_all(folder);
    DockerCertificates::load_or_make(folder);
    fs::remove(folder / missing);
    const auto before = contents();
    EXPECT_THAT(trouble(),
                AllOf(HasSubstr(std::string("but not ") + missing + ":"), HasSubstr("--docker-cert-dir")));
    EXPECT_THROW(DockerCertificates::load_or_make(folder), Error);
    EXPECT_EQ(contents(), before) << missing;
  }
}

TEST_F(Certificates, AKeyOfAnotherPairIsNamed) {
  DockerCertificates::load_or_make(folder);
  const std::string good = read_file(folder / "key.pem");
  put("key.pem", PrivateKey::generate_ec().to_pem().reveal());
  EXPECT_THAT(trouble(), HasSubstr("cert.pem does not belong to key.pem"));
  put("key.pem", good);
  put("ca-key.pem", PrivateKey::generate_ec().to_pem().reveal());
  EXPECT_THAT(trouble(), HasSubstr("ca.pem does not belong to ca-key.pem"));
}

TEST_F(Certificates, AClientOfAnotherAuthorityIsNamed) {
  DockerCertificates::load_or_make(folder);
  const PrivateKey stranger_key = PrivateKey::generate_ec();
  const Certificate stranger =
      issue_certificate({.use = CertificateUse::authority, .common_name = "stranger"}, stranger_key);
  put_client({.use = CertificateUse::client, .common_name = "me"}, stranger, stranger_key);
  EXPECT_THAT(trouble(), HasSubstr("cert.pem was not issued by ca.pem"));
}

TEST_F(Certificates, AServersCertificateIsNoClient) {
  DockerCertificates::load_or_make(folder);
  put_client({.use = CertificateUse::server, .common_name = "me"}, ca(), ca_key());
  EXPECT_THAT(trouble(), HasSubstr("cert.pem is not allowed to identify a client"));
}

TEST_F(Certificates, AnExpiredOneIsNamedWithItsDateAndAWayOut) {
  DockerCertificates::load_or_make(folder);
  put_client({.use = CertificateUse::client, .common_name = "me", .lifetime = std::chrono::days(-1)}, ca(),
             ca_key());
  EXPECT_THAT(trouble(),
              AllOf(HasSubstr("cert.pem has expired on 20"), HasSubstr("Move cert.pem and key.pem away")));
}

TEST_F(Certificates, TextThatIsNoCertificateIsNamed) {
  DockerCertificates::load_or_make(folder);
  put("ca.pem", "hello\n");
  EXPECT_THAT(trouble(), HasSubstr("ca.pem"));
}

TEST_F(Certificates, AKeyWithAPassphraseIsNamed) {
  DockerCertificates::load_or_make(folder);
  put("ca-key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
  EXPECT_THAT(trouble(), HasSubstr("ca-key.pem is a key with a passphrase"));
}

TEST_F(Certificates, AFileInPlaceOfTheFolderIsNamed) {
  write_file(folder, "x");
  EXPECT_THAT(trouble(), HasSubstr("is not a folder"));
}

TEST_F(Certificates, AFileThatCannotBeReadIsNamed) {
  DockerCertificates::load_or_make(folder);
  fs::remove(folder / "ca-key.pem");
  fs::create_directory(folder / "ca-key.pem");  // which root cannot read either
  EXPECT_THAT(trouble(), HasSubstr("ca-key.pem cannot be read"));
}

TEST_F(Certificates, DuringAChangeOfAuthorityTheOneOfTheKeyIsUsed) {
  DockerCertificates::load_or_make(folder);
  const PrivateKey old_key = PrivateKey::generate_ec();
  const Certificate old =
      issue_certificate({.use = CertificateUse::authority, .common_name = "old"}, old_key);
  put("ca.pem", old.to_pem() + read_file(folder / "ca.pem"));
  EXPECT_EQ(trouble(), "");
  const ServerCertificate server = DockerCertificates::load_or_make(folder).issue_server("h", {"h"}, {});
  EXPECT_FALSE(Certificate::parse_pem(server.certificate, "server").is_issued_by(old));
}

TEST_F(Certificates, AnInterruptedRunIsFinishedByTheNextOne) {
  DockerCertificates::load_or_make(folder);
  const auto whole = contents();
  // As after a kill between the second and the third link.
  fs::create_directory(folder / ".berth-new");
  for (const auto& [name, bytes] : whole) fs::copy_file(folder / name, folder / ".berth-new" / name);
  for (const char* name : {"ca-key.pem", "ca.pem"}) {
    fs::remove(folder / name);
    fs::create_hard_link(folder / ".berth-new" / name, folder / name);
  }
  fs::remove(folder / "key.pem");
  fs::remove(folder / "cert.pem");

  EXPECT_EQ(trouble(), "");
  DockerCertificates::load_or_make(folder);

  EXPECT_EQ(contents(), whole);
  EXPECT_FALSE(fs::exists(folder / ".berth-new"));
}

TEST_F(Certificates, RunsAtTheSameTimeEndWithOneSet) {
  std::vector<std::thread> threads;
  std::vector<std::string> authorities(4);
  for (std::string& pem : authorities)
    threads.emplace_back([&] { pem = DockerCertificates::load_or_make(folder).authority_pem(); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& pem : authorities) EXPECT_EQ(pem, authorities.front());
}

TEST_F(Certificates, AKeyThatOthersCanReadIsWarnedOf) {
  DockerCertificates::load_or_make(folder);
  EXPECT_THAT(DockerCertificates::load_or_make(folder).warnings(), IsEmpty());
  fs::permissions(folder / "key.pem", fs::perms::group_read, fs::perm_options::add);
  EXPECT_THAT(DockerCertificates::load_or_make(folder).warnings(),
              ElementsAre(HasSubstr("key.pem can be read")));
}

TEST_F(Certificates, AServersCertificateIsForItsNamesAndEndsBeforeItsAuthority) {
  const DockerCertificates certificates = DockerCertificates::load_or_make(folder);
  const ServerCertificate issued =
      certificates.issue_server("web1", {"web1", "localhost"}, {"127.0.0.9", "::1"});
  const Certificate server = Certificate::parse_pem(issued.certificate, "server");
  EXPECT_THAT(server.dns_names(), ElementsAre("web1", "localhost"));
  EXPECT_EQ(server.ip_addresses().size(), 2U);
  EXPECT_TRUE(server.allows_server_auth());
  EXPECT_TRUE(server.matches(PrivateKey::parse_pem(issued.key, "key")));
  EXPECT_LE(server.not_after(), ca().not_after());
  EXPECT_NE(
      server.thumbprint(),
      Certificate::parse_pem(certificates.issue_server("web1", {"web1"}, {}).certificate, "x").thumbprint());
}

}  // namespace berth
