#include "cli/terminal/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <iostream>
#include <limits>

#include "base/error.h"
#include "host/fd.h"
#include "host/files.h"

namespace berth {
namespace {

Error canceled() {
  return Error(ErrorKind::unavailable, "OperationCanceled", "Canceled.");
}

Fd open_terminal(const std::string& what, const std::string& advice) {
  Fd terminal;
  if (::isatty(STDIN_FILENO) == 1) terminal = Fd(::open("/dev/tty", O_RDWR | O_CLOEXEC));
  if (!terminal) throw Error(ErrorKind::invalid, "InputMissing", what, advice);
  return terminal;
}

void print(const Fd& terminal, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(terminal.get(), text.data(), text.size());
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

Secret read_terminal_line(const Fd& terminal) {
  std::string line;
  line.reserve(512);  // so that no half of it stays behind in a smaller, freed buffer
  char byte = 0;
  while (true) {
    // Not read() alone: a signal just before it would go unnoticed until the next key.
    pollfd poll{terminal.get(), POLLIN, 0};
    const int ready = ::poll(&poll, 1, 100);
    if (interrupt::requested()) throw canceled();
    if (ready <= 0) continue;
    const ssize_t got = ::read(terminal.get(), &byte, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw canceled();
    if (byte == '\n') return Secret(std::move(line));
    if (line.size() < 511) line += byte;
  }
}

/// Echo off for as long as it lives.
class NoEcho {
 public:
  explicit NoEcho(const Fd& terminal) : terminal_(terminal) {
    if (::tcgetattr(terminal_.get(), &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent.c_lflag |= ECHONL;
    changed_ = ::tcsetattr(terminal_.get(), TCSAFLUSH, &silent) == 0;
  }
  NoEcho(const NoEcho&) = delete;
  NoEcho& operator=(const NoEcho&) = delete;
  ~NoEcho() {
    if (changed_) ::tcsetattr(terminal_.get(), TCSAFLUSH, &before_);
  }

 private:
  const Fd& terminal_;
  termios before_{};
  bool changed_ = false;
};

}  // namespace

Secret prompt_secret(const std::string& prompt, const std::string& advice) {
  const Fd terminal = open_terminal("A password is needed, and there is no terminal to ask for it.", advice);
  const NoEcho quiet(terminal);
  print(terminal, prompt);
  return read_terminal_line(terminal);
}

bool can_prompt() {
  return ::isatty(STDIN_FILENO) == 1;
}

Secret read_password(const std::string& file) {
  std::string line;
  line.reserve(512);  // so that no half of it stays behind in a smaller, freed buffer
  if (file == "-")
    std::getline(std::cin, line);
  else
    line = read_file(file, 4096);
  return Secret(line.substr(0, line.find_first_of("\r\n")));
}

bool prompt_yes(const std::string& question, const std::string& advice) {
  const Fd terminal = open_terminal("This needs a yes, and there is no terminal to ask for it.", advice);
  print(terminal, question + " [y/n] ");
  const Secret answer = read_terminal_line(terminal);
  const std::string& text = answer.reveal();
  return text == "y" || text == "Y" || text == "yes" || text == "Yes" || text == "YES";
}

void wipe_argument(int argc, char** argv, std::string_view secret) {
  if (secret.empty()) return;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.ends_with(secret)) continue;
    const std::size_t start = argument.size() - secret.size();
    if (start == 0 || argument[start - 1] == '=') std::memset(argv[i] + start, 0, secret.size());
  }
}

namespace interrupt {
namespace {

std::atomic<int> count{0};
std::atomic<bool> cleaning{false}, shared{false};
thread_local int noted = 0;  ///< requests that this thread has begun to clean up after
std::array<char, 1024> farewell_text{};
std::atomic<std::size_t> farewell_size{0};

void on_signal(int) {
  if (count.fetch_add(1) == 0 && (!cleaning || shared)) return;
  [[maybe_unused]] const ssize_t ignored = ::write(STDERR_FILENO, farewell_text.data(), farewell_size.load());
  ::_exit(exit_code);
}

}  // namespace

void install() {
  count = 0;
  noted = 0;
  cleaning = false;
  shared = false;
  farewell_size = 0;
  struct sigaction action {};
  action.sa_handler = &on_signal;  // no SA_RESTART: a read from the terminal shall return
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);  // nohup stays nohup
  }
  ::signal(SIGPIPE, SIG_IGN);
}

bool requested() {
  return count > noted;
}

void check() {
  if (requested()) throw canceled();
}

void set_farewell(const std::string& text) {
  if (shared) return;
  const std::string line = text.empty() ? "" : "\nerror:   " + text + "\n";
  const std::size_t size = std::min(line.size(), farewell_text.size());
  farewell_size = 0;
  std::memcpy(farewell_text.data(), line.data(), size);
  farewell_size = size;
}

void begin_cleanup() {
  cleaning = true;
  noted = std::numeric_limits<int>::max();  // another one ends the process, or is for the other threads
  if (!shared) count = 0;
}

void share() {
  shared = true;
}

bool sleep(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!requested()) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0)) return false;
    // Slices, because a signal may come between the question and the sleep.
    const auto slice = std::min<std::chrono::nanoseconds>(left, std::chrono::milliseconds(50));
    timespec wait{0, static_cast<long>(slice.count())};
    ::nanosleep(&wait, nullptr);
  }
  return true;
}

}  // namespace interrupt
}  // namespace berth
