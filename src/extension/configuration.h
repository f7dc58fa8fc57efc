#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "extension/certificates.h"
#include "extension/engine.h"
#include "extension/front.h"
#include "extension/machine.h"
#include "extension/managed_files.h"
#include "extension/settings.h"
#include "extension/state.h"

namespace berth::extension {

/// One way from the engine's configuration as it is to the one that settings ask for, and back: its TLS
/// files, daemon.json, the drop-in of its unit (or its defaults file where there is no systemd), and the
/// front that opens its port where the machine has one. Used once.
class Configuration {
 public:
  Configuration(Machine& machine, const Settings& settings, State& state);

  /// Decides; touches nothing. Throws Error for what cannot be brought together.
  void plan(const ServerCertificates& certificates);

  /// Writes, restarts what must restart and proves the result by a handshake; says what it did to the engine.
  /// On trouble puts files and engine back to what they were and throws Error.
  EngineAction carry_out();

  const System& system() const { return system_; }
  /// Who opens the port, and what was done to the front if it does.
  TlsBy tls_by() const { return tls_by_; }
  EngineAction front_action() const { return front_action_; }

 private:
  TlsBy choose_who_serves(const ServerCertificates& certificates) const;
  void plan_front(const ServerCertificates& certificates);
  void want(FileChanges& files, const std::string& path, const std::string& bytes, mode_t mode);
  void plan_daemon_file(const DaemonOptions& options);
  void plan_command_line(const DaemonOptions& options);
  ConfigChange changes() const;
  EngineAction choose_front_action() const;
  void claim(EngineAction action);
  void validate();
  void write_files();
  std::vector<std::string> put_files_back();
  void keep_containers();
  void act(EngineAction action, bool unit_changed);
  void act_on_front(EngineAction action);
  void verify(EngineAction& action);
  std::string put_front_back();
  [[noreturn]] void undo(const State& before, const Error& error);

  Machine& machine_;
  const Settings& settings_;
  State& state_;
  System system_;
  FileChanges files_;     ///< TLS files, daemon.json and the front's file
  FileChanges listener_;  ///< the engine's command line
  Engine engine_;
  Front front_;
  TlsBy tls_by_ = TlsBy::engine;
  DaemonFile daemon_;
  std::string certificate_;                    ///< PEM that the port is to serve
  std::map<std::string, std::string> claims_;  ///< path -> SHA-256 of what is to be ours
  std::string options_ours_, options_before_;  ///< State::options_ours and options_before to be
  bool was_active_ = false;
  EngineAction touched_ = EngineAction::none;  ///< the most that was done to the engine
  bool authority_goes_ = false;
  bool front_was_active_ = false, front_stopped_ = false;
  EngineAction front_action_ = EngineAction::none;
  EngineAction front_touched_ = EngineAction::none;  ///< as touched_, but for a stop
};

std::string_view to_string(EngineAction action);

/// True when something of the engine's configuration is our doing.
bool is_configured_by_us(const State& state);

/// Takes our keys out of daemon.json and everything in `state.files` that is still as we wrote it off the
/// disk, except programs and units of the engine itself unless `programs`. What is gone leaves `state`; what
/// cannot be removed stays there, and its sentence goes to `troubles`. True if anything changed.
bool remove_our_files(const Machine& machine, State& state, bool programs,
                      std::vector<std::string>& troubles);

}  // namespace berth::extension
