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
  EXPECT_EQ(kind_of([&] { read_file(folder.path()); }), ErrorKind::unavailable);
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

TEST(MakeFolder, MakesParentsForTheOwnerAloneAndLeavesWhatIsThere) {
  const TemporaryFolder folder;
  make_folder(folder / "a/b/c/", 0755);
  EXPECT_EQ(mode_of(folder / "a"), 0700u);
  EXPECT_EQ(mode_of(folder / "a/b"), 0700u);
  EXPECT_EQ(mode_of(folder / "a/b/c"), 0755u);
  make_folder(folder / "a/b/c", 0700);
  EXPECT_EQ(mode_of(folder / "a/b/c"), 0755u);
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
