#include "host/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <iterator>
#include <sstream>
#include <thread>

#include "base/error.h"
#include "host/files.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

RunResult shell(const std::string& script, const RunOptions& options = {}) {
  return run({"sh", "-c", script}, options);
}

Error thrown_by(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("no error");
}

void wait_until(const std::function<bool()>& fact) {
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (!fact()) {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("it never became true");
    std::this_thread::sleep_for(2ms);
  }
}

std::string read_once_written(const std::filesystem::path& file) {
  wait_until([&] { return read_file_if_there(file).value_or("").ends_with('\n'); });
  return read_file(file);
}

std::size_t open_descriptors() {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
}

TEST(FindProgram, LooksInPathAndInTheSbinFolders) {
  EXPECT_THAT(find_program("sh").value_or(""), testing::EndsWith("/sh"));
  EXPECT_EQ(find_program("/bin/sh"), "/bin/sh");
  const std::string before = std::getenv("PATH");
  ::setenv("PATH", "/nonexistent", 1);
  EXPECT_TRUE(find_program("ldconfig"));
  ::setenv("PATH", before.c_str(), 1);
}

TEST(FindProgram, FindsNoFoldersNoDataAndNothingRelative) {
  EXPECT_FALSE(find_program("no-such-program-here"));
  EXPECT_FALSE(find_program(""));
  EXPECT_FALSE(find_program("/etc"));
  EXPECT_FALSE(find_program("/etc/passwd"));
  EXPECT_FALSE(find_program("bin/sh"));
}

TEST(Run, KeepsOutputErrorsAndExitCodeApart) {
  const RunResult result = shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(result.exit_code, 7);
}

TEST(Run, ReportsASignalAsTheShellDoes) {
  EXPECT_EQ(shell("kill -9 $$").exit_code, 128 + 9);
}

TEST(Run, PassesArgumentsUntouched) {
  EXPECT_EQ(run({"printf", "%s|", "a b", "", "$HOME", "'\""}).out, "a b||$HOME|'\"|");
}

TEST(Run, GivesTheInputThenItsEnd) {
  EXPECT_EQ(run({"cat"}, {.input = "line\n\xff"}).out, "line\n\xff");
  EXPECT_EQ(run({"cat"}).out, "");
}

TEST(Run, GivesLargeInputAndTakesLargeOutput) {
  std::string input(3'000'000, 'x');
  input += "end";
  EXPECT_EQ(run({"cat"}, {.input = input}).out, input);
}

TEST(Run, SurvivesAProgramThatDoesNotReadItsInput) {
  EXPECT_EQ(run({"true"}, {.input = std::string(1'000'000, 'x')}).exit_code, 0);
}

TEST(Run, UsesTheFolderAndTheEnvironment) {
  const TemporaryFolder folder;
  ::setenv("BERTH_TEST_KEPT", "kept", 1);
  ::setenv("BERTH_TEST_CHANGED", "old", 1);
  const RunResult result =
      shell("pwd; echo $BERTH_TEST_KEPT $BERTH_TEST_CHANGED $BERTH_TEST_ADDED",
            {.folder = folder.path(),
             .environment = {{"BERTH_TEST_CHANGED", "new"}, {"BERTH_TEST_ADDED", "added"}}});
  EXPECT_EQ(result.out, folder.path().string() + "\nkept new added\n");
}

TEST(Run, HandsOnLinesWhileTheProgramStillRuns) {
  const TemporaryFolder folder;
  std::vector<std::string> lines;
  const auto go = (folder / "go").string();
  // The program waits for a file that only the first line's reader makes: it ends only if lines come at once.
  shell(fmt::format("echo first; while ! test -e {}; do sleep 0.01; done; echo second >&2; printf third", go),
        {.limit = 30s, .on_line = [&](std::string_view line) {
           lines.emplace_back(line);
           if (lines.size() == 1) write_file(go, "");
         }});
  EXPECT_THAT(lines, ElementsAre("first", "second", "third"));
}

TEST(Run, HandsOnEmptyAndVeryLongLinesWhole) {
  std::vector<std::size_t> sizes;
  shell("echo; head -c 300000 /dev/zero | tr '\\0' x; echo; echo y",
        {.on_line = [&](std::string_view line) { sizes.push_back(line.size()); }});
  EXPECT_THAT(sizes, ElementsAre(0, 300'000, 1));
}

TEST(Run, StopsAProgramThatWritesMoreThanFitsAndNamesIt) {
  for (const char* stream : {"", " >&2"}) {
    const Error error = thrown_by([&] { shell(std::string("exec head -c 80000000 /dev/zero") + stream); });
    EXPECT_EQ(error.kind, ErrorKind::unavailable);
    EXPECT_EQ(error.code, "TooMuchOutput");
    EXPECT_THAT(error.what(), HasSubstr("more than 64 MiB"));
  }
}

TEST(Run, NamesAProgramThatIsMissing) {
  const Error error = thrown_by([] { run({"no-such-program-here"}); });
  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.what(), HasSubstr("no-such-program-here"));
  EXPECT_THROW(run({}), Error);
}

TEST(Run, NamesAFolderThatIsMissing) {
  const Error error = thrown_by([] { run({"true"}, {.folder = "/nonexistent"}); });
  EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("true"), HasSubstr("/nonexistent")));
}

TEST(Run, SaysWhyAFileCannotBeExecuted) {
  const TemporaryFolder folder;
  write_file(folder / "program", "#!/nonexistent/interpreter\n", 0755);
  const Error error = thrown_by([&] { run({(folder / "program").string()}); });
  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.what(), HasSubstr("No such file"));
}

TEST(Run, EndsAtOnceWhenItIsCancelled) {
  std::stop_source stop;
  RunOptions options{.limit = 60s, .on_line = [&](std::string_view) { stop.request_stop(); }};
  options.stop = stop.get_token();

  const Error error = thrown_by([&] { shell("echo started; sleep 1000", options); });

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_EQ(error.code, "OperationCanceled");
}

TEST(Run, KillsTheWholeGroupAtTheLimit) {
  const TemporaryFolder folder;
  const auto pids = folder / "pids";
  const Error error = thrown_by([&] {
    shell(fmt::format("sleep 1000 & echo $! > {0}; echo $$ >> {0}; wait", pids.string()), {.limit = 300ms});
  });
  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.what(), HasSubstr("0.3 s"));
  std::istringstream numbers(read_file(pids));
  int seen = 0;
  for (pid_t pid = 0; numbers >> pid; ++seen)
    wait_until([&] {
      const auto stat = read_file_if_there(fmt::format("/proc/{}/stat", pid));
      return !stat || stat->find(") Z") != std::string::npos;
    });
  EXPECT_EQ(seen, 2);
}

TEST(Run, DoesNotWaitForADaemonThatKeepsTheOutputOpen) {
  const RunResult result = shell("sleep 1000 & echo $!", {.limit = 60s});
  EXPECT_EQ(result.exit_code, 0);
  const pid_t daemon = std::stoi(result.out);
  EXPECT_EQ(::kill(daemon, 0), 0);  // and it is left alone
  ::kill(daemon, SIGKILL);
}

TEST(Run, StopsTheProgramWhenALineIsAnsweredByAnException) {
  struct Cancelled {};
  pid_t pid = 0;
  EXPECT_THROW(shell("echo $$; sleep 1000", {.on_line =
                                                 [&](std::string_view line) {
                                                   pid = std::stoi(std::string(line));
                                                   throw Cancelled();
                                                 }}),
               Cancelled);
  EXPECT_EQ(::kill(pid, 0), -1);
}

TEST(Run, StopsAProgramThatNeverStopsWriting) {
  EXPECT_EQ(thrown_by([] { run({"yes"}); }).code, "TooMuchOutput");
}

TEST(Run, GivesTheChildAProcessGroupOfItsOwn) {
  std::istringstream stat(run({"cat", "/proc/self/stat"}).out);
  std::string pid, name, state, parent, group;
  stat >> pid >> name >> state >> parent >> group;
  EXPECT_EQ(group, pid);
  EXPECT_EQ(parent, std::to_string(::getpid()));
}

TEST(Run, LeaksNoDescriptorIntoTheChild) {
  const Fd leaky(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
  const Fd high(::fcntl(leaky.get(), F_DUPFD, 700));
  ASSERT_EQ(high.get(), 700);
  EXPECT_EQ(shell("ls /proc/$$/fd; true").out, "0\n1\n2\n");
}

TEST(Run, LeaksNoDescriptorIntoUs) {
  run({"true"});
  const std::size_t before = open_descriptors();
  run({"true"}, {.input = "x"});
  EXPECT_THROW(run({"no-such-program-here"}), Error);
  EXPECT_THROW(run({"true"}, {.folder = "/nonexistent"}), Error);
  EXPECT_THROW(run({"sleep", "1000"}, {.limit = 1ms}), Error);
  EXPECT_EQ(open_descriptors(), before);
}

TEST(Run, GivesTheChildTheDefaultSignals) {
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  sigset_t usr1, old;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &usr1, &old);
  const std::string status = run({"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"}).out;
  ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
  ::signal(SIGPIPE, before);
  EXPECT_EQ(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(Run, NeverTakesALostExitCodeForSuccess) {
  const auto before = ::signal(SIGCHLD, SIG_IGN);
  EXPECT_EQ(thrown_by([] { run({"false"}); }).code, "ExitCodeLost");
  ::signal(SIGCHLD, before);
}

TEST(Run, WorksFromManyThreadsAtOnce) {
  std::vector<std::thread> threads;
  std::vector<std::string> outputs(8);
  for (std::size_t i = 0; i < outputs.size(); ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) outputs[i] += run({"echo", std::to_string(i)}).out;
    });
  for (auto& thread : threads) thread.join();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::string expected;
    for (int round = 0; round < 5; ++round) expected += std::to_string(i) + "\n";
    EXPECT_EQ(outputs[i], expected);
  }
}

class SpawnDetached : public testing::Test {
 protected:
  const TemporaryFolder folder;
  const std::filesystem::path log = folder / "log";
};

TEST_F(SpawnDetached, AppendsBothStreamsToALogForTheOwnerAlone) {
  write_file(log, "before\n", 0644);
  const ProcessId id = spawn_detached({"sh", "-c", "echo out; echo err >&2"}, {.log = log});
  wait_until([&] { return !is_alive(id); });
  EXPECT_EQ(read_file(log), "before\nout\nerr\n");
  struct stat status {};
  ASSERT_EQ(::stat(log.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(SpawnDetached, RunsInASessionOfItsOwnAndIsNobodysChild) {
  const ProcessId id = spawn_detached({"sleep", "1000"}, {});
  std::istringstream stat(read_file(fmt::format("/proc/{}/stat", id.pid)));
  std::string pid, name, state, parent, group, session, terminal;
  stat >> pid >> name >> state >> parent >> group >> session >> terminal;
  EXPECT_EQ(name, "(sleep)");
  EXPECT_EQ(session, pid);
  EXPECT_EQ(group, pid);
  EXPECT_EQ(terminal, "0");
  EXPECT_NE(parent, std::to_string(::getpid()));
  EXPECT_TRUE(is_alive(id));
  end_process(id, 30s);
}

TEST_F(SpawnDetached, UsesTheFolderAndTheEnvironment) {
  spawn_detached({"sh", "-c", "echo $BERTH_TEST $(pwd)"},
                 {.folder = folder.path(), .log = log, .environment = {{"BERTH_TEST", "x"}}});
  EXPECT_EQ(read_once_written(log), "x " + folder.path().string() + "\n");
}

TEST_F(SpawnDetached, PassesOnlyTheDescriptorsThatWereAskedForUnderTheirNumbers) {
  // Two that trade places, among others that must not arrive.
  write_file(folder / "a", "a");
  write_file(folder / "b", "b");
  const Fd other(::open("/dev/null", O_RDONLY));
  const Fd a(::open((folder / "a").c_str(), O_RDONLY | O_CLOEXEC));
  const Fd b(::open((folder / "b").c_str(), O_RDONLY | O_CLOEXEC));
  spawn_detached(
      {"sh", "-c", fmt::format("cat <&{}; cat <&{}; echo; ls /proc/$$/fd; echo end", a.get(), b.get())},
      {.log = log, .inherit = {{a.get(), b.get()}, {b.get(), a.get()}}});
  wait_until([&] { return read_file_if_there(log).value_or("").ends_with("end\n"); });
  std::istringstream words(read_file(log));
  EXPECT_THAT(std::vector<std::string>(std::istream_iterator<std::string>(words), {}),
              testing::UnorderedElementsAre("ba", "0", "1", "2", fmt::to_string(a.get()),
                                            fmt::to_string(b.get()), "end"));
}

TEST_F(SpawnDetached, ReadsNothing) {
  spawn_detached({"sh", "-c", "cat; echo done"}, {.log = log});
  EXPECT_EQ(read_once_written(log), "done\n");
}

TEST_F(SpawnDetached, NamesAProgramThatCannotBeExecuted) {
  write_file(folder / "program", "#!/nonexistent/interpreter\n", 0755);
  const Error error = thrown_by([&] { spawn_detached({(folder / "program").string()}, {}); });
  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.what(), HasSubstr((folder / "program").string()));
  EXPECT_THROW(spawn_detached({"no-such-program-here"}, {}), Error);
  EXPECT_THROW(spawn_detached({"true"}, {.log = "/nonexistent/log"}), Error);
}

TEST_F(SpawnDetached, KnowsAProcessThatEndedAtOnce) {
  const ProcessId id = spawn_detached({"true"}, {});
  EXPECT_GT(id.pid, 0);
  EXPECT_GT(id.started, 0u);
  wait_until([&] { return !is_alive(id); });
}

TEST_F(SpawnDetached, LeavesNoChildAndNoDescriptorWithUs) {
  spawn_detached({"true"}, {});
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 5; ++i) spawn_detached({"true"}, {.log = log});
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);  // no children, not even zombies
}

TEST(Run, SendsAStreamToAFileHoweverMuchItIs) {
  const TemporaryFolder folder;
  RunOptions options;
  options.out_file = folder / "out";

  const RunResult result = run({"/bin/sh", "-c", "head -c 100000000 /dev/zero; echo err >&2"}, options);

  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(std::filesystem::file_size(folder / "out"), 100'000'000u);
}

}  // namespace
}  // namespace berth
