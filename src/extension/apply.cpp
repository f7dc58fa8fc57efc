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
#include "extension/front.h"
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
  if (look_at_system(machine.root).dockerd && !state.installing) return;
  if (state.installing) packages.mend();
  state.installed_engine = state.installing = true;
  write_state(machine.root, state);
  machine.log.timed("install engine", [&] {
    install_engine(machine.root, machine.runner, machine.log, packages, settings, state.files);
  });
  state.installing = false;
  write_state(machine.root, state);
}

void log_in_once(Machine& machine, const Settings& settings, State& state, std::vector<Substatus>& parts) {
  const auto wanted = settings.login ? std::optional(settings.login->server) : std::nullopt;
  if (state.login_server && state.login_server != wanted) {
    state.login_mark.clear();
    try {
      log_out(machine.runner, *state.login_server);
      state.login_server.reset();
    } catch (const Error& error) {
      parts.push_back({"login", Outcome::warning, fmt::format("{} {}", error.what(), error.advice)});
    }
  }
  if (!settings.login) return;
  const std::string mark = login_mark(state.salt, *settings.login);
  if (mark != state.login_mark || !std::filesystem::exists(machine.root("/root/.docker/config.json"))) {
    state.login_mark.clear();
    state.login_server = wanted;
    write_state(machine.root, state);
    log_in(machine.runner, *settings.login);
    state.login_mark = mark;
  }
  parts.push_back(
      {"login", Outcome::success,
       fmt::format("Logged in to {}.", settings.login->server.empty() ? "the engine's default registry"
                                                                      : settings.login->server)});
}

std::string this_boot(const Root& root) {
  return read_file_if_there(root("/proc/sys/kernel/random/boot_id")).value_or("");
}

bool compose_is_due(Machine& machine, const Settings& settings, const State& state) {
  return !settings.compose.empty() && (compose_mark(state.salt, settings) != state.compose_mark ||
                                       read_file_if_there(machine.root(compose_path)) != settings.compose ||
                                       !project_is_up(machine.probe, state.compose_project,
                                                      state.compose_boot != this_boot(machine.root)));
}

void compose_once(Machine& machine, const Settings& settings, State& state, Packages& packages,
                  std::vector<Substatus>& parts) {
  if (settings.compose.empty()) {
    if (!state.compose_mark.empty())
      parts.push_back(
          {"compose", Outcome::warning, "The containers of an earlier compose setting were left running."});
    state.compose_project.clear();
    return;
  }
  if (compose_is_due(machine, settings, state)) {
    state.compose_mark.clear();
    machine.log.timed("compose", [&] {
      compose_up(machine.root, machine.runner, machine.log, packages, settings, state.files);
    });
    state.compose_mark = compose_mark(state.salt, settings);
    state.compose_project = compose_project(settings);
    state.compose_boot = this_boot(machine.root);
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

/// A port that was opened with these certificates before we came (docs/instant.md) is not left open when they are
/// refused.
void close_unapproved_front(Machine& machine, const State& state, const ServerCertificates& refused) {
  const std::string file(front_file);
  if (state.files.contains(file) || !read_file_if_there(machine.root(file)) ||
      !(read_installed(machine.root) == refused))
    return;
  Front(machine.runner, machine.log).stop();
  for (const std::string_view path : {std::string_view(front_file), ca_file, certificate_file, key_file})
    remove_file(machine.root(std::string(path)));
  machine.log.line("closed the port that was open with these certificates");
}

}  // namespace

bool takes_long(Machine& machine, const Settings& settings, const State& state) {
  if (state.installing) return true;
  if (!look_at_system(machine.root).dockerd && settings.channel != Channel::none) return true;
  return compose_is_due(machine, settings, state);
}

void apply_settings(Machine& machine, const Settings& settings, State& state, bool same_settings,
                    std::vector<Substatus>& parts) {
  for (const std::string& warning : settings.warnings)
    parts.push_back({"settings", Outcome::warning, warning});
  if (look_at_system(machine.root).init == Init::none)
    throw Error(ErrorKind::unavailable, "NoServiceManager",
                "Neither systemd nor init scripts (/etc/init.d) run this machine's services.",
                "Use an image with systemd.");
  sort_options(settings.options);  // what is wrong with them is said before anything is touched

  ServerCertificates certificates;
  state.recheck = std::chrono::sys_seconds::max();
  state.tls_address.clear();
  if (settings.has_certificates()) {
    certificates = choose_certificates(machine, settings, state, same_settings, parts);
    CertificateCheck check;
    try {
      check = check_certificates(certificates, machine.now());
    } catch (const Error&) {
      close_unapproved_front(machine, state, certificates);
      throw;
    }
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
  if (const auto dockerd = look_at_system(machine.root).dockerd)
    check_engine_fits(machine.root, machine.runner, *dockerd);
  if (settings.add_user_to_docker_group) add_user_to_group(machine, parts);

  Configuration configuration(machine, settings, state);
  configuration.plan(certificates);
  const EngineAction action = configuration.carry_out();
  if (!configuration.system().enabled)
    Engine(configuration.system().init, machine.runner, machine.probe, machine.log).enable_at_boot();
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
  if (configuration.tls_by() == TlsBy::front)
    parts.push_back({"tls", Outcome::success,
                     fmt::format("docker-tls.service opens the port before the engine; action: {}.",
                                 to_string(configuration.front_action()))});
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
    if (::stat(root(path).c_str(), &status) != 0)
      seen[path] = "-";
    else
      seen[path] =
          fmt::format("{} {} {}.{:09} {:o} {}:{}", status.st_ino, status.st_size, status.st_mtim.tv_sec,
                      status.st_mtim.tv_nsec, status.st_mode & 07777, status.st_uid, status.st_gid);
  };
  for (const auto& [path, hash] : state.files) look(path);
  look(std::string(daemon_file));
  look(std::string(defaults_file));
  std::string text = fmt::format("{} {} {} {} {}\n", state.owner_version, system.dockerd.value_or("-"),
                                 system.enabled, system.masked, system.swarm);
  if (system.unit)
    for (const std::string& path : system.unit->files) look(path);
  for (const auto& [path, content] : seen) text += fmt::format("{} {}\n", path, content);
  return sha256_hex(text);
}

bool still_as_applied(Machine& machine, const State& state) {
  if (!state.succeeded || state.disabled || state.pending != EngineAction::none ||
      state.pending_front != EngineAction::none || machine.now() >= state.recheck)
    return false;
  if (state.fingerprint.empty() || state.fingerprint != fingerprint(machine.root, state)) return false;
  if (!machine.probe.get("/_ping", milliseconds(5000))) return false;
  if (!state.compose_project.empty() &&
      !project_is_up(machine.probe, state.compose_project, state.compose_boot != this_boot(machine.root)))
    return false;
  if (state.tls_address.empty()) return true;
  const TlsProbe found = machine.probe.handshake(state.tls_address, state.tls_port, milliseconds(2000));
  const auto certificate = read_file_if_there(machine.root(certificate_file));
  return found.leaf && !found.accepted && certificate &&
         found.leaf->to_der() == Certificate::parse_pem(*certificate, certificate_file).to_der();
}

std::vector<std::string> withdraw_settings(Machine& machine, State& state) {
  std::vector<std::string> left;
  const auto attempt = [&](const auto& step) {
    try {
      step();
      return true;
    } catch (const Error& error) {
      left.push_back(error.what());
      return false;
    }
  };
  const System system = look_at_system(machine.root);
  Engine engine(system.init, machine.runner, machine.probe, machine.log);
  engine.up_limit = machine.engine_up_limit;
  const bool remove_engine = state.remove_engine && state.installed_engine;
  bool runs = false;
  attempt([&] { runs = system.dockerd && engine.is_active(); });
  const bool has_front = state.files.contains(std::string(front_file));

  if (state.login_server && attempt([&] { log_out(machine.runner, *state.login_server); }))
    state.login_server.reset();
  bool closed = true;
  if (remove_engine && runs) {
    attempt([&] { engine.stop(); });
  } else if (runs && is_configured_by_us(state)) {
    // First without the port but with live-restore, so that the restart which closes it spares the
    // containers.
    closed = attempt([&] {
      const Settings nothing;
      Configuration configuration(machine, nothing, state);
      configuration.plan({});
      configuration.carry_out();
    });
  }
  if (has_front) attempt([&] { Front(machine.runner, machine.log).stop(); });
  const bool changed = remove_our_files(machine, state, remove_engine, left);
  if (changed) attempt([&] { engine.reread_units(); });
  if (remove_engine) {
    const bool gone = attempt([&] {
      Packages packages(machine.root, machine.runner, machine.log, machine.pause, std::chrono::minutes(3));
      remove_engine_packages(packages);
    });
    if (gone) state.installed_engine = false;
  } else if (runs && (changed || !closed)) {
    attempt([&] { engine.act(closed ? EngineAction::reload : EngineAction::restart, false); });
  }
  return left;
}

}  // namespace berth::extension
