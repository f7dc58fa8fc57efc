#include "images/templates.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "crypto/digest.h"
#include "crypto/encoding.h"
#include "crypto/random.h"
#include "host/files.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* folder_name = "templates";
constexpr const char* manifest_name = "template.json";
constexpr std::string_view draft_prefix = ".making-";
constexpr std::uint64_t space_for_disks = std::uint64_t{1} << 30;
constexpr std::size_t block = 1 << 20;  // bytes, of what is hashed at once

std::string key_of(const std::string& layout) {
  return sha256_hex(layout).substr(0, 16);
}

/// What tells that a file is the one that was looked at, and that nobody has written to it since: the kernel sets
/// the time of the last change, and no program can set it back.
std::string print_of(const fs::path& file) {
  struct stat found {};
  if (::stat(file.c_str(), &found) != 0) return {};
  return fmt::format("{} {} {} {}.{} {}.{}", found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec,
                     found.st_mtim.tv_nsec, found.st_ctim.tv_sec, found.st_ctim.tv_nsec);
}

/// Of the size, and of each block with its place that is not all zeros: a memory file is mostly holes, and whether zeros
/// are a hole is the file system's choice.
std::string hash_of(const fs::path& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat found {};
  if (!fd || ::fstat(fd.get(), &found) != 0)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} cannot be read: {}.", file.string(), std::strerror(errno)));
  std::string piece(sizeof(std::uint64_t) + block, '\0');
  off_t at = 0;
  bool began = false;
  const auto next = [&]() -> std::string_view {
    if (!std::exchange(began, true)) {
      std::memcpy(piece.data(), &found.st_size, sizeof found.st_size);
      return std::string_view(piece).substr(0, sizeof found.st_size);
    }
    for (;;) {
      at = ::lseek(fd.get(), at, SEEK_DATA);
      if (at < 0) return {};  // nothing but a hole to the end
      const std::uint64_t place = static_cast<std::uint64_t>(at) / block;
      at = static_cast<off_t>(place * block);
      const ssize_t size = ::pread(fd.get(), piece.data() + sizeof place, block, at);
      if (size <= 0)
        throw Error(ErrorKind::unavailable, "FileUnavailable",
                    fmt::format("{} cannot be read whole: {}.", file.string(), std::strerror(errno)));
      at += size;
      const auto bytes = std::string_view(piece).substr(sizeof place, static_cast<std::size_t>(size));
      if (bytes.find_first_not_of('\0') == bytes.npos) continue;
      std::memcpy(piece.data(), &place, sizeof place);
      return std::string_view(piece).substr(0, sizeof place + bytes.size());
    }
  };
  return sha256_hex(next);
}

std::vector<fs::path> files_of(const MachineTemplate& files) {
  std::vector<fs::path> all{files.disk, files.memory, files.devices};
  if (!files.temporary_disk.empty()) all.push_back(files.temporary_disk);
  return all;
}

void flush_file(const fs::path& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0)
    throw Error(ErrorKind::unavailable, "FileUnavailable",
                fmt::format("{} cannot be written to the disk: {}.", path.string(), std::strerror(errno)));
}

/// Drafts of processes that were killed: of `key`, whose lock is ours, and of others that nobody makes now.
void remove_leftovers(const fs::path& home, const std::string& key) {
  std::vector<fs::path> drafts;
  for (const auto& entry : fs::directory_iterator(home))
    if (entry.path().filename().string().starts_with(draft_prefix)) drafts.push_back(entry.path());
  for (const fs::path& draft : drafts) {
    const std::string other = draft.filename().string().substr(draft_prefix.size());
    const auto lock = other == key ? std::nullopt : FileLock::try_take(home / ("." + other + ".lock"));
    if (other == key || lock) fs::remove_all(draft);
  }
}

std::optional<json> read_manifest(const fs::path& folder) {
  const auto text = read_file_if_there(folder / manifest_name);
  json document = json::parse(text.value_or(""), nullptr, false);
  if (!document.is_object() || !document.contains("layout") || !document["layout"].is_string() ||
      !document.contains("files") || !document["files"].is_object())
    return std::nullopt;
  return document;
}

/// Its disk stays, for machines' disks stand on it.
void set_aside(const fs::path& folder, const std::string& why) {
  spdlog::warn("The template {} is damaged and is made anew: {}", folder.string(), why);
  std::error_code ignored;
  fs::remove(folder / manifest_name, ignored);
  for (const char* file : {"memory", "devices"}) fs::remove(folder / file, ignored);
}

}  // namespace

MachineTemplate MachineTemplate::in(const fs::path& folder, bool with_temporary_disk) {
  return {.disk = folder / "disk.qcow2",
          .temporary_disk = with_temporary_disk ? folder / "temporary.qcow2" : fs::path(),
          .memory = folder / "memory",
          .devices = folder / "devices"};
}

fs::path Templates::folder_of(const ImageFiles& image) {
  return image.disk.parent_path() / folder_name;
}

fs::path Templates::image_folder(const fs::path& backing) {
  const fs::path folder = backing.parent_path();
  if (std::error_code none; fs::exists(folder / "image.json", none))
    return folder;  // in a cache of that name
  return folder.parent_path().filename() == folder_name ? folder.parent_path().parent_path() : folder;
}

struct Templates::Seen {
  std::mutex mutex;
  std::map<fs::path, std::pair<std::string, std::string>>
      hashes;  ///< by file: its print, and what it came to

  std::string hash(const fs::path& file) {
    const std::string print = print_of(file);
    {
      const std::lock_guard lock(mutex);
      if (const auto known = hashes.find(file); known != hashes.end() && known->second.first == print)
        return known->second.second;
    }
    std::string hash = hash_of(file);
    const std::lock_guard lock(mutex);
    hashes[file] = {print, hash};
    return hash;
  }
};

Templates::Templates() : seen_(std::make_shared<Seen>()) {}

std::optional<MachineTemplate> Templates::find(const ImageFiles& image, const std::string& layout) {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_of(image), none)) {
    const fs::path folder = entry.path();
    if (!folder.filename().string().starts_with(key_of(layout))) continue;
    const auto manifest = read_manifest(folder);
    if (!manifest || (*manifest)["layout"] != layout) continue;
    const json& hashes = (*manifest)["files"];
    const MachineTemplate files = MachineTemplate::in(folder, hashes.contains("temporary.qcow2"));
    std::string trouble;
    for (const fs::path& file : files_of(files)) try {
        const auto hash = hashes.find(file.filename().string());
        if (hash == hashes.end() || *hash != seen_->hash(file))
          trouble = file.filename().string() + " is not what was written.";
      } catch (const Error& error) {
        trouble = error.what();
      }
    if (trouble.empty()) return files;
    set_aside(folder, trouble);
  }
  return std::nullopt;
}

bool Templates::has_any(const ImageFiles& image) const {
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder_of(image), none))
    if (!entry.path().filename().string().starts_with('.') && read_manifest(entry.path())) return true;
  return false;
}

struct Templates::Draft::Impl {
  fs::path folder, target;
  std::string layout;
  FileLock lock;
  MachineTemplate files;
  bool kept = false;
};

Templates::Draft::Draft(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Templates::Draft::~Draft() {
  std::error_code ignored;
  if (!impl_->kept) fs::remove_all(impl_->folder, ignored);
}
const MachineTemplate& Templates::Draft::files() const {
  return impl_->files;
}

void Templates::Draft::keep() {
  json hashes = json::object();
  for (const fs::path& file : files_of(impl_->files)) {
    // QEMU 7.2 opens a memory file for writing, also where it maps it privately.
    if (file != impl_->files.memory) fs::permissions(file, fs::perms(0400));
    flush_file(file);
    hashes[file.filename().string()] = hash_of(file);
  }
  write_file(impl_->folder / manifest_name,
             json{{"layout", impl_->layout}, {"files", hashes}}.dump(2) + "\n");
  fs::rename(impl_->folder, impl_->target);
  flush_file(impl_->target.parent_path());
  impl_->kept = true;
}

std::unique_ptr<Templates::Draft> Templates::begin(const ImageFiles& image, const std::string& layout,
                                                   bool with_temporary_disk, unsigned memory_mib) {
  const fs::path home = folder_of(image);
  make_folder(home);
  const std::string key = key_of(layout);
  auto lock = FileLock::try_take(home / ("." + key + ".lock"));
  if (!lock) return nullptr;
  remove_leftovers(home, key);
  const fs::path folder = home / (std::string(draft_prefix) + key);
  const std::uint64_t needed = (std::uint64_t{memory_mib} << 20) + space_for_disks;
  if (free_space(home) < needed)
    throw Error(ErrorKind::unavailable, "NotEnoughSpace",
                fmt::format("A template needs {} MiB of space and {} MiB are free in {}.", needed >> 20,
                            free_space(home) >> 20, home.string()),
                "Free some, or set BERTH_IMAGES to a folder on a larger disk.");
  make_folder(folder);
  return std::unique_ptr<Draft>(new Draft(
      std::make_unique<Draft::Impl>(Draft::Impl{.folder = folder,
                                                .target = home / (key + "-" + random_hex(8)),
                                                .layout = layout,
                                                .lock = std::move(*lock),
                                                .files = MachineTemplate::in(folder, with_temporary_disk)})));
}

}  // namespace berth
