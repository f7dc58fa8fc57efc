#include "region/simulated_guests.h"

#include <spdlog/spdlog.h>

#include <boost/asio/steady_timer.hpp>
#include <memory>

#include "base/error.h"
#include "region/region.h"

namespace berth {
namespace {

/// Whose status ends in what the command printed.
bool runs_commands(const Extension& extension) {
  for (const char* type : {"CustomScript", "CustomScriptForLinux", "RunCommandLinux"})
    if (same_name(extension.type, type)) return true;
  return false;
}
constexpr const char* output_of_none = ": \n[stdout]\nsimulated: nothing ran\n\n[stderr]\n";

}  // namespace

void SimulatedGuests::seen(const Vm& vm) {
  if (!talkative || vm.power != PowerState::running) {
    last_.erase(vm.id);
    return;
  }
  const std::string state = vm.container_id + " " + std::to_string(vm.incarnation);
  if (std::string& last = last_[vm.id]; last == state)
    return;
  else
    last = state;
  report_soon(vm.id, std::chrono::milliseconds(0));
}

/// As the real agent does, it reports again when the region could not take what it said.
void SimulatedGuests::report_soon(const std::string& vm_id, std::chrono::milliseconds pause) {
  auto timer = std::make_shared<boost::asio::steady_timer>(executor_, pause);
  timer->async_wait([this, timer, vm_id](boost::system::error_code ended) {
    if (ended) return;
    try {
      report(vm_id);
    } catch (const Error& error) {
      spdlog::warn("a played guest reports again: {}", error.what());
      report_soon(vm_id, std::chrono::milliseconds(500));
    }
  });
}

void SimulatedGuests::report(const std::string& vm_id) {
  const Vm* vm = region_->guests().find_vm(vm_id);
  if (!vm || vm->power != PowerState::running) return;
  AgentStatus status{.version = "2.7.3.0",
                     .status = "Ready",
                     .message = "Guest Agent is running",
                     .os_name = "debian",
                     .os_version = "12",
                     .computer_name = vm->computer_name,
                     .incarnation = std::to_string(vm->incarnation)};
  for (const Extension& extension : vm->extensions) {
    const bool leaving = extension.state == "uninstall";
    if (leaving && leaves) continue;
    if (!dependency_level(*vm, extension)) continue;  // it is not in the goal state
    HandlerStatus handler{.handler = extension.handler(),
                          .version = extension.version,
                          .status = "Ready",
                          .code = 0,
                          .message = "Plugin enabled",
                          .sequence = extension.sequence,
                          .operation = "Enable"};
    handler.settings = StatusItem{
        .name = extension.type,
        .status = "success",
        .code = 0,
        .message = std::string("Enable succeeded") + (runs_commands(extension) ? output_of_none : "")};
    if (extension.state == "disabled") {
      handler.status = "NotReady";
      handler.message = "Plugin disabled";
    }
    if (leaving) {
      handler.status = "NotReady";
      handler.code = 1009;
      handler.message = "disable will not";
    }
    status.handlers.push_back(answer ? answer(*vm, extension) : handler);
  }
  if (!vm->provisioned)
    region_->guests().take_health(vm_id, {.incarnation = status.incarnation,
                                          .container_id = vm->container_id,
                                          .instance_id = "_" + vm->name,
                                          .state = "Ready",
                                          .substatus = {},
                                          .description = {}});
  region_->guests().take_status(vm_id, std::move(status));
}

}  // namespace berth
