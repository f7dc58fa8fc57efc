#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/host_ports.h"
#include "cli/hosts.h"
#include "cli/phases.h"
#include "cli/session.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

constexpr auto power_limit = 900s;

/// What one command asks of Resource Manager.
struct PowerAction {
  const char* verb;   ///< last part of the URL
  const char* doing;  ///< for people
  bool starts = false;
};
constexpr PowerAction start{"start", "Starting", true}, restart{"restart", "Restarting", true},
    power_off{"powerOff", "Shutting down"}, deallocate{"deallocate", "Shutting down"};

struct Options {
  std::string name, group;
  bool stay_provisioned = false;
};

void act(Session& session, const Options& options, const PowerAction& action) {
  session.out.info("Getting virtual machines");
  const HostView host = get_host(session.arm(), options.name, options.group);
  const std::string path = fmt::format("{}/{}", host.path(), action.verb);
  PhaseDisplay phases(session.out);
  phases.begin(fmt::format("{} {}", action.doing, host.name));
  session.persist([&] {
    ArmClient& arm = session.arm();
    arm.wait(arm.post(path, nlohmann::json::object()), path, power_limit,
             [&phases](const std::vector<Phase>&) { phases.tick(); });
  });
  phases.end();
  if (!action.starts && !session.out.json_mode()) return;
  const HostView now = get_host(session.arm(), host.name, host.group);
  if (action.starts) follow_ports(session, now);
  if (session.out.json_mode()) session.out.json({{"name", now.name}, {"status", now.power}});
}

std::shared_ptr<Options> declare(CLI::App& app, Session& session, const PowerAction& action) {
  auto options = std::make_shared<Options>();
  app.add_option("name", options->name, "Name of the virtual machine")->required();
  app.add_option("-g,--resource-group", options->group, "Resource group, if the name is in several")
      ->type_name("<group>");
  app.callback([options, &session, action] {
    act(session, *options, options->stay_provisioned ? power_off : action);
  });
  return options;
}

void vm_start(CLI::App& app, Session& session) {
  declare(app, session, start);
}

void vm_restart(CLI::App& app, Session& session) {
  declare(app, session, restart);
}

void vm_shutdown(CLI::App& app, Session& session) {
  const auto options = declare(app, session, deallocate);
  app.add_flag("-p,--stay-provisioned", options->stay_provisioned,
               "Keep what the machine occupies (locally it makes no difference but for the state's name)");
}

constexpr Command vm_power_table[] = {
    {"vm start", "Start a virtual machine", &vm_start},
    {"vm restart", "Restart a virtual machine", &vm_restart},
    {"vm shutdown", "Shut a virtual machine down", &vm_shutdown},
};

}  // namespace

std::span<const Command> vm_power_commands() {
  return vm_power_table;
}

}  // namespace berth
