#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "cli/fake_region.h"
#include "crypto/certificate.h"
#include "crypto/encoding.h"
#include "crypto/envelope.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr const char* id = "11111111-2222-3333-4444-555555555555";

class Account : public testing::Test {
 protected:
  Account() {
    ::setenv("HOME", folder.path().c_str(), 1);
    ::setenv("BERTH_HOME", (folder / "region").c_str(), 1);
    ::unsetenv("XDG_CONFIG_HOME");
  }
  std::string file(const std::string& url, const std::string& pfx) {
    const std::string path = folder / "x.publishsettings";
    std::ofstream(path) << "<?xml version=\"1.0\"?><PublishData><PublishProfile SchemaVersion=\"2.0\">"
                           "<Subscription ServiceManagementUrl=\""
                        << url << "\" Id=\"" << id << "\" Name=\"Mine\" ManagementCertificate=\"" << pfx
                        << "\"/></PublishProfile></PublishData>";
    return path;
  }
  static std::string pfx() {
    static const std::string made = [] {
      const PrivateKey key = PrivateKey::generate_rsa();
      CertificateOrder order;
      order.use = CertificateUse::client;
      order.common_name = "management";
      return base64_encode(pfx_for_publish_settings({issue_certificate(order, key), key}));
    }();
    return made;
  }
  TemporaryFolder folder;
};

}  // namespace

TEST_F(Account, ImportsAFileListsItAndForgetsIt) {
  const Ran imported = run_program({"account", "import", file("https://127.0.0.1:27443/", pfx())});
  EXPECT_EQ(imported.exit_code, 0) << imported.err;
  EXPECT_THAT(run_program({"account", "list"}).out, HasSubstr(id));
  EXPECT_THAT(run_program({"account", "show", "mine"}).out, HasSubstr("https://127.0.0.1:27443/"));
  EXPECT_EQ(run_program({"account", "set", "Mine"}).exit_code, 0);
  EXPECT_EQ(run_program({"account", "set", "Theirs"}).exit_code, 4);
  EXPECT_EQ(run_program({"account", "clear", "-q"}).exit_code, 0);
  EXPECT_THAT(run_program({"account", "list"}).out, Not(HasSubstr(id)));
}

TEST_F(Account, KeepsNoKey) {
  run_program({"account", "import", file("https://127.0.0.1:27443/", pfx())});
  const std::string profile = read_file(folder / ".config/berth/profile.json");
  EXPECT_THAT(profile, HasSubstr(id));
  EXPECT_THAT(profile, Not(HasSubstr(pfx().substr(0, 40))));
}

TEST_F(Account, SaysThatThePublicServiceWasRetired) {
  const Ran ran = run_program({"account", "import", file("https://management.core.windows.net/", pfx())});
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err, HasSubstr("which was retired"));
}

TEST_F(Account, SaysWhatIsWrongWithAFile) {
  EXPECT_THAT(run_program({"account", "import", file("https://127.0.0.1:1/", "%%")}).err,
              HasSubstr("not base64"));
  EXPECT_THAT(run_program({"account", "import", file("https://127.0.0.1:1/", "aGVsbG8=")}).err,
              HasSubstr("not a PFX"));
  const std::string junk = folder / "junk";
  std::ofstream(junk) << "junk";
  EXPECT_THAT(run_program({"account", "import", junk}).err, HasSubstr("no publish-settings file"));
  EXPECT_EQ(run_program({"account", "import", folder / "none"}).exit_code, 4);
}

}  // namespace berth
