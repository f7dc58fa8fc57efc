#include "host/own_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/error.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string claim(const fs::path& folder) {
  return claim_folder(region_home_folder, folder);
}

mode_t permissions_of(const fs::path& file) {
  struct stat status {};
  EXPECT_EQ(::lstat(file.c_str(), &status), 0) << file;
  return status.st_mode & 07777;
}

class OwnFolderTest : public testing::Test {
 protected:
  std::string refused(const fs::path& path, const OwnFolder& kind = region_home_folder) {
    try {
      claim_folder(kind, path);
    } catch (const Error& error) {
      EXPECT_EQ(error.code, "FolderNotOurs");
      EXPECT_THAT(error.advice, HasSubstr(kind.variable));
      return error.what();
    }
    ADD_FAILURE() << path << " was taken";
    return {};
  }
  void put(const std::string& name, mode_t mode = 0600) {
    fs::create_directories((home / name).parent_path());
    write_file(home / name, name, mode);
  }
  /// As a version before the mark left it.
  void an_old_region() {
    fs::create_directory(home);
    for (const char* name : {"lock",
                             "start.lock",
                             "region.db",
                             "region.db-wal",
                             "berthd.log",
                             "berthd.1.log",
                             "region.json",
                             "accelerator.json",
                             "access/ids.json",
                             "access/client-secret",
                             "access/client.pem",
                             "access/token-key",
                             "access/local.publishsettings",
                             "tls/ca.pem",
                             "tls/ca-key.pem",
                             "disks/6a1f.qcow2",
                             "images/.lock",
                             "images/mine/disk",
                             "images/mine/image.json",
                             "vm/6a1f/serial.log",
                             "net/77aa/switch.json",
                             "extensions/A.B_1.0.zip",
                             ".region.json.x3FgAq"})
      put(name, 0644);
  }

  const TemporaryFolder folder;
  const fs::path home = folder / "home";
};

TEST_F(OwnFolderTest, IsMadeForItsUserAloneAndMarked) {
  EXPECT_EQ(claim(home), "");
  EXPECT_EQ(permissions_of(home), 0700u);
  EXPECT_EQ(permissions_of(home / ".berth"), 0600u);
  EXPECT_EQ(claim(home), "");
  fs::create_directory(folder / "empty");
  ::chmod((folder / "empty").c_str(), 0700);
  EXPECT_EQ(claim(folder / "empty"), "");
  EXPECT_TRUE(fs::exists(folder / "empty/.berth"));
}

TEST_F(OwnFolderTest, IsClaimedByManyAtOnce) {
  std::vector<std::jthread> claimers;
  for (int i = 0; i < 4; ++i)
    claimers.emplace_back([&, i] {
      EXPECT_NO_THROW(claim(home));
      make_folder(home / "vm" / std::to_string(i));
    });
  claimers.clear();
  EXPECT_TRUE(fs::exists(home / ".berth"));
}

TEST_F(OwnFolderTest, WithAnythingElseInItIsRefusedAndUntouched) {
  for (const char* name : {"thesis.txt", "disks/holiday.iso", "images/cat.jpg", ".profile", "access/notes"}) {
    fs::remove_all(home);
    put("lock");
    put(name, 0644);
    ::chmod(home.c_str(), 0755);
    EXPECT_THAT(refused(home), HasSubstr(name));
    EXPECT_EQ(permissions_of(home), 0755u);
    EXPECT_FALSE(fs::exists(home / ".berth"));
  }
  fs::remove_all(home);
  fs::create_directory(home);
  fs::create_symlink("/etc", home / "vm");
  EXPECT_THAT(refused(home), HasSubstr("vm"));
}

TEST_F(OwnFolderTest, WithFoldersThatOnlySoundLikeOursIsRefused) {
  put("images/holiday/cat.jpg");
  EXPECT_THAT(refused(home), HasSubstr("images"));
}

TEST_F(OwnFolderTest, WhatIsAddedToAMarkedOneChangesNothing) {
  claim(home);
  put("notes.txt");
  EXPECT_EQ(claim(home), "");
}

TEST_F(OwnFolderTest, FromBeforeTheMarkIsTakenOverAndClosed) {
  an_old_region();
  ::chmod(home.c_str(), 0755);
  ::chmod((home / "disks").c_str(), 0755);

  EXPECT_THAT(claim(home), HasSubstr(home.string()));

  EXPECT_TRUE(fs::exists(home / ".berth"));
  EXPECT_EQ(permissions_of(home), 0700u);
  for (const auto& entry : fs::recursive_directory_iterator(home))
    EXPECT_EQ(permissions_of(entry.path()) & 077, 0u) << entry.path();
  EXPECT_EQ(claim(home), "");
}

TEST_F(OwnFolderTest, LoosenedLaterIsClosedAgainWithAWord) {
  claim(home);
  put("disks/a.qcow2", 0666);
  fs::create_symlink("/etc/hosts", home / "link");
  const mode_t outside = permissions_of("/etc/hosts");
  ::chmod(home.c_str(), 0750);
  EXPECT_THAT(claim(home), HasSubstr("closed"));
  EXPECT_EQ(permissions_of(home), 0700u);
  EXPECT_EQ(permissions_of(home / "disks/a.qcow2"), 0600u);
  EXPECT_EQ(permissions_of("/etc/hosts"), outside);
}

TEST_F(OwnFolderTest, OfAnotherUserIsRefused) {
  if (::geteuid() == 0) {
    claim(home);
    ASSERT_EQ(::chown(home.c_str(), 4711, 4711), 0);
    EXPECT_THAT(refused(home), HasSubstr("4711"));
    EXPECT_THROW(refuse_foreign_folder(region_home_folder, home), Error);
    EXPECT_THROW(remove_own_folder(region_home_folder, home), Error);
  } else {
    EXPECT_THAT(refused("/etc"), HasSubstr("root"));
    EXPECT_THROW(refuse_foreign_folder(region_home_folder, "/etc"), Error);
  }
}

TEST_F(OwnFolderTest, IsNotReachedThroughAnotherUsersLink) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a link of another user";
  claim(home);
  fs::create_symlink(home, folder / "link");
  EXPECT_EQ(claim(folder / "link"), "");
  ASSERT_EQ(::lchown((folder / "link").c_str(), 4711, 4711), 0);
  EXPECT_THAT(refused(folder / "link"), HasSubstr("4711"));
}

TEST_F(OwnFolderTest, InWhichAnotherUserPutSomethingIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a file of another user";
  claim(home);
  put("disks/a.qcow2");
  ASSERT_EQ(::chown((home / "disks/a.qcow2").c_str(), 4711, 4711), 0);
  ::chmod(home.c_str(), 0777);
  EXPECT_THAT(refused(home), HasSubstr("a.qcow2"));
}

TEST_F(OwnFolderTest, OfOneKindIsNotTakenForAnother) {
  claim(home);
  EXPECT_THAT(refused(home, image_cache_folder), HasSubstr("Berth region"));
}

TEST_F(OwnFolderTest, TheCacheKnowsImagesAndNothingElse) {
  put("Debian-12-docker-0123456789abcdef/image.json");
  put("Debian-12-docker-0123456789abcdef.lock");
  fs::create_directories(home / "Debian-12-0123456789abcdef.building/root");
  put("log/Debian-12.log");
  EXPECT_NO_THROW(claim_folder(image_cache_folder, home));
  fs::remove(home / ".berth");
  put("cat.jpg");
  EXPECT_THAT(refused(home, image_cache_folder), HasSubstr("cat.jpg"));
}

TEST_F(OwnFolderTest, GoesWithAllThatBerthMadeInIt) {
  an_old_region();
  claim(home);
  EXPECT_THAT(remove_own_folder(region_home_folder, home), IsEmpty());
  EXPECT_FALSE(fs::exists(home));
}

TEST_F(OwnFolderTest, StaysWithWhatBerthDidNotMake) {
  an_old_region();
  claim(home);
  put("thesis.txt");
  put("disks/holiday.iso");
  put("access/notes");
  fs::create_directory(folder / "elsewhere");
  write_file(folder / "elsewhere/precious", "x");
  fs::create_directory_symlink(folder / "elsewhere", home / "vm/link");
  fs::create_directory_symlink(folder / "elsewhere", home / "vm/6a1f/link");

  EXPECT_THAT(
      remove_own_folder(region_home_folder, home),
      ElementsAre(home / "access/notes", home / "disks/holiday.iso", home / "thesis.txt", home / "vm/link"));

  EXPECT_TRUE(fs::exists(folder / "elsewhere/precious"));
  std::vector<std::string> left;
  for (const auto& entry : fs::recursive_directory_iterator(home))
    if (!entry.is_directory() || entry.is_symlink())
      left.push_back(entry.path().lexically_relative(home).string());
  EXPECT_THAT(left,
              testing::UnorderedElementsAre("access/notes", "disks/holiday.iso", "thesis.txt", "vm/link"));
  EXPECT_THAT(refused(home), HasSubstr("thesis.txt"));
}

}  // namespace
}  // namespace berth
