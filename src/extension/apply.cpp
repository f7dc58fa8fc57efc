#include "extension/apply.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "extension/certificates.h"
#include "extension/configuration.h"
#include "extension/engine_install.h"
#include "extension/managed_files.h"
#include "extension/security_report.h"
#include "extension/workload.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using std::chrono::milliseconds;

/// The certificates to serve: those of the settings, or what somebody put in their place by hand since.
ServerCertificates choose_certificates(Machine& machine, const Settings& settings, const State& state,
                                       bool same_settings, std::vector<Substatus>& parts) {
  ServerCertificates asked{settings.ca, settings.certificate, settings.key};
  if (!same_settings || !state.files.contains(std::string(certificate_file))) return asked;
  ServerCertificates installed = read_installed(machine.root);
  if (installed == asked || installed.ca.empty() || installed.certificate.empty() || installed.key.empty())
    return asked;
  try {
    check_certificates(installed, machine.now());
  } catch (const Error& error) {
    machine.log.line(fmt::format("certificates changed by hand are not usable: {}", error.what()));
    return asked;
  }
  parts.push_back(
      {"tls", Outcome::warning,
       "The certificates in /etc/docker were replaced by hand and are kept until the settings change."});
  return installed;
}

/// Rules for auditd, where it is: who touches what can make someone root through the engine.
constexpr std::string_view audit_file = "/etc/audit/rules.d/docker-ext.rules";
constexpr std::string_view audit_rules =
    "-w /usr/bin/dockerd -k docker\n-w /usr/sbin/dockerd -k docker\n-w /usr/bin/containerd -k docker\n-w "
    "/usr/bin/runc -k docker\n"
    "-w /var/lib/docker -k docker\n-w /etc/docker -k docker\n-w /etc/default/docker -k docker\n"
    "-w /usr/lib/systemd/system/docker.service -k docker\n-w /usr/lib/systemd/system/docker.socket -k "
    "docker\n"
    "-w /etc/systemd/system/docker.service.d -k docker\n-w /run/docker.sock -k docker\n-w /run/containerd -k "
    "docker\n";

void watch_by_audit(Machine& machine, State& state) {
  if (!std::filesystem::is_directory(machine.root("/etc/audit/rules.d"))) return;
  FileChanges files(machine.root);
  files.want(std::string(audit_file), std::string(audit_rules), 0640);
  state.files[std::string(audit_file)] = sha256_hex(audit_rules);
  if (!files.any()) return;
  files.apply();
  machine.runner.run({"augenrules", "--load"});
}

/// The user that the platform made may use the engine. Whoever is in that group is root on the machine, so
/// nobody else is put there.
void add_user_to_group(Machine& machine, std::vector<Substatus>& parts) {
  const auto warn = [&](const std::string& text) { parts.push_back({"group", Outcome::warning, text}); };
  const auto document = read_file_if_there(machine.root("/var/lib/waagent/ovf-env.xml"));
  const auto user = document ? provisioned_user(*document) : std::nullopt;
  if (!user)
    return warn(
        "The user that this machine was made with is not known; nobody was added to the group docker.");
  const auto group = find_account(machine.root, "/etc/group", "docker");
  if (!group) return warn("There is no group docker; the engine's unix socket is for root only.");
  if (!find_account(machine.root, "/etc/passwd", *user))
    return warn(fmt::format("There is no user {} on this machine.", *user));
  const std::string members = "," + (group->size() > 3 ? group->at(3) : "") + ",";
  if (members.find("," + *user + ",") != std::string::npos) return;
  const RunResult result = machine.runner.run({"usermod", "--append", "--groups", "docker", *user});
  if (result.exit_code != 0)
    warn(fmt::format("{} could not be added to the group docker: {}", *user, last_lines(result)));
}

void bring_engine(Machine& machine, const Settings& settings, State& state, Packages& packages) {
  if (look_at_system(machine.root).dockerd) return;
  state.installed_engine = true;
  write_state(machine.root, state);
  machine.log.timed("install engine", [&] {
    install_engine(machine.root, machine.runner, machine.log, packages, settings, state.files);
  });
}

void log_in_once(Machine& machine, const Settings& settings, State& state, std::vector<Substatus>& parts) {
  if (!settings.login) {
    state.login_mark.clear();
    return;
  }
  const std::string mark = login_mark(state.salt, *settings.login);
  if (mark != state.login_mark || !std::filesystem::exists(machine.root("/root/.docker/config.json"))) {
    state.login_mark.clear();
    log_in(machine.runner, *settings.login);
    state.login_mark = mark;
  }
  parts.push_back(
      {"login", Outcome::success,
       fmt::format("Logged in to {}.", settings.login->server.empty() ? "the engine's default registry"
                                                                      : settings.login->server)});
}

void compose_once(Machine& machine, const Settings& settings, State& state, Packages& packages,
                  std::vector<Substatus>& parts) {
  const std::string mark = compose_mark(state.salt, settings);
  if (mark.empty()) {
    if (!state.compose_mark.empty())
      parts.push_back(
          {"compose", Outcome::warning, "The containers of an earlier compose setting were left running."});
    return;
  }
  const bool same_file = read_file_if_there(machine.root(compose_path)) == settings.compose;
  if (mark != state.compose_mark || !same_file || !project_is_up(machine.probe, settings)) {
    state.compose_mark.clear();
    machine.log.timed("compose", [&] {
      compose_up(machine.root, machine.runner, machine.log, packages, settings, state.files);
    });
    state.compose_mark = mark;
  }
  parts.push_back({"compose", Outcome::success, fmt::format("{} is up.", compose_path)});
}

void report_security(Machine& machine, const Settings& settings, std::vector<Substatus>& parts) {
  const std::string info = machine.probe.get("/info", milliseconds(10'000)).value_or("");
  const auto document = nlohmann::json::parse(info, nullptr, false);
  const std::string running = document.is_object() ? document.value("ServerVersion", "") : "";
  if (!settings.version.empty() && !running.empty() && running.find(settings.version) == std::string::npos &&
      settings.version.find(running) == std::string::npos)
    parts.push_back(
        {"engine", Outcome::warning,
         fmt::format(
             "Engine {} runs, and docker.version asks for {}: an engine that is there is not replaced.",
             running, settings.version)});
  parts.push_back(
      {"security", Outcome::success, security_text(check_security(machine.root, settings, info))});
}

/// Whichever of its names the package has here.
void remove_engine_package(Machine& machine) {
  if (find_package_tool(machine.root) != PackageTool::apt) return;
  for (const char* package : {"docker.io", "docker-ce"})
    if (machine.runner.run({"dpkg", "--status", package}).exit_code == 0)
      machine.runner.run({"apt-get", "-o", "DPkg::Lock::Timeout=240", "remove", "--yes", package});
}

}  // namespace

bool takes_long(const Machine& machine, const Settings& settings, const State& state) {
  if (!look_at_system(machine.root).dockerd && settings.channel != Channel::none) return true;
  return !settings.compose.empty() &&
         (state.salt.empty() || compose_mark(state.salt, settings) != state.compose_mark);
}

void apply_settings(Machine& machine, const Settings& settings, State& state, bool same_settings,
                    std::vector<Substatus>& parts) {
  for (const std::string& warning : settings.warnings)
    parts.push_back({"settings", Outcome::warning, warning});
  sort_options(settings.options);  // what is wrong with them is said before anything is touched

  ServerCertificates certificates;
  state.recheck = std::chrono::sys_seconds::max();
  state.tls_address.clear();
  if (settings.has_certificates()) {
    certificates = choose_certificates(machine, settings, state, same_settings, parts);
    const CertificateCheck check = check_certificates(certificates, machine.now());
    for (const std::string& warning : check.warnings) parts.push_back({"tls", Outcome::warning, warning});
    parts.push_back({"tls", Outcome::success, check.summary});
    state.recheck = check.recheck;
  }
  if (state.salt.empty()) state.salt = random_hex(32);

  Packages packages(machine.root, machine.runner, machine.log, machine.pause);
  bring_engine(machine, settings, state, packages);
  if (settings.install_only) {
    parts.push_back({"engine", Outcome::success, "The engine is installed; installonly asks for no more."});
    return;
  }
  if (settings.add_user_to_docker_group) add_user_to_group(machine, parts);

  Configuration configuration(machine, settings, state);
  configuration.plan(certificates);
  const EngineAction action = configuration.carry_out();
  if (settings.port && settings.has_certificates()) {
    state.tls_address = reachable_address(settings.address);
    state.tls_port = *settings.port;
  }
  parts.push_back(
      {"engine", Outcome::success,
       fmt::format("{} is running on {}{}; action: {}.",
                   configuration.system().dockerd.value_or("The engine"),
                   configuration.system().distribution.name,
                   settings.port ? fmt::format(", TCP port {}", *settings.port) : ", unix socket only",
                   to_string(action))});
  watch_by_audit(machine, state);
  log_in_once(machine, settings, state, parts);
  compose_once(machine, settings, state, packages, parts);
  report_security(machine, settings, parts);
}

std::string fingerprint(const Root& root, const State& state) {
  const System system = look_at_system(root);
  std::map<std::string, std::string> seen;
  const auto look = [&](const std::string& path) {
    struct stat status {};
    const auto bytes = read_file_if_there(root(path));
    if (!bytes || ::stat(root(path).c_str(), &status) != 0)
      seen[path] = "-";
    else
      seen[path] = fmt::format("{} {:o} {}", sha256_hex(*bytes), status.st_mode & 07777, status.st_uid);
  };
  for (const auto& [path, hash] : state.files) look(path);
  look(std::string(daemon_file));
  std::string text = fmt::format("{} {} {} {} {}\n", state.owner_version, system.dockerd.value_or("-"),
                                 system.enabled, system.masked, system.swarm);
  if (system.unit)
    for (const std::string& path : system.unit->files) look(path);
  for (const auto& [path, content] : seen) text += fmt::format("{} {}\n", path, content);
  return sha256_hex(text);
}

bool still_as_applied(Machine& machine, const State& state) {
  if (!state.succeeded || state.disabled || state.pending != EngineAction::none ||
      machine.now() >= state.recheck)
    return false;
  if (state.fingerprint.empty() || state.fingerprint != fingerprint(machine.root, state)) return false;
  if (!machine.probe.get("/_ping", milliseconds(5000))) return false;
  if (state.tls_address.empty()) return true;
  const TlsProbe found = machine.probe.handshake(state.tls_address, state.tls_port, milliseconds(2000));
  const auto certificate = read_file_if_there(machine.root(certificate_file));
  return found.leaf && !found.accepted && certificate &&
         found.leaf->to_der() == Certificate::parse_pem(*certificate, certificate_file).to_der();
}

void withdraw_settings(Machine& machine, State& state, bool remove_engine) {
  const System system = look_at_system(machine.root);
  Engine engine(system.init, machine.runner, machine.probe, machine.log);
  engine.up_limit = machine.engine_up_limit;
  remove_engine = remove_engine && state.installed_engine;
  if (system.dockerd && !remove_engine) {
    // First without the port but with live-restore, so that the restart which closes it spares the
    // containers.
    const Settings nothing;
    Configuration configuration(machine, nothing, state);
    configuration.plan({});
    configuration.carry_out();
  }
  if (remove_engine && engine.is_active()) engine.stop();
  if (remove_our_files(machine, state, remove_engine)) engine.reread_units();
  if (remove_engine)
    remove_engine_package(machine);
  else if (system.dockerd && engine.is_active())
    engine.act(EngineAction::reload, false);
}

}  // namespace berth::extension
