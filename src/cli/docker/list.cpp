#include "cli/docker/list.h"

#include <fmt/format.h>

#include <cmath>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/arm/json_view.h"
#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/docker/engine.h"
#include "cli/session.h"
#include "model/names.h"

/// `azure vm docker list|stats`: what the engines themselves say now.
namespace berth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto list_limit = 5s;
constexpr auto stats_limit = 20s;
constexpr std::size_t at_once = 16;

/// work(i) for each i below `count`, some at a time.
template <class Work>
void side_by_side(std::size_t count, Work work) {
  for (std::size_t begin = 0; begin < count; begin += at_once) {
    std::vector<std::future<void>> running;
    for (std::size_t i = begin; i < std::min(count, begin + at_once); ++i)
      running.push_back(std::async(std::launch::async, [&work, i] { work(i); }));
    for (auto& one : running) one.get();
  }
}

// --- list

struct Row {
  HostView host;
  json info;
  std::string problem;
};

void list_docker_hosts(Session& session, const std::string& group, const std::string& cert_dir) {
  session.out.info("Getting virtual machines");
  std::vector<Row> rows;
  for (HostView& host : list_hosts(session.arm()))
    if (host.is_docker_host() && (group.empty() || same_name(host.group, group)))
      rows.push_back({std::move(host), nullptr, {}});
  side_by_side(rows.size(), [&](std::size_t i) {
    Row& row = rows[i];
    if (row.host.power == "asleep") return;  // it would wake
    try {
      row.info = ask_engine(engine_address(row.host, cert_dir), "/info", list_limit);
    } catch (const Error& error) {
      row.problem = error.what();
    }
  });
  if (session.out.json_mode()) {
    ordered_json all = ordered_json::array();
    for (const Row& row : rows)
      all.push_back({{"name", row.host.name},
                     {"resourceGroup", row.host.group},
                     {"status", row.host.status()},
                     {"dockerHost", docker_url(row.host)},
                     {"engine", text(row.info, {"ServerVersion"})},
                     {"tlsUntil", server_certificate_end(row.host)},
                     {"containers", at(row.info, {"Containers"})},
                     {"running", at(row.info, {"ContainersRunning"})},
                     {"problem", row.problem}});
    return session.out.json(all);
  }
  if (rows.empty()) return session.out.info("No Docker hosts found");
  std::vector<std::vector<std::string>> lines;
  for (const Row& row : rows) {
    const std::string total = text(row.info, {"Containers"});
    const bool runs = row.host.power.empty() || row.host.power == "running";
    lines.push_back(
        {row.host.name, row.host.status(), docker_url(row.host),
         row.info.is_null() ? (runs ? "no answer" : "") : text(row.info, {"ServerVersion"}),
         server_certificate_end(row.host),
         total.empty() ? "" : fmt::format("{} of {}", text(row.info, {"ContainersRunning"}), total)});
  }
  session.out.table({"Name", "Status", "Docker", "Engine", "TLS until", "Running"}, lines);
  for (const Row& row : rows)
    if (row.info.is_null() && (row.host.power.empty() || row.host.power == "running"))
      session.out.help(fmt::format("'azure vm docker show {}' says why it does not answer.", row.host.name));
}

void vm_docker_list(CommandLine& app, Session& session) {
  auto options = std::make_shared<DockerHostOptions>();
  app.add_option("-g,--resource-group", options->group, "Only those of this resource group")
      ->type_name("<group>");
  app.add_option("-dc,-C,--docker-cert-dir", options->cert_dir,
                 "Directory containing docker certs [~/.docker]")
      ->type_name("<dir>");
  app.callback([options, &session] { list_docker_hosts(session, options->group, options->cert_dir); });
}

// --- stats

void show_stats(Session& session, const DockerHostOptions& options) {
  const HostView host = get_docker_host(session, options);
  const EngineAddress where = engine_address(host, options.cert_dir);
  const json info = ask_engine(where, "/info", stats_limit);
  const json list = ask_engine(where, "/containers/json", stats_limit);
  std::vector<ContainerStats> all(list.size());
  side_by_side(list.size(), [&](std::size_t i) {
    const std::string id = text(list[i], {"Id"});
    try {
      all[i] = parse_stats(ask_engine(where, "/containers/" + id + "/stats?stream=false", stats_limit));
    } catch (const Error&) {
      all[i].name = id.substr(0, 12);  // it ended meanwhile
    }
  });
  if (session.out.json_mode()) {
    ordered_json containers = ordered_json::array();
    for (const ContainerStats& one : all)
      containers.push_back({{"name", one.name},
                            {"cpuPercent", std::round(one.cpu_percent * 100) / 100},
                            {"memoryBytes", one.memory},
                            {"memoryLimitBytes", one.memory_limit},
                            {"receivedBytes", one.received},
                            {"sentBytes", one.sent}});
    return session.out.json({{"name", host.name},
                             {"cpus", at(info, {"NCPU"})},
                             {"memoryBytes", at(info, {"MemTotal"})},
                             {"images", at(info, {"Images"})},
                             {"containers", containers}});
  }
  session.out.info(fmt::format("{}: {} CPUs, {} of memory, {} images, {} of {} containers run", host.name,
                               text(info, {"NCPU"}), bytes_text(number_at(info, "MemTotal")),
                               text(info, {"Images"}), text(info, {"ContainersRunning"}),
                               text(info, {"Containers"})));
  if (all.empty()) return session.out.info("No container runs");
  std::vector<std::vector<std::string>> rows;
  for (const ContainerStats& one : all)
    rows.push_back({one.name, fmt::format("{:.1f} %", one.cpu_percent), bytes_text(one.memory),
                    bytes_text(one.memory_limit), bytes_text(one.received), bytes_text(one.sent)});
  session.out.table({"Container", "CPU", "Memory", "Limit", "Received", "Sent"}, rows);
}

void vm_docker_stats(CommandLine& app, Session& session) {
  auto options = std::make_shared<DockerHostOptions>();
  add_docker_host_options(app, *options);
  app.callback([options, &session] { show_stats(session, *options); });
}

constexpr Command docker_list_table[] = {
    {"vm docker list", "List the Docker hosts: engine, end of their TLS certificates, containers",
     &vm_docker_list},
    {"vm docker stats", "Show what the containers of a host use", &vm_docker_stats},
};

}  // namespace

std::uint64_t number_at(const json& object, const char* key) {
  const json& value = at(object, {key});
  return value.is_number_unsigned() ? value.get<std::uint64_t>() : 0;
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) value /= 1024, ++unit;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

ContainerStats parse_stats(const json& said) {
  ContainerStats stats;
  stats.name = text(said, {"name"});
  if (stats.name.starts_with('/')) stats.name.erase(0, 1);
  const auto total = [&](const char* when) {
    return number_at(at(said, {when, "cpu_usage"}), "total_usage");
  };
  const auto system = [&](const char* when) { return number_at(at(said, {when}), "system_cpu_usage"); };
  const std::uint64_t used = total("cpu_stats") - std::min(total("cpu_stats"), total("precpu_stats"));
  const std::uint64_t passed = system("cpu_stats") - std::min(system("cpu_stats"), system("precpu_stats"));
  const std::uint64_t cpus = std::max<std::uint64_t>(1, number_at(at(said, {"cpu_stats"}), "online_cpus"));
  if (passed > 0) stats.cpu_percent = 100.0 * static_cast<double>(used * cpus) / static_cast<double>(passed);
  // The page cache that can be given back is not counted, as the docker client does.
  const json& memory = at(said, {"memory_stats"});
  std::uint64_t cache = number_at(at(memory, {"stats"}), "inactive_file");
  if (cache == 0) cache = number_at(at(memory, {"stats"}), "total_inactive_file");
  stats.memory = number_at(memory, "usage");
  stats.memory -= std::min(stats.memory, cache);
  stats.memory_limit = number_at(memory, "limit");
  if (const json& networks = at(said, {"networks"}); networks.is_object())
    for (const auto& [name, network] : networks.items()) {
      stats.received += number_at(network, "rx_bytes");
      stats.sent += number_at(network, "tx_bytes");
    }
  return stats;
}

std::span<const Command> docker_list_commands() {
  return docker_list_table;
}

}  // namespace berth
