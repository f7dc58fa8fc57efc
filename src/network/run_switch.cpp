#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/log.h"
#include "host/child.h"
#include "host/files.h"
#include "network/control_server.h"
#include "network/switch_config.h"
#include "network/switch_files.h"
#include "network/virtual_switch.h"

namespace berth {
namespace {

using namespace network;
using nlohmann::json;

// A switch whose folder was removed ends by itself this soon, and forwarded ports that were refused are tried
// again.
constexpr std::chrono::seconds check_pause{2};

enum ExitCode { ended = 0, failed = 1, runs_already = 3 };

Fd termination_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT}) ::sigaddset(&signals, signal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  for (const int signal : {SIGPIPE, SIGHUP}) ::signal(signal, SIG_IGN);
  return Fd(::signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC));
}

std::string answer(VirtualSwitch& network, std::string_view line) {
  const auto error = [](std::string_view code, std::string_view message) {
    return json{{"error", {{"code", code}, {"message", message}}}}.dump(-1, ' ', false,
                                                                        json::error_handler_t::replace);
  };
  try {
    const json request = json::parse(line);
    if (request.contains("apply")) {
      network.apply(parse_config(request["apply"]));
      return json{{"report", to_json(network.report())}}.dump();
    }
    if (request.contains("status"))
      return json{{"status", {{"report", to_json(network.report())}, {"ports", network.counters()}}}}.dump();
    return error("InvalidRequest", "A request is {\"apply\": CONFIGURATION} or {\"status\": {}}.");
  } catch (const Error& e) {
    return error(e.code, e.what());
  } catch (const json::exception& e) {
    return error("InvalidRequest", e.what());
  }
}

json parse_file(const std::filesystem::path& file) {
  try {
    return json::parse(read_file(file));
  } catch (const json::exception& e) {
    throw Error(ErrorKind::invalid, "InvalidNetworkConfiguration",
                fmt::format("The configuration {} cannot be read: {}.", file.string(), e.what()));
  }
}

void serve(const SwitchFiles& files, const Fd& signals) {
  write_file(files.process(),
             to_string(parse_process_status(read_file("/proc/self/stat")).value_or(ProcessId{})));
  VirtualSwitch network(files.inner());
  network.apply(parse_config(parse_file(files.configuration())));
  ControlServer control(files.control(), [&](std::string_view line) { return answer(network, line); });
  PollSet set;
  auto next_check = std::chrono::steady_clock::now() + check_pause;
  for (;;) {
    set.clear(static_cast<int>(std::chrono::milliseconds(check_pause).count()));
    const int signal = set.add(signals.get(), POLLIN);
    control.fill(set);
    network.fill(set);
    set.wait();
    if (set.events(signal) & POLLIN) return;
    network.poll(set);
    control.poll(set);
    if (std::chrono::steady_clock::now() < next_check) continue;
    if (!std::filesystem::exists(files.configuration())) return;
    network.retry();
    next_check = std::chrono::steady_clock::now() + check_pause;
  }
}

}  // namespace

int run_switch(const std::filesystem::path& folder) {
  const SwitchFiles files(folder);
  try {
    const Fd signals = termination_signals();
    const auto lock = FileLock::try_take(files.lock());
    if (!lock) {
      fmt::print(stderr, "Another switch serves {} already.\n", folder.string());
      return runs_already;
    }
    log_to_file(files.log());
    spdlog::info("started folder={}", folder.string());
    serve(files, signals);
    spdlog::info("ended folder={}", folder.string());
    return ended;
  } catch (const std::exception& e) {
    spdlog::error("{}", e.what());
    fmt::print(stderr, "{}\n", e.what());
    return failed;
  }
}

}  // namespace berth
