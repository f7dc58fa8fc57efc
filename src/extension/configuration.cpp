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

/// The user's part of the defaults file, likewise.
std::string without_our_options(const std::string& text, const State& state) {
  const bool ours = !state.options_ours.empty() && find_options_line(text) == state.options_ours;
  return ours ? with_options_line(text, state.options_before) : text;
}

bool is_command_line(const std::string& path) {
  return std::find(std::begin(command_line_files), std::end(command_line_files), path) !=
         std::end(command_line_files);
}

bool is_part_of_configuration(const std::string& path) {
  return is_command_line(path) || path == daemon_file || path == front_file ||
         std::find(std::begin(tls_files), std::end(tls_files), path) != std::end(tls_files);
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
      listener_(machine.root),
      engine_(system_.init, machine.runner, machine.probe, machine.log),
      front_(machine.runner, machine.log) {
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
  tls_by_ = choose_who_serves(certificates);
  if (!certificates.ca.empty()) {
    want(files_, std::string(ca_file), certificates.ca, public_file);
    want(files_, std::string(certificate_file), certificates.certificate, public_file);
    want(files_, std::string(key_file), certificates.key.reveal(), private_file);
  }
  plan_daemon_file(options);
  plan_command_line(options);
  plan_front(certificates);
  if (certificates.ca.empty())
    for (const std::string_view file : tls_files) files_.want_gone(std::string(file), state_.files);
  certificate_ = certificates.certificate;
  // The names of 2014; a second copy of a private key helps nobody.
  files_.want_gone("/etc/docker/server-cert.pem",
                   {{"/etc/docker/server-cert.pem", sha256_hex(certificates.certificate)}});
  files_.want_gone("/etc/docker/server-key.pem",
                   {{"/etc/docker/server-key.pem", sha256_hex(certificates.key.reveal())}});
}

/// The machine's front, unless it could not let everybody in, or the engine would be left with TCP without
/// TLS.
TlsBy Configuration::choose_who_serves(const ServerCertificates& certificates) const {
  if (certificates.ca.empty() || !system_.unit || !front_text(machine_.root, settings_)) return TlsBy::engine;
  const std::string reason = opens_other_tcp(*system_.unit, settings_)
                                 ? system_.unit->file + " opens another TCP port"
                                 : front_refusal(certificates.ca);
  if (reason.empty()) return TlsBy::front;
  machine_.log.line(fmt::format("the engine itself serves TLS, not its front: {}", reason));
  return TlsBy::engine;
}

/// Its file is there exactly when it is to run: one that is not wanted goes, whoever changed it.
void Configuration::plan_front(const ServerCertificates& certificates) {
  const std::string file(front_file);
  const auto there = read_file_if_there(machine_.root(front_file));
  if (tls_by_ == TlsBy::front) {
    want(files_, file, front_text(machine_.root, settings_).value_or(""), config_file);
    const auto ca = read_file_if_there(machine_.root(ca_file));
    authority_goes_ = ca && loses_authority(*ca, certificates.ca);
  } else if (there) {
    files_.want_gone(file, {{file, sha256_hex(*there)}});
  }
}

void Configuration::want(FileChanges& files, const std::string& path, const std::string& bytes, mode_t mode) {
  claims_[path] = sha256_hex(bytes);
  files.want(path, bytes, mode);
}

void Configuration::plan_daemon_file(const DaemonOptions& options) {
  const auto current = read_file_if_there(machine_.root(daemon_file));
  const std::string info = machine_.probe.get("/info", milliseconds(10'000)).value_or("");
  std::vector<DaemonKey> wanted = wanted_daemon_keys(settings_, options, in_swarm(info, system_), tls_by_);
  ordered_json owned = state_.daemon_keys;
  // What says exactly ours is ours, whatever became of our records: the files that it names are the front's.
  if (tls_by_ == TlsBy::front)
    for (const DaemonKey& key : tls_daemon_keys())
      if (!owned.contains(key.name)) owned[key.name] = {{"ours", key.value}};
  if (system_.unit)
    settle_flags(*system_.unit, without_ours(parse_or_empty(current.value_or("")), state_.daemon_keys),
                 adds_flags(settings_, options), wanted);
  daemon_ = merge_daemon_file(current, wanted, owned);
  if (!daemon_.text.empty())
    want(files_, std::string(daemon_file), daemon_.text, config_mode(machine_.root, daemon_file));
}

void Configuration::plan_command_line(const DaemonOptions& options) {
  std::string wanted_file;
  if (system_.unit) {
    if (const auto text = drop_in_text(*system_.unit, settings_, options, tls_by_))
      want(listener_, wanted_file = drop_in_file(*system_.unit), *text, config_file);
  } else if (adds_flags(settings_, options)) {
    options_ours_ = options_line(settings_, options);
  }
  const std::string current = read_file_if_there(machine_.root(defaults_file)).value_or("");
  const std::string users = without_our_options(current, state_);
  if (!options_ours_.empty()) options_before_ = find_options_line(users);
  if (!options_ours_.empty() || users != current)
    listener_.want(std::string(defaults_file),
                   options_ours_.empty() ? users : with_options_line(users, options_ours_),
                   config_mode(machine_.root, defaults_file));
  for (const std::string_view name : command_line_files) {
    if (name == wanted_file) continue;
    // One that we have no record of would open the front's port, and without TLS.
    const std::string file(name);
    listener_.want_gone(file,
                        tls_by_ == TlsBy::front
                            ? std::map<std::string, std::string>{{file, hash_of_file(machine_.root(name))}}
                            : state_.files);
  }
}

ConfigChange Configuration::changes() const {
  const auto differs = [&](std::string_view file) {
    return files_.differs(std::string(file)) || listener_.differs(std::string(file));
  };
  return {.tls = tls_by_ == TlsBy::engine && !front_was_active_ &&
                 std::any_of(std::begin(tls_files), std::end(tls_files), differs),
          .unit = differs(defaults_file) ||
                  std::any_of(std::begin(command_line_files), std::end(command_line_files), differs),
          .daemon_keys = daemon_.changed};
}

/// What makes the front see the change: it takes new certificates while connections live, but who came in by
/// an authority that goes has to go, too.
EngineAction Configuration::choose_front_action() const {
  if (tls_by_ != TlsBy::front) return EngineAction::none;
  if (!front_was_active_) return EngineAction::start;
  if (files_.differs(std::string(front_file)) || authority_goes_) return EngineAction::restart;
  const bool renewed = std::any_of(std::begin(tls_files), std::end(tls_files),
                                   [&](std::string_view file) { return files_.differs(std::string(file)); });
  return std::max(renewed ? EngineAction::reload : EngineAction::none, state_.pending_front);
}

EngineAction Configuration::carry_out() {
  const State before = state_;
  was_active_ = engine_.is_active();
  const std::string front(front_file);
  const bool has_front = std::filesystem::exists(machine_.root(front)) || state_.files.contains(front);
  front_was_active_ = has_front && front_.is_active();
  front_action_ = choose_front_action();
  const ConfigChange change = changes();
  EngineAction action = action_for(change, was_active_);
  if (was_active_) action = std::max(action, state_.pending);
  try {
    if (was_active_ && !change.daemon_keys.empty()) validate();
    claim(action);
    if (action == EngineAction::restart) keep_containers();
    if (front_was_active_ && tls_by_ != TlsBy::front) {
      front_stopped_ = true;
      front_.stop();
    }
    write_files();
    machine_.log.timed(fmt::format("engine action={}", to_string(action)), [&] { act(action, change.unit); });
    if (tls_by_ == TlsBy::front)
      machine_.log.timed(fmt::format("front action={}", to_string(front_action_)),
                         [&] { act_on_front(front_action_); });
    verify(action);
  } catch (const Error& error) {
    undo(before, error);
  }
  state_.pending = state_.pending_front = EngineAction::none;
  write_state(machine_.root, state_);
  return action;
}

void Configuration::act(EngineAction action, bool unit_changed) {
  touched_ = std::max(touched_, action);
  engine_.act(action, unit_changed);
}

void Configuration::act_on_front(EngineAction action) {
  front_touched_ = std::max(front_touched_, action);
  front_.act(action);
}

/// Puts on record what is about to be ours, and what engine and front have to do to see it.
void Configuration::claim(EngineAction action) {
  state_.pending = action;
  state_.pending_front = front_action_;
  for (const auto& [path, hash] : claims_) state_.files[path] = hash;
  if (files_.any() || listener_.any()) write_state(machine_.root, state_);
  std::erase_if(state_.files, [&](const auto& file) {
    return is_part_of_configuration(file.first) && !claims_.contains(file.first);
  });
  state_.daemon_keys = daemon_.owned;
  state_.options_ours = options_ours_;
  state_.options_before = options_before_;
}

/// A listener on TCP is known to the service manager only while daemon.json asks for TLS: whenever the engine
/// starts, also after a crash between two of these files, no port is open that was not asked for so.
void Configuration::write_files() {
  const bool tls = !certificate_.empty() && tls_by_ == TlsBy::engine;
  if (tls) files_.apply();
  listener_.apply();
  if (tls) return;
  if (listener_.any()) engine_.reread_units();
  files_.apply();
}

/// The way of write_files() in reverse. Returns what could not be put back.
std::vector<std::string> Configuration::put_files_back() {
  const bool tls = !certificate_.empty() && tls_by_ == TlsBy::engine;
  std::vector<std::string> stuck = (tls ? listener_ : files_).roll_back();
  try {
    if (tls && listener_.any()) engine_.reread_units();
  } catch (const Error& error) {
    machine_.log.line(error.what());
  }
  for (std::string& path : (tls ? files_ : listener_).roll_back()) stuck.push_back(std::move(path));
  return stuck;
}

/// Asks the engine's program before a running engine loses a good configuration. Before 23 it cannot tell.
/// It would load the TLS files, too, which are written only after this and were checked already.
void Configuration::validate() {
  if (!system_.dockerd) return;
  ordered_json asked = parse_or_empty(daemon_.text);
  for (const char* key : {"tls", "tlsverify", "tlscacert", "tlscert", "tlskey"}) asked.erase(key);
  const std::string candidate = std::string(state_folder) + "/daemon.json.candidate";
  make_folder(machine_.root(state_folder), 0700);
  write_file(machine_.root(candidate), asked.dump(2) + "\n", 0600);
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
  try {
    act(EngineAction::reload, false);
    const auto end = std::chrono::steady_clock::now() + machine_.reload_limit;
    bool kept = false;
    while (!(kept = engine_.keeps_containers()) && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(milliseconds(50));
    if (!kept) machine_.log.line("live-restore did not take effect; containers restart with the engine");
  } catch (const Error&) {
    first.roll_back();
    throw;
  }
  first.roll_back();
}

void Configuration::verify(EngineAction& action) {
  if (!settings_.port || certificate_.empty()) return;
  const bool front = tls_by_ == TlsBy::front;
  EngineAction& servers = front ? front_action_ : action;
  const auto check = [&] {
    machine_.log.timed("handshake", [&] {
      verify_tls(machine_.probe, settings_, certificate_, machine_.handshake_limit,
                 servers == EngineAction::reload);
    });
  };
  try {
    check();
  } catch (const Error& error) {
    if (servers == EngineAction::start || servers == EngineAction::restart) throw;
    // It runs with something else than what is on disk. The engine reads that only when it starts.
    machine_.log.line(fmt::format("restarting because {}", error.what()));
    servers = EngineAction::restart;
    if (front) {
      act_on_front(servers);
    } else {
      keep_containers();
      act(servers, true);
    }
    check();
  }
}

/// Once engine and files are what they were. Returns a sentence for the message when it does not come up.
std::string Configuration::put_front_back() {
  if (!front_was_active_) return {};
  const bool went_down = front_stopped_ || touched_ != EngineAction::none;  // it goes with the engine
  try {
    front_.act(std::max(front_touched_, went_down ? EngineAction::start : EngineAction::none));
    return {};
  } catch (const Error& error) {
    state_.pending_front = EngineAction::restart;
    return fmt::format(" The port is closed: {}", error.what());
  }
}

void Configuration::undo(const State& before, const Error& error) {
  machine_.log.line(fmt::format("rolling back because {}", error.what()));
  machine_.before_undo();
  std::string message = error.what();
  const auto stuck = put_files_back();
  state_ = before;
  try {
    if (!front_was_active_ && front_touched_ != EngineAction::none) front_.stop();
  } catch (const Error& second) {
    message += fmt::format(" {}", second.what());
  }
  try {
    engine_.reread_units();
    if (was_active_)
      engine_.act(touched_, false);
    else if (touched_ != EngineAction::none)
      engine_.stop();
    message += was_active_ ? " The engine runs with its previous configuration."
                           : " The previous configuration is back in place.";
  } catch (const Error& second) {
    state_.pending = touched_;
    message += fmt::format(
        " The previous configuration is back in place, but the engine does not run with it either: {}",
        second.what());
  }
  message += put_front_back();
  for (const std::string& path : stuck) message += fmt::format(" {} could not be put back.", path);
  try {
    write_state(machine_.root, state_);
  } catch (const Error& second) {
    machine_.log.line(second.what());
  }
  throw Error(error.kind, error.code, message, error.advice);
}

bool is_configured_by_us(const State& state) {
  return !state.daemon_keys.empty() || !state.options_ours.empty() ||
         std::any_of(state.files.begin(), state.files.end(),
                     [](const auto& file) { return is_part_of_configuration(file.first); });
}

bool remove_our_files(const Machine& machine, State& state, bool programs,
                      std::vector<std::string>& troubles) {
  bool changed = false;
  const auto attempt = [&](const auto& step) {
    try {
      step();
      return true;
    } catch (const Error& error) {
      troubles.push_back(error.what());
      return false;
    }
  };
  const auto remove_those = [&](const auto& chosen) {
    std::erase_if(state.files, [&](const auto& file) {
      const auto& [path, hash] = file;
      return chosen(path) && attempt([&] {
               if (hash_of_file(machine.root(path)) != hash) return;
               remove_file(machine.root(path));
               changed = true;
             });
    });
  };
  const auto put_options_back = [&] {
    const std::string current = read_file_if_there(machine.root(defaults_file)).value_or("");
    const std::string users = without_our_options(current, state);
    if (users != current)
      write_file(machine.root(defaults_file), users, config_mode(machine.root, defaults_file));
    changed = changed || users != current;
    state.options_ours = state.options_before = "";
  };
  const auto put_daemon_file_back = [&] {
    const auto current = read_file_if_there(machine.root(daemon_file));
    const DaemonFile rest = merge_daemon_file(current, {}, state.daemon_keys);
    if (current && !rest.changed.empty()) {
      if (parse_or_empty(rest.text).empty())
        remove_file(machine.root(daemon_file));
      else
        write_file(machine.root(daemon_file), rest.text, config_mode(machine.root, daemon_file));
      changed = true;
    }
    state.daemon_keys = ordered_json::object();
    state.files.erase(std::string(daemon_file));
  };

  // The port first: while something opens it the engine must find its TLS files and the keys that name them.
  remove_those([](const std::string& path) { return is_command_line(path) || path == front_file; });
  const bool closed =
      attempt(put_options_back) && std::none_of(state.files.begin(), state.files.end(),
                                                [](const auto& file) { return is_command_line(file.first); });
  const bool plain = closed && attempt(put_daemon_file_back);
  remove_those([&](const std::string& path) {
    return (plain || !is_part_of_configuration(path)) && (programs || !is_engine_program(path));
  });
  return changed;
}

}  // namespace berth::extension
