#include "host/harden.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "host/child.h"
#include "host/directories.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

/// The exit code of `work` in a hardened child of ours.
int in_hardened_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    harden_process();
    int code = 99;
    try {
      code = work();
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

TEST(HardenProcess, WhatItAndItsChildrenMakeIsTheirUsersAlone) {
  const TemporaryFolder folder;
  const int code = in_hardened_child([&] {
    std::ofstream(folder / "ours") << "x";
    fs::create_directory(folder / "folder");
    return run({"touch", (folder / "childs").string()}).exit_code;
  });
  ASSERT_EQ(code, 0);
  EXPECT_EQ(fs::status(folder / "ours").permissions(), fs::perms(0600));
  EXPECT_EQ(fs::status(folder / "childs").permissions(), fs::perms(0600));
  EXPECT_EQ(fs::status(folder / "folder").permissions(), fs::perms(0700));
}

TEST(HardenProcess, LeavesNoCoreFile) {
  EXPECT_EQ(in_hardened_child([] {
              rlimit limit{};
              ::getrlimit(RLIMIT_CORE, &limit);
              if (limit.rlim_cur != 0 || limit.rlim_max != 0) return 1;
              if (::prctl(PR_GET_DUMPABLE) != 0) return 2;
              return run({"sh", "-c", "test $(ulimit -c) = 0"}).exit_code == 0 ? 0 : 3;
            }),
            0);
}

/// What we ask /proc about ourselves and about one another goes on.
TEST(HardenProcess, IsStillFoundAndSignalled) {
  int told[2];
  ASSERT_EQ(::pipe(told), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    harden_process();
    const bool finds_itself = fs::exists(executable_folder()) && !fs::is_empty("/proc/self/fd");
    [[maybe_unused]] const ssize_t written = ::write(told[1], finds_itself ? "y" : "n", 1);
    while (true) ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(told[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  const auto id = parse_process_status(read_file("/proc/" + std::to_string(child) + "/stat"));
  ASSERT_TRUE(id);
  EXPECT_TRUE(is_alive(*id));
  EXPECT_TRUE(send_signal(*id, SIGKILL));
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  ::close(told[0]);
  ::close(told[1]);
}

}  // namespace
}  // namespace berth
