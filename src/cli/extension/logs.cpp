#include "cli/extension/logs.h"

#include <fmt/format.h>

#include <sstream>

#include "base/error.h"
#include "cli/vm/ssh.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view heading = "==> berth ";  ///< what stands before the name of each file

/// Runs in the guest: as root where that is to be had. Its standard input holds the password, if there is
/// one.
std::string guest_script(const std::string& handler, std::size_t lines, bool has_password) {
  constexpr std::string_view collect =
      R"(find /var/log/azure/{0} -type f ! -path "*/events/*" -printf "%T@ %p\n" 2>/dev/null | sort -n | cut -d" " -f2- |)"
      R"( while read -r file; do echo "{2}$file"; tail -n {1} "$file"; echo; done;)"
      R"( echo "{2}/var/log/waagent.log"; grep -F {0} /var/log/waagent.log | tail -n {1})";
  const std::string inner = fmt::format(fmt::runtime(collect), handler, lines, heading);
  return fmt::format("if sudo -n true 2>/dev/null; then sudo -n sh -c '{0}'; else {1} sh -c '{0}'; fi", inner,
                     has_password ? "sudo -S -p \"\"" : "");
}

std::vector<GuestLog> split(const std::string& text) {
  std::vector<GuestLog> logs;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with(heading))
      logs.push_back({line.substr(heading.size()), {}});
    else if (!logs.empty())
      logs.back().lines.push_back(line);
  }
  for (GuestLog& log : logs)
    while (!log.lines.empty() && log.lines.back().empty()) log.lines.pop_back();
  std::erase_if(logs, [](const GuestLog& log) { return log.lines.empty(); });
  return logs;
}

}  // namespace

std::vector<GuestLog> read_guest_logs(const HostView& host, const std::string& handler, std::size_t lines,
                                      const LogAccess& access) {
  SshAccess where = get_ssh_access(host);
  if (!access.identity.empty()) where.identity = access.identity;
  const TemporaryFolder folder;
  RunOptions options{.limit = 120s};
  std::vector<std::string> argv = ssh_argv(where);
  const auto add = [&](std::initializer_list<std::string> more) { argv.insert(argv.end(), more); };
  add({"-o", "LogLevel=ERROR", "-o", "ConnectTimeout=30"});
  if (!access.identity.empty()) add({"-o", "IdentitiesOnly=yes"});
  if (access.password.empty()) {
    add({"-o", "BatchMode=yes"});
  } else {
    write_file(folder / "password", access.password.reveal() + "\n", 0600);
    write_file(folder / "ask", fmt::format("#!/bin/sh\nexec cat '{}'\n", (folder / "password").string()),
               0700);
    options.environment = {{"SSH_ASKPASS", folder / "ask"}, {"SSH_ASKPASS_REQUIRE", "force"}};
    options.input = access.password.reveal() + "\n";
    add({"-o", "NumberOfPasswordPrompts=1"});
  }
  add({where.target(), guest_script(handler, lines, !access.password.empty())});
  const RunResult result = run(argv, options);
  constexpr int ssh_itself = 255;
  if (result.exit_code == ssh_itself && result.err.find("Permission denied") != std::string::npos)
    throw Error(ErrorKind::unauthorized, "SshRefused",
                fmt::format("{} lets {} in with none of the keys there are.", host.name, host.user),
                "Give a key with --identity, or the password with --password-file.");
  if (result.exit_code == ssh_itself)
    throw Error(ErrorKind::unavailable, "SshFailed",
                fmt::format("{} does not answer to ssh: {}", host.name, result.err.substr(0, 500)));
  return split(result.out);
}

}  // namespace berth
