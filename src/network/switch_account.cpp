#include "network/switch_account.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <spdlog/spdlog.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string_view>

#include "base/error.h"
#include "network/switch_files.h"

namespace berth::network {
namespace {

// Numbers that neither Debian nor systemd hands out.
constexpr uid_t first_id = 60'706, last_id = 61'183;

constexpr mode_t folder_mode = 0710;  // it finds what it knows the name of
constexpr mode_t socket_mode = 0660;

Error cannot(const std::filesystem::path& folder) {
  return {
      ErrorKind::unavailable, "FolderUnavailable",
      fmt::format("The switch's account gets no access to {}: {}.", folder.string(), std::strerror(errno))};
}

}  // namespace

std::optional<Account> switch_account(const std::filesystem::path& folder) {
  if (::geteuid() != 0) return std::nullopt;
  constexpr uid_t count = last_id - first_id + 1;
  const auto hash = static_cast<uid_t>(std::hash<std::string>()(folder.string()) % count);
  for (uid_t i = 0; i < count; ++i) {
    const uid_t id = first_id + (hash + i) % count;
    if (!::getpwuid(id)) return Account{id};
  }
  return std::nullopt;
}

SocketAccess::SocketAccess(const std::filesystem::path& folder, Account account)
    : folder_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)),
      watch_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      account_(account) {
  if (!folder_ || !watch_ || !open_folder() ||
      ::inotify_add_watch(watch_.get(), folder.c_str(), IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR) < 0)
    throw cannot(folder);
  for (const auto& entry : std::filesystem::directory_iterator(folder)) give(entry.path().filename().c_str());
}

bool SocketAccess::open_folder() const {
  struct stat status {};
  if (::fstat(folder_.get(), &status) != 0) return false;
  return (status.st_gid == account_.id && (status.st_mode & 07777) == folder_mode) ||
         (::fchown(folder_.get(), static_cast<uid_t>(-1), account_.id) == 0 &&
          ::fchmod(folder_.get(), folder_mode) == 0);
}

void SocketAccess::follow() {
  alignas(inotify_event) char bytes[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(watch_.get(), bytes, sizeof bytes);
    if (got <= 0) return;
    for (const char* at = bytes; at < bytes + got;) {
      const auto& event = *reinterpret_cast<const inotify_event*>(at);
      event.len > 0 ? give(event.name) : void(open_folder());
      at += sizeof event + event.len;
    }
  }
}

/// Only root makes files there, but what has the name may change while we look: all is done to what was
/// opened.
void SocketAccess::give(const char* name) const {
  if (name == SwitchFiles({}).control()) return;  // who may command is berthd's affair
  const Fd file(::openat(folder_.get(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISSOCK(status.st_mode)) return;
  if (status.st_gid == account_.id && (status.st_mode & 07777) == socket_mode) return;
  const std::string path = fmt::format("/proc/self/fd/{}", file.get());
  if (::fchownat(file.get(), "", static_cast<uid_t>(-1), account_.id, AT_EMPTY_PATH) != 0 ||
      ::chmod(path.c_str(), socket_mode) != 0)
    spdlog::error("could not let the switch connect socket={} why=\"{}\"", name, std::strerror(errno));
}

}  // namespace berth::network
