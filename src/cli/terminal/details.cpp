#include "cli/terminal/details.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "host/directories.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t kept = 20;

fs::path details_folder() {
  const char* configured = std::getenv("XDG_STATE_HOME");
  return (configured != nullptr && *configured == '/' ? fs::path(configured)
                                                      : home_directory() / ".local" / "state") /
         "berth";
}

/// Their names are in the order of their times.
void remove_old(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none))
    if (entry.path().filename().string().starts_with("azure-") && entry.path().extension() == ".log")
      files.push_back(entry.path());
  std::ranges::sort(files);
  for (std::size_t i = 0; i + kept < files.size(); ++i) fs::remove(files[i], none);
}

}  // namespace

std::optional<fs::path> keep_details(const std::string& command, const std::string& history) {
  try {
    const fs::path folder = details_folder();
    make_folder(folder);
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const fs::path file = folder / fmt::format("azure-{:%Y%m%d-%H%M%S}-{}.log", now, ::getpid());
    write_file(file, fmt::format("azure {} at {:%Y-%m-%dT%H:%M:%SZ}\n{}", command, now, history));
    remove_old(folder);
    return file;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace berth
