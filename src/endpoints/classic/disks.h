#pragma once

#include <string>

#include "api/classic/requests.h"
#include "region/region.h"

/// Disks as roles name them.
namespace berth::classic {

/// Throws not_found; conflict when several groups have one of that name.
const Disk& get_disk(const Region& region, const std::string& name);
/// Throws conflict when a VM has it, too.
const Disk& get_free_disk(const Region& region, const std::string& name);
/// "BEGINNING-TIME": no disk of the group has it.
std::string new_disk_name(const Region& region, const std::string& group, const std::string& beginning);

/// Puts the disk among those of `vm`, which may only be an order yet: a disk that is there, or a new empty
/// one, whose `disk` is then empty. Without a number it takes the first free one. Throws Error: invalid,
/// not_found, conflict.
const DataDisk& add_data_disk(const Region& region, Vm& vm, const DataDiskOrder& order);
/// Changes the disk of `vm` that the order means, by its number or else its name; null when it has none such.
/// Throws conflict when another size is asked for.
const DataDisk* change_data_disk(Vm& vm, const DataDiskOrder& order);
/// Label and media link, to give them back. `group`: of the VM.
void keep_disk_words(Region& region, const std::string& group, const DataDisk& disk,
                     const DataDiskOrder& order);

}  // namespace berth::classic
