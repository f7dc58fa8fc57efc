#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/fake_region.h"
#include "crypto/sealed.h"

namespace berth {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class HandOver : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(
        run_program({"vm", "docker", "create", "-l", "West US", "web1", "Debian-12", "ops", "Str0ng!pass"})
            .exit_code,
        0);
    write_file(phrase, "correct horse\n");
  }
  Ran take(const std::string& from = {}) {
    return run_program({"vm", "docker", "import", from.empty() ? file : from, "--passphrase-file", phrase});
  }
  FakeRegion region;
  const std::string file = region.folder / "web1.berth", phrase = region.folder / "phrase";
};

TEST_F(HandOver, AHostOfOneHomeIsUsedFromAnother) {
  const Ran given = run_program({"vm", "docker", "export", "web1", file, "--passphrase-file", phrase});
  ASSERT_EQ(given.exit_code, 0) << given.err;
  EXPECT_THAT(given.out, HasSubstr("warn:    It holds your own client certificate"));
  EXPECT_THAT(read_file(file), Not(HasSubstr("PRIVATE KEY")));
  const std::string endpoint =
      json::parse(run_program({"vm", "docker", "url", "web1", "--json"}).out)["dockerHost"];
  EXPECT_EQ(run_program({"vm", "docker", "export", "web1", file, "--passphrase-file", phrase}).exit_code, 5)
      << "never over a file";

  TemporaryFolder other;
  ::setenv("HOME", other.path().c_str(), 1);
  ::setenv("BERTH_HOME", (other.path() / "region").c_str(), 1);
  const Ran taken = take();
  ASSERT_EQ(taken.exit_code, 0) << taken.err;
  EXPECT_THAT(taken.out, HasSubstr("info:    Docker context 'web1' written; certificates are in " +
                                   (other.path() / ".config/berth/hosts/web1").string()));
  EXPECT_EQ(read_file(other.path() / ".config/berth/hosts/web1/key.pem"),
            read_file(region.docker() / "key.pem"));
  EXPECT_EQ(json::parse(run_program({"vm", "docker", "import", file, "--passphrase-file", phrase, "--json"})
                            .out)["dockerHost"],
            endpoint);
  EXPECT_FALSE(std::filesystem::exists(other.path() / "region")) << "no region is needed";
}

TEST_F(HandOver, AnotherPassphraseOrAChangedFileOpensNothing) {
  ASSERT_EQ(run_program({"vm", "docker", "export", "web1", file, "--passphrase-file", phrase}).exit_code, 0);
  write_file(phrase, "wrong horse");
  const Ran ran = take();
  EXPECT_EQ(ran.exit_code, 2);
  EXPECT_THAT(ran.err,
              HasSubstr(file + " does not open: the passphrase is another one, or the file was changed."));
  write_file(phrase, "short");
  EXPECT_THAT(run_program({"vm", "docker", "export", "web1", file + "2", "--passphrase-file", phrase}).err,
              HasSubstr("less than 8 characters"));
}

TEST_F(HandOver, AnIdentityIsHandedOverInPlaceOfTheOwnersCertificate) {
  const std::string folder = region.folder / "bob";
  ASSERT_EQ(run_program({"vm", "docker", "certs", "issue", "web1", "bob", "-o", folder}).exit_code, 0);
  const Ran given = run_program(
      {"vm", "docker", "export", "web1", file, "--identity", folder, "--passphrase-file", phrase});
  ASSERT_EQ(given.exit_code, 0) << given.err;
  EXPECT_THAT(given.out, Not(HasSubstr("warn:")));
  ASSERT_EQ(take().exit_code, 0);
  EXPECT_EQ(read_file(region.folder.path() / ".config/berth/hosts/web1/cert.pem"),
            read_file(folder + "/cert.pem"));
}

TEST_F(HandOver, WhatAStrangerPutIntoTheFileIsChecked) {
  for (const char* inside :
       {"", "[]", "{}", R"({"berthHost":1,"name":"../../x","dockerHost":"tcp://h:1"})",
        R"({"berthHost":2,"name":"web1"})", R"({"berthHost":1,"name":"web1","dockerHost":"unix:///x"})",
        R"({"berthHost":1,"name":"web1","dockerHost":"tcp://h:1","ca":"x","cert":"y","key":"z"})"}) {
    write_file(file, seal(Secret(inside), Secret("correct horse")));
    EXPECT_EQ(take().exit_code, 2) << inside;
  }
  EXPECT_FALSE(std::filesystem::exists(region.folder.path() / ".config/berth/hosts"));
}

}  // namespace
}  // namespace berth
