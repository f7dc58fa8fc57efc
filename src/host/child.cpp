#include "host/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

extern char** environ;

namespace berth {
namespace {

enum class Step : int { none, session, folder, descriptors, exec, fork };

/// What the child tells us: once who it is, just before exec, and again if exec did not happen.
struct Report {
  Step failed = Step::none;
  int error = 0;
  char stat[1024] = {};  ///< its /proc/self/stat
};
static_assert(sizeof(Report) <= 4096, "a pipe takes it whole");

/// Everything exec needs, laid out before fork() or vfork(): after the latter the child runs in our memory, and only system calls
/// are safe.
struct Prepared {
  std::string program;
  std::string folder;
  std::vector<std::string> variables;
  std::vector<char*> argv;
  std::vector<char*> envp;
  std::vector<std::pair<int, int>> descriptors;
  std::vector<int> moved;  ///< room for as many descriptors
  int lowest_free = 3;     ///< above every number the child asked for
  int report = -1;
};

[[noreturn]] void throw_cannot_start(const std::string& program, Step step, int error,
                                     const std::string& folder) {
  std::string why = std::strerror(error);
  if (step == Step::folder) why = fmt::format("its folder {} cannot be entered: {}", folder, why);
  throw Error(ErrorKind::unavailable, "ProgramUnavailable",
              fmt::format("Cannot start {}: {}.", program, why));
}

std::vector<std::string> merged_environment(const std::map<std::string, std::string>& added) {
  std::vector<std::string> variables;
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string_view text = *entry;
    if (!added.contains(std::string(text.substr(0, text.find('='))))) variables.emplace_back(text);
  }
  for (const auto& [name, value] : added) variables.push_back(name + "=" + value);
  return variables;
}

Prepared prepare(const ChildPlan& plan, int report) {
  const std::string name = plan.argv.empty() ? "" : plan.argv.front();
  const auto program = find_program(name);
  if (!program)
    throw Error(ErrorKind::unavailable, "ProgramUnavailable",
                fmt::format("Cannot start {}: there is no such program.", name.empty() ? "nothing" : name),
                name.find('/') == std::string::npos
                    ? fmt::format("Install {}, or add its folder to PATH.", name)
                    : "");
  Prepared prepared;
  prepared.program = *program;
  prepared.folder = plan.folder.string();
  prepared.variables = merged_environment(plan.environment);
  for (const std::string& argument : plan.argv) prepared.argv.push_back(const_cast<char*>(argument.c_str()));
  for (std::string& variable : prepared.variables) prepared.envp.push_back(variable.data());
  prepared.argv.push_back(nullptr);
  prepared.envp.push_back(nullptr);
  prepared.descriptors = plan.descriptors;
  prepared.moved.resize(plan.descriptors.size());
  for (const auto& [ours, number] : plan.descriptors)
    prepared.lowest_free = std::max(prepared.lowest_free, number + 1);
  prepared.report = report;
  return prepared;
}

// From here to exec_child(): in the child, between fork() and exec(). System calls only; no memory is taken, and
// none is changed that the parent reads but for this child's own plan.

void tell(int report, Step failed, int error) {
  Report message;
  message.failed = failed;
  message.error = error;
  const int stat = ::open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
  if (stat >= 0) {
    [[maybe_unused]] const ssize_t got = ::read(stat, message.stat, sizeof message.stat - 1);
    ::close(stat);
  }
  [[maybe_unused]] const ssize_t written = ::write(report, &message, sizeof message);
}

[[noreturn]] void give_up(int report, Step step) {
  tell(report, step, errno);
  ::_exit(127);
}

void default_signals() {
  for (int signal = 1; signal < NSIG; ++signal)
    if (signal != SIGKILL && signal != SIGSTOP) ::signal(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

void close_all_on_exec() {
  if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC) == 0) return;
  rlimit most{};  // a kernel before 5.11
  ::getrlimit(RLIMIT_NOFILE, &most);
  const int last = static_cast<int>(std::min<rlim_t>(most.rlim_cur, 1 << 20));
  for (int fd = 3; fd < last; ++fd) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/// Gives each descriptor its number. Two passes: a number asked for may be one that we hold.
bool place_descriptors(Prepared& child) {
  for (std::size_t i = 0; i < child.descriptors.size(); ++i) {
    child.moved[i] = ::fcntl(child.descriptors[i].first, F_DUPFD_CLOEXEC, child.lowest_free);
    if (child.moved[i] < 0) return false;
  }
  for (std::size_t i = 0; i < child.descriptors.size(); ++i)
    if (::dup2(child.moved[i], child.descriptors[i].second) < 0) return false;
  return true;
}

[[noreturn]] void exec_child(Prepared& child, bool own_session) {
  const int report = ::fcntl(child.report, F_DUPFD_CLOEXEC, child.lowest_free);
  if (report < 0) give_up(child.report, Step::descriptors);
  default_signals();
  if (own_session ? ::setsid() < 0 : ::setpgid(0, 0) < 0) give_up(report, Step::session);
  if (!child.folder.empty() && ::chdir(child.folder.c_str()) < 0) give_up(report, Step::folder);
  close_all_on_exec();
  if (!place_descriptors(child)) give_up(report, Step::descriptors);
  tell(report, Step::none, 0);
  ::execve(child.program.c_str(), child.argv.data(), child.envp.data());
  give_up(report, Step::exec);
}

/// Holds back this thread's signals: a handler of ours must not run in the child.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
  ~SignalsHeld() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

/// True once a report is read whole; false at the end of the pipe.
bool read_report(const Fd& pipe, Report& report) {
  ssize_t got;
  do got = ::read(pipe.get(), &report, sizeof report);
  while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof report);
}

ProcessId start(const ChildPlan& plan, bool orphan) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0)
    throw_cannot_start(plan.argv.empty() ? "" : plan.argv.front(), Step::fork, errno, "");
  const Fd reading(ends[0]);
  Fd writing(ends[1]);
  Prepared child = prepare(plan, writing.get());

  pid_t pid;
  int error = 0;
  {
    const SignalsHeld held;
    // Of a large process no page is copied by vfork(). It does not nest: the sanitizers keep one way back from it.
    pid = orphan ? ::fork() : ::vfork();
    error = errno;
    if (pid == 0) {
      if (!orphan) exec_child(child, false);
      const pid_t grandchild = ::fork();
      if (grandchild == 0) exec_child(child, true);
      if (grandchild < 0) give_up(child.report, Step::fork);
      ::_exit(0);
    }
  }
  if (pid < 0) throw_cannot_start(child.program, Step::fork, error, "");
  writing.reset();
  if (orphan) reap(pid);

  Report first;
  Report second;
  const bool began = read_report(reading, first);
  if (began && first.failed == Step::none) read_report(reading, second);  // the pipe ends when exec succeeds
  const Report& last = first.failed == Step::none ? second : first;
  const auto id = parse_process_status(first.stat);
  if (began && last.failed == Step::none && id) return *id;
  if (!orphan) {
    ::kill(pid, SIGKILL);  // in case it runs, but without /proc nobody can know it again
    reap(pid);
  }
  throw_cannot_start(child.program, last.failed, last.failed == Step::none ? ECHILD : last.error,
                     child.folder);
}

}  // namespace

ProcessId start_child(const ChildPlan& plan) {
  return start(plan, false);
}
ProcessId start_orphan(const ChildPlan& plan) {
  return start(plan, true);
}

}  // namespace berth
