#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/command.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/terminal/phases.h"
#include "cli/vm/answer.h"
#include "cli/vm/host_ports.h"
#include "cli/vm/hosts.h"
#include "model/names.h"

namespace berth {
namespace {

using nlohmann::ordered_json;
using namespace std::chrono_literals;

constexpr auto power_limit = 900s;

/// What one command asks of Resource Manager.
struct PowerAction {
  const char* verb;   ///< last part of the URL
  const char* doing;  ///< for people
  const char* command;
  bool starts = false;
  bool from_standstill = false;  ///< it is for machines that do not run
  std::string_view state = {};   ///< --all means Docker hosts that are in it
  const char* none = "";         ///< for people, when there is none
};
constexpr PowerAction start{"start", "Starting", "start", true, true},
    restart{"restart", "Restarting", "restart", true}, power_off{"powerOff", "Shutting down", "shutdown"},
    deallocate{"deallocate", "Shutting down", "shutdown"},
    sleep{"deallocate?hibernate=true", "Putting to sleep", "docker sleep", false, false, "running",
          "No Docker host runs"},
    wake{"start", "Waking", "docker wake", true, true, "asleep", "No Docker host sleeps"};

struct PowerOptions {
  std::string name, group, cert_dir;
  bool stay_provisioned = false, all = false, wait = false;
  unsigned timeout = 300;
};

std::vector<HostView> hosts_of(Session& session, const PowerOptions& options, const PowerAction& action) {
  if (options.all == !options.name.empty())
    throw Error(ErrorKind::invalid, "InvalidParameter",
                options.all ? "A name and --all say different things." : "missing required argument `name'",
                fmt::format("Name one virtual machine, or say --all: azure vm {} --all", action.command));
  session.out.info("Getting virtual machines");
  if (!options.all) return {get_host(session.arm(), options.name, options.group)};
  std::vector<HostView> hosts = list_hosts(session.arm());
  std::erase_if(hosts, [&](const HostView& host) {
    const bool elsewhere = !options.group.empty() && !same_name(host.group, options.group);
    const bool fits = action.state.empty() ? (host.power == "running") != action.from_standstill
                                           : host.power == action.state && host.is_docker_host();
    return elsewhere || !fits;
  });
  return hosts;
}

/// All at once: the region works at them side by side. The first error is thrown when each has ended.
void act(Session& session, const PowerOptions& options, const PowerAction& action) {
  const std::vector<HostView> hosts = hosts_of(session, options, action);
  ordered_json told = ordered_json::array();
  if (hosts.empty())
    session.out.info(!action.state.empty()    ? action.none
                     : action.from_standstill ? "Every virtual machine runs"
                                              : "No virtual machine runs");
  PhaseDisplay phases(session.out);
  std::string names;
  for (const HostView& host : hosts) names += (names.empty() ? "" : ", ") + host.name;
  std::optional<Error> first_error;
  if (!hosts.empty()) phases.begin(fmt::format("{} {}", action.doing, names));
  session.persist([&] {
    ArmClient& arm = session.arm();
    std::vector<std::pair<std::string, ArmAccepted>> accepted;
    first_error.reset();
    const auto attempt = [&](const auto& work) {
      try {
        work();
      } catch (const Error& error) {
        if (is_connection_loss(error) || error.code == "OperationCanceled" || hosts.size() == 1) throw;
        if (!first_error) first_error = error;
      }
    };
    for (const HostView& host : hosts)
      attempt([&] {
        const std::string path = fmt::format("{}/{}", host.path(), action.verb);
        accepted.emplace_back(path, arm.post(path, nlohmann::json::object()));
      });
    for (const auto& [path, operation] : accepted)
      attempt([&] {
        arm.wait(operation, path, power_limit, [&phases](const std::vector<Phase>&) { phases.tick(); });
      });
  });
  phases.end();
  for (const HostView& host : hosts) {
    if (!action.starts && !session.out.json_mode()) break;
    const HostView now = get_host(session.arm(), host.name, host.group);
    if (action.starts) follow_ports(session, now);
    if (options.wait && now.power == "running")
      wait_for_answer(session, now, options.cert_dir, std::chrono::seconds(options.timeout), phases);
    told.push_back({{"name", now.name}, {"status", now.power}});
  }
  if (first_error) throw *first_error;
  if (session.out.json_mode()) session.out.json(options.all ? told : told.front());
}

std::shared_ptr<PowerOptions> declare(CommandLine& app, Session& session, const PowerAction& action) {
  auto options = std::make_shared<PowerOptions>();
  app.add_option("name", options->name, "Name of the virtual machine");
  app.add_group(options->group);
  app.add_flag("-a,--all", options->all,
               fmt::format("{} (of the resource group, if one is named)",
                           !action.state.empty() ? fmt::format("Every Docker host that is {}", action.state)
                           : action.from_standstill ? "Every one that does not run"
                                                    : "Every one that runs"));
  if (action.starts) {
    app.add_flag("-w,--wait", options->wait,
                 "End when Docker answers over TLS, or SSH where there is no Docker");
    app.add_option("--timeout", options->timeout, "How long to wait for that [300]")->type_name("<seconds>");
    app.add_option("-dc,-C,--docker-cert-dir", options->cert_dir,
                   "Directory containing docker certs [~/.docker]")
        ->type_name("<dir>");
  }
  app.callback([options, &session, action] {
    act(session, *options, options->stay_provisioned ? power_off : action);
  });
  return options;
}

void vm_start(CommandLine& app, Session& session) {
  declare(app, session, start);
}

void vm_restart(CommandLine& app, Session& session) {
  declare(app, session, restart);
}

void vm_shutdown(CommandLine& app, Session& session) {
  const auto options = declare(app, session, deallocate);
  app.add_flag("-p,--stay-provisioned", options->stay_provisioned,
               "Keep what the machine occupies (locally it makes no difference but for the state's name)");
}

void vm_docker_sleep(CommandLine& app, Session& session) {
  declare(app, session, sleep);
}

void vm_docker_wake(CommandLine& app, Session& session) {
  declare(app, session, wake);
}

constexpr Command vm_power_table[] = {
    {"vm start", "Start a virtual machine", &vm_start},
    {"vm restart", "Restart a virtual machine", &vm_restart},
    {"vm shutdown", "Shut a virtual machine down", &vm_shutdown},
};

constexpr Command docker_power_table[] = {
    {"vm docker sleep", "Write a Docker host's memory to disk and end its process; who connects wakes it",
     &vm_docker_sleep},
    {"vm docker wake", "Have a Docker host that sleeps go on", &vm_docker_wake},
};

}  // namespace

std::span<const Command> vm_power_commands() {
  return vm_power_table;
}

std::span<const Command> docker_power_commands() {
  return docker_power_table;
}

}  // namespace berth
