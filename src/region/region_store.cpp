#include "region/region_store.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <optional>

#include "base/error.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

fs::path store_of(const fs::path& home) {
  return home / "region.db";
}
fs::path backup_of(const fs::path& home) {
  return home / "region.db.backup";
}

std::size_t entries_of(const fs::path& folder) {
  std::size_t count = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored))
    if (!entry.path().filename().string().starts_with('.')) ++count;
  return count;
}

/// What a region left in its home: "3 in vm/, 4 in disks/"; "" when there is nothing.
std::string left_in(const fs::path& home) {
  std::string left;
  for (const char* folder : {"vm", "disks"})  // an image stands for itself: the gallery lists its folder
    if (const std::size_t count = entries_of(home / folder))
      left += fmt::format("{}{} in {}/", left.empty() ? "" : ", ", count, folder);
  return left;
}

/// How to go back to the backup; "" when there is none.
std::string way_back(const fs::path& home) {
  struct stat status {};
  const fs::path backup = backup_of(home), store = store_of(home);
  if (::stat(backup.c_str(), &status) != 0) return "";
  return fmt::format(
      "Its last good copy, of {:%Y-%m-%d %H:%M:%S} UTC, is {}: put it back with "
      "'rm -f {}-wal {}-shm && cp -p {} {}'. What was changed since then is not in it.",
      fmt::gmtime(status.st_mtime), backup.string(), store.string(), store.string(), backup.string(),
      store.string());
}

}  // namespace

Database open_region_store(const fs::path& home) {
  const fs::path file = store_of(home);
  try {
    if (!Database::is_begun(file))
      if (const std::string left = left_in(home); !left.empty())
        throw Error(ErrorKind::conflict, "StoreMissing",
                    fmt::format("The region's store {} is missing or empty, but its machines are there ({}).",
                                file.string(), left),
                    "Put back a copy of it; or move those folders away to begin a new region.");
    return Database(file);
  } catch (const Error& error) {
    const std::string way = way_back(home);
    if (way.empty() || (error.code != "StoreMissing" && error.code != "StoreDamaged")) throw;
    throw Error(error.kind, error.code, error.what(), way);
  }
}

void back_up_region_store(const Database& database, const fs::path& home) {
  try {
    database.copy_to(backup_of(home));
  } catch (const Error& error) {
    spdlog::warn("could not back up the store: {}", error.what());
  }
}

}  // namespace berth
