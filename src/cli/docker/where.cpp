#include <fmt/format.h>

#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/docker/certificates.h"
#include "cli/docker/context.h"
#include "cli/docker/engine.h"
#include "cli/session.h"
#include "cli/vm/ssh.h"

/// `azure vm docker ip|url|env|context`: where a Docker host is, for other programs and for this shell.
namespace berth {
namespace {

using nlohmann::ordered_json;

// --- ip, url

void vm_docker_ip(CommandLine& app, Session& session) {
  auto options = std::make_shared<DockerHostOptions>();
  app.add_option("name", options->name, "Name of the Docker host")->required();
  app.add_group(options->group);
  app.callback([options, &session] {
    const HostView host = get_host(session.arm(), options->name, options->group);
    const std::string& address = host.public_address.address;
    if (address.empty())
      throw Error(ErrorKind::conflict, "NoPublicAddress", fmt::format("{} has no public address.", host.name),
                  "It gets one when it starts.");
    if (session.out.json_mode()) return session.out.json({{"name", host.name}, {"ipAddress", address}});
    session.out.raw(address);
  });
}

void vm_docker_url(CommandLine& app, Session& session) {
  auto options = std::make_shared<DockerHostOptions>();
  app.add_option("name", options->name, "Name of the Docker host")->required();
  app.add_group(options->group);
  app.callback([options, &session] {
    const HostView host = get_docker_host(session, *options);
    engine_address(host, {});
    if (session.out.json_mode())
      return session.out.json({{"name", host.name}, {"dockerHost", docker_url(host)}});
    session.out.raw(docker_url(host));
  });
}

// --- env

struct EnvOptions {
  DockerHostOptions host;
  std::string shell;
  bool unset = false;
};

/// How a shell sets and forgets a variable, and takes what this command prints.
struct Shell {
  std::string_view name, set, unset, use;
};
constexpr Shell shells[] = {
    {"bash", "export {0}={1}", "unset {0}", "eval \"$({})\""},
    {"zsh", "export {0}={1}", "unset {0}", "eval \"$({})\""},
    {"sh", "export {0}={1}", "unset {0}", "eval \"$({})\""},
    {"fish", "set -gx {0} {1};", "set -e {0};", "{} | source"},
    {"powershell", "$Env:{0} = {1}", "Remove-Item Env:\\{0} -ErrorAction SilentlyContinue",
     "& {} | Out-String | Invoke-Expression"},
};

const Shell& shell_named(const std::string& wanted) {
  std::string name = wanted;
  if (name.empty()) {
    const char* own = std::getenv("SHELL");
    name = own == nullptr ? "" : own;
    name.erase(0, name.rfind('/') + 1);
  }
  std::string known;
  for (const Shell& shell : shells) {
    if (shell.name == name) return shell;
    known += (known.empty() ? "" : ", ") + std::string(shell.name);
  }
  if (wanted.empty()) return shells[0];
  throw Error(ErrorKind::invalid, "InvalidParameter",
              fmt::format("--shell '{}' is none that is known", wanted), "Shells: " + known + ".");
}

/// A value as it stands in that shell's line.
std::string value_in(const Shell& shell, const std::string& value) {
  if (shell.name == "powershell") {
    std::string text = "'";
    for (const char c : value) text += c == '\'' ? std::string("''") : std::string(1, c);
    return text + "'";
  }
  if (shell.name != "fish") return shell_quoted(value);
  std::string text = "'";
  for (const char c : value) text += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return text + "'";
}

void print_env(Session& session, const EnvOptions& options) {
  const Shell& shell = shell_named(options.shell);
  std::vector<std::pair<std::string, std::string>> variables{
      {"DOCKER_HOST", ""}, {"DOCKER_TLS_VERIFY", "1"}, {"DOCKER_CERT_PATH", ""}};
  if (!options.unset) {
    if (options.host.name.empty())
      throw Error(ErrorKind::invalid, "InvalidParameter", "missing required argument `name'",
                  "Name a Docker host, or say --unset.");
    const HostView host = get_docker_host(session, options.host);
    const EngineAddress where = engine_address(host, options.host.cert_dir);
    variables[0].second = docker_url(host);
    variables[2].second = where.certificates.string();
  }
  if (session.out.json_mode()) {
    ordered_json document = ordered_json::object();
    for (const auto& [name, value] : variables)
      document[name] = options.unset ? ordered_json(nullptr) : ordered_json(value);
    return session.out.json(document);
  }
  std::string text;
  for (const auto& [name, value] : variables)
    text += options.unset ? fmt::format(fmt::runtime(shell.unset), name) + "\n"
                          : fmt::format(fmt::runtime(shell.set), name, value_in(shell, value)) + "\n";
  std::string command = "azure vm docker env";
  if (options.unset) command += " --unset";
  if (!options.host.name.empty()) command += " " + shell_quoted(options.host.name);
  if (!options.shell.empty()) command += " --shell " + options.shell;
  session.out.raw(text + "# Run this to configure your shell:\n# " +
                  fmt::format(fmt::runtime(shell.use), command));
}

void vm_docker_env(CommandLine& app, Session& session) {
  auto options = std::make_shared<EnvOptions>();
  app.add_option("name", options->host.name, "Name of the Docker host");
  app.add_group(options->host.group);
  app.add_option("-dc,-C,--docker-cert-dir", options->host.cert_dir,
                 "Directory containing docker certs [~/.docker]")
      ->type_name("<dir>");
  app.add_option("--shell", options->shell, "bash, zsh, sh, fish or powershell [that of $SHELL]")
      ->type_name("<shell>");
  app.add_flag("-u,--unset", options->unset, "Forget the variables");
  app.callback([options, &session] { print_env(session, *options); });
}

// --- context

struct ContextOptions {
  DockerHostOptions host;
  std::string context;
  bool use = false;
};

void add_context(Session& session, const ContextOptions& options) {
  const HostView host = get_docker_host(session, options.host);
  const EngineAddress where = engine_address(host, options.host.cert_dir);
  const std::string wanted = options.context.empty() ? host.tag() : options.context;
  if (const auto problem = context_name_problem(wanted))
    throw Error(ErrorKind::invalid, "InvalidParameter",
                fmt::format("'{}' cannot name a docker context: {}", wanted, *problem),
                "Choose one with --context.");
  const DockerContexts contexts(docker_config_folder());
  const DockerContexts::Written written =
      contexts.write({.name = wanted,
                      .host = host.tag(),
                      .region = session.subscription(),
                      .region_home = session.is_local() ? session.local.home() : std::filesystem::path(),
                      .endpoint = docker_url(host),
                      .certificates = where.certificates});
  if (options.use) contexts.use(written.name);
  if (session.out.json_mode())
    return session.out.json(
        {{"context", written.name}, {"dockerHost", docker_url(host)}, {"current", options.use}});
  session.out.info(fmt::format("Docker context '{}' {}{}", written.name,
                               written.replaced ? "renewed" : "written",
                               options.use ? ", and made the current one" : ""));
  if (options.use) warn_of_overridden_context(session.out, written.name);
  session.out.help(fmt::format("docker --context {} info", written.name));
}

void vm_docker_context_add(CommandLine& app, Session& session) {
  auto options = std::make_shared<ContextOptions>();
  add_docker_host_options(app, options->host);
  app.add_option("--context", options->context, "Name of the context [that of the host]")
      ->type_name("<name>");
  app.add_flag("--use", options->use, "Make it the current one");
  app.callback([options, &session] { add_context(session, *options); });
}

void vm_docker_context_remove(CommandLine& app, Session& session) {
  auto options = std::make_shared<DockerHostOptions>();
  app.add_option("name", options->name, "Name of the Docker host")->required();
  app.add_group(options->group);
  app.callback([options, &session] {
    const HostView host = get_host(session.arm(), options->name, options->group);
    const auto removed = DockerContexts(docker_config_folder()).remove(host.tag(), session.subscription());
    if (session.out.json_mode()) return session.out.json({{"removed", removed}});
    for (const std::string& context : removed)
      session.out.info(fmt::format("Docker context '{}' removed", context));
    if (removed.empty()) session.out.info(fmt::format("No docker context of ours leads to {}", host.name));
  });
}

constexpr Command docker_where_table[] = {
    {"vm docker ip", "Print the address of a host", &vm_docker_ip, true},
    {"vm docker url", "Print the URL of a host's Docker Engine", &vm_docker_url, true},
    {"vm docker env",
     "Print what makes docker use a host in this shell: eval \"$(azure vm docker env NAME)\"", &vm_docker_env,
     true},
    {"vm docker context add", "Write a docker context for a host; it is switched to only with --use",
     &vm_docker_context_add},
    {"vm docker context remove", "Remove the docker contexts of a host", &vm_docker_context_remove},
};

}  // namespace

std::span<const Command> docker_where_commands() {
  return docker_where_table;
}

}  // namespace berth
