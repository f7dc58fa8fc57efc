#include "region/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/certificate.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::Not;

class Access : public testing::Test {
 protected:
  Certificate authority() const { return Certificate::parse_pem(read_file(folder / "tls/ca.pem"), "ca.pem"); }
  PrivateKey authority_key() const {
    return PrivateKey::parse_pem(Secret(read_file(folder / "tls/ca-key.pem")), "ca-key.pem");
  }
  RunResult verify(const std::string& trusted, const std::string& leaf) const {
    return run({"/usr/bin/openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile",
                (folder / trusted).string(), (folder / leaf).string()});
  }
  /// What a thief of the authority's key could make.
  void forge(const std::string& file, const std::vector<std::string>& names,
             const std::vector<std::string>& addresses) const {
    const PrivateKey key = PrivateKey::generate_ec(), ca_key = authority_key();
    const Certificate ca = authority();
    write_file(folder / file,
               issue_certificate({.common_name = "x", .dns_names = names, .ip_addresses = addresses}, key,
                                 &ca, &ca_key)
                   .to_pem());
  }
  const TemporaryFolder folder;
};

}  // namespace

TEST_F(Access, TheAuthorityIsGoodForTheNamesOfTheRegionAndForNoOthers) {
  const RegionAccess access = load_access(folder.path());
  EXPECT_TRUE(authority().has_name_constraints());
  const RunResult own = verify("tls/ca.pem", "tls/server.pem");
  EXPECT_EQ(own.exit_code, 0) << own.err;
  forge("bank.pem", {"bank.example"}, {});
  forge("sub.pem", {"notlocalhost"}, {});
  for (const char* file : {"bank.pem", "sub.pem"}) {
    const RunResult refused = verify("tls/ca.pem", file);
    EXPECT_NE(refused.exit_code, 0) << file;
    EXPECT_THAT(refused.err, HasSubstr("permitted subtree violation")) << file;
  }
  forge("here.pem", {"localhost"}, {"127.3.2.1", "::1"});
  EXPECT_EQ(verify("tls/ca.pem", "here.pem").exit_code, 0);
}

TEST_F(Access, EveryNameOfTheServerIsInItsCertificate) {
  const RegionAccess access = load_access(folder.path());
  const Certificate leaf = Certificate::parse_pem(read_file(folder / "tls/server.pem"), "server.pem");
  std::vector<std::string> names = leaf.dns_names();
  for (const std::string& address : leaf.ip_addresses())
    names.push_back(address.find(':') == address.npos ? address : "[" + address + "]");
  EXPECT_THAT(access.names, testing::UnorderedElementsAreArray(names));
  EXPECT_EQ(access.names.front(), "127.0.0.1");
}

TEST_F(Access, AnAuthorityWithoutConstraintsIsRenewedWithItsKey) {
  const PrivateKey key = PrivateKey::generate_rsa();
  const Certificate old = issue_certificate({.use = CertificateUse::authority,
                                             .common_name = "Berth local region 0123abcd",
                                             .lifetime = std::chrono::days(3650)},
                                            key);
  make_folder(folder / "tls");
  write_file(folder / "tls/ca.pem", old.to_pem());
  write_file(folder / "tls/ca-key.pem", key.to_pem().reveal());
  write_file(folder / "old.pem", old.to_pem());

  load_access(folder.path());
  const std::string server = read_file(folder / "tls/server.pem"), ca = read_file(folder / "tls/ca.pem");
  EXPECT_TRUE(authority().has_name_constraints());
  EXPECT_EQ(authority().subject(), old.subject());
  EXPECT_TRUE(authority().matches(key));
  // Who has a copy of the old one still trusts the server.
  EXPECT_EQ(verify("tls/ca.pem", "tls/server.pem").exit_code, 0);
  EXPECT_EQ(verify("old.pem", "tls/server.pem").exit_code, 0);

  load_access(folder.path());
  EXPECT_EQ(read_file(folder / "tls/ca.pem"), ca);
  EXPECT_EQ(read_file(folder / "tls/server.pem"), server);
}

TEST_F(Access, AnAuthorityOfTheUsersOwnStays) {
  const PrivateKey key = PrivateKey::generate_rsa();
  const std::string own =
      issue_certificate({.use = CertificateUse::authority, .common_name = "Contoso CA"}, key).to_pem();
  make_folder(folder / "tls");
  write_file(folder / "tls/ca.pem", own);
  write_file(folder / "tls/ca-key.pem", key.to_pem().reveal());
  load_access(folder.path());
  EXPECT_EQ(read_file(folder / "tls/ca.pem"), own);
}

}  // namespace berth
