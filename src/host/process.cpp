#include "host/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/error.h"
#include "host/child.h"

namespace berth {
namespace {

constexpr std::size_t most_output = 64u << 20;

[[noreturn]] void throw_no_resource(const std::string& program, std::string_view what) {
  throw Error(ErrorKind::unavailable, "ProgramUnavailable",
              fmt::format("Cannot start {}: no {}: {}.", program, what, std::strerror(errno)));
}

[[noreturn]] void throw_exit_code_lost(const std::string& program) {
  throw Error(ErrorKind::internal, "ExitCodeLost",
              fmt::format("How {} ends cannot be known: this process ignores its children.", program),
              "Start it with SIGCHLD at its default.");
}

/// Then the kernel reaps them, at once, and their numbers mean nothing. Inherited, so it may not be our
/// doing.
bool ignores_children() {
  struct sigaction now {};
  ::sigaction(SIGCHLD, nullptr, &now);
  return now.sa_handler == SIG_IGN || (now.sa_flags & SA_NOCLDWAIT) != 0;
}

Fd open_null() {
  return Fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

/// Standard input that is complete before the program starts, so nobody has to feed it. In memory only.
Fd input_file(const std::string& program, std::string_view input) {
  if (input.empty()) return open_null();
  Fd file(::memfd_create("input", MFD_CLOEXEC));
  for (std::string_view rest = input; !rest.empty();) {
    const ssize_t written = ::write(file.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_no_resource(program, "memory for its input");
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

Fd output_file(const std::string& program, const std::filesystem::path& file) {
  Fd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
  if (!fd)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} for the output of {} cannot be opened: {}.", file.string(), program,
                            std::strerror(errno)));
  return fd;
}

struct Pipe {
  explicit Pipe(const std::string& program) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw_no_resource(program, "pipe");
    reading = Fd(ends[0]);
    writing = Fd(ends[1]);
    ::fcntl(reading.get(), F_SETFL, O_NONBLOCK);
  }
  Fd reading, writing;
};

/// One output stream of the program: kept whole, and handed on line by line.
class Stream {
 public:
  Stream(Fd fd, const std::function<void(std::string_view)>& on_line)
      : fd_(std::move(fd)), on_line_(on_line) {}

  int fd() const { return fd_.get(); }
  std::size_t size() const { return text_.size(); }
  std::string take() { return std::move(text_); }

  /// Takes what there is now; closes at the end.
  void read() {
    std::array<char, 16 * 1024> buffer;
    while (fd_) {
      const ssize_t got = ::read(fd_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        fd_.reset();
        return;
      }
      const std::size_t before = text_.size();
      text_.append(buffer.data(), static_cast<std::size_t>(got));
      hand_on_lines(before);
      if (text_.size() > most_output) return;
    }
  }

  void hand_on_rest() {
    if (on_line_ && told_ < text_.size())
      on_line_(std::string_view(text_).substr(std::exchange(told_, text_.size())));
  }

 private:
  void hand_on_lines(std::size_t from) {
    if (!on_line_) return;
    for (auto end = text_.find('\n', from); end != text_.npos; end = text_.find('\n', told_)) {
      const std::string_view line = std::string_view(text_).substr(told_, end - told_);
      told_ = end + 1;
      on_line_(line);
    }
  }

  Fd fd_;
  const std::function<void(std::string_view)>& on_line_;
  std::string text_;
  std::size_t told_ = 0;
};

/// Our child until it is reaped; kills its whole group if we leave before.
class Child {
 public:
  explicit Child(const ProcessId& id)
      : pid_(id.pid), pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, id.pid, 0))) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    reap();
  }

  int pidfd() const { return pidfd_.get(); }

  /// 128 + signal number when a signal ended it; nullopt when someone else in this process reaped it.
  std::optional<int> reap() {
    int status = 0;
    pid_t reaped;
    do reaped = ::waitpid(pid_, &status, 0);
    while (reaped < 0 && errno == EINTR);
    pid_ = -1;
    if (reaped < 0) return std::nullopt;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  pid_t pid_;
  Fd pidfd_;
};

}  // namespace

RunResult run(const std::vector<std::string>& argv, const RunOptions& options) {
  using Clock = std::chrono::steady_clock;
  const std::string program = argv.empty() ? "" : argv.front();
  if (ignores_children()) throw_exit_code_lost(program);
  const Fd input = input_file(program, options.input);
  Pipe out_pipe(program);
  Pipe err_pipe(program);
  const auto to_file = [&](Pipe& pipe, const std::filesystem::path& file) {
    if (file.empty()) return;
    pipe.writing = output_file(program, file);
    pipe.reading.reset();
  };
  to_file(out_pipe, options.out_file);
  to_file(err_pipe, options.err_file);
  const auto deadline = Clock::now() + options.limit;
  Child child(start_child({argv,
                           options.folder,
                           options.environment,
                           {{input.get(), 0}, {out_pipe.writing.get(), 1}, {err_pipe.writing.get(), 2}}}));
  if (child.pidfd() < 0) throw_no_resource(program, "descriptor to watch it");
  out_pipe.writing.reset();
  err_pipe.writing.reset();
  Fd canceled(::eventfd(0, EFD_CLOEXEC));
  const std::stop_callback on_cancel(options.stop, [&canceled] { ::eventfd_write(canceled.get(), 1); });
  Stream out(std::move(out_pipe.reading), options.on_line);
  Stream err(std::move(err_pipe.reading), options.on_line);

  // It has ended when the process has, not when its pipes close: a daemon it started may keep them open.
  for (bool ended = false; !ended;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0)
      throw Error(ErrorKind::unavailable, "Timeout",
                  fmt::format("{} was stopped: it did not end within {} s.", program,
                              std::chrono::duration<double>(options.limit).count()));
    std::array<pollfd, 4> events{{{child.pidfd(), POLLIN, 0},
                                  {out.fd(), POLLIN, 0},
                                  {err.fd(), POLLIN, 0},
                                  {canceled.get(), POLLIN, 0}}};
    if (::poll(events.data(), events.size(), static_cast<int>(std::min<long long>(left, INT_MAX))) < 0)
      continue;
    if (options.stop.stop_requested())
      throw Error(ErrorKind::unavailable, "OperationCanceled",
                  fmt::format("{} was stopped: the operation was cancelled.", program));
    ended = events[0].revents != 0;
    out.read();
    err.read();
    if (out.size() + err.size() > most_output)
      throw Error(ErrorKind::unavailable, "TooMuchOutput",
                  fmt::format("{} was stopped: it wrote more than {} MiB.", program, most_output >> 20));
  }
  out.hand_on_rest();
  err.hand_on_rest();
  const auto exit_code = child.reap();
  if (!exit_code) throw_exit_code_lost(program);
  RunResult result;
  result.exit_code = *exit_code;
  result.out = out.take();
  result.err = err.take();
  return result;
}

ProcessId spawn_detached(const std::vector<std::string>& argv, const DetachOptions& options) {
  const std::string program = argv.empty() ? "" : argv.front();
  const Fd null = open_null();
  Fd log;
  if (!options.log.empty()) {
    log = Fd(::open(options.log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600));
    if (!log || ::fchmod(log.get(), 0600) != 0)
      throw Error(ErrorKind::unavailable, "LogUnavailable",
                  fmt::format("The log file {} of {} cannot be opened: {}.", options.log.string(), program,
                              std::strerror(errno)));
  }
  const int output = log ? log.get() : null.get();
  std::vector<std::pair<int, int>> descriptors{{null.get(), 0}, {output, 1}, {output, 2}};
  descriptors.insert(descriptors.end(), options.inherit.begin(), options.inherit.end());
  return start_orphan({argv, options.folder, options.environment, std::move(descriptors)});
}

}  // namespace berth
