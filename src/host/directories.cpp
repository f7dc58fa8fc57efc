#include "host/directories.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "base/error.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t longest_home = 60;

/// An absolute folder named by the environment. XDG says to ignore relative ones.
fs::path from_environment(const char* variable) {
  const char* value = std::getenv(variable);
  const fs::path path = value ? value : "";
  return path.is_absolute() ? path : fs::path();
}

/// Our own variables may be relative: they were typed by someone in this folder.
fs::path from_our_variable(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value ? fs::absolute(value).lexically_normal() : fs::path();
}

fs::path from_password_database() {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16 * 1024);
  ::getpwuid_r(::getuid(), &entry, buffer.data(), buffer.size(), &found);
  const fs::path home = found && found->pw_dir ? found->pw_dir : "";
  return home.is_absolute() ? home : fs::path();
}

}  // namespace

fs::path home_directory() {
  fs::path home = from_environment("HOME");
  if (home.empty()) home = from_password_database();
  if (home.empty())
    throw Error(ErrorKind::unavailable, "NoHomeDirectory",
                fmt::format("User {} has no home directory.", ::getuid()), "Set HOME to an absolute path.");
  return home;
}

fs::path region_home() {
  fs::path home = from_our_variable("BERTH_HOME");
  if (home.empty()) {
    const fs::path data = from_environment("XDG_DATA_HOME");
    home = (data.empty() ? home_directory() / ".local/share" : data) / "berth";
  }
  if (home.native().size() > longest_home)
    throw Error(
        ErrorKind::invalid, "PathTooLong",
        fmt::format("The region's folder {} is {} bytes long, and sockets below it leave room for {}.",
                    home.string(), home.native().size(), longest_home),
        "Choose a shorter one with BERTH_HOME.");
  return home;
}

fs::path image_cache() {
  if (fs::path images = from_our_variable("BERTH_IMAGES"); !images.empty()) return images;
  const fs::path cache = from_environment("XDG_CACHE_HOME");
  return (cache.empty() ? home_directory() / ".cache" : cache) / "berth/images";
}

fs::path runtime_folder() {
  if (::geteuid() == 0) return "/run/berth";
  if (fs::path folder = from_environment("XDG_RUNTIME_DIR"); !folder.empty()) return folder / "berth";
  return home_directory() / ".cache/berth";
}

}  // namespace berth
