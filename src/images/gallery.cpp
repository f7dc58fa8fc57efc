#include "images/gallery.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "base/error.h"
#include "host/files.h"
#include "host/own_folder.h"
#include "images/build.h"
#include "images/disk.h"
#include "images/recipe.h"
#include "images/templates.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t gib = std::uint64_t{1} << 30;
constexpr std::chrono::hours longest_copy{1};
constexpr std::uint64_t space_for_build = 4 * gib;
// no_timer_check: an emulated timer that comes late on a busy host is no broken one, for which the kernel would end itself.
constexpr const char* command_line =
    "root=LABEL=berth-root console=ttyS0 8250.nr_uarts=1 no_timer_check quiet";

bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

/// By name, by a recipe's short name, or by marketplace address.
bool answers_to(const GalleryImage& image, const std::string& alias, const std::string& name) {
  if (same(image.name, name) || (!alias.empty() && same(alias, name))) return true;
  if (image.publisher.empty()) return false;
  GalleryImage latest = image;
  latest.version = "latest";
  return same(image.urn(), name) || same(latest.urn(), name);
}

const Recipe* find_recipe(const std::string& name) {
  for (const Recipe& recipe : recipes())
    if (answers_to(recipe.image, recipe.alias, name)) return &recipe;
  return nullptr;
}

[[noreturn]] void throw_unknown(const std::string& name) {
  throw Error(ErrorKind::not_found, "ImageNotFound", fmt::format("There is no image '{}'.", name),
              "'azure vm image list' shows all.");
}

void check_name(const std::string& name) {
  const auto letter = [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == '-'; };
  if (!name.empty() && name.size() <= 128 && std::isalnum(static_cast<unsigned char>(name.front())) &&
      std::ranges::all_of(name, letter))
    return;
  throw Error(ErrorKind::invalid, "InvalidImageName",
              fmt::format("'{}' cannot be the name of an image.", name),
              "Use up to 128 letters, digits, '.', '_' and '-', the first a letter or digit.");
}

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

/// Its bytes are on the disk before a name says that they are.
void flush(const fs::path& folder) {
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const Fd fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
    if (fd) ::fsync(fd.get());
  }
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd) ::fsync(fd.get());
}

// --- image.json: what an image's folder holds. The format of a private file, so fields may be missing in old
// ones. ---

void write_description(const fs::path& folder, const GalleryImage& image, const ImageFiles& files) {
  const json document{{"name", image.name},
                      {"label", image.label},
                      {"family", image.family},
                      {"sizeGib", image.size_gib},
                      {"docker", image.docker},
                      {"added", image.added},
                      {"format", files.format},
                      {"disk", files.disk.filename().string()},
                      {"kernel", files.kernel.filename().string()},
                      {"initrd", files.initrd.filename().string()},
                      {"commandLine", files.command_line},
                      {"azureDisks", files.azure_disks},
                      {"takesIdentity", files.takes_identity}};
  write_file(folder / "image.json", document.dump(2) + "\n");
}

std::optional<json> read_description(const fs::path& folder) {
  const auto text = read_file_if_there(folder / "image.json");
  if (!text) return std::nullopt;
  json document = json::parse(*text, nullptr, false);
  if (!document.is_object()) return std::nullopt;
  return document;
}

ImageFiles files_from(const json& document, const fs::path& folder) {
  const auto file = [&](const char* key) {
    const std::string name = document.value(key, "");
    return name.empty() ? fs::path() : folder / name;
  };
  return {file("disk"),
          document.value("format", "qcow2"),
          file("kernel"),
          file("initrd"),
          document.value("commandLine", ""),
          document.value("azureDisks", false),
          document.value("takesIdentity", false)};
}

GalleryImage own_image_from(const json& document) {
  GalleryImage image;
  image.name = document.value("name", "");
  image.label = document.value("label", "");
  image.family = document.value("family", "");
  image.size_gib = document.value("sizeGib", std::uint64_t{30});
  image.docker = document.value("docker", false);
  image.added = document.value("added", "");
  image.category = "User";
  image.built = true;
  return image;
}

std::optional<ImageFiles> files_in(const fs::path& folder) {
  const auto document = read_description(folder);
  if (!document) return std::nullopt;
  return files_from(*document, folder);
}

/// Held while a build goes on; whoever waits for it can still be cancelled.
FileLock wait_for_lock(const fs::path& file, const ImageProgress& progress, const std::stop_token& stop) {
  for (bool told = false;; told = true) {
    if (auto lock = FileLock::try_take(file)) return std::move(*lock);
    if (stop.stop_requested())
      throw Error(ErrorKind::unavailable, "OperationCanceled", "Waiting for the image was cancelled.");
    if (!told && progress) progress("Waiting for another build of the same image", -1);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
}

constexpr std::string_view draft_suffix = ".building";
constexpr std::string_view going_prefix = ".going-";  ///< of the folder of an image that is being removed
constexpr const char* deleted_mark =
    "deleted";  ///< a file in the folder of an image that only old disks need

/// Deletes what builds left behind that were killed; those that still run hold their lock.
void remove_leftovers(const fs::path& cache) {
  std::vector<fs::path> drafts;
  for (const auto& entry : fs::directory_iterator(cache))
    if (entry.path().extension() == draft_suffix && !entry.is_symlink()) drafts.push_back(entry.path());
  for (const fs::path& draft : drafts) {
    fs::path lock_file = draft;
    lock_file.replace_extension(".lock");
    if (const auto lock = FileLock::try_take(lock_file)) remove_build(draft);
  }
}

}  // namespace

struct Gallery::Impl {
  fs::path cache, own, etc;

  fs::path cache_folder(const Recipe& recipe) const { return cache / (recipe.alias + "-" + recipe.hash()); }

  GalleryImage listed(const Recipe& recipe) const {
    GalleryImage image = recipe.image;
    image.built = files_in(cache_folder(recipe)).has_value();
    return image;
  }

  struct OwnImage {
    GalleryImage image;
    fs::path folder;
  };
  /// Those that the user has, or those that were deleted while disks stood on them.
  std::vector<OwnImage> own_images(bool deleted = false) const {
    std::vector<OwnImage> images;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(own, none)) {
      if (entry.path().filename().string().starts_with('.')) continue;
      if (fs::exists(entry.path() / deleted_mark, none) != deleted) continue;
      if (const auto document = read_description(entry.path()))
        images.push_back({own_image_from(*document), entry.path()});
    }
    std::ranges::sort(images, {}, [](const OwnImage& each) { return each.image.name; });
    return images;
  }

  /// Folders that are being removed.
  std::vector<fs::path> going() const {
    std::vector<fs::path> folders;
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(own, none))
      if (entry.path().filename().string().starts_with(going_prefix)) folders.push_back(entry.path());
    return folders;
  }

  std::optional<OwnImage> find_own(const std::string& name) const {
    for (OwnImage& each : own_images())
      if (same(each.image.name, name)) return std::move(each);
    return std::nullopt;
  }

  ImageFiles build(const Recipe& recipe, const ImageProgress& progress, std::stop_token stop) const;
  GalleryImage add(GalleryImage image, const ImageFiles& boot,
                   const std::function<DiskFile(const fs::path&)>& make);
};

ImageFiles Gallery::Impl::build(const Recipe& recipe, const ImageProgress& progress,
                                std::stop_token stop) const {
  const fs::path folder = cache_folder(recipe);
  if (auto files = files_in(folder)) return std::move(*files);
  if (const std::string word = claim_folder(image_cache_folder, cache); !word.empty())
    spdlog::warn("{}", word);
  make_folder(cache / "log");
  fs::path lock_file = folder, draft = folder;
  lock_file += ".lock";
  draft += draft_suffix;
  remove_leftovers(cache);
  const FileLock lock = wait_for_lock(lock_file, progress, stop);
  if (auto files = files_in(folder)) return *files;  // built while we waited
  remove_build(draft);
  if (free_space(cache) < space_for_build)
    throw Error(
        ErrorKind::unavailable, "NotEnoughSpace",
        fmt::format("Building the image {} needs {} GiB of space and {:.1f} GiB are free in {}.",
                    recipe.image.name, space_for_build / gib,
                    static_cast<double>(free_space(cache)) / static_cast<double>(gib), cache.string()),
        "Free some, or set BERTH_IMAGES to a folder on a larger disk.");

  struct Cleaner {
    const fs::path& draft;
    ~Cleaner() { remove_build(draft); }
  } cleaner{draft};
  make_folder(draft);
  const fs::path log = cache / "log" / (recipe.alias + ".log");
  build_image(recipe, etc, draft, log, progress, std::move(stop));
  const ImageFiles files{.disk = folder / "disk.qcow2",
                         .format = "qcow2",
                         .kernel = folder / "kernel",
                         .initrd = folder / "initrd",
                         .command_line = command_line,
                         .azure_disks = true,
                         .takes_identity = recipe.takes_identity};
  GalleryImage image = recipe.image;
  image.added = utc_now();
  write_description(draft, image, files);
  flush(draft);
  fs::rename(draft, folder);
  flush(cache / "log");
  return files;
}

GalleryImage Gallery::Impl::add(GalleryImage image, const ImageFiles& boot,
                                const std::function<DiskFile(const fs::path&)>& make) {
  check_name(image.name);
  make_folder(own);
  const FileLock lock = FileLock::take(own / ".lock", longest_copy);
  if (find_recipe(image.name) || find_own(image.name))
    throw Error(ErrorKind::conflict, "ImageExists",
                fmt::format("There is an image '{}' already.", image.name),
                "Choose another name, or delete the image first.");
  const fs::path draft = own / ".new";
  fs::remove_all(draft);
  struct Cleaner {
    const fs::path& draft;
    ~Cleaner() {
      std::error_code ignored;
      fs::remove_all(draft, ignored);
    }
  } cleaner{draft};
  make_folder(draft);

  const DiskFile disk = make(draft / "disk");
  ImageFiles files{draft / "disk", disk.format, {}, {}, boot.command_line, boot.azure_disks, false};
  if (!boot.kernel.empty()) {
    files.kernel = draft / "kernel";
    files.initrd = draft / "initrd";
    fs::copy_file(boot.kernel, files.kernel);
    fs::copy_file(boot.initrd, files.initrd);
  }
  image.size_gib = std::max<std::uint64_t>(1, (disk.virtual_size + gib - 1) / gib);
  image.category = "User";
  image.added = utc_now();
  image.built = true;
  write_description(draft, image, files);
  for (const auto& entry : fs::directory_iterator(draft)) fs::permissions(entry.path(), fs::perms(0600));
  flush(draft);
  fs::path folder = own / image.name;  // which one that was deleted may still occupy
  for (int n = 2; fs::exists(folder); ++n) folder = own / fmt::format("{}.{}", image.name, n);
  fs::rename(draft, folder);
  return image;
}

Gallery::Gallery(fs::path cache, fs::path own, fs::path etc)
    : impl_(std::make_unique<Impl>(Impl{fs::absolute(cache), fs::absolute(own), std::move(etc)})) {}
Gallery::~Gallery() = default;

std::vector<GalleryImage> Gallery::list() const {
  std::vector<GalleryImage> images;
  for (const Recipe& recipe : recipes()) images.push_back(impl_->listed(recipe));
  for (auto& own : impl_->own_images()) images.push_back(std::move(own.image));
  return images;
}

std::optional<GalleryImage> Gallery::find(const std::string& name) const {
  if (const Recipe* recipe = find_recipe(name)) return impl_->listed(*recipe);
  auto own = impl_->find_own(name);
  return own ? std::optional(std::move(own->image)) : std::nullopt;
}

ImageFiles Gallery::ensure(const std::string& name, const ImageProgress& progress, std::stop_token stop) {
  if (const Recipe* recipe = find_recipe(name)) return impl_->build(*recipe, progress, std::move(stop));
  const auto own = impl_->find_own(name);
  const auto files = own ? files_in(own->folder) : std::nullopt;
  if (!files) throw_unknown(name);
  return *files;
}

std::optional<ImageFiles> Gallery::files_of(const GalleryImage& image) const {
  if (const Recipe* recipe = find_recipe(image.name)) return files_in(impl_->cache_folder(*recipe));
  const auto own = impl_->find_own(image.name);
  return own ? files_in(own->folder) : std::nullopt;
}

ImageFiles Gallery::files_of(const fs::path& disk) const {
  const DiskFile overlay = read_disk(disk);
  const fs::path folder = Templates::image_folder(overlay.backing);
  const auto files = overlay.backing.empty() ? std::nullopt : files_in(folder);
  if (!files || (files->disk != overlay.backing && folder == overlay.backing.parent_path()))
    throw Error(ErrorKind::not_found, "ImageNotFound",
                fmt::format("The disk {} stands on no image of the gallery.", disk.string()));
  return *files;
}

void Gallery::make_disk(const ImageFiles& image, const fs::path& target, std::uint64_t size_gib) const {
  const std::uint64_t own_size = read_disk(image.disk, image.format).virtual_size;
  create_disk(target, std::max(size_gib * gib, own_size), image.disk, image.format);
}

void Gallery::make_empty_disk(const fs::path& target, std::uint64_t size_gib) const {
  create_disk(target, size_gib * gib);
}

void Gallery::make_temporary_disk(const fs::path& target, std::uint64_t size_mib) const {
  const std::uint64_t bytes = size_mib << 20;
  if (fs::exists(target)) {
    if (read_disk(target).virtual_size == bytes) return;
    fs::remove(target);
  }
  create_disk(target, bytes);
}

GalleryImage Gallery::import(const fs::path& file, const std::string& name, const std::string& label,
                             const ImageProgress& progress) {
  GalleryImage image;
  image.name = name;
  image.label = label;
  return impl_->add(std::move(image), {}, [&](const fs::path& target) {
    if (progress) progress("Copying the image", -1);
    return import_disk(file, target);
  });
}

void Gallery::grow_disk(const fs::path& disk, std::uint64_t size_gib) const {
  berth::grow_disk(disk, size_gib * gib);
}

GalleryImage Gallery::capture(const fs::path& disk, const ImageFiles& base, const std::string& name,
                              const std::string& label, const ImageProgress& progress) {
  GalleryImage image;
  image.name = name;
  image.label = label;
  if (const auto origin = read_description(base.disk.parent_path())) {
    image.family = origin->value("family", "");
    image.docker = origin->value("docker", false);
  }
  return impl_->add(std::move(image), base, [&](const fs::path& target) {
    if (progress) progress("Copying the disk", -1);
    flatten_disk(disk, "qcow2", target);
    return read_disk(target);
  });
}

void Gallery::remove(const std::string& name) {
  if (find_recipe(name))
    throw Error(ErrorKind::conflict, "ImageIsPublic",
                fmt::format("The image '{}' is not yours to delete: it belongs to every gallery.", name));
  const auto own = impl_->find_own(name);
  if (!own) throw_unknown(name);
  write_file(own->folder / deleted_mark, "");
}

bool Gallery::has_deleted() const {
  return !impl_->own_images(true).empty() || !impl_->going().empty();
}

void Gallery::sweep(const std::vector<fs::path>& disks) {
  if (!has_deleted()) return;
  std::set<fs::path> needed;
  for (const fs::path& disk : disks) {
    std::error_code none;
    if (fs::exists(disk, none)) needed.insert(Templates::image_folder(read_disk(disk).backing));
  }
  const auto lock = FileLock::try_take(impl_->own / ".lock");
  if (!lock) return;  // an image is being added, which takes minutes: the next sweep does it
  // Under another name first: a removal that is cut short must not leave an image without its mark.
  for (const auto& own : impl_->own_images(true))
    if (!needed.contains(own.folder))
      fs::rename(own.folder, impl_->own / (std::string(going_prefix) + own.folder.filename().string()));
  for (const fs::path& folder : impl_->going()) fs::remove_all(folder);
}

}  // namespace berth
