#pragma once

#include <filesystem>

#include "store/database.h"

namespace berth {

/// The store of the region in `home`. Throws Error(conflict, "StoreMissing") when it is missing or empty
/// although machines, disks or images are there: they would belong to nobody. What the store itself throws
/// names the backup.
Database open_region_store(const std::filesystem::path& home);

/// Copies the store to HOME/region.db.backup; what prevents that is logged. For a moment when all of it could
/// be read.
void back_up_region_store(const Database& database, const std::filesystem::path& home);

}  // namespace berth
