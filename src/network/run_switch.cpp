#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "base/utc.h"
#include "host/files.h"
#include "host/process.h"
#include "network/serve_switch.h"
#include "network/switch_account.h"
#include "network/switch_deaths.h"
#include "network/switch_files.h"
#include "network/virtual_network.h"

// The keeper: the small process that starts the switch, and starts it again when it died, whether there is a
// region or not. It reads nothing that a guest sends.
namespace berth {
namespace {

using namespace network;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds first_pause{100}, longest_pause{10s};  // from one death to the next start
constexpr Clock::duration long_life = 60s;  // who lived so long is started again at once
constexpr std::chrono::milliseconds keeper_term_grace = 2s;
constexpr std::chrono::milliseconds check_pause{5s};
constexpr std::chrono::milliseconds adoption_pause{20ms};
constexpr off_t largest_log = 10 << 20;
constexpr int connection_buffer = 64 << 10;  // bytes; from here on what is freed goes back to the system

enum ExitCode { ended = 0, failed = 1, runs_already = 3 };

Fd termination_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) ::sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  for (const int signal : {SIGPIPE, SIGHUP}) ::signal(signal, SIG_IGN);
  return Fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
}

/// What the switch does, in a child of the keeper; `serving` tells the keeper that it does.
int be_the_switch(const std::filesystem::path& folder, Fd serving) {
  ::mallopt(M_MMAP_THRESHOLD, connection_buffer);
  try {
    const Fd signals = termination_signals();
    const auto lock = FileLock::try_take(SwitchFiles(folder).lock());
    if (!lock) return runs_already;
    spdlog::info("started folder={}", folder.string());
    serve_switch(folder, signals, [&] {
      [[maybe_unused]] const ssize_t told = ::write(serving.get(), "1", 1);
      serving.reset();
    });
    spdlog::info("ended folder={}", folder.string());
    return ended;
  } catch (const std::exception& e) {
    spdlog::error("{}", e.what());
    return failed;
  }
}

/// "signal 11 (Segmentation fault)"
std::string why_it_ended(int status) {
  if (WIFSIGNALED(status))
    return fmt::format("signal {} ({})", WTERMSIG(status), ::strsignal(WTERMSIG(status)));
  return fmt::format("exit code {}", WEXITSTATUS(status));
}

class Keeper {
 public:
  explicit Keeper(const std::filesystem::path& folder) : files_(folder), signals_(termination_signals()) {
    if (const auto account = switch_account(folder)) access_.emplace(folder, *account);
  }

  int run() {
    for (;;) {
      std::optional<Switch> now = adopt();
      if (!now && told_to_end()) return ended;
      if (!now) now = start();
      const bool wanted = wait(now->pidfd);
      if (!wanted) {
        end(*now);
        return ended;
      }
      const std::string why = now->child ? reap(*now) : std::string("an unknown cause");
      if (!has_configuration()) return ended;
      if (now->child && !is_serving(*now)) {
        if (!has_served_) return failed;  // it cannot come up: who started us is told
      } else {
        has_served_ = true;
      }
      note_death(why);
      pause_ =
          Clock::now() - now->since >= long_life ? 0ms : std::clamp(2 * pause_, first_pause, longest_pause);
      if (!sleep(pause_)) return ended;
    }
  }

 private:
  struct Switch {
    pid_t child = 0;  ///< 0: of an earlier keeper
    Fd pidfd;
    Fd serving;  ///< readable once it serves
    Clock::time_point since = Clock::now();
  };

  bool has_configuration() const { return std::filesystem::exists(files_.configuration()); }

  /// The switch that an earlier keeper left, if one runs.
  std::optional<Switch> adopt() {
    while (!FileLock::try_take(files_.lock())) {
      const auto id = parse_process_id(read_file_if_there(files_.process()).value_or(""));
      if (Fd pidfd = id ? open_process(*id) : Fd()) {
        spdlog::info("took up the switch of an earlier keeper process={}", id->pid);
        has_served_ = true;
        return Switch{.pidfd = std::move(pidfd), .serving = {}};
      }
      if (!sleep(adoption_pause)) break;  // it is just coming up, or going
    }
    return std::nullopt;
  }

  Switch start() const {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) throw no_process("pipe");
    Fd reading(ends[0]), writing(ends[1]);
    const pid_t child = ::fork();
    if (child < 0) throw no_process("process");
    if (child == 0) {
      // Nothing of the keeper's reaches it: not its lock above all.
      constexpr int told_at = 3;
      if (writing.get() != told_at) ::dup2(writing.release(), told_at);
      ::syscall(SYS_close_range, told_at + 1U, ~0U, 0);
      ::_exit(be_the_switch(files_.folder(), Fd(told_at)));
    }
    Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    if (!pidfd) throw no_process("descriptor");
    return {.child = child, .pidfd = std::move(pidfd), .serving = std::move(reading)};
  }

  Error no_process(const char* what) const {
    return {ErrorKind::unavailable, "ProcessUnavailable",
            fmt::format("The switch of {} cannot be started: this host has no {} left ({}).",
                        files_.folder().string(), what, std::strerror(errno))};
  }

  static std::string reap(Switch& ended) {
    int status = 0;
    while (::waitpid(ended.child, &status, 0) < 0 && errno == EINTR) {
    }
    return why_it_ended(status);
  }
  static bool is_serving(const Switch& one) {
    char byte;
    return ::read(one.serving.get(), &byte, 1) == 1;
  }

  void note_death(const std::string& why) const {
    SwitchDeaths deaths = read_deaths(files_.deaths()).value_or(SwitchDeaths{});
    ++deaths.count;
    deaths.at = utc_now();
    deaths.why = why;
    spdlog::error("the switch ended why=\"{}\" deaths={}; it is started again", why, deaths.count);
    write_deaths(files_.deaths(), deaths);
  }

  static void end(Switch& running) {
    ::syscall(SYS_pidfd_send_signal, running.pidfd.get(), SIGTERM, nullptr, 0);
    pollfd gone{running.pidfd.get(), POLLIN, 0};
    const auto grace = static_cast<int>(keeper_term_grace.count());
    if (::poll(&gone, 1, grace) <= 0)
      ::syscall(SYS_pidfd_send_signal, running.pidfd.get(), SIGKILL, nullptr, 0);
    ::poll(&gone, 1, grace);
  }

  bool told_to_end() { return !sleep(0ms); }
  /// False when it was told to end before.
  bool sleep(std::chrono::milliseconds time) {
    const auto until = Clock::now() + time;
    for (;;) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
      const Happened happened = happens(Fd(), std::max(left, 0ms));
      if (happened == Happened::told_to_end) return false;
      if (Clock::now() >= until) return true;
    }
  }
  /// Returns true when the switch ended, false when it shall.
  bool wait(const Fd& pidfd) {
    for (;;) {
      const Happened happened = happens(pidfd, check_pause);
      if (happened != Happened::nothing) return happened == Happened::ended;
      trim_log();
    }
  }

  enum class Happened { nothing, ended, told_to_end };
  Happened happens(const Fd& pidfd, std::chrono::milliseconds limit) {
    pollfd waiting[] = {{signals_.get(), POLLIN, 0},
                        {pidfd ? pidfd.get() : -1, POLLIN, 0},
                        {access_ ? access_->fd() : -1, POLLIN, 0}};
    if (::poll(waiting, std::size(waiting), static_cast<int>(limit.count())) < 0) return Happened::nothing;
    if (waiting[2].revents) access_->follow();
    if (waiting[0].revents) return Happened::told_to_end;
    return waiting[1].revents ? Happened::ended : Happened::nothing;
  }

  /// The log is standard error, appended to; what turns it over elsewhere would need rights in the folder.
  void trim_log() const {
    struct stat out {};
    struct stat log {};
    if (::fstat(STDERR_FILENO, &out) != 0 || ::stat(files_.log().c_str(), &log) != 0 ||
        log.st_size < largest_log || out.st_ino != log.st_ino || out.st_dev != log.st_dev)
      return;
    std::filesystem::path older = files_.log();
    older += ".1";
    std::error_code trouble;
    std::filesystem::copy_file(files_.log(), older, std::filesystem::copy_options::overwrite_existing,
                               trouble);
    if (!trouble) ::chmod(older.c_str(), 0600);
    if (::ftruncate(STDERR_FILENO, 0) != 0) spdlog::warn("could not shorten the log");
  }

  const SwitchFiles files_;
  const Fd signals_;
  std::optional<SocketAccess> access_;
  bool has_served_ = false;
  std::chrono::milliseconds pause_{0};
};

}  // namespace

int run_switch(const std::filesystem::path& given) {
  try {
    const std::filesystem::path folder = std::filesystem::canonical(given);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    log_to_stderr();
    const SwitchFiles files(folder);
    const auto lock = FileLock::try_take(files.keeper_lock());
    if (!lock) {
      fmt::print(stderr, "Another switch serves {} already.\n", folder.string());
      return runs_already;
    }
    write_file(files.keeper(), to_string(own_process()));
    return Keeper(folder).run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return failed;
  }
}

}  // namespace berth
