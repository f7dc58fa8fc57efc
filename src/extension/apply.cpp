#include "extension/apply.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "crypto/encoding.h"
#include "extension/certificates.h"
#include "extension/managed_files.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr std::string_view drop_in_names[] = {"/etc/systemd/system/docker.service.d/10-docker-ext.conf",
                                              "/etc/systemd/system/docker.service.d/zz-docker-ext.conf"};
constexpr mode_t public_file = 0444, private_file = 0400, config_file = 0644;

mode_t config_mode(const Root& root, std::string_view file) {
  struct stat status {};
  return ::stat(root(file).c_str(), &status) == 0 ? status.st_mode & config_file : config_file;
}

ordered_json parse_or_empty(const std::string& text) {
  ordered_json document = ordered_json::parse(text, nullptr, false);
  return document.is_object() ? document : ordered_json::object();
}

/// The user's part of daemon.json: without the values that we put there.
ordered_json without_ours(ordered_json document, const ordered_json& owned) {
  for (const auto& [name, record] : owned.items())
    if (document.contains(name) && record.is_object() && record.contains("ours") &&
        document[name] == record["ours"])
      document.erase(name);
  return document;
}

/// One way from the engine's configuration as it is to another one, and back.
class Configuration {
 public:
  Configuration(Machine& machine, const Settings& settings, State& state)
      : machine_(machine),
        settings_(settings),
        state_(state),
        system_(look_at_system(machine.root)),
        files_(machine.root),
        engine_(system_.init, machine.runner, machine.probe, machine.log) {
    engine_.up_limit = machine.engine_up_limit;
  }

  /// Decides; touches nothing.
  void plan(const ServerCertificates& certificates) {
    if (system_.masked)
      throw Error(ErrorKind::conflict, "EngineMasked", "docker.service is masked on this machine.",
                  "Unmask it (systemctl unmask docker.service), then apply the settings again.");
    if (!system_.unit && system_.init == Init::systemd)
      throw Error(ErrorKind::unavailable, "NoEngineUnit", "There is no docker.service on this machine.",
                  "Install an engine that brings one, or let docker.channel install it.");
    const DaemonOptions options = sort_options(settings_.options);
    plan_daemon_file(options);
    plan_drop_in(options);
    if (certificates.ca.empty()) {
      for (const auto file : {ca_file, certificate_file, key_file})
        files_.want_gone(std::string(file), state_.files);
    } else {
      want(std::string(ca_file), certificates.ca, public_file);
      want(std::string(certificate_file), certificates.certificate, public_file);
      want(std::string(key_file), certificates.key.reveal(), private_file);
    }
    certificate_ = certificates.certificate;
  }

  /// Writes, restarts what must restart, verifies; or puts everything back and throws.
  std::string carry_out() {
    const State before = state_;
    was_active_ = engine_.is_active();
    const bool unit_changed = files_.differs(drop_in_);
    ConfigChange change{.tls = false, .unit = unit_changed || gone_drop_in_, .daemon_keys = daemon_.changed};
    for (const auto file : {ca_file, certificate_file, key_file})
      change.tls = change.tls || files_.differs(std::string(file));
    EngineAction action = action_for(change, was_active_);
    if (was_active_) action = std::max(action, state_.pending);
    try {
      claim(action);
      if (action == EngineAction::restart) keep_containers();
      files_.apply();
      machine_.log.timed(fmt::format("engine action={}", name_of(action)),
                         [&] { engine_.act(action, change.unit); });
      verify(action);
      if (system_.init == Init::systemd && !system_.enabled) engine_.enable_at_boot();
    } catch (const Error& error) {
      undo(before, action, change.unit, error);
    }
    state_.pending = EngineAction::none;
    write_state(machine_.root, state_);
    return std::string(name_of(action));
  }

  const System& system() const { return system_; }

 private:
  static std::string_view name_of(EngineAction action) {
    constexpr std::string_view names[] = {"none", "start", "reload", "restart"};
    return names[static_cast<int>(action)];
  }

  void want(const std::string& path, const std::string& bytes, mode_t mode) {
    claims_[path] = sha256_hex(bytes);
    files_.want(path, bytes, mode);
  }

  void plan_daemon_file(const DaemonOptions& options) {
    const auto current = read_file_if_there(machine_.root(daemon_file));
    std::vector<DaemonKey> wanted = wanted_daemon_keys(settings_, options, system_.swarm);
    if (system_.unit) {
      const ordered_json users = without_ours(parse_or_empty(current.value_or("")), state_.daemon_keys);
      settle_flags(*system_.unit, users, wanted);
    }
    daemon_ = merge_daemon_file(current, wanted, state_.daemon_keys);
    if (!daemon_.text.empty())
      want(std::string(daemon_file), daemon_.text, config_mode(machine_.root, daemon_file));
  }

  void plan_drop_in(const DaemonOptions& options) {
    const auto text = system_.unit ? drop_in_text(*system_.unit, settings_, options) : std::nullopt;
    if (text) want(drop_in_ = drop_in_file(*system_.unit), *text, config_file);
    for (const std::string_view name : drop_in_names) {
      if (name == drop_in_) continue;
      files_.want_gone(std::string(name), state_.files);
      gone_drop_in_ = gone_drop_in_ || files_.differs(std::string(name));
    }
  }

  /// Puts on record what is about to be ours and what the engine will have to do about it.
  void claim(EngineAction action) {
    if (!files_.any() && action == EngineAction::none && claims_ == state_.files &&
        daemon_.owned == state_.daemon_keys)
      return;
    for (const auto& [path, hash] : claims_) state_.files[path] = hash;
    state_.pending = action;
    if (files_.any()) write_state(machine_.root, state_);
    std::erase_if(state_.files, [&](const auto& file) {
      return !claims_.contains(file.first) && !other_owner(file.first);
    });
    state_.daemon_keys = daemon_.owned;
  }

  /// Files of ours that are not part of the engine's configuration.
  static bool other_owner(const std::string& path) {
    return !path.starts_with("/etc/systemd/system/docker.service.d/") && !path.ends_with(".pem") &&
           path != daemon_file;
  }

  /// Containers survive a restart only if the running engine knows that they shall.
  void keep_containers() {
    const ordered_json after = parse_or_empty(daemon_.text);
    if (after.value("live-restore", ordered_json(false)) != true) return;
    const ordered_json info = parse_or_empty(machine_.probe.get("/info", milliseconds(10'000)).value_or(""));
    if (info.value("LiveRestoreEnabled", false) || info.value("ContainersRunning", 1) == 0) return;
    ordered_json interim = parse_or_empty(read_file_if_there(machine_.root(daemon_file)).value_or(""));
    interim["live-restore"] = true;
    FileChanges first(machine_.root);
    first.want(std::string(daemon_file), interim.dump(2) + "\n", config_mode(machine_.root, daemon_file));
    first.apply();
    const auto end = std::chrono::steady_clock::now() + machine_.reload_limit;
    engine_.act(EngineAction::reload, false);
    bool kept = false;
    while (!(kept = engine_.keeps_containers()) && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(milliseconds(100));
    if (!kept) machine_.log.line("live-restore did not take effect; containers will restart with the engine");
    first.roll_back();
  }

  void verify(EngineAction& action) {
    if (!settings_.port || certificate_.empty()) return;
    const auto check = [&] {
      machine_.log.timed("handshake", [&] {
        verify_tls(machine_.probe, settings_, certificate_, machine_.handshake_limit);
      });
    };
    try {
      check();
    } catch (const Error& error) {
      if (action == EngineAction::start || action == EngineAction::restart) throw;
      // The engine runs with something else than what is on disk. It reads that only when it starts.
      machine_.log.line(fmt::format("restarting because {}", error.what()));
      action = EngineAction::restart;
      keep_containers();
      engine_.act(action, true);
      check();
    }
  }

  [[noreturn]] void undo(const State& before, EngineAction action, bool unit_changed, const Error& error) {
    machine_.log.line(fmt::format("rolling back because {}", error.what()));
    std::string message = error.what();
    const auto stuck = files_.roll_back();
    state_ = before;
    try {
      if (unit_changed) engine_.reread_units();
      if (!was_active_ && action != EngineAction::none)
        engine_.stop();
      else if (action == EngineAction::restart || action == EngineAction::reload)
        engine_.act(EngineAction::restart, unit_changed);
      message += was_active_ ? " The engine runs with its previous configuration."
                             : " The previous configuration is back in place.";
    } catch (const Error& second) {
      state_.pending = EngineAction::restart;
      message += fmt::format(
          " The previous configuration is back in place, but the engine does not run with it either: {}",
          second.what());
    }
    for (const std::string& path : stuck) message += fmt::format(" {} could not be put back.", path);
    try {
      write_state(machine_.root, state_);
    } catch (const Error& second) {
      machine_.log.line(second.what());
    }
    throw Error(error.kind, error.code, message, error.advice);
  }

  Machine& machine_;
  const Settings& settings_;
  State& state_;
  System system_;
  FileChanges files_;
  Engine engine_;
  DaemonFile daemon_;
  std::string drop_in_;
  bool gone_drop_in_ = false;
  bool was_active_ = false;
  std::string certificate_;
  std::map<std::string, std::string> claims_;
};

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

}  // namespace

bool takes_long(const Machine&, const Settings&, const State&) {
  return false;
}

std::vector<Substatus> apply_settings(Machine& machine, const Settings& settings, State& state,
                                      bool same_settings) {
  std::vector<Substatus> parts;
  for (const std::string& warning : settings.warnings)
    parts.push_back({"settings", Outcome::warning, warning});

  ServerCertificates certificates;
  state.recheck = std::chrono::sys_seconds::max();
  if (settings.has_certificates()) {
    certificates = choose_certificates(machine, settings, state, same_settings, parts);
    const CertificateCheck check = check_certificates(certificates, machine.now());
    for (const std::string& warning : check.warnings) parts.push_back({"tls", Outcome::warning, warning});
    parts.push_back({"tls", Outcome::success, check.summary});
    state.recheck = check.recheck;
  }

  Configuration configuration(machine, settings, state);
  configuration.plan(certificates);
  const std::string action = configuration.carry_out();
  parts.push_back(
      {"engine", Outcome::success,
       fmt::format(
           "{} is running on {}{}; action: {}.", configuration.system().dockerd.value_or("The engine"),
           configuration.system().distribution.name,
           settings.port ? fmt::format(", TCP port {}", *settings.port) : ", unix socket only", action)});
  return parts;
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
  return true;
}

void withdraw_settings(Machine& machine, State& state) {
  {
    // First without the port but with live-restore, so that the restart which closes it spares the
    // containers.
    const Settings nothing;
    Configuration configuration(machine, nothing, state);
    configuration.plan({});
    configuration.carry_out();
  }
  const auto current = read_file_if_there(machine.root(daemon_file));
  const DaemonFile rest = merge_daemon_file(current, {}, state.daemon_keys);
  FileChanges files(machine.root);
  if (current && parse_or_empty(rest.text).empty())
    files.want_gone(std::string(daemon_file), {{std::string(daemon_file), sha256_hex(*current)}});
  else if (current)
    files.want(std::string(daemon_file), rest.text, config_mode(machine.root, daemon_file));
  files.apply();
  Engine engine(look_at_system(machine.root).init, machine.runner, machine.probe, machine.log);
  if (files.any() && engine.is_active()) engine.act(EngineAction::reload, false);
}

}  // namespace berth::extension
