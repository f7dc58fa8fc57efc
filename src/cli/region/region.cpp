#include <fmt/format.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/docker/certificates.h"
#include "cli/docker/context.h"
#include "cli/session.h"
#include "cli/terminal/phases.h"
#include "cli/terminal/terminal.h"
#include "cli/vm/host_ports.h"
#include "cli/vm/hosts.h"
#include "cli/vm/image_list.h"
#include "host/log_tail.h"
#include "http/message.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto region_delete_limit = 900s;
constexpr std::uintmax_t most_of_a_log = 16 << 20;

struct StartOptions {
  std::string dns_suffix, egress, hosts_file, driver;
  std::vector<std::string> image_aliases;  ///< "PATTERN=IMAGE"
};

std::vector<std::pair<std::string, std::string>> pairs_of(const std::vector<std::string>& aliases) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const std::string& alias : aliases) {
    const std::size_t equals = alias.find('=');
    if (equals == alias.npos || equals == 0 || equals + 1 == alias.size())
      throw Error(ErrorKind::invalid, "InvalidImageAlias",
                  fmt::format("--image-alias {} names no image", alias),
                  "It is PATTERN=IMAGE, as in --image-alias 'Canonical:*:*=NAME'.");
    pairs.emplace_back(alias.substr(0, equals), alias.substr(equals + 1));
  }
  return pairs;
}

void warn_of_full_egress(Session& session, const RegionInfo& region) {
  if (!same_name(region.egress, "full")) return;
  session.out.warn(
      "Egress is 'full': virtual machines reach every service of this host that listens on more than "
      "loopback, and "
      "its networks (LAN, bridges of containers). 'azure region stop', then 'azure region start --egress "
      "internet' "
      "closes them");
}

void start_region(Session& session, const StartOptions& options) {
  const auto aliases = pairs_of(options.image_aliases);
  std::vector<std::string> arguments;
  const auto add = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    arguments.emplace_back(name);
    arguments.push_back(value);
  };
  add("--dns-suffix", options.dns_suffix);
  add("--egress", options.egress);
  add("--hosts-file", options.hosts_file.empty() || options.hosts_file == "none"
                          ? options.hosts_file
                          : std::filesystem::absolute(options.hosts_file).string());
  if (!options.driver.empty()) arguments.push_back("--driver=" + options.driver);
  if (!arguments.empty() && session.local.find_running())
    throw Error(ErrorKind::conflict, "RegionRunning",
                "The local region runs already; its settings are read when it starts.",
                "'azure region stop' first; virtual machines go on meanwhile.");
  LocalRegion::Start start;
  const RegionInfo region = session.local.start(arguments, start);
  if (!start.warning.empty()) session.out.warn(start.warning);
  warn_of_full_egress(session, region);
  if (start.now) follow_all_ports(session);
  for (const auto& [pattern, image] : aliases)
    session.out.warn(add_image_alias(session.arm(), pattern, image));
  if (session.out.json_mode()) return session.out.json(ordered_json::parse(region.document));
  session.out.info(
      start.now ? fmt::format("The local region was started (log {})", session.local.log_file().string())
                : std::string("The local region runs already"));
  session.out.data(region.management_endpoint);
}

void region_start(CommandLine& app, Session& session) {
  auto options = std::make_shared<StartOptions>();
  app.add_option("--dns-suffix", options->dns_suffix, "What follows the names of hosts [cloudapp.net]")
      ->type_name("<suffix>");
  app.add_option(
         "--egress", options->egress,
         "Where virtual machines may go: internet (public addresses and your package mirror), full (this "
         "host's own services and its networks, too), none, or host,host… [internet]")
      ->type_name("<policy>");
  app.add_option("--hosts-file", options->hosts_file,
                 "Where names of hosts are written, or none [/etc/hosts as root]")
      ->type_name("<file>");
  app.add_option(
         "--image-alias", options->image_aliases,
         "PATTERN=IMAGE: an image for those that clients ask for by other names ('Canonical:*:*=NAME'); also "
         "'vm image alias add'")
      ->type_name("<alias>");
  app.add_option("--driver", options->driver, "fake: virtual machines that do nothing, for tests")
      ->type_name("<driver>")
      ->hidden();
  app.callback([options, &session] { start_region(session, *options); });
}

void stop_region(Session& session) {
  PhaseDisplay phases(session.out);
  const auto running = session.local.find_running();
  if (running) phases.begin("Stopping the local region");
  const bool stopped = session.local.stop();
  if (running) phases.end();
  if (session.out.json_mode()) return session.out.json({{"stopped", stopped}});
  session.out.info(stopped ? "The local region was stopped; virtual machines go on"
                           : "The local region does not run");
}

void region_stop(CommandLine& app, Session& session) {
  app.callback([&session] { stop_region(session); });
}

/// Resources and what runs, for the status; nothing when the region does not answer.
std::optional<ordered_json> counts_of(const RegionInfo& region) {
  try {
    ArmClient arm(arm_endpoint(region), &interrupt::requested);
    const auto hosts = list_hosts(arm);
    const auto running = std::count_if(hosts.begin(), hosts.end(),
                                       [](const HostView& host) { return host.power == "running"; });
    return ordered_json{{"resourceGroups", arm.list("resourcegroups").size()},
                        {"virtualMachines", hosts.size()},
                        {"running", running}};
  } catch (const Error& error) {
    if (error.code == "OperationCanceled") throw;
    return std::nullopt;
  }
}

std::string plain(const ordered_json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void region_status_of(Session& session) {
  const auto region = session.local.find_running();
  ordered_json status = region ? ordered_json::parse(region->document) : ordered_json::object();
  status["state"] = region ? "running" : session.local.exists() ? "stopped" : "absent";
  if (!region) status["dataDirectory"] = session.local.home().string();
  status["log"] = session.local.log_file().string();
  if (region) {
    const auto counts = counts_of(*region);
    if (counts) status["counts"] = *counts;
    if (!counts)
      session.out.warn("The local region does not answer; its log says more ('azure region logs').");
  }
  if (session.out.json_mode()) return session.out.json(status);
  std::vector<std::pair<std::string, std::string>> rows{{"state", status["state"].get<std::string>()}};
  for (const auto& [key, value] : status.items())
    if (key != "state" && key != "counts") rows.emplace_back(key, plain(value));
  if (status.contains("counts"))
    for (const auto& [key, value] : status["counts"].items()) rows.emplace_back(key, plain(value));
  session.out.pairs(rows);
}

void region_status(CommandLine& app, Session& session) {
  app.callback([&session] { region_status_of(session); });
}

void print_log(Session& session, bool follow, std::size_t lines) {
  const auto file = session.local.log_file();
  std::ifstream stream(file);
  if (!stream)
    throw Error(ErrorKind::not_found, "LogNotFound", fmt::format("There is no log {}", file.string()),
                "The local region has never been started.");
  const std::string tail = log_tail(file, lines, 0, most_of_a_log);
  if (!tail.empty()) session.out.data(tail);
  stream.seekg(0, std::ios::end);
  for (std::string line; follow && !interrupt::requested();) {
    while (std::getline(stream, line)) session.out.data(line);
    stream.clear();
    interrupt::sleep(200ms);
  }
}

void region_logs(CommandLine& app, Session& session) {
  struct Options {
    bool follow = false;
    std::size_t lines = 50;
  };
  auto options = std::make_shared<Options>();
  app.add_flag("-f,--follow", options->follow, "Go on with what is added, until Ctrl-C");
  app.add_option("-n,--lines", options->lines, "How many lines [50]")->type_name("<count>");
  app.callback([options, &session] { print_log(session, options->follow, options->lines); });
}

/// All at once; a group whose network another one uses goes in a later round.
void delete_groups(Session& session) {
  ArmClient& arm = session.arm();
  for (;;) {
    std::vector<std::pair<std::string, ArmAccepted>> accepted;
    std::optional<Error> in_use;
    for (const json& group : arm.list("resourcegroups")) {
      const std::string path = "resourcegroups/" + group.value("name", "");
      try {
        accepted.emplace_back(path, arm.remove(path));
      } catch (const Error& error) {
        if (error.kind != ErrorKind::conflict) throw;
        in_use = error;
      }
    }
    if (accepted.empty() && in_use) throw *in_use;
    for (const auto& [path, operation] : accepted) arm.wait(operation, path, region_delete_limit);
    if (!in_use) return;
  }
}

void delete_region(Session& session, bool quiet) {
  if (!session.local.exists()) {
    if (session.out.json_mode()) return session.out.json({{"deleted", false}});
    return session.out.info("There is no local region");
  }
  const std::string home = session.local.home().string();
  if (!quiet && !prompt_yes(fmt::format("Delete the local region in {} with all its virtual machines?", home),
                            "Add --quiet to delete without being asked."))
    throw Error(ErrorKind::invalid, "NotConfirmed", "Nothing was deleted.");
  const std::string subscription = session.region().subscription;
  PhaseDisplay phases(session.out);
  phases.begin("Deleting all resource groups");
  session.persist([&session] { delete_groups(session); });
  phases.begin("Stopping the local region");
  session.local.stop();
  phases.end();
  const std::vector<std::filesystem::path> stay = session.local.remove();
  for (const std::string& context : DockerContexts(docker_config_folder()).remove_all(subscription))
    session.out.info(fmt::format("Docker context '{}' removed", context));
  for (const std::filesystem::path& path : stay)
    session.out.warn(fmt::format("{} stays: Berth did not make it", path.string()));
  if (session.out.json_mode()) {
    ordered_json paths = ordered_json::array();
    for (const std::filesystem::path& path : stay) paths.push_back(path.string());
    return session.out.json({{"deleted", true}, {"kept", paths}});
  }
  session.out.info(fmt::format("{} is gone; certificates in {} and built images stay",
                               stay.empty() ? home : "The region in " + home,
                               docker_config_folder().string()));
}

void region_delete(CommandLine& app, Session& session) {
  auto quiet = std::make_shared<bool>(false);
  app.add_flag("-q,--quiet", *quiet, "Do not ask");
  app.callback([quiet, &session] { delete_region(session, *quiet); });
}

// --- region serve-templates

struct ServeOptions {
  std::string folder, name, stands_for;
  bool stop = false;
};

/// A name that a resource may have, of the folder's own.
std::string name_of_folder(const std::filesystem::path& folder) {
  std::string name = folder.filename().string();
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_') c = '-';
  return name.empty() ? "templates" : name.substr(0, 60);
}

void serve_templates(Session& session, const ServeOptions& options) {
  std::error_code none;
  const std::filesystem::path folder = std::filesystem::canonical(options.folder, none);
  if (!options.stop && (none || !std::filesystem::is_directory(folder, none)))
    throw Error(ErrorKind::not_found, "FolderNotFound", fmt::format("{} is no folder", options.folder),
                "Give the folder that the templates are in.");
  const std::string name = !options.name.empty()
                               ? options.name
                               : name_of_folder(none ? std::filesystem::path(options.folder) : folder);
  const std::string path = "providers/Berth.Local/templateFolders/" + percent_encode(name);
  if (options.stop) {
    session.arm().remove(path);
    if (session.out.json_mode()) return session.out.json({{"stopped", name}});
    return session.out.info(fmt::format("The folder '{}' is served no longer", name));
  }
  json properties = {{"folder", folder.string()}};
  if (!options.stands_for.empty()) properties["standsFor"] = options.stands_for;
  session.arm().put(path, {{"properties", properties}});
  const json served = session.arm().get("providers/Berth.Local/templateFolders").at("value");
  std::string uri;
  for (const json& entry : served)
    if (same_name(entry.value("name", ""), name)) uri = entry.at("properties").value("uri", "");
  if (session.out.json_mode())
    return session.out.json({{"name", name}, {"folder", folder.string()}, {"uri", uri}});
  session.out.info(fmt::format("Templates may link to files of {} at this address, which is its only key:",
                               folder.string()));
  session.out.data(uri);
}

void region_serve_templates(CommandLine& app, Session& session) {
  auto options = std::make_shared<ServeOptions>();
  app.add_option("folder", options->folder, "The folder that the templates are in")->required();
  app.add_option("-n,--name", options->name, "What it is called in the region [the folder's name]")
      ->type_name("<name>");
  app.add_option("--as", options->stands_for, "Links to this address lead into the folder, too")
      ->type_name("<address>");
  app.add_flag("--stop", options->stop, "Serve it no longer");
  app.callback([options, &session] { serve_templates(session, *options); });
}

constexpr Command region_table[] = {
    {"region start", "Start the local region (it starts by itself when it is needed)", &region_start},
    {"region stop", "Stop it; virtual machines go on", &region_stop},
    {"region status", "Show where it is, what it holds, and what other clients need", &region_status},
    {"region logs", "Show the last lines of its log", &region_logs},
    {"region serve-templates", "Let templates link to the files of a folder", &region_serve_templates},
    {"region delete", "Delete it with everything in it", &region_delete},
};

}  // namespace

std::span<const Command> region_commands() {
  return region_table;
}

}  // namespace berth
