#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "api/wire/handler_package.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/docker/engine.h"
#include "cli/session.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/ssh.h"
#include "host/process.h"
#include "http/client.h"

/// `azure vm docker ssh|scp|logs`: into a host, by the system's OpenSSH.
namespace berth {
namespace {

using namespace std::chrono_literals;

struct InsideOptions {
  std::string group, identity;
  std::vector<std::string> words;
  bool recursive = false;
};

SshAccess access_to(Session& session, const std::string& name, const InsideOptions& options) {
  const HostView host = get_host(session.arm(), name, options.group);
  SshAccess access = get_ssh_access(host);
  if (!options.identity.empty()) access.identity = options.identity;
  return access;
}

void add_inside_options(CommandLine& app, InsideOptions& options) {
  app.add_group(options.group);
  app.add_option("-i,--identity", options.identity,
                 "Private key to sign in with [the host's own, else those of ssh]")
      ->type_name("<file>");
}

void refuse_json(Session& session, const char* command) {
  if (session.out.json_mode())
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("{} has no JSON form: the output is another program's", command));
}

// --- ssh, scp

void vm_docker_ssh(CommandLine& app, Session& session) {
  auto options = std::make_shared<InsideOptions>();
  auto name = std::make_shared<std::string>();
  app.add_option("name", *name, "Name of the host")->required();
  app.add_option("command", options->words, "What to run there, after -- [a shell]");
  add_inside_options(app, *options);
  app.callback([options, name, &session] {
    refuse_json(session, "ssh");
    const SshAccess access = access_to(session, *name, *options);
    std::vector<std::string> argv = ssh_argv(access);
    argv.push_back(access.target());
    argv.insert(argv.end(), options->words.begin(), options->words.end());
    session.exit_code = run_in_terminal(argv);
  });
}

/// "web1:/etc" is of a host; "./a:b" and "/a:b" are files of this machine.
std::string host_in(const std::string& place) {
  const std::size_t colon = place.find(':'), slash = place.find('/');
  return colon == std::string::npos || colon == 0 || slash < colon ? std::string() : place.substr(0, colon);
}

void copy_files(Session& session, const InsideOptions& options) {
  refuse_json(session, "scp");
  std::string host;
  for (const std::string& place : options.words) {
    const std::string named = host_in(place);
    if (!host.empty() && !named.empty() && named != host)
      throw Error(ErrorKind::invalid, "InvalidParameter",
                  fmt::format("Both {} and {} are hosts.", host, named),
                  "Copy to this machine first, then to the other host.");
    if (!named.empty()) host = named;
  }
  if (options.words.size() < 2 || host.empty())
    throw Error(ErrorKind::invalid, "InvalidParameter",
                "scp needs a source and a target, one of them in a host.",
                "For example: azure vm docker scp NAME:/etc/os-release .");
  const SshAccess access = access_to(session, host, options);
  std::vector<std::string> argv = ssh_argv(access, "scp");
  if (options.recursive) argv.emplace_back("-r");
  argv.emplace_back("--");
  for (const std::string& place : options.words)
    argv.push_back(host_in(place).empty() ? place : access.target() + place.substr(place.find(':')));
  session.exit_code = run_in_terminal(argv);
}

void vm_docker_scp(CommandLine& app, Session& session) {
  auto options = std::make_shared<InsideOptions>();
  app.add_option("places", options->words, "Sources, then the target; those in a host are NAME:PATH")
      ->required();
  app.add_flag("-r,--recursive", options->recursive, "Whole folders");
  add_inside_options(app, *options);
  app.callback([options, &session] { copy_files(session, *options); });
}

// --- logs

struct LogsOptions {
  std::string name;
  InsideOptions inside;
  bool extension = false, agent = false, serial = false, engine = false, follow = false;
  std::size_t lines = 100;
};

/// As root where that is to be had without a password.
std::string as_root(const std::string& command) {
  return fmt::format("if sudo -n true 2>/dev/null; then sudo -n sh -c '{0}'; else sh -c '{0}'; fi", command);
}

std::string log_script(const LogsOptions& options, const std::string& handler) {
  const std::string tail = fmt::format("tail -n {}{}", options.lines, options.follow ? " -F" : "");
  if (options.agent) return as_root(tail + " /var/log/waagent.log");
  if (options.extension)
    return as_root(fmt::format("{} $(find /var/log/azure/{} -name \"*.log\" -type f)", tail, handler));
  return as_root(fmt::format("journalctl -u docker.service -u docker-tls.service --no-pager -n {}{}",
                             options.lines, options.follow ? " -f" : ""));
}

std::string last_lines(const std::string& text, std::size_t lines) {
  std::size_t at = text.size();
  if (at > 0 && text[at - 1] == '\n') --at;
  for (std::size_t found = 0; at > 0; --at)
    if (text[at - 1] == '\n' && ++found == lines) break;
  return text.substr(at);
}

/// The console of the machine, which its region keeps.
void print_serial(Session& session, const HostView& host, const LogsOptions& options) {
  if (host.serial_log.empty())
    throw Error(ErrorKind::not_found, "LogNotFound",
                fmt::format("The region keeps no console of {}.", host.name),
                "It does when boot diagnostics are on.");
  Client client({.ca_file = session.arm().endpoint().ca_file, .cancelled = &interrupt::requested});
  const auto read = [&] {
    const Response response = client.send({.url = host.serial_log});
    if (response.status == 200) {
      std::string text = response.body;
      std::erase(text, '\r');
      return text;
    }
    throw Error(ErrorKind::unavailable, "LogNotFound",
                fmt::format("The console of {} was answered with HTTP {}.", host.name, response.status));
  };
  std::string text = read();
  const std::string tail = last_lines(text, options.lines);
  if (session.out.json_mode()) return session.out.json({{"text", tail}});
  if (!tail.empty()) session.out.raw(tail.ends_with('\n') ? tail.substr(0, tail.size() - 1) : tail);
  while (options.follow && !interrupt::sleep(500ms)) {
    std::string now = read();
    const std::size_t known =
        now.starts_with(std::string_view(text).substr(0, 256)) && now.size() >= text.size() ? text.size() : 0;
    const std::size_t end = now.rfind('\n');
    if (now.size() > known && end != std::string::npos && end >= known)
      session.out.raw(std::string_view(now).substr(known, end - known)), now.resize(end + 1),
          text = std::move(now);
  }
}

void print_host_logs(Session& session, const LogsOptions& options) {
  if (options.extension + options.agent + options.serial + options.engine > 1)
    throw Error(ErrorKind::invalid, "InvalidParameter",
                "One log at a time: --engine, --extension, --agent or --serial.");
  const HostView host = get_host(session.arm(), options.name, options.inside.group);
  if (options.serial) return print_serial(session, host, options);
  std::string handler = "*";
  if (const auto* docker = host.docker_extension()) {
    handler = docker->handler;
    const wire::PackageName parts = wire::parse_package_name(handler);
    wire::check_package_name({parts.publisher, parts.type, "1.0"});
  } else if (host.tagged_docker_port && options.extension) {
    throw Error(ErrorKind::not_found, "NoDockerExtension",
                fmt::format("{} was made by cloud-init, not by the Docker extension.", host.name),
                fmt::format("azure vm docker ssh {} -- sudo cat /var/log/cloud-init-output.log", host.name));
  } else if (!options.agent && !host.tagged_docker_port) {
    throw Error(ErrorKind::not_found, "NoDockerExtension", fmt::format("{} is no Docker host.", host.name),
                "--agent and --serial show the logs of any machine.");
  }
  SshAccess access = get_ssh_access(host);
  if (!options.inside.identity.empty()) access.identity = options.inside.identity;
  std::vector<std::string> argv = ssh_argv(access);
  argv.insert(argv.end(), {"-o", "LogLevel=ERROR", access.target(), log_script(options, handler)});
  if (!session.out.json_mode()) {
    session.exit_code = run_in_terminal(argv);
    return;
  }
  if (options.follow) refuse_json(session, "--follow");
  const RunResult result = berth::run(argv, {.limit = 120s});
  if (result.exit_code != 0)
    throw Error(ErrorKind::unavailable, "SshFailed",
                fmt::format("{}: {}", host.name, result.err.substr(0, 500)));
  session.out.json({{"text", result.out}});
}

void vm_docker_logs(CommandLine& app, Session& session) {
  auto options = std::make_shared<LogsOptions>();
  app.add_option("name", options->name, "Name of the host")->required();
  app.add_flag("--engine", options->engine, "What the Docker Engine says (this, if none is named)");
  app.add_flag("--extension", options->extension, "What the Docker extension's handler says");
  app.add_flag("--agent", options->agent, "What the Azure Linux Agent says");
  app.add_flag("--serial", options->serial, "What the machine says on its console; needs no SSH");
  app.add_flag("-f,--follow", options->follow, "Go on with what is added, until Ctrl-C");
  app.add_option("-n,--lines", options->lines, "How many lines [100]")->type_name("<count>");
  add_inside_options(app, options->inside);
  app.callback([options, &session] { print_host_logs(session, *options); });
}

constexpr Command docker_inside_table[] = {
    {"vm docker ssh", "Open a shell in a host, or run a command there: azure vm docker ssh NAME -- ls",
     &vm_docker_ssh, true},
    {"vm docker scp", "Copy files between a host and this machine", &vm_docker_scp, true},
    {"vm docker logs", "Show the log of the engine, the extension, the agent, or the console",
     &vm_docker_logs, true},
};

}  // namespace

std::span<const Command> docker_inside_commands() {
  return docker_inside_table;
}

}  // namespace berth
