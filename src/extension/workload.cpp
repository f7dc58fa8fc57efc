#include "extension/workload.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/encoding.h"
#include "host/files.h"

namespace berth::extension {
namespace {

constexpr std::chrono::minutes login_limit{2};
constexpr std::chrono::minutes compose_limit{30};

std::map<std::string, std::string> compose_environment(const Settings& settings) {
  std::map<std::string, std::string> environment = settings.compose_environment;
  for (const auto& [name, value] : settings.secret_environment) environment[name] = value.reveal();
  // One name for one file, whatever the folder: another name would make a second set of containers.
  environment.emplace("COMPOSE_PROJECT_NAME", "compose");
  environment.emplace("COMPOSE_HTTP_TIMEOUT", "600");
  environment.emplace("HOME", "/root");
  return environment;
}

void install_compose(Packages& packages, const Settings& settings) {
  packages.refresh();
  if (settings.channel == Channel::docker_ce)
    return packages.install_first({"docker-compose-plugin", "docker-compose-v2", "docker-compose"});
  packages.install_first({"docker-compose-v2", "docker-compose", "docker-compose-plugin"});
}

std::string percent_encoded(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)))
      result += c;
    else
      result += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

}  // namespace

void log_in(Runner& runner, const RegistryLogin& login) {
  std::vector<std::string> command = {"docker", "login", "--username", login.user, "--password-stdin"};
  if (!login.server.empty()) command.push_back(login.server);
  RunOptions options;
  options.input = login.password.reveal();
  options.environment = {{"HOME", "/root"}};
  options.limit = login_limit;
  const RunResult result = runner.run(command, options);
  if (result.exit_code != 0)
    throw Error(
        ErrorKind::unavailable, "LoginFailed",
        fmt::format("{} did not accept the login.",
                    login.server.empty() ? "The engine's default registry" : "The registry " + login.server),
        "Check login.server, login.username and login.password, and this machine's way to the registry.");
}

void log_out(Runner& runner, const std::string& server) {
  std::vector<std::string> command = {"docker", "logout"};
  if (!server.empty()) command.push_back(server);
  RunOptions options;
  options.environment = {{"HOME", "/root"}};
  const RunResult result = runner.run(command, options);
  if (result.exit_code != 0)
    throw Error(ErrorKind::unavailable, "LogoutFailed",
                fmt::format("The login to {} stays in /root/.docker/config.json: {}",
                            server.empty() ? "the engine's default registry" : server, last_lines(result)),
                "Remove it with 'docker logout' as root.");
}

std::string login_mark(const std::string& salt, const RegistryLogin& login) {
  return sha256_hex(fmt::format("{}\n{}\n{}\n{}", salt, login.server, login.user, login.password.reveal()));
}

std::string compose_mark(const std::string& salt, const Settings& settings) {
  if (settings.compose.empty()) return {};
  std::string text = salt + "\n" + settings.compose + "\n";
  for (const auto& [name, value] : compose_environment(settings)) text += name + "=" + value + "\n";
  return sha256_hex(text);
}

std::vector<std::string> find_compose(const Root& root) {
  std::error_code trouble;
  for (const char* folder :
       {"/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "/usr/local/lib/docker/cli-plugins",
        "/usr/local/libexec/docker/cli-plugins", "/root/.docker/cli-plugins"})
    if (std::filesystem::is_regular_file(root(std::string(folder) + "/docker-compose"), trouble))
      return {"docker", "compose"};
  for (const char* file :
       {"/usr/local/bin/docker-compose", "/usr/bin/docker-compose", "/opt/bin/docker-compose"})
    if (std::filesystem::is_regular_file(root(file), trouble)) return {"docker-compose"};
  return {};
}

std::string compose_project(const Settings& settings) {
  return compose_environment(settings).at("COMPOSE_PROJECT_NAME");
}

bool project_is_up(EngineProbe& probe, const std::string& project, bool booted_since) {
  const nlohmann::json filter = {{"label", {"com.docker.compose.project=" + project}}};
  const auto answer =
      probe.get("/containers/json?all=1&filters=" + percent_encoded(filter.dump()), std::chrono::seconds(10));
  const auto containers = nlohmann::json::parse(answer.value_or(""), nullptr, false);
  if (!containers.is_array() || containers.empty()) return false;
  const auto runs = [](const nlohmann::json& container) {
    return container.is_object() && container.value("State", nlohmann::json()) == "running";
  };
  return booted_since ? std::all_of(containers.begin(), containers.end(), runs)
                      : std::any_of(containers.begin(), containers.end(), runs);
}

void compose_up(const Root& root, Runner& runner, Log& log, Packages& packages, const Settings& settings,
                std::map<std::string, std::string>& files) {
  const std::string path(compose_path);
  const std::filesystem::path file = root(path);
  if (!std::filesystem::is_directory(file.parent_path())) make_folder(file.parent_path(), 0755);
  files[path] = sha256_hex(settings.compose);
  if (read_file_if_there(file) != settings.compose) write_file(file, settings.compose, 0640);

  std::vector<std::string> command = find_compose(root);
  if (command.empty()) {
    install_compose(packages, settings);
    command = find_compose(root);
    if (command.empty())
      throw Error(ErrorKind::unavailable, "NoCompose", "Compose was installed, but cannot be found.");
  }
  command.insert(command.end(), {"--file", path, "up", "--detach", "--remove-orphans"});
  RunOptions options;
  options.environment = compose_environment(settings);
  options.limit = compose_limit;
  options.on_line = [&](std::string_view line) { log.line(fmt::format("compose {}", line)); };
  const RunResult result = runner.run(command, options);
  if (result.exit_code != 0)
    throw Error(ErrorKind::unavailable, "ComposeFailed",
                fmt::format("Compose ended with exit code {}: {}", result.exit_code, last_lines(result)),
                "The engine runs; correct the compose file or its images and apply the settings again.");
}

}  // namespace berth::extension
