#include "extension/managed_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <exception>

#include "crypto/encoding.h"
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

std::optional<FileChanges::Content> FileChanges::read(const std::string& path) const {
  auto bytes = read_file_if_there(root_(path));
  if (!bytes) return std::nullopt;
  struct stat status {};
  ::stat(root_(path).c_str(), &status);
  return Content{std::move(*bytes), status.st_mode & 07777};
}

void FileChanges::put(const std::string& path, const std::optional<Content>& content) const {
  if (!content) {
    std::filesystem::remove(root_(path));
    return;
  }
  make_open_folder(root_(path).parent_path());
  write_file(root_(path), content->bytes, content->mode);
}

void FileChanges::want(const std::string& path, std::string bytes, mode_t mode) {
  auto before = read(path);
  if (before && before->bytes == bytes && before->mode == mode) return;
  changes_.push_back({path, std::move(before), Content{std::move(bytes), mode}});
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
