#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "extension/settings.h"
#include "extension/system.h"
#include "model/engine_configuration.h"

namespace berth::extension {

/// Where the engine finds its TLS files.
inline constexpr std::string_view ca_file = engine_ca_file;
inline constexpr std::string_view certificate_file = engine_certificate_file;
inline constexpr std::string_view key_file = engine_key_file;
inline constexpr std::string_view daemon_file = engine_daemon_file;
/// Flags of the engine where there is no systemd.
inline constexpr std::string_view defaults_file = "/etc/default/docker";

/// A key of daemon.json that we want. A firm one was asked for and wins over the user's own value; the others
/// are defaults of ours, which give way.
struct DaemonKey {
  std::string name;
  nlohmann::ordered_json value;
  bool firm = true;
};

/// The user's dockerd flags, sorted into keys of daemon.json and the words that have no key.
struct DaemonOptions {
  std::vector<DaemonKey> keys;
  std::vector<std::string> words;
};
/// Throws Error(invalid) for flags that would open or unlock a listener (-H, --host, --tls…, --config-file),
/// for two words in one item, for a value that is not of the flag's type.
DaemonOptions sort_options(const std::vector<std::string>& options);

/// Who opens the port of the settings.
enum class TlsBy { engine, front };

/// Everything that we want in daemon.json.
std::vector<DaemonKey> wanted_daemon_keys(const Settings& settings, const DaemonOptions& options, bool swarm,
                                          TlsBy tls = TlsBy::engine);
/// The keys among them that make the engine serve TLS.
std::vector<DaemonKey> tls_daemon_keys();

struct DaemonFile {
  std::string text;                  ///< the current text itself when nothing changes; "" for no file
  nlohmann::ordered_json owned;      ///< what is ours in it: key -> {"ours": value, "before"?: value}
  std::vector<std::string> changed;  ///< keys whose value differs from the current file's
};
/// Puts `wanted` into the user's file: their keys and their order stay, ours of `owned` (from the last merge)
/// that are no longer wanted go back to what was there before, unless the user changed them since. Throws
/// Error(conflict) when `current` is not a JSON object.
DaemonFile merge_daemon_file(const std::optional<std::string>& current, const std::vector<DaemonKey>& wanted,
                             const nlohmann::ordered_json& owned);

/// The key of daemon.json that a dockerd flag sets ("--log-driver=x" -> "log-driver"); "" when it is none.
std::string daemon_key_of_flag(std::string_view word);

/// True when there are flags for the engine's command line: a listener (also one that a front opens, which
/// nothing else may then), or options without a key.
bool adds_flags(const Settings& settings, const DaemonOptions& options);

/// Default keys that the unit's own flags already set would be fatal for dockerd: removes those from
/// `wanted`, and those that go with them. Throws Error(conflict) naming the file when a firm key, or one of
/// the user's in `daemon`, collides so, also with the listeners of `adds_flags`, and when the unit names
/// another file than daemon.json.
void settle_flags(const EngineUnit& unit, const nlohmann::ordered_json& daemon, bool adds_flags,
                  std::vector<DaemonKey>& wanted);

/// True when the unit itself opens TCP on another port than that of the settings. The engine's TLS then has
/// to guard that one, too.
bool opens_other_tcp(const EngineUnit& unit, const Settings& settings);

/// The text of our drop-in, nullopt when none is needed. The unit's own command line stays: its fd://
/// listener if there is a docker.socket, else a unix socket; TCP listeners on our port and TLS flags are
/// replaced, also those that come from a variable (DOCKER_OPTS of /etc/default/docker, OPTIONS of
/// /etc/sysconfig/docker).
std::optional<std::string> drop_in_text(const EngineUnit& unit, const Settings& settings,
                                        const DaemonOptions& options, TlsBy tls = TlsBy::engine);

/// Where it goes: after every other drop-in that sets ExecStart.
std::string drop_in_file(const EngineUnit& unit);

/// The line of the defaults file that sets DOCKER_OPTS as asked for. Throws Error(invalid) for a word that a
/// shell would read otherwise.
std::string options_line(const Settings& settings, const DaemonOptions& options);
/// The first line of `text` that sets DOCKER_OPTS, commented or not; "" when there is none.
std::string find_options_line(const std::string& text);
/// The text with `line` in its place, or at the end; "" takes it out.
std::string with_options_line(const std::string& text, const std::string& line);

enum class EngineAction { none, start, reload, restart };

/// What makes dockerd see the change: it reads TLS files and most keys only when it starts.
struct ConfigChange {
  bool tls = false;
  bool unit = false;
  std::vector<std::string> daemon_keys;
};
EngineAction action_for(const ConfigChange& change, bool active);

}  // namespace berth::extension
