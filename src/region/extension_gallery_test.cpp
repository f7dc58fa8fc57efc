#include "region/extension_gallery.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "base/error.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string good_manifest = R"([{"version":1.0,"handlerManifest":{
  "installCommand":"bin/h install","enableCommand":"bin/h enable","updateCommand":"bin/h update",
  "disableCommand":"/bin/h disable","uninstallCommand":"bin/h uninstall","rebootAfterInstall":false}}])";

struct Entry {
  std::string name;
  std::string text;
  bool is_link = false;
};

void write_zip(const fs::path& file, const std::vector<Entry>& entries) {
  archive* writer = archive_write_new();
  archive_write_set_format_zip(writer);
  archive_write_open_filename(writer, file.c_str());
  for (const Entry& each : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, each.name.c_str());
    archive_entry_set_filetype(entry, each.is_link ? AE_IFLNK : AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    if (each.is_link) archive_entry_set_symlink(entry, each.text.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(each.is_link ? 0 : each.text.size()));
    archive_write_header(writer, entry);
    if (!each.is_link) archive_write_data(writer, each.text.data(), each.text.size());
    archive_entry_free(entry);
  }
  archive_write_close(writer);
  archive_write_free(writer);
}

class ExtensionGalleryTest : public testing::Test {
 protected:
  ExtensionGalleryTest() {
    std::string pattern = (fs::temp_directory_path() / "berth-gallery-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    fs::create_directory(folder / "bundled");
  }
  ~ExtensionGalleryTest() override { fs::remove_all(folder); }

  void bundle(const std::string& name) {
    write_zip(folder / "bundled" / name, {{"bin/h", "x"}, {"HandlerManifest.json", good_manifest}});
  }
  fs::path zip(const std::vector<Entry>& entries = {{"bin/h", "x"},
                                                    {"HandlerManifest.json", good_manifest}}) {
    write_zip(folder / "new.zip", entries);
    return folder / "new.zip";
  }
  std::string resolve(const std::string& wanted, bool upgrade_minor = false) {
    const auto found = gallery.resolve("contoso.test", "HANDLER", wanted, upgrade_minor);
    return found ? found->version : "none";
  }
  std::string refusal(const fs::path& file) {
    try {
      gallery.publish(file, "Contoso.Test", "Handler", "1.0.0", false);
    } catch (const Error& error) {
      return error.kind == ErrorKind::invalid ? error.what() : error.code;
    }
    return "";
  }

  fs::path folder;
  ExtensionGallery gallery{fs::path(), fs::path()};
  void SetUp() override { gallery = ExtensionGallery(folder / "bundled", folder / "own"); }
};

}  // namespace

TEST(CompareVersions, ComparesNumbersAndMissingPartsAreZero) {
  EXPECT_LT(compare_versions("1.9", "1.10.0"), 0);
  EXPECT_EQ(compare_versions("1", "1.0.0"), 0);
  EXPECT_GT(compare_versions("2.0", "1.99.99"), 0);
}

TEST_F(ExtensionGalleryTest, ListsByNameThenByRisingVersion) {
  bundle("Contoso.Test.Handler_1.10.0.zip");
  bundle("Contoso.Test.Handler_1.9.0.zip");
  bundle("Alpha.Handler_2.0.0.zip");
  bundle("no version.zip");
  bundle("Contoso.Test.Handler_1.0.0.txt");
  std::vector<std::string> seen;
  for (const ExtensionPackage& package : gallery.list())
    seen.push_back(package.publisher + " " + package.type + " " + package.version);
  EXPECT_THAT(
      seen, ElementsAre("Alpha Handler 2.0.0", "Contoso.Test Handler 1.9.0", "Contoso.Test Handler 1.10.0"));
}

TEST_F(ExtensionGalleryTest, FoldersThatAreNotThereAreEmpty) {
  EXPECT_THAT(ExtensionGallery(folder / "x", folder / "y").list(), testing::IsEmpty());
}

TEST_F(ExtensionGalleryTest, ResolvesAsTheAgentAndAzureDo) {
  for (const char* version : {"0.7.0", "1.2.0", "1.3.0", "1.3.5", "1.10.1", "2.0.0"})
    bundle("Contoso.Test.Handler_" + std::string(version) + ".zip");
  EXPECT_EQ(resolve("1.3.0"), "1.3.0");
  EXPECT_EQ(resolve("1.3.0", true), "1.3.0");
  EXPECT_EQ(resolve("1.3"), "1.3.5");
  EXPECT_EQ(resolve("1.3.*"), "1.3.5");
  EXPECT_EQ(resolve("1"), "1.10.1");
  EXPECT_EQ(resolve("1.*"), "1.10.1");
  EXPECT_EQ(resolve(""), "2.0.0");
  EXPECT_EQ(resolve("latest"), "2.0.0");
  EXPECT_EQ(resolve("1.2"), "1.2.0");
  EXPECT_EQ(resolve("1.2", true), "1.10.1");
  EXPECT_EQ(resolve("1.4", true), "1.10.1");
  EXPECT_EQ(resolve("1.4"), "none");
  EXPECT_EQ(resolve("1.3.1"), "none");
  EXPECT_EQ(resolve("3", true), "none");
  EXPECT_EQ(resolve("1.x"), "none");
  EXPECT_EQ(resolve("../1"), "none");
}

TEST_F(ExtensionGalleryTest, PublishesAndRemovesAPackage) {
  const ExtensionPackage package = gallery.publish(zip(), "Contoso.Test", "Handler", "1.0.0", false);
  EXPECT_EQ(package.sha256.size(), 64u);
  EXPECT_FALSE(package.bundled);
  ASSERT_EQ(resolve("1"), "1.0.0");
  EXPECT_EQ(gallery.list()[0].sha256, package.sha256);

  gallery.remove("contoso.test", "handler", "1.0.0");

  EXPECT_EQ(resolve("1"), "none");
  EXPECT_THROW(gallery.remove("Contoso.Test", "Handler", "1.0.0"), Error);
}

TEST_F(ExtensionGalleryTest, AVersionIsReplacedOnlyOnRequest) {
  const std::string first = gallery.publish(zip(), "Contoso.Test", "Handler", "1.0.0", false).sha256;
  const fs::path other = zip({{"bin/h", "other"}, {"HandlerManifest.json", good_manifest}});
  EXPECT_EQ(refusal(other), "ExtensionVersionExists");
  EXPECT_NE(gallery.publish(other, "Contoso.Test", "Handler", "1.0.0", true).sha256, first);
  EXPECT_EQ(gallery.list().size(), 1u);
}

TEST_F(ExtensionGalleryTest, AReplacementIsANewVersionToTheAgentAndTheSameToEverybodyElse) {
  const auto publish = [&](const std::string& script) {
    return gallery.publish(zip({{"bin/h", script}, {"HandlerManifest.json", good_manifest}}), "Contoso.Test",
                           "Handler", "1.0.0", true);
  };
  EXPECT_EQ(publish("a").version, "1.0.0");
  EXPECT_EQ(publish("b").version, "1.0.0.1");
  EXPECT_EQ(publish("b").version, "1.0.0.1");  // the same bytes: nothing new
  EXPECT_EQ(publish("c").version, "1.0.0.2");
  EXPECT_EQ(gallery.list().size(), 1u);
  for (const char* wanted : {"1.0.0", "1.0", "1", "latest", "1.0.0.2"})
    EXPECT_EQ(resolve(wanted), "1.0.0.2") << wanted;
  EXPECT_EQ(gallery.find("Contoso.Test", "Handler", "1.0.0")->revision, 2u);
  EXPECT_EQ(refusal(zip()), "ExtensionVersionExists");
  gallery.remove("Contoso.Test", "Handler", "1.0.0");
  EXPECT_THAT(gallery.list(), testing::IsEmpty());
  EXPECT_TRUE(fs::is_empty(folder / "own"));
}

TEST_F(ExtensionGalleryTest, AReplacementThatWasCutShortCountsAsDone) {
  gallery.publish(zip(), "Contoso.Test", "Handler", "1.0", false);
  fs::copy_file(folder / "own/Contoso.Test.Handler_1.0.zip", folder / "own/Contoso.Test.Handler_1.0+4.zip");
  ASSERT_EQ(gallery.list().size(), 1u);
  EXPECT_EQ(gallery.list()[0].version, "1.0.0.4");
}

TEST_F(ExtensionGalleryTest, ARevisionsNumberIsNotGivenTwice) {
  gallery.publish(zip(), "Contoso.Test", "Handler", "1.0.0", false);
  gallery.publish(zip({{"bin/h", "b"}, {"HandlerManifest.json", good_manifest}}), "Contoso.Test", "Handler",
                  "1.0.0", true);
  try {
    gallery.publish(zip(), "Contoso.Test", "Handler", "1.0.0.1", true);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code, "ExtensionVersionExists");
  }
}

TEST_F(ExtensionGalleryTest, WhatIsBundledIsNeitherReplacedNorRemoved) {
  bundle("Contoso.Test.Handler_1.0.0.zip");
  for (const bool replace : {false, true}) try {
      gallery.publish(zip(), "contoso.TEST", "Handler", "1.0", replace);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.code, "ExtensionIsBundled");
    }
  EXPECT_THROW(gallery.remove("Contoso.Test", "Handler", "1.0.0"), Error);
  EXPECT_TRUE(gallery.list().at(0).bundled);
}

TEST_F(ExtensionGalleryTest, RefusesNamesAndVersionsThatTheAgentCannotUse) {
  const fs::path file = zip();
  EXPECT_THROW(gallery.publish(file, "Contoso-Test", "Handler", "1.0.0", false), Error);
  EXPECT_THROW(gallery.publish(file, "Contoso/..", "Handler", "1.0.0", false), Error);
  EXPECT_THROW(gallery.publish(file, "Contoso", "Hand.ler", "1.0.0", false), Error);
  EXPECT_THROW(gallery.publish(file, "Contoso", "Handler", "1", false), Error);
  EXPECT_THROW(gallery.publish(file, "Contoso", "Handler", "1.0.0-beta", false), Error);
}

TEST_F(ExtensionGalleryTest, RefusesWhatTheAgentWouldRefuse) {
  EXPECT_THAT(refusal(zip({{"bin/h", "x"}})), HasSubstr("no HandlerManifest.json"));
  EXPECT_THAT(refusal(zip({{"HandlerManifest.json", good_manifest}})), HasSubstr("\"bin/h\""));
  EXPECT_THAT(refusal(zip({{"bin/h", "x"}, {"HandlerManifest.json", "{}"}})),
              HasSubstr("list whose first member"));
  EXPECT_THAT(refusal(zip({{"bin/h", "x"}, {"HandlerManifest.json", "no json"}})),
              HasSubstr("is not JSON (parse error at line 1"));
  EXPECT_THAT(refusal(zip({{"bin/h", "x"}, {"HandlerManifest.json", "[]"}})),
              HasSubstr("list whose first member"));
  std::string without_update = good_manifest;
  without_update.replace(without_update.find("updateCommand"), 13, "upgradeCommand");
  EXPECT_THAT(refusal(zip({{"bin/h", "x"}, {"HandlerManifest.json", without_update}})),
              HasSubstr("no updateCommand"));
  EXPECT_THAT(refusal(zip({{"bin/h", "x"},
                           {"a/HandlerManifest.json", good_manifest},
                           {"b/HandlerManifest.json", good_manifest}})),
              HasSubstr("more than one"));
}

TEST_F(ExtensionGalleryTest, RefusesEntriesThatLeadOutside) {
  for (const char* name : {"../x", "a/../../x", "/etc/x", "a\\..\\x"})
    EXPECT_THAT(refusal(zip({{name, "x"}, {"bin/h", "x"}, {"HandlerManifest.json", good_manifest}})),
                HasSubstr("leads outside"))
        << name;
  EXPECT_THAT(
      refusal(zip({{"link", "/etc/passwd", true}, {"bin/h", "x"}, {"HandlerManifest.json", good_manifest}})),
      HasSubstr("neither a file nor a folder"));
}

TEST_F(ExtensionGalleryTest, RefusesWhatIsNoZip) {
  std::ofstream(folder / "text.zip") << "this is no zip";
  EXPECT_THAT(refusal(folder / "text.zip"), HasSubstr("not a usable extension package"));
  std::ofstream(folder / "empty.zip") << "";
  EXPECT_THAT(refusal(folder / "empty.zip"), HasSubstr("not a usable extension package"));
  EXPECT_EQ(refusal(folder / "absent.zip").substr(0, 4), "File");
}

TEST_F(ExtensionGalleryTest, RefusesATruncatedZip) {
  const fs::path file = zip({{"bin/h", std::string(100'000, 'x')}, {"HandlerManifest.json", good_manifest}});
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_THAT(refusal(file), HasSubstr("not a usable extension package"));
}

}  // namespace berth
