#include "extension/engine.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "host/fd.h"

namespace berth::extension {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t largest_answer = 4 * 1024 * 1024;

/// False when `limit` passed first.
bool wait_for(const Fd& fd, short events, Clock::time_point end) {
  while (true) {
    const auto left = std::chrono::duration_cast<milliseconds>(end - Clock::now());
    if (left.count() <= 0) return false;
    pollfd entry{fd.get(), events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::min<milliseconds::rep>(left.count(), 60'000)));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

Fd connect_unix(const std::filesystem::path& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.native().size() >= sizeof address.sun_path) return {};
  socket.native().copy(address.sun_path, sizeof address.sun_path - 1);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return {};
  return fd;
}

/// Waits 20 ms, then longer, up to 250 ms, until `done` or `limit`.
template <class Done>
bool poll_until(milliseconds limit, Done&& done) {
  const auto end = Clock::now() + limit;
  for (milliseconds pause{20};; pause = std::min(pause * 3 / 2, milliseconds(250))) {
    if (done()) return true;
    if (Clock::now() + pause > end) return false;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

std::optional<std::string> SocketProbe::get(const std::string& path, milliseconds limit) {
  const auto end = Clock::now() + limit;
  const Fd fd = connect_unix(socket_);
  if (!fd) return std::nullopt;
  // HTTP/1.0: the answer ends with the connection and is never in chunks.
  const std::string request = fmt::format("GET {} HTTP/1.0\r\nHost: docker\r\n\r\n", path);
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    return std::nullopt;
  std::string answer;
  char chunk[16 * 1024];
  while (wait_for(fd, POLLIN, end)) {
    const ssize_t got = ::recv(fd.get(), chunk, sizeof chunk, 0);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got < 0 || answer.size() > largest_answer) return std::nullopt;
    if (got > 0) {
      answer.append(chunk, static_cast<std::size_t>(got));
      continue;
    }
    const std::size_t body = answer.find("\r\n\r\n");
    if (body == std::string::npos || answer.size() < 12 || answer.compare(9, 3, "200") != 0)
      return std::nullopt;
    return answer.substr(body + 4);
  }
  return std::nullopt;
}

TlsProbe SocketProbe::handshake(const std::string& address, std::uint16_t port, milliseconds limit) {
  return probe_tls(address, port, std::nullopt, limit);
}

bool Engine::is_active() {
  if (init_ != Init::systemd) return probe_.get("/_ping", milliseconds(2000)).has_value();
  const RunResult state = runner_.run({"systemctl", "is-active", "docker.service"});
  if (!state.out.starts_with("activating")) return state.exit_code == 0;
  // At boot it may be on its way, with what it read before we change it. Starting it again waits for that.
  RunOptions options;
  options.limit = command_limit;
  return runner_.run({"systemctl", "start", "docker.service"}, options).exit_code == 0;
}

bool Engine::keeps_containers() {
  const auto info = probe_.get("/info", milliseconds(10'000));
  const auto document = nlohmann::json::parse(info.value_or(""), nullptr, false);
  return document.is_object() && document.value("LiveRestoreEnabled", false);
}

void Engine::control(const std::string& verb) {
  std::vector<std::string> argv = {"systemctl", verb, "docker.service"};
  if (init_ != Init::systemd) {
    argv = {"service", "docker", verb};
    // The init script has no such verb.
    if (verb == "reload")
      argv = {"start-stop-daemon", "--stop", "--signal", "HUP", "--pidfile", "/run/docker.pid"};
  }
  RunOptions options;
  options.limit = command_limit;
  const RunResult result = runner_.run(argv, options);
  if (result.exit_code == 0) return;
  const std::string said = first_error();
  throw Error(ErrorKind::unavailable, "EngineUnavailable",
              fmt::format("The engine did not {}: {}", verb, said.empty() ? last_lines(result) : said));
}

void Engine::wait_until_up() {
  if (poll_until(up_limit, [&] { return probe_.get("/_ping", milliseconds(5000)).has_value(); })) return;
  const std::string said = first_error();
  throw Error(ErrorKind::unavailable, "EngineUnavailable",
              fmt::format("The engine did not answer on its unix socket within {} s{}",
                          std::chrono::duration_cast<std::chrono::seconds>(up_limit).count(),
                          said.empty() ? "." : ": " + said));
}

std::string Engine::first_error() {
  if (init_ != Init::systemd) return {};
  try {
    const RunResult journal =
        runner_.run({"journalctl", "--unit=docker.service", "--lines=30", "--no-pager", "--output=cat"});
    std::string_view text = journal.out;
    std::string_view last_failure;
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(text.size(), line.size() + 1));
      log_.line(fmt::format("journal {}", line));
      const bool fatal = line.find("level=fatal") != std::string_view::npos ||
                         line.starts_with("failed to start daemon") ||
                         line.starts_with("unable to configure");
      if (fatal || (last_failure.empty() && line.find("level=error") != std::string_view::npos))
        last_failure = line;
    }
    return std::string(last_failure);
  } catch (const Error& error) {
    log_.line(fmt::format("cannot read the journal: {}", error.what()));
    return {};
  }
}

void Engine::act(EngineAction action, bool unit_changed) {
  if (unit_changed) reread_units();
  switch (action) {
    case EngineAction::none:
      return;
    case EngineAction::reload:
      control("reload");
      break;
    case EngineAction::start:
    case EngineAction::restart:
      // Five starts in ten seconds would otherwise be the last ones.
      if (init_ == Init::systemd) runner_.run({"systemctl", "reset-failed", "docker.service"});
      control(action == EngineAction::start ? "start" : "restart");
      break;
  }
  wait_until_up();
}

void Engine::reread_units() {
  if (init_ == Init::systemd) runner_.run({"systemctl", "daemon-reload"});
}

void Engine::enable_at_boot() {
  const RunResult result = init_ == Init::systemd ? runner_.run({"systemctl", "enable", "docker.service"})
                                                  : runner_.run({"update-rc.d", "docker", "defaults"});
  if (result.exit_code != 0) log_.line(fmt::format("cannot enable docker at boot: {}", last_lines(result)));
}

void Engine::stop() {
  control("stop");
}

void check_engine_fits(const Root& root, Runner& runner, const std::string& dockerd) {
  std::error_code trouble;
  if (!std::filesystem::exists(root("/sys/fs/cgroup/cgroup.controllers"), trouble)) return;
  const std::string said = runner.run({dockerd, "--version"}).out;  // "Docker version 19.03.15, build …"
  constexpr std::string_view start = "Docker version ";
  int major = 0, minor = 0;
  if (!said.starts_with(start) || std::sscanf(said.c_str() + start.size(), "%d.%d", &major, &minor) != 2)
    return;
  if (major > 20 || (major == 20 && minor >= 10)) return;
  throw Error(
      ErrorKind::unavailable, "EngineTooOld",
      fmt::format("{} is engine {}.{:02}: before 20.10 it starts no container on a machine with cgroup v2, "
                  "as this one.",
                  dockerd, major, minor),
      "Replace it by engine 20.10 or later, or boot this machine with systemd.unified_cgroup_hierarchy=0.");
}

bool in_swarm(std::string_view info, const System& system) {
  const auto document = nlohmann::json::parse(info, nullptr, false);
  const nlohmann::json::json_pointer place("/Swarm/LocalNodeState");
  const auto state = document.is_object() ? document.value(place, nlohmann::json()) : nlohmann::json();
  if (!state.is_string()) return system.swarm;
  return state != "" && state != "inactive";
}

std::string reachable_address(const std::string& address) {
  if (address == "0.0.0.0" || address == "localhost") return "127.0.0.1";
  if (address == "[::]" || address == "::") return "::1";
  return address.starts_with('[') && address.ends_with(']') ? address.substr(1, address.size() - 2) : address;
}

void verify_tls(EngineProbe& probe, const Settings& settings, const std::string& certificate,
                milliseconds limit, bool taking_up) {
  const std::string address = reachable_address(settings.address);
  const std::string expected = Certificate::parse_pem(certificate, "the server certificate").to_der();
  TlsProbe found;
  // The unix socket answers a moment before the port does.
  poll_until(limit, [&] {
    found = probe.handshake(address, *settings.port, milliseconds(5000));
    return found.leaf && (!taking_up || found.leaf->to_der() == expected);
  });
  const auto fail = [&](const std::string& happened) {
    throw Error(ErrorKind::unavailable, "TlsNotServed", fmt::format("Port {} {}", *settings.port, happened));
  };
  if (!found.leaf)
    fail(
        fmt::format("does not speak TLS: {}", found.trouble.empty() ? "no certificate came" : found.trouble));
  if (found.leaf->to_der() != expected)
    fail(fmt::format("serves another certificate ({}, {}) than the one that was asked for.",
                     found.leaf->subject(), found.leaf->thumbprint()));
  if (found.accepted || !found.asks_for_client_certificate) fail("lets clients in without a certificate.");
}

}  // namespace berth::extension
