#include "hypervisor/refusals.h"

#include <fmt/format.h>

namespace berth {
namespace {

Error not_allowed(const std::string& happened, std::string advice = {}) {
  return Error(ErrorKind::conflict, "OperationNotAllowed", happened, std::move(advice));
}

}  // namespace

Error already_running(const MachineSpec& spec) {
  return not_allowed(spec.name + " is already running.");
}

Error not_running(const std::string& id) {
  return not_allowed("Machine " + id + " is not running.", "Start it first.");
}

Error stopped_while_starting(const MachineSpec& spec) {
  return not_allowed(spec.name + " was stopped while it started.");
}

Error lun_taken(const std::string& id, int lun) {
  return not_allowed(fmt::format("Machine {} already has a disk at lun {}.", id, lun), "Choose another lun.");
}

Error lun_empty(const std::string& id, int lun) {
  return not_allowed(fmt::format("Machine {} has no disk at lun {}.", id, lun));
}

Error no_memory_file(const std::string& id) {
  return not_allowed(fmt::format("Machine {} cannot be frozen: its memory is in no file.", id));
}

Error not_hibernated(const std::string& id) {
  return not_allowed(fmt::format("Machine {} is not hibernated.", id));
}

void require_file(const std::string& machine, const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::is_regular_file(file, error)) return;
  throw Error(
      ErrorKind::unavailable, "FileNotFound",
      fmt::format("{} needs the file {}, which is not there{}.", machine, file.string(),
                  error && error != std::errc::no_such_file_or_directory ? ": " + error.message() : ""));
}

void require_files(const MachineSpec& spec) {
  require_file(spec.name, spec.os_disk);
  if (spec.temporary_disk) require_file(spec.name, *spec.temporary_disk);
  for (const MachineSpec::DataDisk& disk : spec.data_disks) require_file(spec.name, disk.file);
  if (!spec.direct_boot) return;
  require_file(spec.name, spec.direct_boot->kernel);
  require_file(spec.name, spec.direct_boot->initrd);
}

std::filesystem::path machine_folder(const std::filesystem::path& home, const std::string& id) {
  if (id.empty() || id.front() == '.' || id.find('/') != id.npos)
    throw Error(ErrorKind::internal, "InvalidMachineId", fmt::format("\"{}\" does not name a machine.", id));
  return home / "vm" / id;
}

}  // namespace berth
