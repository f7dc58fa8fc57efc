#include "host/hosts_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <thread>

#include "base/error.h"
#include "host/directories.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

class HostsFile : public testing::Test {
 protected:
  HostsFile() { ::setenv("XDG_RUNTIME_DIR", folder.path().c_str(), 1); }
  void given(const std::string& text) { write_file(file, text, 0644); }
  std::string text() { return read_file(file); }
  ErrorKind refused(const std::map<std::string, std::string>& names, const std::string& owner = "default") {
    try {
      write(owner, names);
    } catch (const Error& error) {
      message = error.what();
      return error.kind;
    }
    ADD_FAILURE() << "no error";
    return ErrorKind::internal;
  }

  /// As a region does: again and again until no other one is writing.
  void write(const std::string& owner, const std::map<std::string, std::string>& names) {
    while (!write_hosts_block(file, owner, names)) std::this_thread::yield();
  }
  static std::filesystem::path lock_of(const std::filesystem::path& hosts) {
    struct stat status {};
    EXPECT_EQ(::stat(hosts.c_str(), &status), 0);
    return runtime_folder() / fmt::format("hosts-{:x}-{:x}.lock", status.st_dev, status.st_ino);
  }

  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "hosts";
  std::string message;
};

TEST_F(HostsFile, GainsABlockAtItsEnd) {
  given("127.0.0.1\tlocalhost\n");
  write("default", {{"web1.cloudapp.net", "127.1.0.1"}, {"web2.cloudapp.net", "127.1.0.2"}});
  EXPECT_EQ(text(),
            "127.0.0.1\tlocalhost\n"
            "# berth default begin\n"
            "127.1.0.1 web1.cloudapp.net\n"
            "127.1.0.2 web2.cloudapp.net\n"
            "# berth default end\n");
}

TEST_F(HostsFile, IsAsBeforeOnceTheBlockIsRemoved) {
  const std::string before = "# mine\r\n\n 10.0.0.1   a\tb # x\n\xff\xfe\n";
  given(before);
  write("default", {{"web1", "127.1.0.1"}});
  write("default", {});
  EXPECT_EQ(text(), before);
}

TEST_F(HostsFile, LosesNothingWhenTheDiskIsFull) {
  const std::string before =
      "1.1.1.1 a\n# berth default begin\n127.1.0.9 old\n# berth default end\n2.2.2.2 b\n";
  given(before);
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit usual{};
  ::getrlimit(RLIMIT_FSIZE, &usual);
  const rlimit full{before.size() + 10, usual.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &full);
  EXPECT_EQ(refused({{"new", "127.1.0.1"}, {"newer", "127.1.0.2"}}), ErrorKind::unavailable);
  ::setrlimit(RLIMIT_FSIZE, &usual);
  EXPECT_EQ(text(), before);
}

TEST_F(HostsFile, KeepsOneBlockInItsPlace) {
  given("1.1.1.1 a\n# berth default begin\n127.1.0.9 old\n# berth default end\n2.2.2.2 b\n");
  write("default", {{"new", "127.1.0.1"}});
  EXPECT_EQ(text(), "1.1.1.1 a\n# berth default begin\n127.1.0.1 new\n# berth default end\n2.2.2.2 b\n");
}

TEST_F(HostsFile, KeepsBlocksOfOtherOwners) {
  given("");
  write("one", {{"web1", "127.1.0.1"}});
  write("two", {{"web2", "127.1.0.2"}});
  write("one", {});
  EXPECT_EQ(text(), "# berth two begin\n127.1.0.2 web2\n# berth two end\n");
}

TEST_F(HostsFile, EndsTheLastLineBeforeTheBlockBegins) {
  given("127.0.0.1 localhost");
  write("default", {{"web1", "127.1.0.1"}});
  EXPECT_EQ(text(), "127.0.0.1 localhost\n# berth default begin\n127.1.0.1 web1\n# berth default end\n");
}

TEST_F(HostsFile, ReplacesABlockWithoutAFinalNewline) {
  given("# berth default begin\n127.1.0.9 old\n# berth default end");
  write("default", {{"new", "127.1.0.1"}});
  EXPECT_EQ(text(), "# berth default begin\n127.1.0.1 new\n# berth default end\n");
}

TEST_F(HostsFile, MergesTwoBlocksOfOneOwner) {
  given(
      "# berth default begin\n# berth default end\n1.1.1.1 a\n# berth default begin\n# berth default end\n");
  write("default", {{"web1", "127.1.0.1"}});
  EXPECT_EQ(text(), "# berth default begin\n127.1.0.1 web1\n# berth default end\n1.1.1.1 a\n");
}

TEST_F(HostsFile, KeepsTheLinesBelowABeginThatLostItsEnd) {
  given("# berth default begin\n127.1.0.9 old\n1.1.1.1 a\n");
  write("default", {});
  EXPECT_EQ(text(), "127.1.0.9 old\n1.1.1.1 a\n");
}

TEST_F(HostsFile, RefusesANameThatStandsElsewhereWithAnotherAddress) {
  given("10.0.0.1 other WEB1.cloudapp.net # note\n");
  EXPECT_EQ(refused({{"web1.cloudapp.net", "127.1.0.1"}}), ErrorKind::conflict);
  EXPECT_THAT(message,
              testing::AllOf(testing::HasSubstr("web1.cloudapp.net"), testing::HasSubstr("10.0.0.1")));
  EXPECT_EQ(text(), "10.0.0.1 other WEB1.cloudapp.net # note\n");
}

TEST_F(HostsFile, TakesANameThatStandsElsewhereWithTheSameAddressOrInAComment) {
  given("127.1.0.1 web1\n# 10.0.0.1 web1\n10.0.0.1 a # web1\n10.0.0.2 web1.example\n");
  write("default", {{"web1", "127.1.0.1"}});
  EXPECT_THAT(text(), testing::EndsWith("# berth default begin\n127.1.0.1 web1\n# berth default end\n"));
}

TEST_F(HostsFile, RefusesWhatWouldWriteOtherLines) {
  given("");
  EXPECT_EQ(refused({{"a b", "127.1.0.1"}}), ErrorKind::invalid);
  EXPECT_EQ(refused({{"a\n6.6.6.6 bank", "127.1.0.1"}}), ErrorKind::invalid);
  EXPECT_EQ(refused({{"", "127.1.0.1"}}), ErrorKind::invalid);
  EXPECT_EQ(refused({{"a#", "127.1.0.1"}}), ErrorKind::invalid);
  EXPECT_EQ(refused({{"a", "127.1.0"}}), ErrorKind::invalid);
  EXPECT_EQ(refused({{"a", "127.1.0.1 b"}}), ErrorKind::invalid);
  EXPECT_EQ(refused({{"a", "127.1.0.1"}}, "x\ny"), ErrorKind::invalid);
  EXPECT_EQ(text(), "");
}

TEST_F(HostsFile, TakesAnIpv6Address) {
  given("");
  write("default", {{"web1", "fd00::1"}});
  EXPECT_THAT(text(), testing::HasSubstr("\nfd00::1 web1\n"));
}

TEST_F(HostsFile, StaysTheSameFileWithItsMode) {
  given("127.0.0.1 localhost\n");
  struct stat before {};
  struct stat after {};
  ASSERT_EQ(::stat(file.c_str(), &before), 0);
  write("default", {{"web1", "127.1.0.1"}});
  ASSERT_EQ(::stat(file.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(before.st_mode, after.st_mode);
}

TEST_F(HostsFile, IsMadeWhenItIsMissingAndThereIsSomethingToSay) {
  write("default", {});
  EXPECT_FALSE(std::filesystem::exists(file));
  write("default", {{"web1", "127.1.0.1"}});
  EXPECT_EQ(text(), "# berth default begin\n127.1.0.1 web1\n# berth default end\n");
}

TEST_F(HostsFile, NamesAFileThatCannotBeWritten) {
  try {
    (void)write_hosts_block("/proc/version", "default", {{"web1", "127.1.0.1"}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::unavailable);
    EXPECT_THAT(error.what(), testing::HasSubstr("/proc/version"));
  }
}

TEST_F(HostsFile, NeedsNoRightToWriteWhenItAlreadySaysSo) {
  EXPECT_TRUE(write_hosts_block("/proc/version", "default", {}));
}

TEST_F(HostsFile, LosesNothingWhenManyWriteAtOnce) {
  given("127.0.0.1 localhost\n");
  constexpr int writers = 8;
  std::vector<std::thread> threads;
  for (int i = 0; i < writers; ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 20; ++round) {
        write("w" + std::to_string(i), {});
        write("w" + std::to_string(i), {{"h" + std::to_string(i), "127.1.0.1"}});
      }
    });
  for (auto& thread : threads) thread.join();
  const std::string result = text();
  for (int i = 0; i < writers; ++i)
    EXPECT_THAT(result, testing::HasSubstr("\n127.1.0.1 h" + std::to_string(i) + "\n"));
  EXPECT_EQ(std::count(result.begin(), result.end(), '\n'), 1 + 3 * writers);
}

TEST_F(HostsFile, IsNotHeldUpByWhoeverLocksIt) {
  given("");
  for (const int kind : {LOCK_SH, LOCK_EX}) {
    const Fd anybody(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::flock(anybody.get(), kind), 0);
    write("default", {{"web" + std::to_string(kind), "127.1.0.1"}});
    EXPECT_THAT(text(), testing::HasSubstr("web" + std::to_string(kind)));
  }
}

TEST_F(HostsFile, DoesNotWaitForAnotherRegionButSaysSo) {
  given("");
  write("one", {{"web1", "127.1.0.1"}});
  auto theirs = FileLock::try_take(lock_of(file));
  ASSERT_TRUE(theirs);
  EXPECT_FALSE(write_hosts_block(file, "two", {{"web2", "127.1.0.2"}}));
  EXPECT_THAT(text(), testing::Not(testing::HasSubstr("web2")));
  theirs.reset();
  EXPECT_TRUE(write_hosts_block(file, "two", {{"web2", "127.1.0.2"}}));
}

TEST_F(HostsFile, ItsLockIsOurUsersAloneAndOneByAnyPath) {
  given("");
  std::filesystem::create_symlink(file, folder / "link");
  const auto held = FileLock::try_take(lock_of(file));
  EXPECT_FALSE(write_hosts_block(folder / "link", "default", {{"web1", "127.1.0.1"}}));
  struct stat status {};
  ASSERT_EQ(::stat(lock_of(file).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  ASSERT_EQ(::stat(runtime_folder().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(HostsFile, IsReadableForAllWhenItIsMade) {
  const mode_t before = ::umask(0077);
  write("default", {{"web1", "127.1.0.1"}});
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0644u);
}

}  // namespace
}  // namespace berth
