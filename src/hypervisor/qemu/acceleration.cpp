#include "hypervisor/qemu/acceleration.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"
#include "hypervisor/qemu/arguments.h"
#include "hypervisor/qemu/probe_guest.h"
#include "hypervisor/qemu/process_end.h"

namespace asio = boost::asio;
namespace fs = std::filesystem;
using Json = nlohmann::json;

namespace berth::qemu {
namespace {

std::optional<Accelerator> wanted_by_user() {
  const char* value = ::getenv("BERTH_ACCELERATOR");
  if (!value || !*value) return std::nullopt;
  for (const Accelerator accelerator : {Accelerator::kvm, Accelerator::tcg})
    if (value == to_string(accelerator)) return accelerator;
  throw Error(ErrorKind::invalid, "InvalidParameter",
              fmt::format("BERTH_ACCELERATOR is \"{}\", which is neither kvm nor tcg.", value),
              "Unset it to let Berth find out.");
}

/// Why nobody need try; nullopt if it can be opened.
std::optional<std::string> closed_door(const fs::path& device) {
  const Fd fd(::open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (fd) return std::nullopt;
  if (errno == ENOENT) return fmt::format("{} does not exist on this host", device.string());
  if (errno == EACCES)
    return fmt::format("this user may not open {} (its group, usually kvm, may)", device.string());
  return fmt::format("{} cannot be opened: {}", device.string(), std::strerror(errno));
}

/// What the answer hangs on: this QEMU, this kernel, this boot (a host may move or change its settings in
/// between).
Json circumstances(const AccelerationSettings& settings) {
  utsname kernel{};
  ::uname(&kernel);
  std::string boot = read_file_if_there("/proc/sys/kernel/random/boot_id").value_or("");
  while (!boot.empty() && boot.back() == '\n') boot.pop_back();
  return {{"qemu", program_print(settings.program)}, {"kernel", kernel.release}, {"boot", boot}};
}

std::optional<Acceleration> remembered(const AccelerationSettings& settings) {
  if (settings.memory.empty()) return std::nullopt;
  const Json memory = Json::parse(read_file_if_there(settings.memory).value_or(""), nullptr, false);
  if (!memory.is_object() || memory.value("circumstances", Json()) != circumstances(settings))
    return std::nullopt;
  const Json kvm = memory.value("kvm", Json());
  const Json reason = memory.value("reason", Json());
  if (!kvm.is_boolean() || !reason.is_string()) return std::nullopt;
  return Acceleration{kvm.get<bool>() ? Accelerator::kvm : Accelerator::tcg, reason.get<std::string>()};
}

void remember(const AccelerationSettings& settings, const Acceleration& found) {
  if (settings.memory.empty()) return;
  make_folder(settings.memory.parent_path());
  write_file(settings.memory, Json{{"circumstances", circumstances(settings)},
                                   {"kvm", found.accelerator == Accelerator::kvm},
                                   {"reason", found.reason}}
                                      .dump(2) +
                                  "\n");
}

/// QEMU's first complaint is the cause, what follows are consequences.
std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::string program_print(const fs::path& program) {
  struct stat file {};
  ::stat(program.c_str(), &file);
  return fmt::format("{} {} {}", program.string(), file.st_size, file.st_mtime);
}

asio::awaitable<Acceleration> find_acceleration(AccelerationSettings settings) {
  if (const auto wanted = wanted_by_user()) co_return Acceleration{*wanted, "BERTH_ACCELERATOR says so"};
  if (const auto why = closed_door(settings.device)) co_return Acceleration{Accelerator::tcg, *why};
  if (const auto known = remembered(settings)) co_return *known;

  const auto problem = co_await probe(settings.program, Accelerator::kvm, settings.limit);
  const Acceleration found =
      problem ? Acceleration{Accelerator::tcg, fmt::format("{} opens, but a test guest under it {}",
                                                           settings.device.string(), *problem)}
              : Acceleration{Accelerator::kvm, "a test guest ran well under it"};
  spdlog::info("probed accelerator={} reason=\"{}\"", to_string(found.accelerator), found.reason);
  remember(settings, found);
  co_return found;
}

asio::awaitable<std::optional<std::string>> probe(fs::path program, Accelerator accelerator,
                                                  std::chrono::milliseconds limit) {
  const TemporaryFolder folder;
  std::string disk(probe_guest());
  disk.resize(1UL << 20);  // the BIOS boots from no less than a track
  write_file(folder / "disk", disk);

  // timeout(1) ends it: it must not stay behind for ever if we are killed meanwhile.
  constexpr std::chrono::seconds margin{1};
  std::vector<std::string> argv = {
      "timeout", "--signal=KILL",
      fmt::format("{:.3f}", std::chrono::duration<double>(limit + margin).count()), program};
  for (const auto& part : {processor_arguments(accelerator), sandbox_arguments()})
    argv.insert(argv.end(), part.begin(), part.end());
  for (const char* argument :
       {"-no-user-config", "-nodefaults", "-no-reboot", "-display", "none", "-smp", "2", "-m", "64M",
        "-drive", "file=disk,format=raw,if=virtio", "-chardev", "file,id=word,path=/dev/stdout,append=on",
        "-device", "isa-debugcon,iobase=0xe9,chardev=word"})
    argv.emplace_back(argument);
  const ProcessId process = spawn_detached(
      argv, {.folder = folder.path(), .log = folder / "log", .environment = {}, .inherit = {}});

  const bool ended = co_await has_ended(process, limit);
  if (!ended) co_await has_ended(process, 5 * margin);
  const std::string log = read_file(folder / "log");
  if (ended && log.find(probe_word) != std::string::npos) co_return std::nullopt;
  const std::string complaint = first_line(log);
  const std::string how = complaint.empty() ? "without a word" : fmt::format("with \"{}\"", complaint);
  if (ended) co_return "ended " + how;
  co_return fmt::format("did not end within {} s", std::chrono::duration<double>(limit).count());
}

}  // namespace berth::qemu
