#include "region/recovery.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <sstream>

#include "host/files.h"
#include "hypervisor/driver.h"
#include "region/parts.h"
#include "region/region_store.h"

// What a new process makes of what an earlier one left; what is done of each kind stands with that kind.
namespace berth {
namespace {

/// Whether an operation ended with its work, but was not written down as ended.
bool has_happened(const Parts& parts, const Operation& operation) {
  const RegionRecords& records = parts.records;
  std::vector<std::string> named;
  for (std::istringstream target(operation.target); std::getline(target, named.emplace_back(), '/');) {
  }
  named.resize(6);  // "virtualMachines/GROUP/NAME/extensions/NAME"
  const auto kind = parse_operation_kind(operation.kind);
  if (!kind) return false;
  const Vm* vm = named[0] == "virtualMachines" ? records.vms.find({named[1], named[2]}) : nullptr;
  switch (*kind) {
    case OperationKind::vm_start:
      return vm && vm->power == PowerState::running;
    case OperationKind::vm_stop:
      return vm && vm->power == PowerState::stopped;
    case OperationKind::vm_deallocate:
      return vm && vm->power == PowerState::deallocated;
    case OperationKind::vm_hibernate:
      return vm && vm->power == PowerState::hibernated;
    case OperationKind::vm_capture:
      return parts.images.has_captured(operation.id);
    case OperationKind::vm_delete:
      return !vm;
    case OperationKind::extension_delete:
      return !vm || !find_extension(*vm, named[4]);
    case OperationKind::disk_create: {
      const Disk* disk = records.disks.find({named[1], named[2]});
      return disk && !disk->file.empty();
    }
    case OperationKind::image_import:
      return parts.images.gallery().find(named[1]).has_value();
    case OperationKind::group_delete:
      return !records.groups.find({named[1], named[1]});
    default:
      return false;
  }
}

/// What fails later than any request: switches that die, files that cannot be removed.
asio::awaitable<void> heal(Parts& parts, asio::any_io_executor executor, std::chrono::milliseconds pause) {
  asio::steady_timer timer(executor);
  while (!parts.operations.stopping()) {
    timer.expires_after(pause);
    co_await timer.async_wait(asio::use_awaitable);
    co_await parts.switches.heal();
    co_await parts.disks.remove_what_is_left();
    parts.images.remove_what_is_left();
  }
}

}  // namespace

asio::awaitable<std::vector<std::string>> recover(Parts& parts, const Region::Services& host,
                                                  const RegionSettings& settings) {
  RowReader rows(host.database);
  parts.records.load(rows);
  parts.vms.load();
  parts.certificates.load();
  Operations::Unfinished unfinished = parts.operations.load(rows);
  if (rows.aside().empty()) back_up_region_store(host.database, host.home);
  host.driver.on_event(
      [&power = parts.power](std::string id, MachineEvent event) { power.take_event(id, event); });
  for (const auto& [key, vm] : parts.records.vms.rows()) co_await parts.power.adopt(vm);
  parts.records.change([&] {
    parts.groups.restore();
    parts.vm_recovery.take_up(unfinished);
    parts.groups.take_up_removals(unfinished);
    parts.extensions.move_on();
    parts.operations.end(unfinished,
                         [&](const Operation& operation) { return has_happened(parts, operation); });
    parts.images.forget_captures();
  });
  co_await parts.restoring.sweep();
  parts.names.rewrite();
  co_await parts.disks.sweep_files();
  co_await parts.images.finish_removals();
  for (const char* folder : {"", "access", "tls", "extensions"}) remove_drafts(host.home / folder);
  co_await parts.switches.take_up(
      [&power = parts.power](const Vm& vm) { return power.runs(vm) || power.is_hibernated(vm); });
  asio::co_spawn(host.executor, heal(parts, host.executor, settings.heal_pause), asio::detached);
  co_return rows.aside();
}

}  // namespace berth
