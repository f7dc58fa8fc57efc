#include "host/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <fstream>

#include "base/error.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

ErrorKind kind_of(const auto& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.kind;
  }
  ADD_FAILURE() << "no error";
  return ErrorKind::internal;
}

mode_t mode_of(const fs::path& file) {
  struct stat status {};
  EXPECT_EQ(::stat(file.c_str(), &status), 0);
  return status.st_mode & 07777;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

TEST(ReadFile, GivesEveryByte) {
  const TemporaryFolder folder;
  const std::string bytes("a\0b\r\n\xff", 6);
  write_file(folder / "file", bytes);
  EXPECT_EQ(read_file(folder / "file"), bytes);
}

TEST(ReadFile, ReadsFilesWhoseSizeIsNotKnownBefore) {
  EXPECT_FALSE(read_file("/proc/self/status").empty());
}

TEST(ReadFile, NamesTheFileThatIsMissing) {
  try {
    read_file("/nonexistent/file");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::not_found);
    EXPECT_THAT(error.what(), testing::HasSubstr("/nonexistent/file"));
  }
}

TEST(ReadFile, RefusesMoreThanTheLimitAndTakesExactlyTheLimit) {
  const TemporaryFolder folder;
  write_file(folder / "file", std::string(1000, 'x'));
  EXPECT_EQ(read_file(folder / "file", 1000).size(), 1000u);
  EXPECT_EQ(kind_of([&] { read_file(folder / "file", 999); }), ErrorKind::invalid);
  EXPECT_EQ(kind_of([&] { read_file("/dev/zero", 100'000); }), ErrorKind::invalid);
}

TEST(ReadFile, SaysThatAFolderIsNotAFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(kind_of([&] { read_file(folder.path()); }), ErrorKind::invalid);
}

/// Were one of them opened, this would wait for ever or do something to a device.
TEST(OpenFile, OpensFilesOnly) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  fs::create_symlink("fifo", folder / "link");
  for (const fs::path& what : {folder / "fifo", folder / "link", fs::path("/dev/zero"), fs::path("/dev/null"),
                               fs::path("/dev/tty"), folder.path()}) {
    EXPECT_EQ(kind_of([&] { open_file(what); }), ErrorKind::invalid) << what;
    if (what != "/dev/null") EXPECT_EQ(kind_of([&] { read_file(what); }), ErrorKind::invalid) << what;
    if (what != "/dev/null")
      EXPECT_EQ(kind_of([&] { read_file_if_there(what); }), ErrorKind::invalid) << what;
  }
  EXPECT_EQ(kind_of([&] { open_file(folder / "absent"); }), ErrorKind::not_found);
}

TEST(OpenFile, StaysWithTheFileThatItFound) {
  const TemporaryFolder folder;
  write_file(folder / "file", "good");
  const Fd fd = open_file(folder / "file");
  write_file(folder / "file", "evil");
  char text[8] = {};
  EXPECT_EQ(::read(fd.get(), text, sizeof text), 4);
  EXPECT_STREQ(text, "good");
}

TEST(OpenFile, FollowsLinksOfItsOwnUserAlongTheWholePath) {
  const TemporaryFolder folder;
  make_folder(folder / "a/b");
  write_file(folder / "a/b/file", "x");
  fs::create_directory_symlink(folder / "a", folder / "absolute");
  fs::create_directory_symlink("../a/b", folder / "a/relative");
  fs::create_symlink("relative/file", folder / "a/chain");
  for (const char* name : {"absolute/b/file", "a/relative/file", "absolute/chain", "a/../absolute/./b//file"})
    EXPECT_EQ(read_file(folder / name), "x") << name;
  fs::create_symlink("loop", folder / "loop");
  EXPECT_EQ(kind_of([&] { read_file(folder / "loop"); }), ErrorKind::unavailable);
  EXPECT_EQ(read_file_if_there(folder / "a/b/file/below"), std::nullopt);
}

TEST(OpenFile, IsLedByAnotherUsersLinkToThatUsersFilesOnly) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a link of another user";
  constexpr uid_t eve = 4711;
  const TemporaryFolder folder;
  make_folder(folder / "eve");
  ASSERT_EQ(::chown((folder / "eve").c_str(), eve, eve), 0);
  make_folder(folder / "secrets");
  write_file(folder / "secrets/shadow", "secret");
  write_file(folder / "eve/hers", "hers");
  ASSERT_EQ(::chown((folder / "eve/hers").c_str(), eve, eve), 0);
  const auto links = [&](const fs::path& to, const char* name) {
    fs::create_symlink(to, folder / "eve" / name);
    ASSERT_EQ(::lchown((folder / "eve" / name).c_str(), eve, eve), 0);
  };
  links(folder / "secrets/shadow", "file");
  links(folder / "secrets", "folder");
  links("hers", "good");
  fs::create_symlink(folder / "eve/folder", folder / "ours");
  for (const char* name : {"eve/file", "eve/folder/shadow", "ours/shadow"}) {
    EXPECT_EQ(kind_of([&] { open_file(folder / name); }), ErrorKind::invalid) << name;
    EXPECT_EQ(kind_of([&] { read_file(folder / name); }), ErrorKind::invalid) << name;
    EXPECT_EQ(kind_of([&] { read_file_if_there(folder / name); }), ErrorKind::invalid) << name;
  }
  EXPECT_EQ(kind_of([&] { write_file(folder / "eve/file", "x"); }), ErrorKind::invalid);
  EXPECT_EQ(read_file(folder / "secrets/shadow"), "secret");
  EXPECT_EQ(read_file(folder / "eve/good"), "hers");
}

TEST(ReadFile, TakesAPipeThatWasGivenToUs) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "secret\n", 7), 7);
  ::close(ends[1]);
  EXPECT_EQ(read_file("/dev/fd/" + std::to_string(ends[0]), 100), "secret\n");
  ::close(ends[0]);
  EXPECT_EQ(read_file("/dev/null"), "");
}

TEST(ReadFileIfThere, TellsMissingFromEmpty) {
  const TemporaryFolder folder;
  write_file(folder / "empty", "");
  EXPECT_EQ(read_file_if_there(folder / "missing"), std::nullopt);
  EXPECT_EQ(read_file_if_there(folder / "empty/below"), std::nullopt);
  EXPECT_EQ(read_file_if_there(folder / "empty"), "");
}

TEST(WriteFile, SetsTheModeWhateverItWasAndWhateverTheUmask) {
  const TemporaryFolder folder;
  write_file(folder / "file", "old", 0644);
  EXPECT_EQ(mode_of(folder / "file"), 0644u);
  write_file(folder / "file", "new");
  EXPECT_EQ(mode_of(folder / "file"), 0600u);
  EXPECT_EQ(read_file(folder / "file"), "new");
}

TEST(WriteFile, LeavesReadersOfTheOldFileTheOldBytes) {
  const TemporaryFolder folder;
  write_file(folder / "file", "old");
  std::ifstream reader(folder / "file");
  write_file(folder / "file", "new");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(reader), {}), "old");
}

TEST(WriteFile, LeavesNoOtherFileBehind) {
  const TemporaryFolder folder;
  write_file(folder / "file", "1");
  write_file(folder / "file", "2");
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("file"));
  fs::create_directory(folder / "folder");
  EXPECT_EQ(kind_of([&] { write_file(folder / "folder", "x"); }), ErrorKind::unavailable);
  EXPECT_THAT(names_in(folder.path()), testing::UnorderedElementsAre("file", "folder"));
}

TEST(WriteFile, KeepsASymbolicLinkAndWritesWhatItNames) {
  const TemporaryFolder folder;
  write_file(folder / "real", "old");
  fs::create_symlink("real", folder / "link");
  write_file(folder / "link", "new");
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "real"), "new");
}

TEST(WriteFile, NamesTheFileThatCannotBeWritten) {
  try {
    write_file("/proc/berth/file", "x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::unavailable);
    EXPECT_THAT(error.what(), testing::HasSubstr("/proc/berth/file"));
  }
}

TEST(CreateFile, NeverTouchesAnExistingFile) {
  const TemporaryFolder folder;
  create_file(folder / "file", "first");
  EXPECT_EQ(mode_of(folder / "file"), 0600u);
  EXPECT_EQ(kind_of([&] { create_file(folder / "file", "second"); }), ErrorKind::conflict);
  EXPECT_EQ(read_file(folder / "file"), "first");
  EXPECT_THAT(names_in(folder.path()), testing::ElementsAre("file"));
}

TEST(CreateFile, TakesADanglingLinkForAnExistingFile) {
  const TemporaryFolder folder;
  fs::create_symlink("nowhere", folder / "link");
  EXPECT_EQ(kind_of([&] { create_file(folder / "link", "x"); }), ErrorKind::conflict);
}

TEST(MakeFolder, MakesParentsForTheOwnerAlone) {
  const TemporaryFolder folder;
  make_folder(folder / "a/b/c/", 0755);
  EXPECT_EQ(mode_of(folder / "a"), 0700u);
  EXPECT_EQ(mode_of(folder / "a/b"), 0700u);
  EXPECT_EQ(mode_of(folder / "a/b/c"), 0755u);
}

TEST(MakeFolder, TakesFromOthersWhatTheyShallNotHave) {
  const TemporaryFolder folder;
  make_folder(folder / "a", 0755);
  ::chmod((folder / "a").c_str(), 0777);
  make_folder(folder / "a", 0755);
  EXPECT_EQ(mode_of(folder / "a"), 0755u);
  make_folder(folder / "a");
  EXPECT_EQ(mode_of(folder / "a"), 0700u);
  make_folder(folder / "a", 0755);
  EXPECT_EQ(mode_of(folder / "a"), 0700u);
  make_folder(folder / "a/b");
  EXPECT_EQ(mode_of(folder / "a"), 0700u);
}

TEST(MakeFolder, RefusesAnotherUsers) {
  const TemporaryFolder folder;
  fs::path theirs = "/etc";
  if (::geteuid() == 0) {
    theirs = folder / "theirs";
    make_folder(theirs, 0777);
    ASSERT_EQ(::chown(theirs.c_str(), 4711, 4711), 0);
  }
  EXPECT_EQ(kind_of([&] { make_folder(theirs); }), ErrorKind::unavailable);
}

TEST(MakeFolder, RefusesAFileInItsPlace) {
  const TemporaryFolder folder;
  write_file(folder / "file", "");
  EXPECT_EQ(kind_of([&] { make_folder(folder / "file"); }), ErrorKind::unavailable);
  EXPECT_EQ(kind_of([&] { make_folder(folder / "file/below"); }), ErrorKind::unavailable);
}

TEST(FreeSpace, IsThatOfTheFileSystemEvenBeforeThePathExists) {
  const TemporaryFolder folder;
  EXPECT_GT(free_space(folder / "not/yet/there"), 0u);
  EXPECT_EQ(free_space("/proc"), 0u);
}

TEST(FileLock, KeepsASecondHolderOutUntilItIsDropped) {
  const TemporaryFolder folder;
  auto held = FileLock::try_take(folder / "lock");
  ASSERT_TRUE(held);
  EXPECT_EQ(mode_of(folder / "lock"), 0600u);
  EXPECT_FALSE(FileLock::try_take(folder / "lock"));
  held.reset();
  EXPECT_TRUE(FileLock::try_take(folder / "lock"));
}

TEST(FileLock, IsGoneWithAProcessThatWasKilled) {
  const TemporaryFolder folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto held = FileLock::take(folder / "lock");
    [[maybe_unused]] const ssize_t told = ::write(ready[1], "x", 1);
    ::pause();
    ::_exit(0);
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_FALSE(FileLock::try_take(folder / "lock"));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(FileLock::try_take(folder / "lock"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(FileLock, CountsForTheFileThatStandsThereNow) {
  const TemporaryFolder folder;
  const auto old = FileLock::try_take(folder / "lock");
  fs::remove(folder / "lock");
  EXPECT_TRUE(FileLock::try_take(folder / "lock"));
}

TEST(FileLock, NamesTheFileWhenItsFolderIsMissing) {
  EXPECT_EQ(kind_of([&] { FileLock::take("/nonexistent/lock"); }), ErrorKind::unavailable);
}

TEST(FileLock, IsOurUsersAlone) {
  const TemporaryFolder folder;
  write_file(folder / "lock", "", 0666);
  EXPECT_TRUE(FileLock::try_take(folder / "lock"));
  EXPECT_EQ(mode_of(folder / "lock"), 0600u);
  write_file(folder / "elsewhere", "");
  fs::create_symlink("elsewhere", folder / "link");
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  for (const char* name : {"link", "fifo"})
    EXPECT_EQ(kind_of([&] { FileLock::try_take(folder / name); }), ErrorKind::unavailable) << name;
  if (::geteuid() != 0) return;
  ASSERT_EQ(::chown((folder / "lock").c_str(), 4711, 4711), 0);
  EXPECT_EQ(kind_of([&] { FileLock::try_take(folder / "lock"); }), ErrorKind::unavailable);
}

TEST(FileLock, WaitsNoLongerThanItsLimit) {
  const TemporaryFolder folder;
  const auto held = FileLock::try_take(folder / "lock");
  EXPECT_EQ(kind_of([&] { FileLock::take(folder / "lock", std::chrono::milliseconds(30)); }),
            ErrorKind::unavailable);
}

TEST(TemporaryFolderTest, IsForTheOwnerAloneAndGoesWithItsContent) {
  fs::path path;
  {
    const TemporaryFolder folder;
    path = folder.path();
    EXPECT_EQ(mode_of(path), 0700u);
    make_folder(folder / "a/b");
    write_file(folder / "a/b/c", "x");
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST(FdTest, ClosesOnceAndHandsOverByMove) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Fd other(ends[1]);
  {
    Fd first(ends[0]);
    const Fd second(std::move(first));
    EXPECT_FALSE(first);  // NOLINT(bugprone-use-after-move): that is the point
    EXPECT_EQ(second.get(), ends[0]);
  }
  EXPECT_EQ(::close(ends[0]), -1);
}

}  // namespace
}  // namespace berth
