#include "cli/region/local_region.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/error.h"
#include "cli/terminal/terminal.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

/// A daemon of a few lines of shell: serves (that is, says so) until it is asked to leave.
constexpr const char* serve = R"(
trap 'rm -f "$2/region.json"; exit 0' TERM
echo "args: $*" >> "$2/../calls"
: > "$2/lock"
started=$(sed 's/.*) //' /proc/$$/stat | cut -d' ' -f20)
printf '{"managementEndpoint":"https://127.0.0.1:1/","clientSecretFile":"%s/access/client-secret","pid":"%s %s","version":"9"}' \
  "$2" $$ "$started" > "$2/region.json.new"
mkdir -p "$2/access"
echo "shhh" > "$2/access/client-secret"
mv "$2/region.json.new" "$2/region.json"
while :; do sleep 0.05; done
)";

class Local : public testing::Test {
 protected:
  Local() { interrupt::install(); }
  ~Local() override {
    if (const auto running = local.find_running()) end_process(running->process, 5s);
  }
  void daemon(const std::string& script) { write_file(program, "#!/bin/sh\n" + script, 0755); }

  TemporaryFolder folder;
  std::filesystem::path home = folder / "home", program = folder / "berthd";
  LocalRegion local{home, program};
};

}  // namespace

TEST_F(Local, IsStartedOnceAndFoundAgain) {
  daemon(serve);
  LocalRegion::Start started;
  EXPECT_FALSE(local.exists());
  const RegionInfo first = local.start({"--dns-suffix", "test"}, started);
  EXPECT_TRUE(started.now);
  EXPECT_TRUE(local.exists());
  const RegionInfo again = local.start({}, started);
  EXPECT_FALSE(started.now);
  EXPECT_EQ(first.process, again.process);
  EXPECT_EQ(read_file(folder / "calls"), "args: --home " + home.string() + " --dns-suffix test\n");
  EXPECT_EQ(arm_endpoint(first).url, "https://127.0.0.1:1");
  EXPECT_TRUE(arm_endpoint(first).tokens);
}

TEST_F(Local, TwoThatFindItAbsentStartOne) {
  daemon(serve);
  std::vector<std::thread> threads;
  std::vector<ProcessId> ids(3);
  for (ProcessId& id : ids)
    threads.emplace_back([&] {
      LocalRegion::Start started;
      id = LocalRegion(home, program).start({}, started).process;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_EQ(ids[0], ids[2]);
}

TEST_F(Local, StoppingWaitsForItsEnd) {
  daemon(serve);
  LocalRegion::Start started;
  const RegionInfo region = local.start({}, started);
  EXPECT_TRUE(local.stop());
  EXPECT_FALSE(is_alive(region.process));
  EXPECT_FALSE(local.stop());
}

TEST_F(Local, AfterAKillItIsNotRunningAndIsStartedAnew) {
  daemon(serve);
  LocalRegion::Start started;
  const RegionInfo region = local.start({}, started);
  send_signal(region.process, SIGKILL);
  while (is_alive(region.process)) std::this_thread::sleep_for(5ms);
  EXPECT_FALSE(local.find_running());
  local.start({}, started);
  EXPECT_TRUE(started.now);
}

TEST_F(Local, OneThatEndsAtOnceIsToldWithItsLastWords) {
  daemon("echo first; echo 'cannot listen' >&2; exit 3\n");
  LocalRegion::Start started;
  try {
    local.start({}, started);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind, ErrorKind::unavailable);
    EXPECT_THAT(error.what(), HasSubstr("cannot listen"));
    EXPECT_THAT(error.advice, HasSubstr((home / "berthd.log").string()));
  }
}

TEST_F(Local, OnlyTheWordsOfThisStartAreTold) {
  make_folder(home);
  write_file(home / "berthd.log", "an old trouble\n");
  daemon("echo 'a new one'; exit 1\n");
  LocalRegion::Start started;
  try {
    local.start({}, started);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("a new one"), Not(HasSubstr("an old trouble"))));
  }
}

TEST_F(Local, WithoutItsProgramThePlaceIsNamed) {
  LocalRegion::Start started;
  try {
    local.start({}, started);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr(program.string()));
  }
}

TEST_F(Local, IsNotRemovedWhileItRuns) {
  daemon(serve);
  LocalRegion::Start started;
  local.start({}, started);
  EXPECT_THROW(local.remove(), Error);
  local.stop();
  EXPECT_THAT(local.remove(), testing::IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(home));
}

TEST_F(Local, IsRemovedWithoutWhatBerthDidNotMake) {
  daemon(serve);
  LocalRegion::Start started;
  local.start({}, started);
  local.stop();
  write_file(home / "thesis.txt", "precious");
  EXPECT_THAT(local.remove(), testing::ElementsAre(home / "thesis.txt"));
  EXPECT_FALSE(local.exists());
  EXPECT_THAT(local.remove(), testing::IsEmpty());
  EXPECT_EQ(read_file(home / "thesis.txt"), "precious");
}

TEST_F(Local, IsNotStartedInAFolderWithOtherThings) {
  daemon(serve);
  make_folder(home);
  write_file(home / "thesis.txt", "precious");
  LocalRegion::Start started;
  try {
    local.start({}, started);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.code, "FolderNotOurs");
    EXPECT_THAT(error.what(), HasSubstr("thesis.txt"));
  }
  EXPECT_FALSE(local.exists());
}

TEST_F(Local, ALooseHomeIsClosedWithAWord) {
  daemon(serve);
  LocalRegion::Start started;
  local.start({}, started);
  local.stop();
  ::chmod(home.c_str(), 0755);
  local.start({}, started);
  EXPECT_THAT(started.warning, HasSubstr(home.string()));
  EXPECT_EQ(std::filesystem::status(home).permissions(), std::filesystem::perms(0700));
}

/// Or root would send its secrets to whoever wrote that file.
TEST_F(Local, WhatAnotherUserSaysOfARegionIsNotBelieved) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a folder of another user";
  daemon(serve);
  LocalRegion::Start started;
  local.start({}, started);
  ASSERT_EQ(::chown(home.c_str(), 4711, 4711), 0);
  EXPECT_THROW(local.find_running(), Error);
  EXPECT_THROW(local.start({}, started), Error);
  ASSERT_EQ(::chown(home.c_str(), 0, 0), 0);
}

TEST_F(Local, AFolderThatIsNoRegionsHomeIsNotRemoved) {
  make_folder(home);
  write_file(home / "precious", "");
  local.remove();
  EXPECT_TRUE(std::filesystem::exists(home / "precious"));
}

}  // namespace berth
