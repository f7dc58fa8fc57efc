#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "handler/root.h"

namespace berth::extension {

/// What /etc/os-release says. It chooses a package manager's package names and is shown in messages; whether
/// something works is decided by what is really there.
struct Distribution {
  std::string id;                 ///< "debian", "ubuntu", "rhel", "flatcar"; "linux" when unknown
  std::vector<std::string> like;  ///< ID_LIKE, nearest first
  std::string version;            ///< VERSION_ID, may be empty
  std::string name;               ///< PRETTY_NAME

  bool is_like(std::string_view family) const;
};

/// Shell-like assignments with or without quotes; lines that are none are skipped.
Distribution parse_os_release(std::string_view text);
Distribution read_distribution(const Root& root);

/// The engine as the machine's own files start it; files of ours do not count.
struct EngineUnit {
  std::string file;                ///< the file whose ExecStart counts
  std::string exec_start;          ///< its value as written, continuation lines joined
  std::vector<std::string> files;  ///< every file that makes up the unit, in the order they apply
  std::map<std::string, std::string> variables;  ///< of Environment= and EnvironmentFile=, name -> value
  std::map<std::string, std::string> origins;    ///< variable -> the file that gives it
  bool has_socket = false;                       ///< a docker.socket unit is there
  bool later_drop_in = false;  ///< a drop-in that sorts after 10-docker-ext.conf sets ExecStart
};

enum class Init { systemd, sysv, none };

/// What of an engine this machine has.
struct System {
  Distribution distribution;
  Init init = Init::none;
  std::optional<std::string> dockerd;  ///< absolute path; the client alone is no engine
  std::optional<EngineUnit> unit;      ///< docker.service, where systemd runs the machine
  bool masked = false;                 ///< docker.service is /dev/null
  bool enabled = false;                ///< starts at boot
  bool swarm = false;                  ///< a swarm's files are there; a running engine knows better
};
System look_at_system(const Root& root);

/// Words of a unit file's command line. `raw` is as written (variables, specifiers and quotes kept), `text`
/// without its quotes.
struct UnitWord {
  std::string raw;
  std::string text;
};
std::vector<UnitWord> split_unit_words(std::string_view line);
/// The word so that systemd passes exactly it: '%', '$', quotes and backslashes escaped.
std::string quote_unit_word(std::string_view word);

/// One line of /etc/passwd or /etc/group by its name, split at ':'; nullopt when there is none.
std::optional<std::vector<std::string>> find_account(const Root& root, std::string_view file,
                                                     std::string_view name);

/// The user that the platform made the machine with (UserName in ovf-env.xml); nullopt when it cannot be
/// told.
std::optional<std::string> provisioned_user(std::string_view ovf_environment);

}  // namespace berth::extension
