#pragma once

#include <chrono>
#include <map>
#include <string>

#include "extension/engine.h"
#include "extension/engine_install.h"
#include "extension/settings.h"

namespace berth::extension {

/// Logs in to the registry as root. The password goes by standard input. Throws Error(unavailable), which
/// names the server only.
void log_in(Runner& runner, const RegistryLogin& login);

/// Takes root's credentials for the server away again. Throws Error(unavailable).
void log_out(Runner& runner, const std::string& server);

/// The same login in another form: what is kept to know that it was done.
std::string login_mark(const std::string& salt, const RegistryLogin& login);
/// Likewise for the compose file and its environment.
std::string compose_mark(const std::string& salt, const Settings& settings);

inline constexpr std::string_view compose_path = "/etc/docker/compose/docker-compose.yml";

/// How compose is called here: {"docker", "compose"} or {"docker-compose"}; empty when there is none.
std::vector<std::string> find_compose(const Root& root);

std::string compose_project(const Settings& settings);

/// True when containers of the project run: all of them if the machine was `booted_since` they were started.
/// Later, one that ended did so by itself or at somebody's wish.
bool project_is_up(EngineProbe& probe, const std::string& project, bool booted_since);

/// Writes the compose file (0640) and brings its project up, installing compose when it is missing. The
/// file's hash goes to `files`. Throws Error(unavailable).
void compose_up(const Root& root, Runner& runner, Log& log, Packages& packages, const Settings& settings,
                std::map<std::string, std::string>& files);

}  // namespace berth::extension
