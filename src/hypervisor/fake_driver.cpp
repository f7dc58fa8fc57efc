#include "hypervisor/fake_driver.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fstream>
#include <utility>

#include "host/files.h"
#include "hypervisor/refusals.h"

namespace asio = boost::asio;
namespace fs = std::filesystem;

namespace berth {
namespace {

/// A black pixel.
constexpr unsigned char screen[] = {
    0x89, 'P',  'N',  'G',  '\r', '\n', 0x1a, '\n', 0,    0,    0,    13,  'I',  'H',  'D',  'R',  0,
    0,    0,    1,    0,    0,    0,    1,    8,    0,    0,    0,    0,   0x3a, 0x7e, 0x9b, 0x55, 0,
    0,    0,    10,   'I',  'D',  'A',  'T',  0x78, 0xda, 0x63, 0x60, 0,   0,    0,    2,    0,    1,
    0xe5, 0x27, 0xde, 0xfc, 0,    0,    0,    0,    'I',  'E',  'N',  'D', 0xae, 0x42, 0x60, 0x82};

/// Its presence says that the machine runs; it holds the luns in use. Not synced: no fake outlives a crash
/// of the host.
fs::path running_file(const fs::path& folder) {
  return folder / "running";
}

fs::path hibernation_file(const fs::path& folder) {
  return folder / "hibernation";
}

}  // namespace

FakeDriver::FakeDriver(asio::any_io_executor executor, fs::path home)
    : executor_(std::move(executor)), home_(std::move(home)) {}

FakeDriver::~FakeDriver() = default;

asio::awaitable<void> FakeDriver::start(MachineSpec spec, std::string medium) {
  if (starting_.contains(spec.id) || find(spec.id)) throw already_running(spec);
  starting_[spec.id] = false;
  co_await next_turn();
  const bool stopped = starting_.extract(spec.id).mapped();
  if (stopped) throw stopped_while_starting(spec);
  if (fail_next_start) throw *std::exchange(fail_next_start, std::nullopt);
  require_files(spec);

  Machine machine;
  machine.watched = true;
  machine.memory_file = spec.memory_file;
  for (const MachineSpec::DataDisk& disk : spec.data_disks)
    if (!machine.luns.insert(disk.lun).second) throw lun_taken(spec.id, disk.lun);
  fs::create_directories(folder(spec.id));  // unsynced: make_folder() would cost 4 ms a machine
  try {
    remember(spec.id, machine);
    std::error_code none;
    if (const fs::path file = hibernation_file(folder(spec.id)); fs::exists(file, none)) remove_file(file);
  } catch (const Error&) {
    std::error_code ignored;
    fs::remove(running_file(folder(spec.id)), ignored);  // it is there, and says that the machine runs
    throw;
  }
  running_[spec.id] = std::move(machine);
  if (on_start && !going_on_.contains(spec.id)) on_start(spec, medium);
}

asio::awaitable<void> FakeDriver::restore(MachineSpec spec, std::string medium, Frozen from) {
  for (const fs::path& file : {from.memory, from.devices}) require_file(spec.name, file);
  const std::string id = spec.id;
  going_on_.insert(id);
  const std::shared_ptr<void> no_longer(nullptr, [&](void*) { going_on_.erase(id); });
  co_await start(std::move(spec), std::move(medium));
}

asio::awaitable<void> FakeDriver::freeze(std::string id, fs::path devices) {
  co_await next_turn();
  if (get(id).memory_file.empty()) throw no_memory_file(id);
  for (const fs::path& file : {get(id).memory_file, devices})
    if (!(std::ofstream(file) << "frozen\n").flush())
      throw Error(ErrorKind::unavailable, "FileUnavailable", file.string() + " cannot be written.");
  end(id);
}

asio::awaitable<void> FakeDriver::hibernate(MachineSpec spec) {
  co_await next_turn();
  get(spec.id);
  if (fail_next_hibernate) throw *std::exchange(fail_next_hibernate, std::nullopt);
  const fs::path file = hibernation_file(folder(spec.id));
  try {
    if (!(std::ofstream(file) << "hibernated\n").flush())
      throw Error(ErrorKind::unavailable, "FileUnavailable", spec.name + " cannot be written down.");
    end(spec.id);
  } catch (const Error&) {
    std::error_code ignored;
    fs::remove(file, ignored);  // it runs on
    throw;
  }
}

asio::awaitable<void> FakeDriver::wake(MachineSpec spec) {
  if (observe(spec.id) != MachineState::hibernated) throw not_hibernated(spec.id);
  const std::string id = spec.id;
  going_on_.insert(id);
  const std::shared_ptr<void> no_longer(nullptr, [&](void*) { going_on_.erase(id); });
  co_await start(std::move(spec), {});
}

asio::awaitable<std::string> FakeDriver::converse(std::string id, Secret line, std::chrono::milliseconds) {
  co_await next_turn();
  get(id);
  if (on_word) co_return on_word(id, line.reveal());
  co_return line.empty() ? R"({"state":"waiting"})" : R"({"state":"done"})";
}

asio::awaitable<std::string> FakeDriver::template_layout(MachineSpec spec) {
  co_return freezes&& spec.data_disks.empty() ? std::to_string(spec.memory_mib) : "";
}

asio::awaitable<void> FakeDriver::stop(std::string id, std::chrono::milliseconds grace) {
  if (const auto starting = starting_.find(id); starting != starting_.end()) starting->second = true;
  co_await next_turn();
  if (fail_next_stop) throw *std::exchange(fail_next_stop, std::nullopt);
  const bool heeded = grace.count() > 0 && find(id) && (!on_power_button || on_power_button(id));
  Machine* machine = find(id);
  if (!machine) {
    if (observe(id) == MachineState::hibernated) remove_file(hibernation_file(folder(id)));
    co_return;
  }
  if (heeded || grace.count() == 0) {
    end(id);
    co_return;
  }
  machine->watched = false;  // whatever ends it now, we wanted it
  if (!machine->ended)
    machine->ended = std::make_shared<asio::steady_timer>(executor_, asio::steady_timer::time_point::max());
  const auto ended = machine->ended;
  asio::steady_timer too_long(executor_, grace);
  too_long.async_wait([ended](boost::system::error_code error) {
    if (!error) ended->cancel();
  });
  co_await ended->async_wait(asio::as_tuple(asio::use_awaitable));
  if (Machine* still = find(id); still && still->ended == ended) end(id);
}

asio::awaitable<void> FakeDriver::reset(std::string id) {
  co_await next_turn();
  get(id);
}

asio::awaitable<void> FakeDriver::attach_disk(std::string id, MachineSpec::DataDisk disk) {
  co_await next_turn();
  Machine& machine = get(id);
  if (machine.luns.contains(disk.lun)) throw lun_taken(id, disk.lun);
  require_file("Machine " + id, disk.file);
  machine.luns.insert(disk.lun);
  remember(id, machine);
}

asio::awaitable<void> FakeDriver::detach_disk(std::string id, int lun) {
  co_await next_turn();
  Machine& machine = get(id);
  if (machine.luns.erase(lun) == 0) throw lun_empty(id, lun);
  remember(id, machine);
}

asio::awaitable<std::set<int>> FakeDriver::luns(std::string id) {
  co_await next_turn();
  const Machine* machine = find(id);
  co_return machine ? machine->luns : std::set<int>();
}

asio::awaitable<std::string> FakeDriver::screenshot(std::string id) {
  co_await next_turn();
  get(id);
  co_return std::string(std::begin(screen), std::end(screen));
}

std::optional<MachineState> FakeDriver::observe(const std::string& id) {
  if (find(id)) return MachineState::running;
  std::error_code ignored;
  if (fs::exists(hibernation_file(folder(id)), ignored)) return MachineState::hibernated;
  return fs::exists(folder(id), ignored) ? std::optional(MachineState::stopped) : std::nullopt;
}

fs::path FakeDriver::folder(const std::string& id) const {
  return machine_folder(home_, id);
}

fs::path FakeDriver::serial_log(const std::string& id) const {
  return folder(id) / "serial.log";
}

asio::awaitable<void> FakeDriver::destroy(std::string id) {
  if (fail_next_destroy) std::rethrow_exception(std::exchange(fail_next_destroy, nullptr));
  co_await stop(id, std::chrono::milliseconds(0));
  fs::remove_all(folder(id));
}

void FakeDriver::on_event(std::function<void(std::string id, MachineEvent)> handler) {
  handler_ = std::make_shared<std::function<void(std::string, MachineEvent)>>(std::move(handler));
}

asio::awaitable<void> FakeDriver::adopt(std::string id) {
  co_await next_turn();
  std::error_code ignored;
  if (find(id) && fs::exists(hibernation_file(folder(id)), ignored)) end(id);  // it has not gone on since
  if (Machine* machine = find(id)) machine->watched = true;
}

asio::awaitable<Accelerator> FakeDriver::accelerator() {
  co_return Accelerator::none;
}

void FakeDriver::guest_powers_off(const std::string& id) {
  tell(id, MachineEvent::powered_off);
  end(id);
}

void FakeDriver::guest_resets(const std::string& id) {
  tell(id, MachineEvent::reset);
}

void FakeDriver::crash(const std::string& id) {
  tell(id, MachineEvent::crashed);
  end(id);
}

void FakeDriver::host_has_no_space(const std::string& id) {
  tell(id, MachineEvent::no_space);
}

/// Looks at the folder too: another driver may have started it, or removed it.
FakeDriver::Machine* FakeDriver::find(const std::string& id) {
  const fs::path file_name = running_file(folder(id));
  std::error_code ignored;
  if (!fs::exists(file_name, ignored)) {
    running_.erase(id);
    return nullptr;
  }
  const auto found = running_.find(id);
  if (found != running_.end()) return &found->second;
  Machine machine;
  std::ifstream file(file_name);
  for (int lun = 0; file >> lun;) machine.luns.insert(lun);
  return &running_.emplace(id, std::move(machine)).first->second;
}

FakeDriver::Machine& FakeDriver::get(const std::string& id) {
  Machine* machine = find(id);
  if (!machine) throw not_running(id);
  return *machine;
}

void FakeDriver::remember(const std::string& id, const Machine& machine) {
  std::ofstream file(running_file(folder(id)), std::ios::trunc);
  for (const int lun : machine.luns) file << lun << '\n';
  if (!file.flush())
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                running_file(folder(id)).string() + " cannot be written.");
}

void FakeDriver::end(const std::string& id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return;
  std::error_code refused;
  fs::remove(running_file(folder(id)), refused);
  if (refused)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                running_file(folder(id)).string() + " cannot be removed: " + refused.message() + ".");
  if (found->second.ended) found->second.ended->cancel();
  running_.erase(found);
}

void FakeDriver::tell(const std::string& id, MachineEvent event) {
  const Machine* machine = find(id);
  if (!machine || !machine->watched || !handler_) return;
  asio::post(executor_, [handler = std::weak_ptr(handler_), id, event] {
    const auto still_there = handler.lock();
    if (still_there && *still_there) (*still_there)(id, event);
  });
}

/// As with a real host, other work comes in between.
asio::awaitable<void> FakeDriver::next_turn() {
  co_await asio::post(executor_, asio::use_awaitable);
}

}  // namespace berth
