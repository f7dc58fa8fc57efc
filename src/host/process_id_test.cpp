#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "host/child.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

ProcessId this_process() {
  return parse_process_status(read_file("/proc/self/stat")).value();
}

ProcessId sleeping(const std::string& shell = "exec sleep 1000") {
  return spawn_detached({"sh", "-c", shell}, {});
}

bool ends(const Fd& pidfd) {
  pollfd waiting{pidfd.get(), POLLIN, 0};
  return ::poll(&waiting, 1, 30'000) == 1;
}

TEST(ProcessStatus, TellsPidAndStartWhateverTheName) {
  const std::string rest =
      " S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 7654321 10 11 18446744073709551615\n";
  for (const std::string name : {"sh", "tmux: server", "a) S 1 (b", ")", "(", ") Z 1 2 3", "x\ny", ""})
    EXPECT_EQ(parse_process_status("42 (" + name + ")" + rest), (ProcessId{42, 7654321})) << name;
}

TEST(ProcessStatus, OfAZombieIsNone) {
  EXPECT_FALSE(parse_process_status("42 (sh) Z 1 2 3 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 7654321 10 11\n"));
}

TEST(ProcessStatus, CutShortIsNone) {
  const std::string whole = "42 (sh) S 1 2 3 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 7654321 10";
  ASSERT_TRUE(parse_process_status(whole));
  for (std::size_t size = 0; size < whole.find("7654321"); ++size)
    EXPECT_FALSE(parse_process_status(whole.substr(0, size))) << size;
}

TEST(ProcessIdText, ReadsBackAndTakesTheNewlineOfAFile) {
  const ProcessId id{42, 7654321};
  EXPECT_EQ(to_string(id), "42 7654321");
  EXPECT_EQ(parse_process_id("42 7654321"), id);
  EXPECT_EQ(parse_process_id("42 7654321\n"), id);
}

TEST(ProcessIdText, IsRefusedWhenMalformed) {
  for (const char* text : {"", "42", "42 ", " 7", "0 7", "-1 7", "42 x", "4x 7", "42 7 7", "99999999999 7",
                           "42 99999999999999999999999", "42  7"})
    EXPECT_FALSE(parse_process_id(text)) << text;
}

TEST(IsAlive, KnowsThisProcess) {
  EXPECT_TRUE(is_alive(this_process()));
}

TEST(IsAlive, TellsALaterProcessWithTheSameNumberApart) {
  const ProcessId me = this_process();
  const ProcessId before{me.pid, me.started - 1};
  EXPECT_FALSE(is_alive(before));
  EXPECT_FALSE(open_process(before));
  EXPECT_FALSE(send_signal(before, SIGKILL));
  end_process(before, 1ms);  // and we are still here
}

TEST(IsAlive, TellsNonsenseApart) {
  EXPECT_FALSE(is_alive({}));
  EXPECT_FALSE(is_alive({-1, 1}));
  EXPECT_FALSE(send_signal({0, 0}, SIGKILL));
}

TEST(IsAlive, DoesNotCountAZombie) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  const auto id = parse_process_status(read_file(fmt::format("/proc/{}/stat", child))).value();
  const Fd pidfd = open_process(id);
  EXPECT_TRUE(is_alive(id));
  ::kill(child, SIGKILL);
  ASSERT_TRUE(ends(pidfd));
  EXPECT_FALSE(is_alive(id));
  EXPECT_FALSE(open_process(id));
  EXPECT_FALSE(send_signal(id, SIGTERM));
  ::waitpid(child, nullptr, 0);
  EXPECT_FALSE(is_alive(id));
}

TEST(OpenProcess, GivesADescriptorThatBecomesReadableAtTheEnd) {
  const ProcessId id = sleeping();
  const Fd pidfd = open_process(id);
  ASSERT_TRUE(pidfd);
  pollfd waiting{pidfd.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&waiting, 1, 0), 0);
  EXPECT_TRUE(send_signal(id, SIGKILL));
  EXPECT_TRUE(ends(pidfd));
}

TEST(EndProcess, LetsAPoliteProcessCleanUp) {
  const TemporaryFolder folder;
  const auto ready = (folder / "ready").string();
  const auto bye = (folder / "bye").string();
  const ProcessId id = sleeping(
      fmt::format("trap 'echo bye > {}; exit' TERM; echo > {}; while :; do sleep 0.05; done", bye, ready));
  while (!read_file_if_there(ready)) ::usleep(1000);
  end_process(id, 30s);
  EXPECT_FALSE(is_alive(id));
  EXPECT_EQ(read_file(bye), "bye\n");
}

TEST(EndProcess, KillsOneThatIgnoresTheRequest) {
  const TemporaryFolder folder;
  const auto ready = (folder / "ready").string();
  const ProcessId id = sleeping(fmt::format("trap '' TERM; echo > {}; while :; do sleep 0.05; done", ready));
  while (!read_file_if_there(ready)) ::usleep(1000);
  end_process(id, 20ms);
  EXPECT_FALSE(is_alive(id));
}

TEST(EndProcess, KillsOneThatIsStopped) {
  const ProcessId id = sleeping();
  ASSERT_TRUE(send_signal(id, SIGSTOP));
  end_process(id, 20ms);
  EXPECT_FALSE(is_alive(id));
}

}  // namespace
}  // namespace berth
