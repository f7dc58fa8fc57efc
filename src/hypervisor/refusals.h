#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"
#include "hypervisor/driver.h"

/// What every driver refuses, in the same words.
namespace berth {

Error already_running(const MachineSpec& spec);
Error not_running(const std::string& id);
Error stopped_while_starting(const MachineSpec& spec);
Error lun_taken(const std::string& id, int lun);
Error no_memory_file(const std::string& id);
Error not_hibernated(const std::string& id);
Error lun_empty(const std::string& id, int lun);

/// Throws Error(unavailable) naming the first file that is not there.
void require_files(const MachineSpec& spec);
void require_file(const std::string& machine, const std::filesystem::path& file);

/// `home`/vm/ID. Throws Error(internal) for an id that would lead elsewhere.
std::filesystem::path machine_folder(const std::filesystem::path& home, const std::string& id);

}  // namespace berth
