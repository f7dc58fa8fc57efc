#include "extension/managed_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <system_error>

#include "base/error.h"
#include "crypto/digest.h"
#include "crypto/encoding.h"
#include "host/fd.h"
#include "host/files.h"

namespace berth::extension {
namespace {

void make_open_folder(const std::filesystem::path& folder) {
  std::error_code trouble;
  if (std::filesystem::is_directory(folder, trouble)) return;
  if (folder.has_parent_path() && folder.parent_path() != folder) make_open_folder(folder.parent_path());
  make_folder(folder, 0755);
}

}  // namespace

std::string hash_of_file(const std::filesystem::path& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  std::string piece(256 * 1024, '\0');
  bool read_all = static_cast<bool>(fd);
  const auto next = [&]() -> std::string_view {
    ssize_t got;
    do got = ::read(fd.get(), piece.data(), piece.size());
    while (got < 0 && errno == EINTR);
    if (got < 0) read_all = false;
    return std::string_view(piece).substr(0, got > 0 ? static_cast<std::size_t>(got) : 0);
  };
  const std::string hash = read_all ? sha256_hex(next) : "";
  return read_all ? hash : "";
}

std::optional<FileChanges::Content> FileChanges::read(const std::string& path) const {
  auto bytes = read_file_if_there(root_(path));
  if (!bytes) return std::nullopt;
  struct stat status {};
  ::stat(root_(path).c_str(), &status);
  return Content{std::move(*bytes), status.st_mode & 07777, status.st_uid, status.st_gid};
}

void FileChanges::put(const std::string& path, const std::optional<Content>& content) const {
  if (!content) {
    remove_file(root_(path));
    return;
  }
  make_open_folder(root_(path).parent_path());
  write_file(root_(path), content->bytes, content->mode);
  const bool own = content->owner == ::geteuid() && content->group == ::getegid();
  if (!own && ::chown(root_(path).c_str(), content->owner, content->group) != 0)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} cannot be given to its owner {}:{}: {}.", root_(path).string(),
                            content->owner, content->group, std::generic_category().message(errno)));
}

void FileChanges::want(const std::string& path, std::string bytes, mode_t mode) {
  auto before = read(path);
  Content after{std::move(bytes), mode, ::geteuid(), ::getegid()};
  if (before != after) changes_.push_back({path, std::move(before), std::move(after)});
}

void FileChanges::want_gone(const std::string& path, const std::map<std::string, std::string>& ours) {
  const auto hash = ours.find(path);
  if (hash == ours.end()) return;
  auto before = read(path);
  if (before && sha256_hex(before->bytes) == hash->second)
    changes_.push_back({path, std::move(before), std::nullopt});
}

bool FileChanges::differs(const std::string& path) const {
  return std::any_of(changes_.begin(), changes_.end(), [&](const Change& change) {
    return change.path == path &&
           (!change.before || !change.after || change.before->bytes != change.after->bytes);
  });
}

void FileChanges::apply() {
  for (Change& change : changes_) {
    try {
      put(change.path, change.after);
      change.applied = true;
    } catch (...) {
      const std::exception_ptr trouble = std::current_exception();
      roll_back();
      std::rethrow_exception(trouble);
    }
  }
}

std::vector<std::string> FileChanges::roll_back() noexcept {
  std::vector<std::string> failed;
  for (auto change = changes_.rbegin(); change != changes_.rend(); ++change) {
    if (!change->applied) continue;
    try {
      put(change->path, change->before);
      change->applied = false;
    } catch (const std::exception&) {
      failed.push_back(change->path);
    }
  }
  return failed;
}

}  // namespace berth::extension
