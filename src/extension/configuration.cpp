#include "extension/configuration.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "crypto/encoding.h"
#include "extension/engine_config.h"
#include "host/files.h"

namespace berth::extension {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr std::string_view tls_files[] = {ca_file, certificate_file, key_file};
constexpr std::string_view command_line_files[] = {"/etc/systemd/system/docker.service.d/10-docker-ext.conf",
                                                   "/etc/systemd/system/docker.service.d/zz-docker-ext.conf",
                                                   defaults_file};
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

bool is_part_of_configuration(const std::string& path) {
  const auto among = [&](const auto& files) {
    return std::find(std::begin(files), std::end(files), path) != std::end(files);
  };
  return among(tls_files) || among(command_line_files) || path == daemon_file;
}

bool is_engine_program(const std::string& path) {
  return path.starts_with("/usr/local/bin/") || path == "/etc/systemd/system/docker.service" ||
         path == "/etc/systemd/system/docker.socket";
}

}  // namespace

std::string_view to_string(EngineAction action) {
  constexpr std::string_view names[] = {"none", "start", "reload", "restart"};
  return names[static_cast<int>(action)];
}

Configuration::Configuration(Machine& machine, const Settings& settings, State& state)
    : machine_(machine),
      settings_(settings),
      state_(state),
      system_(look_at_system(machine.root)),
      files_(machine.root),
      engine_(system_.init, machine.runner, machine.probe, machine.log) {
  engine_.up_limit = machine.engine_up_limit;
}

void Configuration::plan(const ServerCertificates& certificates) {
  if (system_.masked)
    throw Error(ErrorKind::conflict, "EngineMasked", "docker.service is masked on this machine.",
                "Unmask it (systemctl unmask docker.service), then apply the settings again.");
  if (!system_.unit && system_.init == Init::systemd)
    throw Error(ErrorKind::unavailable, "NoEngineUnit", "There is no docker.service on this machine.",
                "Install an engine that brings one, or let docker.channel install it.");
  const DaemonOptions options = sort_options(settings_.options);
  plan_daemon_file(options);
  plan_command_line(options);
  if (certificates.ca.empty()) {
    for (const std::string_view file : tls_files) files_.want_gone(std::string(file), state_.files);
  } else {
    want(std::string(ca_file), certificates.ca, public_file);
    want(std::string(certificate_file), certificates.certificate, public_file);
    want(std::string(key_file), certificates.key.reveal(), private_file);
  }
  certificate_ = certificates.certificate;
  // The names of 2014; a second copy of a private key helps nobody.
  files_.want_gone("/etc/docker/server-cert.pem",
                   {{"/etc/docker/server-cert.pem", sha256_hex(certificates.certificate)}});
  files_.want_gone("/etc/docker/server-key.pem",
                   {{"/etc/docker/server-key.pem", sha256_hex(certificates.key.reveal())}});
}

void Configuration::want(const std::string& path, const std::string& bytes, mode_t mode) {
  claims_[path] = sha256_hex(bytes);
  files_.want(path, bytes, mode);
}

void Configuration::plan_daemon_file(const DaemonOptions& options) {
  const auto current = read_file_if_there(machine_.root(daemon_file));
  std::vector<DaemonKey> wanted = wanted_daemon_keys(settings_, options, system_.swarm);
  if (system_.unit)
    settle_flags(*system_.unit, without_ours(parse_or_empty(current.value_or("")), state_.daemon_keys),
                 wanted);
  daemon_ = merge_daemon_file(current, wanted, state_.daemon_keys);
  if (!daemon_.text.empty())
    want(std::string(daemon_file), daemon_.text, config_mode(machine_.root, daemon_file));
}

void Configuration::plan_command_line(const DaemonOptions& options) {
  std::string wanted_file;
  if (system_.unit) {
    if (const auto text = drop_in_text(*system_.unit, settings_, options))
      want(wanted_file = drop_in_file(*system_.unit), *text, config_file);
  } else if (settings_.port || !options.words.empty() || state_.files.contains(std::string(defaults_file))) {
    const std::string current = read_file_if_there(machine_.root(defaults_file)).value_or("");
    want(wanted_file = defaults_file, defaults_text(current, settings_, options),
         config_mode(machine_.root, defaults_file));
  }
  for (const std::string_view name : command_line_files)
    if (name != wanted_file) files_.want_gone(std::string(name), state_.files);
}

ConfigChange Configuration::changes() const {
  const auto differs = [&](std::string_view file) { return files_.differs(std::string(file)); };
  return {.tls = std::any_of(std::begin(tls_files), std::end(tls_files), differs),
          .unit = std::any_of(std::begin(command_line_files), std::end(command_line_files), differs),
          .daemon_keys = daemon_.changed};
}

EngineAction Configuration::carry_out() {
  const State before = state_;
  was_active_ = engine_.is_active();
  const ConfigChange change = changes();
  EngineAction action = action_for(change, was_active_);
  if (was_active_) action = std::max(action, state_.pending);
  try {
    if (was_active_ && !change.daemon_keys.empty()) validate();
    claim(action);
    if (action == EngineAction::restart) keep_containers();
    files_.apply();
    engine_touched_ = engine_touched_ || action != EngineAction::none;
    machine_.log.timed(fmt::format("engine action={}", to_string(action)),
                       [&] { engine_.act(action, change.unit); });
    verify(action);
    if (!system_.enabled) engine_.enable_at_boot();
  } catch (const Error& error) {
    undo(before, error);
  }
  state_.pending = EngineAction::none;
  write_state(machine_.root, state_);
  return action;
}

/// Puts on record what is about to be ours, and what the engine has to do to see it.
void Configuration::claim(EngineAction action) {
  state_.pending = action;
  for (const auto& [path, hash] : claims_) state_.files[path] = hash;
  if (files_.any()) write_state(machine_.root, state_);
  std::erase_if(state_.files, [&](const auto& file) {
    return is_part_of_configuration(file.first) && !claims_.contains(file.first);
  });
  state_.daemon_keys = daemon_.owned;
}

/// Asks the engine's program before a running engine loses a good configuration. Before 23 it cannot tell.
void Configuration::validate() {
  if (!system_.dockerd) return;
  const std::string candidate = std::string(state_folder) + "/daemon.json.candidate";
  make_folder(machine_.root(state_folder), 0700);
  write_file(machine_.root(candidate), daemon_.text, 0600);
  const RunResult result = machine_.runner.run(
      {*system_.dockerd, "--validate", "--config-file", machine_.root(candidate).string()});
  std::filesystem::remove(machine_.root(candidate));
  if (result.exit_code == 0 || result.err.find("unknown flag") != std::string::npos) return;
  throw Error(ErrorKind::invalid, "BadDaemonConfig",
              fmt::format("The engine does not accept the configuration: {}", last_lines(result)),
              "Correct docker.options or daemon.json.");
}

/// Containers survive a restart only if the running engine knows that they shall.
void Configuration::keep_containers() {
  const ordered_json after = parse_or_empty(daemon_.text);
  if (after.value("live-restore", ordered_json(false)) != true) return;
  const ordered_json info = parse_or_empty(machine_.probe.get("/info", milliseconds(10'000)).value_or(""));
  if (info.value("LiveRestoreEnabled", false) || info.value("ContainersRunning", 1) == 0) return;
  ordered_json interim = parse_or_empty(read_file_if_there(machine_.root(daemon_file)).value_or(""));
  interim["live-restore"] = true;
  FileChanges first(machine_.root);
  first.want(std::string(daemon_file), interim.dump(2) + "\n", config_mode(machine_.root, daemon_file));
  first.apply();
  engine_touched_ = true;
  engine_.act(EngineAction::reload, false);
  const auto end = std::chrono::steady_clock::now() + machine_.reload_limit;
  bool kept = false;
  while (!(kept = engine_.keeps_containers()) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(milliseconds(50));
  if (!kept) machine_.log.line("live-restore did not take effect; containers restart with the engine");
  first.roll_back();
}

void Configuration::verify(EngineAction& action) {
  if (!settings_.port || certificate_.empty()) return;
  const auto check = [&] {
    machine_.log.timed(
        "handshake", [&] { verify_tls(machine_.probe, settings_, certificate_, machine_.handshake_limit); });
  };
  try {
    check();
  } catch (const Error& error) {
    if (action == EngineAction::start || action == EngineAction::restart) throw;
    // The engine runs with something else than what is on disk. It reads that only when it starts.
    machine_.log.line(fmt::format("restarting because {}", error.what()));
    action = EngineAction::restart;
    keep_containers();
    engine_touched_ = true;
    engine_.act(action, true);
    check();
  }
}

void Configuration::undo(const State& before, const Error& error) {
  machine_.log.line(fmt::format("rolling back because {}", error.what()));
  std::string message = error.what();
  const auto stuck = files_.roll_back();
  state_ = before;
  try {
    engine_.reread_units();
    if (engine_touched_ && was_active_) engine_.act(EngineAction::restart, false);
    if (engine_touched_ && !was_active_) engine_.stop();
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

bool remove_our_files(const Machine& machine, const State& state, bool programs) {
  FileChanges files(machine.root);
  const auto current = read_file_if_there(machine.root(daemon_file));
  if (current) {
    const DaemonFile rest = merge_daemon_file(current, {}, state.daemon_keys);
    if (rest.changed.empty() || !parse_or_empty(rest.text).empty())
      files.want(std::string(daemon_file), rest.text, config_mode(machine.root, daemon_file));
    else
      files.want_gone(std::string(daemon_file), {{std::string(daemon_file), sha256_hex(*current)}});
  }
  for (const auto& [path, hash] : state.files)
    if (path != daemon_file && (programs || !is_engine_program(path))) files.want_gone(path, state.files);
  files.apply();
  return files.any();
}

}  // namespace berth::extension
