#include "images/apt_sources.h"

#include <gmock/gmock.h>

#include "base/error.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const AptSource plain{{"http://mirror.example/debian"}, {"bookworm"}, {"main"}, {}, "", false};
constexpr const char* archive_key = "/usr/share/keyrings/debian-archive-keyring.gpg";
constexpr const char* no_lists = "/nonexistent";

TEST(SourcesList, ReadsTheLineThatDebianInstallerWrites) {
  EXPECT_THAT(parse_sources_list("deb http://mirror.example/debian bookworm main\n"), ElementsAre(plain));
}

TEST(SourcesList, ReadsOptionsInBrackets) {
  const auto sources = parse_sources_list(
      "deb [ arch=amd64,i386 signed-by=/k/a.gpg trusted=yes ] https://m.example/debian/ bookworm main "
      "contrib\n");
  ASSERT_THAT(sources, SizeIs(1));
  EXPECT_THAT(sources[0].architectures, ElementsAre("amd64", "i386"));
  EXPECT_EQ(sources[0].signed_by, "/k/a.gpg");
  EXPECT_TRUE(sources[0].trusted);
  EXPECT_THAT(sources[0].components, ElementsAre("main", "contrib"));
}

TEST(SourcesList, SkipsCommentsSourcesFlatArchivesAndRubbish) {
  EXPECT_THAT(parse_sources_list("# deb http://m.example/debian bookworm main\n"
                                 "deb-src http://m.example/debian bookworm main\n"
                                 "deb http://m.example/flat ./\n"
                                 "deb [arch=amd64 http://m.example/debian bookworm main\n"
                                 "\n debian\n"),
              IsEmpty());
}

TEST(SourcesList, IgnoresACommentBehindALine) {
  EXPECT_THAT(parse_sources_list("deb http://mirror.example/debian bookworm main # ours"),
              ElementsAre(plain));
}

TEST(Deb822Sources, ReadsTheFileOfADebianCloudImage) {
  const auto sources = parse_deb822_sources(
      "Types: deb deb-src\n"
      "# a snapshot\n"
      "URIs: http://mirror.example/debian\n"
      "Suites: bookworm bookworm-updates\n"
      "Components: main\n"
      "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
      "\n"
      "Types: deb\n"
      "URIs: http://mirror.example/debian-security\n"
      "Suites: bookworm-security\n"
      "Components: main\n");
  ASSERT_THAT(sources, SizeIs(2));
  EXPECT_THAT(sources[0].suites, ElementsAre("bookworm", "bookworm-updates"));
  EXPECT_EQ(sources[0].signed_by, archive_key);
  EXPECT_THAT(sources[1].uris, ElementsAre("http://mirror.example/debian-security"));
}

TEST(Deb822Sources, ReadsFieldNamesInAnyCaseAndContinuedValues) {
  const auto sources = parse_deb822_sources(
      "types: deb\nuris:\n http://a.example/debian\n http://b.example/debian\n"
      "SUITES: bookworm\nComponents: main\nArchitectures: amd64\n");
  ASSERT_THAT(sources, SizeIs(1));
  EXPECT_THAT(sources[0].uris, ElementsAre("http://a.example/debian", "http://b.example/debian"));
  EXPECT_THAT(sources[0].architectures, ElementsAre("amd64"));
}

TEST(Deb822Sources, SkipsDisabledAndSourceOnlyStanzas) {
  EXPECT_THAT(parse_deb822_sources(
                  "Enabled: no\nTypes: deb\nURIs: http://m.example/debian\nSuites: bookworm\n"
                  "Components: main\n\n"
                  "Types: deb-src\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n"),
              IsEmpty());
}

TEST(Deb822Sources, TakesAnEmbeddedKeyForNoFile) {
  const auto sources = parse_deb822_sources(
      "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm\n"
      "Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n");
  ASSERT_THAT(sources, SizeIs(1));
  EXPECT_EQ(sources[0].signed_by, "");
}

TEST(AptConfiguration, IsReadFromBothKindsOfFilesAndNoOthers) {
  const TemporaryFolder etc;
  make_folder(etc / "sources.list.d");
  write_file(etc / "sources.list", "deb http://a.example/debian bookworm main\n");
  write_file(etc / "sources.list.d/b.list", "deb http://b.example/debian bookworm main\n");
  write_file(etc / "sources.list.d/c.sources",
             "Types: deb\nURIs: http://c.example/debian\nSuites: bookworm\nComponents: main\n");
  write_file(etc / "sources.list.d/d.list.disabled", "deb http://d.example/debian bookworm main\n");

  std::vector<std::string> uris;
  for (const AptSource& source : read_apt_sources(etc.path())) uris.push_back(source.uris.at(0));

  EXPECT_THAT(uris,
              ElementsAre("http://a.example/debian", "http://b.example/debian", "http://c.example/debian"));
}

TEST(AptConfiguration, ReplacesAListOfMirrorsByItsFirst) {
  const TemporaryFolder etc;
  write_file(etc / "mirrors",
             "# nearest first\nhttp://near.example/debian\tpriority:1\nhttp://far.example/debian\n");
  write_file(etc / "sources.list", "deb mirror+file:" + (etc / "mirrors").string() + " bookworm main\n");

  const auto sources = read_apt_sources(etc.path());

  ASSERT_THAT(sources, SizeIs(1));
  EXPECT_THAT(sources[0].uris, ElementsAre("http://near.example/debian"));
}

TEST(MirrorHosts, AreThoseOfTheUrisWithoutPortAndUser) {
  AptSource source = plain;
  source.uris = {"http://M.example/debian",
                 "https://user:pass@b.example:8443/debian",
                 "http://10.0.0.1:3142/debian",
                 "file:/srv/debian",
                 "cdrom:[Debian]/",
                 "http://m.example/other",
                 "http:///nowhere"};
  EXPECT_THAT(mirror_hosts({source}), ElementsAre("10.0.0.1", "b.example", "m.example"));
}

TEST(DebianSources, AreTheHostsOwnWithUpdatesAndSecurity) {
  AptSource archive = plain;
  archive.suites = {"bookworm", "bookworm-updates", "bookworm-backports"};
  archive.signed_by = archive_key;
  AptSource security = archive;
  security.uris = {"http://mirror.example/debian-security"};
  security.suites = {"bookworm-security"};

  const std::string options = std::string("[arch=amd64 signed-by=") + archive_key + "]";
  EXPECT_THAT(
      debian_sources({archive, security}, "bookworm", no_lists),
      ElementsAre("deb " + options + " http://mirror.example/debian bookworm main",
                  "deb " + options + " http://mirror.example/debian bookworm-updates main",
                  "deb " + options + " http://mirror.example/debian-security bookworm-security main"));
}

TEST(DebianSources, NameTheWantedReleaseInPlaceOfTheHosts) {
  EXPECT_THAT(debian_sources({plain}, "trixie", no_lists),
              ElementsAre("deb [arch=amd64] http://mirror.example/debian trixie main"));
}

TEST(DebianSources, LeaveOutThirdPartiesThatUseDebiansNames) {
  AptSource debian = plain;
  debian.signed_by = archive_key;
  AptSource vendor = plain;
  vendor.uris = {"http://vendor.example/debian"};
  vendor.signed_by = "/etc/apt/keyrings/vendor.gpg";
  AptSource tools = plain;
  tools.uris = {"http://tools.example/apt"};
  tools.suites = {"nodistro"};

  EXPECT_THAT(debian_sources({vendor, tools, debian}, "bookworm", no_lists), SizeIs(1));
}

TEST(DebianSources, BelieveTheOriginThatAptHasDownloaded) {
  const TemporaryFolder lists;
  write_file(lists / "corp.example_apt_dists_bookworm_InRelease", "Origin: Debian\nLabel: Debian\n");
  write_file(lists / "vendor.example_debian_dists_bookworm_InRelease", "Origin: Vendor\n");
  AptSource corp = plain;  // a company's copy, signed with its own key
  corp.uris = {"https://user:secret@corp.example/apt/"};
  corp.signed_by = "/etc/apt/keyrings/corp.gpg";
  AptSource vendor = plain;
  vendor.uris = {"http://vendor.example/debian"};

  const auto lines = debian_sources({vendor, corp}, "bookworm", lists.path());

  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], testing::HasSubstr("corp.example"));
}

TEST(DebianSources, SkipOtherArchitecturesCdromsAndArchivesWithoutMain) {
  AptSource arm = plain;
  arm.architectures = {"arm64"};
  AptSource disc = plain;
  disc.uris = {"cdrom:[Debian]/"};
  AptSource contrib = plain;
  contrib.components = {"contrib"};

  EXPECT_THROW(debian_sources({arm, disc, contrib}, "bookworm", no_lists), Error);
}

TEST(DebianSources, WithoutAMirrorSaySoAndWhatToDo) {
  AptSource only_updates = plain;
  only_updates.suites = {"bookworm-updates"};
  try {
    debian_sources({only_updates}, "bookworm", no_lists);
    FAIL() << "found a mirror";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::unavailable);
    EXPECT_EQ(error.code, "MirrorNotFound");
    EXPECT_THAT(error.advice, testing::HasSubstr("sources.list"));
  }
}

}  // namespace
}  // namespace berth
