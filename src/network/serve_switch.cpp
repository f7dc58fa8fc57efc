#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "host/files.h"
#include "host/process.h"
#include "network/control_server.h"
#include "network/sandbox.h"
#include "network/serve_switch.h"
#include "network/switch_account.h"
#include "network/switch_config.h"
#include "network/switch_files.h"
#include "network/virtual_switch.h"

namespace berth::network {
namespace {

using nlohmann::json;

// A switch whose folder was removed ends by itself this soon, and forwarded ports that were refused are tried
// again.
constexpr std::chrono::seconds check_pause{2};

/// Below `folder`, which is where this process stands: an account of its own may not pass the folders above.
std::filesystem::path from_here(const std::filesystem::path& path, const std::filesystem::path& folder) {
  return path.parent_path() == folder ? path.filename() : path;
}

SwitchConfig read_config(const json& document, const std::filesystem::path& folder) {
  SwitchConfig config = parse_config(document);
  for (SwitchPort& port : config.ports)
    for (auto* path :
         {&port.machine_socket, &port.wire_server, &port.host_plugin, &port.metadata, &port.wake})
      *path = from_here(*path, folder);
  return config;
}

std::string answer(VirtualSwitch& network, const std::filesystem::path& folder, std::string_view line) {
  const auto error = [](std::string_view code, std::string_view message) {
    return json{{"error", {{"code", code}, {"message", message}}}}.dump(-1, ' ', false,
                                                                        json::error_handler_t::replace);
  };
  try {
    const json request = json::parse(line);
    if (request.contains("apply")) {
      network.apply(read_config(request["apply"], folder));
      return json{{"report", network::to_json(network.report())}}.dump();
    }
    if (request.contains("status"))
      return json{{"status", {{"report", network::to_json(network.report())}, {"ports", network.counters()}}}}
          .dump();
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

/// What the name service of this host reads, here (libslirp asks the host's name server) and in
/// getaddrinfo(). Folders, since such files are replaced by others of their name.
std::vector<std::filesystem::path> name_service_files() {
  std::vector<std::filesystem::path> files{"/etc", "/dev/urandom"};
  std::error_code none;
  const auto resolver = std::filesystem::canonical("/etc/resolv.conf", none);
  if (!none) files.push_back(resolver.parent_path());
  return files;
}

void confine(const SwitchFiles& files, const std::optional<Account>& account) {
  if (sandbox_is_switched_off())
    return spdlog::warn(
        "no sandbox: BERTH_SWITCH_SANDBOX says off; guests' packets meet all rights of this user");
  if (account && ::chown(files.inner().c_str(), account->id, account->id) != 0)
    throw Error(ErrorKind::unavailable, "FolderUnavailable",
                fmt::format("{} cannot be given to the switch's account: {}.", files.inner().string(),
                            std::strerror(errno)));
  const auto lacking =
      enter_sandbox({.account = account, .sockets = files.inner(), .readable = name_service_files()});
  for (const std::string& what : lacking) spdlog::warn("sandbox has {}", what);
  spdlog::info("entered sandbox user={} lacking={}", ::geteuid(), lacking.size());
}

}  // namespace

void serve_switch(const std::filesystem::path& folder, const Fd& signals,
                  const std::function<void()>& on_serving) {
  const SwitchFiles files(".");
  if (::chdir(folder.c_str()) != 0)
    throw Error(ErrorKind::unavailable, "FolderUnavailable",
                fmt::format("The folder {} cannot be entered: {}.", folder.string(), std::strerror(errno)));
  write_file(files.process(), to_string(own_process()));
  const SwitchConfig config = read_config(parse_file(files.configuration()), folder);
  VirtualSwitch network(files.inner());
  ControlServer control(files.control(),
                        [&](std::string_view line) { return answer(network, folder, line); });
  confine(files, switch_account(folder));
  network.apply(config);
  on_serving();
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

}  // namespace berth::network
