#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "host/child.h"
#include "host/files.h"
#include "host/process.h"

namespace berth {
namespace {

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// True once the process behind the pidfd has ended; false when it still runs at the limit.
bool wait_for_end(const Fd& pidfd, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd waiting{pidfd.get(), POLLIN, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::max<long long>(0, left.count())));
    if (ready > 0) return true;
    if (ready == 0 && left.count() <= 0) return false;
  }
}

bool send(const Fd& pidfd, const ProcessId& id, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  throw Error(ErrorKind::unavailable, "ProcessUnavailable",
              fmt::format("Process {} cannot be signalled: {}.", id.pid, std::strerror(errno)));
}

}  // namespace

std::optional<ProcessId> parse_process_status(std::string_view stat) {
  // "PID (NAME) STATE …": the name may itself hold spaces, newlines and parentheses; the last one closes it.
  const auto name_begin = stat.find(" (");
  const auto name_end = stat.rfind(") ");
  if (name_begin == stat.npos || name_end == stat.npos || name_end < name_begin) return std::nullopt;
  const auto pid = parse_number<pid_t>(stat.substr(0, name_begin));

  constexpr int state_field = 3;
  constexpr int start_field = 22;
  std::string_view rest = stat.substr(name_end + 2);
  if (rest.empty() || rest.front() == 'Z' || rest.front() == 'X') return std::nullopt;
  for (int field = state_field; field < start_field; ++field) {
    const auto space = rest.find(' ');
    if (space == rest.npos) return std::nullopt;
    rest.remove_prefix(space + 1);
  }
  const auto started = parse_number<unsigned long long>(rest.substr(0, rest.find(' ')));
  if (!pid || *pid <= 0 || !started) return std::nullopt;
  return ProcessId{*pid, *started};
}

std::string to_string(const ProcessId& id) {
  return fmt::format("{} {}", id.pid, id.started);
}

std::optional<ProcessId> parse_process_id(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  const auto space = text.find(' ');
  if (space == text.npos) return std::nullopt;
  const auto pid = parse_number<pid_t>(text.substr(0, space));
  const auto started = parse_number<unsigned long long>(text.substr(space + 1));
  if (!pid || *pid <= 0 || !started) return std::nullopt;
  return ProcessId{*pid, *started};
}

ProcessId own_process() {
  return parse_process_status(read_file("/proc/self/stat")).value();
}

bool is_alive(const ProcessId& id) {
  if (id.pid <= 0) return false;
  try {
    const auto stat = read_file_if_there(fmt::format("/proc/{}/stat", id.pid));
    return stat && parse_process_status(*stat) == id;
  } catch (const Error&) {
    return false;  // it ended while we read (ESRCH)
  }
}

Fd open_process(const ProcessId& id) {
  if (id.pid <= 0) return Fd();
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, id.pid, 0)));
  if (!pidfd && errno != ESRCH && errno != EINVAL && errno != ENOENT)  // EINVAL: now a thread's number
    throw Error(ErrorKind::unavailable, "ProcessUnavailable",
                fmt::format("Process {} cannot be watched: {}.", id.pid, std::strerror(errno)));
  // Asked after opening: whatever the number meant before, it now means what the pidfd holds.
  if (!pidfd || !is_alive(id)) return Fd();
  return pidfd;
}

bool send_signal(const ProcessId& id, int signal) {
  const Fd pidfd = open_process(id);
  return pidfd && send(pidfd, id, signal);
}

void end_process(const ProcessId& id, std::chrono::milliseconds grace) {
  constexpr std::chrono::seconds longest_death{20};  // a process in a system call dies when it returns
  const Fd pidfd = open_process(id);
  if (!pidfd || !send(pidfd, id, SIGTERM) || wait_for_end(pidfd, grace)) return;
  if (!send(pidfd, id, SIGKILL) || wait_for_end(pidfd, longest_death)) return;
  throw Error(
      ErrorKind::unavailable, "ProcessUnavailable",
      fmt::format("Process {} was killed but is still there after {} s.", id.pid, longest_death.count()));
}

}  // namespace berth
