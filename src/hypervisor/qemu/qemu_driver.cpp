#include "hypervisor/qemu/qemu_driver.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "base/error.h"
#include "host/files.h"
#include "host/log_tail.h"
#include "hypervisor/qemu/acceleration.h"
#include "hypervisor/qemu/arguments.h"
#include "hypervisor/qemu/channel.h"
#include "hypervisor/qemu/monitor.h"
#include "hypervisor/qemu/process_end.h"
#include "hypervisor/refusals.h"

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Json = nlohmann::json;
using namespace std::chrono_literals;

namespace berth {
namespace {

constexpr auto no_error = asio::as_tuple(asio::use_awaitable);
constexpr auto greeting_limit = 30s;         // QEMU is up in half a second; a loaded host takes its time
constexpr auto adoption_limit = 5s;          // it is up already
constexpr auto between_button_presses = 3s;  // a guest that still boots does not hear them
constexpr auto one_reset = 5s;  // SeaBIOS may answer a reset with another one, for a fresh copy of itself
constexpr auto detach_limit = 60s;
constexpr auto load_limit = 60s;     // of a few hundred KiB
constexpr auto freeze_limit = 120s;  // its disks are flushed
constexpr auto memory_limit = 600s;  // of a memory that a slow disk takes, or gives
constexpr auto go_on_limit = 300s;   // after a migration that did not end; its disks may be slow
constexpr std::uintmax_t largest_devices = 64 << 20;       // less than 1 MiB is usual
constexpr std::uint64_t at_once = std::uint64_t{1} << 40;  // bytes a second: nobody else needs the way
constexpr unsigned restored_mib = 192;  // what a restored machine takes of the host's memory at once
constexpr std::size_t shown_lines = 6;  // of QEMU's log
constexpr std::uintmax_t largest_log = 8 << 20;

// In a machine's folder: all that it stands at, when it is hibernated; and what it was started with, and must find
// to go on.
constexpr std::string_view hibernation = "hibernation", layout_file = "layout";

/// What a guest sees of this host's processor.
std::string processor_model(Accelerator accelerator) {
  if (accelerator != Accelerator::kvm) return {};
  std::string model;
  std::istringstream info(read_file("/proc/cpuinfo"));
  for (std::string line; std::getline(info, line) && !line.empty();)
    if (line.starts_with("model") || line.starts_with("stepping") || line.starts_with("microcode") ||
        line.starts_with("flags"))
      model += line + "\n";
  return model;
}

Error unavailable(const std::string& happened, std::string advice = {}) {
  return Error(ErrorKind::unavailable, "HypervisorUnavailable", happened, std::move(advice));
}

fs::path find_qemu(const std::string& program) {
  if (const auto found = find_program(program)) return *found;
  throw unavailable(fmt::format("{}, which runs the virtual machines, is not installed.", program),
                    "Install it: apt-get install qemu-system-x86");
}

/// `mib`: what it will take.
void require_memory(const MachineSpec& spec, unsigned mib, const fs::path& memory_info) {
  const std::string info = read_file(memory_info);
  unsigned long long free_kib = 0;
  const auto at = info.find("MemAvailable:");
  if (at == info.npos || std::sscanf(info.c_str() + at, "MemAvailable: %llu", &free_kib) != 1) return;
  if (free_kib / 1024 >= mib) return;
  throw Error(ErrorKind::unavailable, "AllocationFailed",
              fmt::format("Cannot start {}: it needs {} MiB of memory and {} MiB are free.", spec.name, mib,
                          free_kib / 1024),
              "Stop another machine ('azure vm list'), or choose a smaller size ('--vm-size').");
}

/// nullopt for a path that is too long: nobody listens there.
std::optional<sockaddr_un> address_of(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.native().size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  return address;
}

/// Listens before QEMU runs, so that we can connect at once; with the mode that QEMU would not give it.
Fd listen_at(const fs::path& path) {
  const auto address = address_of(path);
  if (!address)
    throw Error(
        ErrorKind::invalid, "PathTooLong",
        fmt::format("The socket {} has more than {} bytes.", path.string(), sizeof address->sun_path - 1),
        "Choose a shorter BERTH_HOME.");
  ::unlink(path.c_str());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd || ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), 4) != 0)
    throw unavailable(fmt::format("The socket {} cannot be made: {}.", path.string(), std::strerror(errno)));
  return fd;
}

/// True when a process has this socket, whether or not it has time for us.
bool somebody_listens(const fs::path& path) {
  const auto address = address_of(path);
  if (!address) return false;
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) throw unavailable(fmt::format("No socket can be made: {}.", std::strerror(errno)));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0 ||
         errno == EAGAIN;
}

/// A file that no file system shows, open for reading: what QEMU's descriptor sets ask for.
Fd in_memory(const std::string& bytes) {
  const Fd writing(::memfd_create("medium", MFD_CLOEXEC));
  for (std::string_view rest = bytes; !rest.empty();) {
    const ssize_t written = ::write(writing.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      throw unavailable(
          fmt::format("No memory for a medium of {} bytes: {}.", bytes.size(), std::strerror(errno)));
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
  return Fd(::open(fmt::format("/proc/self/fd/{}", writing.get()).c_str(), O_RDONLY | O_CLOEXEC));
}

asio::awaitable<void> remove_folder(fs::path folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("The folder {} cannot be removed: {}.", folder.string(), error.message()));
  co_return;
}

std::uintmax_t size_of(const fs::path& file) {
  std::error_code error;
  const auto size = fs::file_size(file, error);
  return error ? 0 : size;
}

/// A log that has grown large becomes NAME.1, in the place of an earlier one.
void turn_over(const fs::path& log) {
  if (size_of(log) <= largest_log) return;
  std::error_code ignored;
  fs::rename(log, log.string() + ".1", ignored);
}

/// The same for one that QEMU has open: it goes on at the end of what is there.
void turn_over_in_use(const fs::path& log) {
  if (size_of(log) <= largest_log) return;
  std::error_code ignored;
  fs::copy_file(log, log.string() + ".1", fs::copy_options::overwrite_existing, ignored);
  fs::resize_file(log, 0, ignored);
}

}  // namespace

/// One running QEMU and what we know of it.
struct QemuDriver::Machine {
  Machine(const asio::any_io_executor& executor, std::string machine_id, const ProcessId& its_process)
      : id(std::move(machine_id)), process(its_process), end(executor), connecting(executor) {
    if (Fd pidfd = open_process(process)) end.assign(pidfd.release());
  }

  struct Departure {
    explicit Departure(const asio::any_io_executor& executor) : signal(executor, detach_limit) {}
    asio::steady_timer signal;
    bool gone = false;
  };

  const std::string id;
  const ProcessId process;
  asio::posix::stream_descriptor end;  ///< the process, readable when it is over; closed if it was before
  qemu::Turn connecting;
  std::unique_ptr<qemu::Monitor> monitor;
  bool end_is_ours = false;  ///< stop() or start() ends it: nothing befell it
  bool inserting = false;    ///< the tray moves because of us
  std::shared_ptr<qemu::Channel> channel;
  std::chrono::steady_clock::time_point last_reset;
  bool powered_off = false;  ///< by its guest
  bool waits_for_space = false;
  bool halted = false;                                           ///< by us, to be written down
  std::set<int> changing;                                        ///< luns that an attach or detach is at
  std::map<std::string, std::shared_ptr<Departure>> departures;  ///< by device

  asio::awaitable<Json> execute(std::string command, Json arguments = Json::object(),
                                std::chrono::milliseconds limit = 20s) {
    if (!monitor) throw unavailable("The monitor of machine " + id + " is not connected.");
    return monitor->execute(std::move(command), std::move(arguments), limit);
  }

  /// False if QEMU refuses, or does not answer.
  asio::awaitable<bool> try_execute(std::string command, Json arguments = Json::object(),
                                    std::chrono::milliseconds limit = 5s) {
    try {
      co_await execute(std::move(command), std::move(arguments), limit);
      co_return true;
    } catch (const Error& error) {
      spdlog::debug("not executed machine={} {}", id, error.what());
    }
    co_return false;
  }

  /// Of the data disks that are plugged.
  asio::awaitable<std::set<int>> luns() {
    std::set<int> found;
    const Json devices = co_await execute("qom-list", {{"path", "/machine/peripheral"}});
    for (const Json& device : devices)
      if (const auto lun = qemu::lun_of_device(qemu::text_at(device, "name"))) found.insert(*lun);
    co_return found;
  }

  asio::awaitable<void> ignore_shared(bool ignore) {
    const Json capability = {{"capability", "x-ignore-shared"}, {"state", ignore}};
    co_await execute("migrate-set-capabilities", {{"capabilities", Json::array({capability})}});
  }

  /// Has it go on where the frozen one stood; its processors do not run yet.
  asio::awaitable<void> load(bool with_memory) {
    co_await ignore_shared(!with_memory);
    co_await execute("migrate-incoming", {{"uri", fmt::format("fd:{}", qemu::devices_descriptor)}});
    asio::steady_timer pause(co_await asio::this_coro::executor);
    const std::chrono::seconds limit = with_memory ? memory_limit : load_limit;
    const auto until = std::chrono::steady_clock::now() + limit;
    while (qemu::text_at(co_await execute("query-status"), "status") == "inmigrate") {
      if (std::chrono::steady_clock::now() > until)
        throw unavailable(fmt::format("What it stood at did not load within {} s.", limit.count()));
      pause.expires_after(3ms);
      co_await pause.async_wait(no_error);
    }
  }

  /// After a halt, and after a migration that did not end; false if it does not.
  asio::awaitable<bool> go_on() {
    asio::steady_timer pause(co_await asio::this_coro::executor);
    const auto until = std::chrono::steady_clock::now() + go_on_limit;
    do {
      co_await try_execute("migrate_cancel");
      if (co_await try_execute("cont")) co_return true;
      pause.expires_after(50ms);
      co_await pause.async_wait(no_error);
    } while (monitor && monitor->is_open() && std::chrono::steady_clock::now() < until);
    co_return false;
  }

  /// Into the drive that it was frozen with, and that is empty.
  asio::awaitable<void> insert_medium() {
    inserting = true;
    co_await execute("blockdev-add", Json::parse(qemu::medium_node_json()));
    co_await execute("blockdev-open-tray", {{"id", qemu::medium_device}, {"force", true}});
    co_await execute("blockdev-insert-medium",
                     {{"id", qemu::medium_device}, {"node-name", qemu::medium_node}});
    co_await execute("blockdev-close-tray", {{"id", qemu::medium_device}});
    inserting = false;
  }

  /// Nobody reads it twice: the guest has ejected it, and it holds what only the guest should know.
  static asio::awaitable<void> drop_medium(MachinePtr self) {
    co_await self->try_execute("blockdev-remove-medium", {{"id", qemu::medium_device}});
    co_await self->try_execute("blockdev-del", {{"node-name", qemu::medium_node}});
    co_await self->try_execute("remove-fd", {{"fdset-id", qemu::medium_descriptor_set}});
    spdlog::info("dropped medium machine={}", self->id);
  }

  /// QEMU halts a guest whose disk finds no space on the host. It goes on when there is some.
  static asio::awaitable<void> go_on_later(MachinePtr self) {
    asio::steady_timer pause(co_await asio::this_coro::executor, space_pause);
    co_await pause.async_wait(no_error);
    self->waits_for_space = false;
    if (!self->halted) co_await self->try_execute("cont");
  }

  /// Marks a lun for as long as this object lives.
  struct Change {
    Change(MachinePtr changed, int at) : machine(std::move(changed)), lun(at) {
      if (!machine->changing.insert(lun).second) throw lun_taken(machine->id, lun);
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;
    ~Change() { machine->changing.erase(lun); }
    MachinePtr machine;
    int lun;
  };
};

std::unique_ptr<Driver> make_qemu_driver(asio::any_io_executor executor, fs::path home) {
  QemuSettings settings;
  settings.home = std::move(home);
  return std::make_unique<QemuDriver>(std::move(executor), std::move(settings));
}

QemuDriver::QemuDriver(asio::any_io_executor executor, QemuSettings settings)
    : executor_(std::move(executor)), settings_(std::move(settings)), probing_(executor_) {
  settings_.home = fs::absolute(settings_.home);
  asio::co_spawn(executor_, keep_logs_small(alive_), asio::detached);
}

QemuDriver::~QemuDriver() {
  alive_.reset();
  // A machine whose word is cut off is halted: the next driver has it go on.
  writing_.stop();
  writing_.join();
  removals_.join();
  for (auto& [id, machine] : machines_) {
    machine->monitor.reset();
    boost::system::error_code ignored;
    if (machine->end.is_open()) machine->end.cancel(ignored);
  }
}

// --- starting

asio::awaitable<void> QemuDriver::start(MachineSpec spec, std::string medium) {
  return begin(std::move(spec), std::move(medium), std::nullopt);
}

asio::awaitable<void> QemuDriver::restore(MachineSpec spec, std::string medium, Frozen from) {
  for (const fs::path& file : {from.memory, from.devices}) require_file(spec.name, file);
  co_await begin(std::move(spec), std::move(medium), std::move(from));
}

asio::awaitable<void> QemuDriver::wake(MachineSpec spec) {
  const fs::path here = folder(spec.id);
  std::error_code none;
  if (!fs::exists(here / hibernation, none) || process(spec.id)) throw not_hibernated(spec.id);
  if (read_file_if_there(here / layout_file).value_or("") != co_await layout_text(spec))
    throw Error(
        ErrorKind::conflict, "HibernationUnusable",
        fmt::format("{} cannot go on where it was halted: QEMU, this host's processor or the machine's "
                    "devices are not what they were.",
                    spec.name),
        "Have them as they were; or give its memory up ('azure vm shutdown', which deallocates it), and "
        "start it.");
  co_await begin(std::move(spec), {}, Frozen{.memory = {}, .devices = here / hibernation});
}

asio::awaitable<void> QemuDriver::begin(MachineSpec spec, std::string medium, std::optional<Frozen> from) {
  if (starting_.contains(spec.id) || process(spec.id)) throw already_running(spec);
  starting_[spec.id] = false;
  const std::shared_ptr<void> no_longer(nullptr, [this, id = spec.id](void*) { starting_.erase(id); });

  require_files(spec);
  const bool loads_memory = from && from->memory.empty();
  require_memory(spec, from && !loads_memory ? std::min(restored_mib, spec.memory_mib) : spec.memory_mib,
                 settings_.memory_info);
  const Accelerator accelerator = co_await this->accelerator();
  co_await end_stray(spec.id);
  if (was_stopped(spec.id)) throw stopped_while_starting(spec);

  make_folder(folder(spec.id));
  const fs::path log = folder(spec.id) / "qemu.log";
  for (const fs::path& grown : {log, serial_log(spec.id)}) turn_over(grown);
  const auto log_begins = size_of(log);
  if (const std::string layout = co_await layout_text(spec);
      read_file_if_there(folder(spec.id) / layout_file) != layout)
    write_file(folder(spec.id) / layout_file, layout);
  const ProcessId process = launch(spec, medium, accelerator, from);
  const MachinePtr machine = watch(spec.id, process);
  machine->end_is_ours = true;
  std::string trouble;
  try {
    co_await connect(machine);
    if (from) co_await machine->load(loads_memory);
    if (from && !medium.empty()) co_await machine->insert_medium();
    machine->end_is_ours = was_stopped(spec.id);
    forget_hibernation(spec.id);  // before its disks change
    co_await machine->execute("cont");
    spdlog::info("{} machine={} name={} pid={} accelerator={} cpus={} memory_mib={}",
                 loads_memory ? "woke"
                 : from       ? "restored"
                              : "started",
                 spec.id, spec.name, process.pid, to_string(accelerator), spec.cpus, spec.memory_mib);
    co_return;
  } catch (const Error& error) {
    trouble = error.what();
  }
  machine->end_is_ours = true;
  send_signal(process, SIGKILL);
  co_await qemu::has_ended(process, 20s);
  forget(*machine);
  if (was_stopped(spec.id)) throw stopped_while_starting(spec);
  const std::string words = log_tail(log, shown_lines, log_begins);
  throw unavailable(
      fmt::format("{} did not start. {}", spec.name, words.empty() ? trouble : "QEMU said:\n" + words),
      "See " + log.string() + ".");
}

bool QemuDriver::was_stopped(const std::string& id) const {
  const auto found = starting_.find(id);
  return found != starting_.end() && found->second;
}

ProcessId QemuDriver::launch(const MachineSpec& spec, const std::string& medium, Accelerator accelerator,
                             const std::optional<Frozen>& from) {
  const fs::path here = folder(spec.id);
  const Fd monitor = listen_at(here / "qmp.sock");
  const Fd identity = listen_at(here / "identity.sock");
  const Fd serial(::open(serial_log(spec.id).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  std::vector<std::pair<int, int>> inherit = {{monitor.get(), qemu::monitor_descriptor},
                                              {identity.get(), qemu::identity_descriptor}};
  Fd devices;
  if (from) {
    devices = Fd(::open(from->devices.c_str(), O_RDONLY | O_CLOEXEC));
    if (!devices)
      throw unavailable(fmt::format("{} cannot be read: {}.", from->devices.string(), std::strerror(errno)));
    inherit.emplace_back(devices.get(), qemu::devices_descriptor);
  }
  Fd medium_file;
  if (!medium.empty()) {
    medium_file = in_memory(medium);
    inherit.emplace_back(medium_file.get(), qemu::medium_descriptor);
  }
  const auto argv = qemu::arguments(spec, {.program = find_qemu(settings_.program),
                                           .accelerator = accelerator,
                                           .medium = !medium.empty(),
                                           .goes_on = from.has_value(),
                                           .frozen_memory = from ? from->memory : fs::path()});
  // What an emulated processor has translated is written page by page; in huge pages it takes three times the memory.
  ::prctl(PR_SET_THP_DISABLE, accelerator == Accelerator::tcg ? 1 : 0, 0, 0, 0);
  const ProcessId process = spawn_detached(
      argv, {.folder = here, .log = here / "qemu.log", .environment = {}, .inherit = std::move(inherit)});
  try {
    write_file(here / "qemu.pid", to_string(process) + "\n");
  } catch (const Error&) {
    send_signal(process, SIGKILL);
    throw;
  }
  return process;
}

/// A QEMU whose pid we never wrote down: we were killed in between. It is paused, and nobody would end it.
asio::awaitable<void> QemuDriver::end_stray(std::string id) {
  const fs::path socket = folder(id) / "qmp.sock";
  if (process(id) || !somebody_listens(socket)) co_return;
  try {
    const auto monitor = co_await qemu::Monitor::connect(socket, greeting_limit, {});
    spdlog::warn("ended a stray QEMU machine={}", id);
    co_await monitor->execute("quit");
  } catch (const Error&) {  // it may be gone before it answers; whether it is, is asked below
  }
  // It gives the socket up as the last thing it does, when its disks are closed.
  asio::steady_timer pause(executor_);
  for (int i = 0; i < 1000 && somebody_listens(socket); ++i) {
    pause.expires_after(20ms);
    co_await pause.async_wait(no_error);
  }
  if (somebody_listens(socket))
    throw unavailable(fmt::format("An earlier QEMU of machine {} does not end.", id),
                      fmt::format("End the QEMU that listens at {}.", socket.string()));
}

// --- watching

QemuDriver::MachinePtr QemuDriver::watch(const std::string& id, const ProcessId& process) {
  const auto found = machines_.find(id);
  if (found != machines_.end() && found->second->process == process) return found->second;
  auto machine = std::make_shared<Machine>(executor_, id, process);
  machines_[id] = machine;
  asio::co_spawn(executor_, await_end(machine), asio::detached);
  return machine;
}

asio::awaitable<void> QemuDriver::keep_logs_small(std::weak_ptr<bool> alive) {
  asio::steady_timer pause(co_await asio::this_coro::executor);
  while (!alive.expired()) {
    for (const auto& [id, machine] : machines_) turn_over_in_use(serial_log(id));
    pause.expires_after(settings_.log_check);
    co_await pause.async_wait(no_error);
  }
}

asio::awaitable<void> QemuDriver::await_end(MachinePtr machine) {
  const std::weak_ptr<bool> alive = alive_;
  if (machine->end.is_open()) co_await machine->end.async_wait(machine->end.wait_read, no_error);
  if (alive.expired()) co_return;
  // Its last event may still be in the socket.
  if (machine->monitor) co_await machine->monitor->closed(5s);
  if (alive.expired()) co_return;
  forget(*machine);
  if (machine->end_is_ours) co_return;
  spdlog::warn("{} machine={}", machine->powered_off ? "powered off by its guest" : "crashed", machine->id);
  tell(machine->id, machine->powered_off ? MachineEvent::powered_off : MachineEvent::crashed);
}

void QemuDriver::forget(const Machine& machine) {
  const auto found = machines_.find(machine.id);
  if (found != machines_.end() && found->second.get() == &machine) machines_.erase(found);
  const fs::path pid_file = folder(machine.id) / "qemu.pid";
  if (parse_process_id(read_file_if_there(pid_file).value_or("")) != machine.process) return;
  std::error_code ignored;
  fs::remove(pid_file, ignored);
  fs::remove(folder(machine.id) / "qmp.sock", ignored);
  fs::remove(folder(machine.id) / "identity.sock", ignored);
}

asio::awaitable<void> QemuDriver::connect(MachinePtr machine) {
  const auto turn = co_await machine->connecting.take();
  if (machine->monitor && machine->monitor->is_open()) co_return;
  const auto on_event = [this, alive = std::weak_ptr(alive_), weak = std::weak_ptr(machine)](
                            const std::string& event, const Json& data) {
    const MachinePtr still = weak.lock();
    if (still && !alive.expired()) take_event(still, event, data);
  };
  machine->monitor.reset();
  machine->monitor = co_await qemu::Monitor::connect(
      folder(machine->id) / "qmp.sock", starting_.contains(machine->id) ? greeting_limit : adoption_limit,
      on_event);
}

void QemuDriver::take_event(const MachinePtr& machine, const std::string& event, const Json& data) {
  const bool by_guest = data.value("guest", Json()) == true;
  if (event == "SHUTDOWN") {
    machine->powered_off = by_guest && qemu::text_at(data, "reason") == "guest-shutdown";
  } else if (event == "RESET") {
    const auto now = std::chrono::steady_clock::now();
    if (now - machine->last_reset < one_reset) return;
    machine->last_reset = now;
    if (!by_guest) return;
    tell_later(machine->id, MachineEvent::reset);
  } else if (event == "DEVICE_DELETED") {
    const auto found = machine->departures.find(qemu::text_at(data, "device"));
    if (found == machine->departures.end()) return;
    found->second->gone = true;
    found->second->signal.cancel();
  } else if (event == "DEVICE_TRAY_MOVED" && qemu::text_at(data, "id") == qemu::medium_device &&
             data.value("tray-open", Json()) == true && !machine->inserting) {
    asio::co_spawn(executor_, Machine::drop_medium(machine), asio::detached);
  } else if (event == "BLOCK_IO_ERROR" && data.value("nospace", Json()) == true &&
             qemu::text_at(data, "action") == "stop" && !machine->waits_for_space) {
    machine->waits_for_space = true;
    spdlog::error("paused machine={} reason=\"no space on the host for its disks\"", machine->id);
    asio::co_spawn(executor_, Machine::go_on_later(machine), asio::detached);
    tell_later(machine->id, MachineEvent::no_space);
  }
}

void QemuDriver::tell(const std::string& id, MachineEvent event) {
  if (handler_) handler_(id, event);
}

void QemuDriver::tell_later(const std::string& id, MachineEvent event) {
  asio::post(executor_, [this, alive = std::weak_ptr(alive_), id, event] {
    if (!alive.expired()) tell(id, event);
  });
}

/// What happened while nobody listened.
asio::awaitable<void> QemuDriver::catch_up(MachinePtr machine) {
  if (machine->halted) co_return;  // it is being written down
  if (std::error_code none; fs::exists(folder(machine->id) / hibernation, none)) {
    // Its processors have not run since that was written: it is there as long as they have not.
    spdlog::info("ended what had been written down machine={}", machine->id);
    co_await end(machine, 0ms);
    throw not_running(machine->id);
  }
  forget_hibernation(machine->id);  // of which a part may be left, or a removal that was not synced
  const std::string status = qemu::text_at(co_await machine->execute("query-status"), "status");
  if (status == "prelaunch" || status == "io-error") co_await machine->execute("cont");
  if (status == "paused" || status == "finish-migrate" || status == "postmigrate") co_await machine->go_on();
  for (const Json& device : co_await machine->execute("query-block"))
    if (qemu::text_at(device, "qdev") == qemu::medium_device && device.contains("tray_open") &&
        device["tray_open"] == true && device.contains("inserted"))
      co_await Machine::drop_medium(machine);
}

/// The running machine with its monitor. Throws Error(conflict) when it does not run.
asio::awaitable<QemuDriver::MachinePtr> QemuDriver::reach(std::string id) {
  const auto running = process(id);
  if (!running) throw not_running(id);
  const MachinePtr machine = watch(id, *running);
  if (machine->monitor && machine->monitor->is_open()) co_return machine;
  co_await connect(machine);
  if (starting_.contains(id)) co_return machine;
  co_await catch_up(machine);
  spdlog::info("adopted machine={} pid={}", id, running->pid);
  co_return machine;
}

asio::awaitable<void> QemuDriver::adopt(std::string id) {
  const auto running = process(id);
  if (!running) co_return;
  if (std::error_code none; !machines_.contains(id) && fs::exists(folder(id) / hibernation, none)) {
    // Nobody has to ask it anything: see catch_up().
    const MachinePtr machine = watch(id, *running);
    machine->end_is_ours = true;
    send_signal(*running, SIGKILL);
    if (co_await qemu::has_ended(*running, 20s)) forget(*machine);
    co_return;
  }
  co_await try_reach(id);
}

/// Watches its process even when its monitor does not answer.
asio::awaitable<void> QemuDriver::try_reach(std::string id) {
  try {
    co_await reach(id);
  } catch (const Error& error) {
    spdlog::warn("not reached machine={} {}", id, error.what());
  }
}

void QemuDriver::on_event(std::function<void(std::string id, MachineEvent)> handler) {
  handler_ = std::move(handler);
}

// --- frozen machines

/// Halts it and writes what it stands at to a new file: with its memory, but for what is shared with a file when `most`
/// has no room for it.
asio::awaitable<void> QemuDriver::write_down(MachinePtr machine, fs::path file, bool with_memory,
                                             std::uintmax_t most) {
  const fs::path socket = folder(machine->id) / "freeze.sock";
  asio::posix::stream_descriptor listening(writing_.get_executor(), listen_at(socket).release());
  const std::shared_ptr<void> no_socket(nullptr, [&](void*) { ::unlink(socket.c_str()); });
  co_await machine->ignore_shared(!with_memory);
  co_await machine->execute("migrate-set-parameters", {{"max-bandwidth", at_once}});
  const auto until = std::chrono::steady_clock::now() + (with_memory ? memory_limit : freeze_limit);
  // QEMU flushes the disks, and answers nothing meanwhile.
  const auto left = [until] {
    return std::max<std::chrono::milliseconds>(
        1ms, std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()));
  };
  co_await machine->execute("stop", Json::object(), left());
  co_await machine->execute("migrate", {{"uri", "unix:" + socket.string()}}, left());
  co_await asio::co_spawn(writing_.get_executor(),
                          qemu::receive_file(std::move(listening), file, most, until), asio::use_awaitable);
  asio::steady_timer pause(executor_);
  for (std::string status; status != "completed";) {
    status = qemu::text_at(co_await machine->execute("query-migrate", Json::object(), left()), "status");
    if (status == "failed" || status == "cancelled" || std::chrono::steady_clock::now() > until)
      throw unavailable(
          fmt::format("Machine {} could not be written down: the migration is '{}'.", machine->id, status));
    pause.expires_after(20ms);
    co_await pause.async_wait(no_error);
  }
}

asio::awaitable<Json> QemuDriver::memory_of(MachinePtr machine) {
  for (const Json& each : co_await machine->execute("query-memdev"))
    if (qemu::text_at(each, "id") == qemu::memory_object) co_return each;
  co_return Json();
}

asio::awaitable<void> QemuDriver::freeze(std::string id, fs::path devices) {
  const MachinePtr machine = co_await reach(id);
  if (const Json memory = co_await memory_of(machine);
      !memory.is_object() || memory.value("share", Json()) != true)
    throw no_memory_file(id);
  machine->end_is_ours = machine->halted = true;
  co_await write_down(machine, devices, false, largest_devices);
  co_await end(machine, 0ms);
}

asio::awaitable<void> QemuDriver::hibernate(MachineSpec spec) {
  const MachinePtr machine = co_await reach(spec.id);
  if (!(co_await memory_of(machine)).is_object())
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("{} was started by an earlier version, and cannot be hibernated.", spec.name),
                "Restart it ('azure vm restart'), then try again.");
  const fs::path here = folder(spec.id), draft = here / (std::string(hibernation) + ".new");
  std::set<int> luns;
  for (const MachineSpec::DataDisk& disk : spec.data_disks) luns.insert(disk.lun);
  const bool as_started = read_file_if_there(here / layout_file) == co_await layout_text(spec);
  if (!as_started || co_await machine->luns() != luns)
    throw Error(
        ErrorKind::conflict, "OperationNotAllowed",
        fmt::format("{} cannot be hibernated: it would not find itself again, since QEMU, what this host "
                    "gives it, or its disks are not what it was started with.",
                    spec.name),
        "Restart it ('azure vm restart'), then try again.");
  if (machine->halted) throw not_running(spec.id);  // another one is at it
  machine->end_is_ours = machine->halted = true;
  std::exception_ptr trouble;
  try {
    std::error_code none;
    fs::remove(draft, none);
    co_await write_down(machine, draft, true, (std::uintmax_t{spec.memory_mib} << 20) + largest_devices);
    move_into_place(draft, here / hibernation);
  } catch (const std::exception& error) {
    spdlog::warn("not hibernated machine={} {}", spec.id, error.what());
    trouble = std::current_exception();
  }
  if (trouble) {
    forget_hibernation(spec.id);
    const bool goes_on = co_await machine->go_on();
    machine->halted = machine->end_is_ours = false;
    if (!goes_on && is_alive(machine->process)) co_await end(machine, 0ms);
    std::rethrow_exception(trouble);
  }
  co_await end(machine, 0ms);
  spdlog::info("hibernated machine={} bytes={}", spec.id, size_of(here / hibernation));
}

void QemuDriver::forget_hibernation(const std::string& id) {
  for (const std::string& file : {std::string(hibernation), std::string(hibernation) + ".new"})
    remove_file(folder(id) / file);
}

asio::awaitable<std::string> QemuDriver::converse(std::string id, Secret line,
                                                  std::chrono::milliseconds limit) {
  const MachinePtr machine = co_await reach(id);
  if (!machine->channel || !machine->channel->is_open())
    machine->channel = std::make_shared<qemu::Channel>(executor_, folder(id) / "identity.sock");
  const auto channel = machine->channel;  // another may take its place meanwhile
  co_return co_await channel->converse(std::move(line), limit);
}

asio::awaitable<std::string> QemuDriver::template_layout(MachineSpec spec) {
  if (!spec.direct_boot || !spec.data_disks.empty() || spec.nics.size() != 1) co_return "";
  co_return co_await layout_text(std::move(spec));
}

/// Without the data disks, which come and go.
asio::awaitable<std::string> QemuDriver::layout_text(MachineSpec spec) {
  spec.data_disks.clear();
  const Accelerator accelerator = co_await this->accelerator();
  const std::string program = find_qemu(settings_.program);
  std::string text = qemu::program_print(program) + "\n" + processor_model(accelerator) + "\n";
  for (const std::string& word :
       qemu::layout(std::move(spec), {.program = program, .accelerator = accelerator}))
    text += word + "\n";
  co_return text;
}

// --- ending

asio::awaitable<void> QemuDriver::stop(std::string id, std::chrono::milliseconds grace) {
  if (const auto starting = starting_.find(id); starting != starting_.end()) starting->second = true;
  if (const auto running = process(id)) {
    const MachinePtr machine = watch(id, *running);
    machine->end_is_ours = true;
    co_await try_reach(id);
    co_await end(machine, grace);
  }
  forget_hibernation(id);
}

asio::awaitable<void> QemuDriver::end(MachinePtr machine, std::chrono::milliseconds grace) {
  const auto deadline = std::chrono::steady_clock::now() + grace;
  const std::string& id = machine->id;
  const std::optional<ProcessId> running = machine->process;
  machine->end_is_ours = true;

  bool ended = !is_alive(*running);
  while (!ended) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left <= 0ms) break;
    co_await machine->try_execute("system_powerdown", Json::object(),
                                  std::min<std::chrono::milliseconds>(left, 5s));
    ended =
        co_await qemu::has_ended(*running, std::min<std::chrono::milliseconds>(left, between_button_presses));
  }
  if (!ended) {
    if (!machine->halted) spdlog::info("cut the power machine={} grace_ms={}", id, grace.count());
    co_await machine->try_execute("quit", Json::object(), 2s);
    ended = co_await qemu::has_ended(*running, 3s);
  }
  if (!ended && send_signal(*running, SIGKILL)) ended = co_await qemu::has_ended(*running, 20s);
  if (!ended && is_alive(*running))
    throw unavailable(
        fmt::format("Machine {} does not end: its process {} ignores SIGKILL.", id, running->pid));
  forget(*machine);
}

asio::awaitable<void> QemuDriver::destroy(std::string id) {
  co_await stop(id, 0ms);
  co_await end_stray(id);
  // Gigabytes take a while to go: on a thread of its own.
  co_await asio::co_spawn(removals_.get_executor(), remove_folder(folder(id)), asio::use_awaitable);
}

// --- running machines

asio::awaitable<void> QemuDriver::reset(std::string id) {
  const MachinePtr machine = co_await reach(id);
  co_await machine->execute("system_reset");
}

asio::awaitable<void> QemuDriver::attach_disk(std::string id, MachineSpec::DataDisk disk) {
  const MachinePtr machine = co_await reach(id);
  const Machine::Change change(machine, disk.lun);
  if ((co_await machine->luns()).contains(disk.lun)) throw lun_taken(id, disk.lun);
  require_file("Machine " + id, disk.file);
  // A node without a device is what an attach left that was cut short.
  co_await machine->try_execute("blockdev-del", {{"node-name", qemu::disk_node(disk.lun)}});
  co_await machine->execute("blockdev-add", Json::parse(qemu::disk_node_json(disk)));
  std::exception_ptr trouble;
  try {
    co_await machine->execute("device_add", Json::parse(qemu::disk_device_json(disk)));
  } catch (const Error&) {
    trouble = std::current_exception();
  }
  if (!trouble) co_return;
  co_await machine->try_execute("blockdev-del", {{"node-name", qemu::disk_node(disk.lun)}});
  std::rethrow_exception(trouble);
}

asio::awaitable<void> QemuDriver::detach_disk(std::string id, int lun) {
  const MachinePtr machine = co_await reach(id);
  const Machine::Change change(machine, lun);
  if (!(co_await machine->luns()).contains(lun)) throw lun_empty(id, lun);
  const std::string device = qemu::disk_device(lun);
  const auto departure = std::make_shared<Machine::Departure>(executor_);
  machine->departures[device] = departure;
  const std::shared_ptr<void> no_longer(nullptr, [&](void*) { machine->departures.erase(device); });
  co_await machine->execute("device_del", {{"id", device}});
  if (!departure->gone) co_await departure->signal.async_wait(no_error);
  if (!departure->gone)
    throw unavailable(fmt::format("The guest of machine {} did not let go of the disk at lun {} within {} s.",
                                  id, lun, detach_limit.count()));
  co_await machine->execute("blockdev-del", {{"node-name", qemu::disk_node(lun)}});
}

asio::awaitable<std::set<int>> QemuDriver::luns(std::string id) {
  if (observe(id) != MachineState::running) co_return std::set<int>();
  const MachinePtr machine = co_await reach(id);
  co_return co_await machine->luns();
}

asio::awaitable<std::string> QemuDriver::screenshot(std::string id) {
  const MachinePtr machine = co_await reach(id);
  const fs::path file = folder(id) / fmt::format("screen{}.png", ++screenshots_);
  const std::shared_ptr<void> no_longer(nullptr, [&](void*) {
    std::error_code ignored;
    fs::remove(file, ignored);
  });
  co_await machine->execute("screendump", {{"filename", file.string()}, {"format", "png"}});
  co_return read_file(file);
}

// --- what needs no QEMU

std::optional<ProcessId> QemuDriver::process(const std::string& id) const {
  const auto text = read_file_if_there(folder(id) / "qemu.pid");
  const auto known = text ? parse_process_id(*text) : std::nullopt;
  return known && is_alive(*known) ? known : std::nullopt;
}

std::optional<MachineState> QemuDriver::observe(const std::string& id) {
  if (process(id)) return MachineState::running;
  std::error_code ignored;
  if (fs::exists(folder(id) / hibernation, ignored)) return MachineState::hibernated;
  return fs::exists(folder(id), ignored) ? std::optional(MachineState::stopped) : std::nullopt;
}

fs::path QemuDriver::folder(const std::string& id) const {
  return machine_folder(settings_.home, id);
}

fs::path QemuDriver::serial_log(const std::string& id) const {
  return folder(id) / "serial.log";
}

asio::awaitable<Accelerator> QemuDriver::accelerator() {
  if (settings_.accelerator) co_return *settings_.accelerator;
  const auto turn = co_await probing_.take();
  if (!accelerator_) {
    const qemu::Acceleration found = co_await qemu::find_acceleration(
        {.program = find_qemu(settings_.program), .memory = settings_.home / "accelerator.json"});
    spdlog::info("chose accelerator={} reason=\"{}\"", to_string(found.accelerator), found.reason);
    accelerator_ = found.accelerator;
  }
  co_return *accelerator_;
}

}  // namespace berth
