#include "cli/vm/ssh.h"

#include <fmt/format.h>

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <iostream>

#include "base/error.h"
#include "cli/vm/ssh_keys.h"
#include "host/files.h"
#include "host/process.h"

namespace berth {
namespace {

constexpr std::uint16_t own_ssh_port = 22;

/// Names come from the region, and other clients chose some of them.
std::string file_stem(const std::string& host) {
  std::string stem;
  for (const char c : host)
    stem += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' ? c : '_';
  return stem;
}

/// OpenSSH makes no folder for a file of known hosts. Without one it only asks anew each time.
void prepare_folder(const std::filesystem::path& folder) {
  try {
    std::error_code none;
    if (!std::filesystem::is_directory(folder, none)) make_folder(folder);
  } catch (const Error&) {  // a home that cannot be written to
  }
}

/// That of the shell that started us: ours is 077 (host/harden.h). Source: proc(5), /proc/PID/status.
mode_t mask_of_parent() {
  const auto text = read_file_if_there(fmt::format("/proc/{}/status", ::getppid()));
  const std::size_t at = text ? text->find("\nUmask:\t") : std::string::npos;
  return at == std::string::npos
             ? 077
             : static_cast<mode_t>(std::strtoul(text->c_str() + at + 8, nullptr, 8) & 0777);
}

}  // namespace

std::filesystem::path known_hosts_file(const std::string& host) {
  return ssh_folder() / (file_stem(host) + ".known_hosts");
}

void forget_host_key(const std::string& host) {
  std::error_code none;
  std::filesystem::remove(known_hosts_file(host), none);
}

void keep_host_key(const std::string& host, const std::vector<std::string>& addresses,
                   const std::string& line) {
  std::string known;
  for (const std::string& address : addresses)
    if (!address.empty()) known += address + " " + line + "\n";
  make_folder(ssh_folder());
  write_file(known_hosts_file(host), known);
}

std::optional<SshAccess> find_ssh_access(const HostView& host) {
  const std::string& tag = host.tag();
  for (const PublicPort& port : host.public_address.ports) {
    if (port.guest_port != own_ssh_port || port.protocol == "udp" || port.host_port == 0) continue;
    SshAccess access{.user = host.user,
                     .address = host.public_address.address,
                     .port = port.host_port,
                     .identity = {},
                     .known_hosts = known_hosts_file(tag)};
    if (const auto key = find_ssh_key(file_stem(tag))) access.identity = key->string();
    return access;
  }
  return std::nullopt;
}

SshAccess get_ssh_access(const HostView& host) {
  if (auto access = find_ssh_access(host)) return *std::move(access);
  const bool runs = host.can_be_reached();
  throw Error(ErrorKind::conflict, "SshNotOpen",
              runs ? fmt::format("{} has no open SSH port.", host.name)
                   : fmt::format("{} is {}, and its SSH port is closed.", host.name, host.power),
              runs ? fmt::format("Open it: azure vm docker port publish {} 22", host.name)
                   : fmt::format("Start it: azure vm start {}", host.name));
}

std::vector<std::string> ssh_argv(const SshAccess& access, const char* program) {
  prepare_folder(access.known_hosts.parent_path());
  std::vector<std::string> argv{program};
  if (access.port != own_ssh_port) {
    argv.emplace_back(argv.front() == "scp" ? "-P" : "-p");
    argv.push_back(std::to_string(access.port));
  }
  if (!access.identity.empty()) {
    argv.emplace_back("-i");
    argv.push_back(access.identity);
  }
  for (const std::string& option : {std::string("StrictHostKeyChecking=accept-new"),
                                    "UserKnownHostsFile=" + access.known_hosts.string()}) {
    argv.emplace_back("-o");
    argv.push_back(option);
  }
  return argv;
}

std::string ssh_command(const SshAccess& access) {
  std::string command;
  for (const std::string& word : ssh_argv(access)) command += shell_quoted(word) + " ";
  return command + shell_quoted(access.target());
}

int run_in_terminal(const std::vector<std::string>& argv) {
  const auto program = find_program(argv.front());
  if (!program)
    throw Error(ErrorKind::unavailable, "ProgramMissing",
                fmt::format("The program {} is not installed.", argv.front()),
                argv.front() == "ssh" || argv.front() == "scp" ? "apt-get install openssh-client" : "");
  std::vector<char*> words;
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const mode_t mask = mask_of_parent();
  std::cout.flush();
  // While the program runs, the terminal's signals are for it; we end when it has ended.
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  struct sigaction interrupt_before {
  }, quit_before{};
  ::sigaction(SIGINT, &ignore, &interrupt_before);
  ::sigaction(SIGQUIT, &ignore, &quit_before);
  const pid_t child = ::fork();
  if (child == 0) {
    for (const int signal : {SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(signal, SIG_DFL);
    ::umask(mask);
    ::execv(program->c_str(), words.data());
    ::_exit(127);
  }
  int status = 0;
  while (child > 0 && ::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ::sigaction(SIGINT, &interrupt_before, nullptr);
  ::sigaction(SIGQUIT, &quit_before, nullptr);
  if (child < 0)
    throw Error(ErrorKind::unavailable, "ProgramNotStarted",
                fmt::format("{} could not be started.", argv.front()));
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string shell_quoted(const std::string& text) {
  if (!text.empty() &&
      text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") ==
          std::string::npos)
    return text;
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

}  // namespace berth
