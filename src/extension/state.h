#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "extension/engine_config.h"
#include "handler/root.h"

namespace berth::extension {

/// What the handler did to this machine: /var/lib/docker-ext/state.json, 0600, shared by its versions.
struct State {
  std::string owner, owner_version;  ///< the handler that looks after the machine now
  bool disabled = false;

  std::optional<std::uint64_t> sequence;  ///< settings that were applied last,
  std::string settings_hash;              ///< their text,
  bool succeeded = false;                 ///< and how that ended
  std::string fingerprint;                ///< of everything that a later enable would look at
  std::string tls_address;                ///< where the engine serves TLS, "" when it does not
  std::uint16_t tls_port = 0;
  std::chrono::sys_seconds recheck{};  ///< when certificates change what there is to say

  /// What the engine has yet to do to see what is on disk; set before files change, so that a crash between
  /// the two is made good by the next enable.
  EngineAction pending = EngineAction::none;
  EngineAction pending_front = EngineAction::none;  ///< likewise, of the program that serves TLS before it

  std::map<std::string, std::string> files;  ///< ours: absolute path -> SHA-256 of what we wrote
  nlohmann::ordered_json daemon_keys = nlohmann::ordered_json::object();  ///< DaemonFile::owned
  std::string options_ours, options_before;  ///< DOCKER_OPTS line that we wrote, and what stood in its place
  bool installing = false;                   ///< an installation has begun, and nobody saw its end
  bool installed_engine = false;             ///< the package is our doing
  bool remove_engine = false;                ///< at uninstall; asked for in the settings
  bool stop_on_disable = false;              ///< likewise
  std::string salt;                          ///< for the two below
  std::string login_mark, compose_mark;      ///< salted hashes of what was carried out
  std::optional<std::string>
      login_server;             ///< whose credentials root's client holds for us; "" is the default
  std::string compose_project;  ///< its name
  std::string compose_boot;     ///< the boot in which it came up last
};

/// An unreadable file is an empty state: everything is then compared and applied again.
State read_state(const Root& root);
void write_state(const Root& root, const State& state);

inline constexpr std::string_view state_folder = "/var/lib/docker-ext";

}  // namespace berth::extension
