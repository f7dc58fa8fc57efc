#include "region/images.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>

#include "region/vm_records.h"

namespace berth {

namespace asio = boost::asio;

Images::Images(RegionRecords& records, Operations& operations, VmRecords& vms, Threads threads,
               Gallery& gallery, std::filesystem::path home)
    : records_(records),
      operations_(operations),
      vms_(vms),
      threads_(std::move(threads)),
      gallery_(gallery),
      home_(std::move(home)) {}

void Images::check_name_is_free(const std::string& name) const {
  if (gallery_.find(name))
    throw Error(ErrorKind::conflict, "ImageExists", fmt::format("There is an image '{}' already.", name),
                "Choose another name.");
}

ImageProgress Images::progress(const std::string& operation) {
  return [this, operation](const std::string& what, double fraction) {
    const std::string text = fraction < 0 ? what : fmt::format("{} ({:.0f} %)", what, fraction * 100);
    asio::post(threads_.executor, [this, operation, text] { operations_.detail(operation, text); });
  };
}

Accepted Images::import(const std::filesystem::path& file, const std::string& name,
                        const std::string& label) {
  check_name_is_free(name);
  const auto work = [this, file, name, label](std::string operation) -> asio::awaitable<void> {
    operations_.phase(operation, "Copying the image");
    co_await on(threads_.builds, [&gallery = gallery_, file, name, label, progress = progress(operation)] {
      gallery.import(file, name, label, progress);
      return 0;
    });
  };
  return {operations_.begin(OperationKind::image_import, "osImages/" + name, work, {}), true};
}

Accepted Images::capture(const Ref& ref, const std::string& image_name, const std::string& label) {
  const Vm& vm = vms_.get(ref);
  if (vm.power != PowerState::stopped && vm.power != PowerState::deallocated) throw not_now(vm, "captured");
  check_name_is_free(image_name);
  const auto work = [this, ref, id = vm.id, image_name,
                     label](std::string operation) -> asio::awaitable<void> {
    operations_.phase(operation, "Copying the disk");
    const Vm& vm = vms_.current(ref, id);
    const Disk* disk = records_.disks.find(vm.os_disk);
    if (!disk) throw Error(ErrorKind::internal, "InternalError", ref.name + " has no OS disk.");
    co_await on(threads_.builds, [&gallery = gallery_, file = home_ / disk->file, image_name, label,
                                  progress = progress(operation)] {
      gallery.capture(file, gallery.files_of(file), image_name, label, progress);
      return 0;
    });
  };
  return records_.change([&] {
    Accepted accepted = vms_.begin(vm, OperationKind::vm_capture, work);
    // For a start that finds the operation unfinished and the image there.
    records_.write("captured-image", accepted.operation, image_name);
    return accepted;
  });
}

void Images::remove(const std::string& name) {
  gallery_.remove(name);
  sweep();
}

std::vector<std::filesystem::path> Images::disk_files() const {
  std::vector<std::filesystem::path> files;
  for (const auto& [key, disk] : records_.disks.rows())
    if (!disk.file.empty()) files.push_back(home_ / disk.file);
  return files;
}

void Images::sweep() {
  if (!gallery_.has_deleted()) return;
  asio::post(threads_.pool, [this, executor = threads_.executor, &gallery = gallery_, files = disk_files()] {
    try {
      gallery.sweep(files);
    } catch (const std::exception& trouble) {
      spdlog::warn("could not remove the files of deleted images: {}", trouble.what());
      asio::post(executor, [this] { files_left_ = true; });
    }
  });
}

void Images::remove_after(const std::string& name) {
  records_.write("image-going", name, "");
  records_.after([this, name] { remove_going(name); });
}

/// Of a managed image that was deleted; tried again when it cannot be.
void Images::remove_going(const std::string& name) {
  try {
    if (const auto image = gallery_.find(name); image && image->category == "User")
      gallery_.remove(image->name);
    left_.erase(name);
    operations_.insist_soon([this, name] { records_.write("image-going", name, std::nullopt); });
  } catch (const std::exception& error) {
    spdlog::warn("could not remove image={}: {}", name, error.what());
    left_.insert(name);
  }
}

asio::awaitable<void> Images::finish_removals() {
  std::error_code missing;
  std::filesystem::remove_all(home_ / "images" / ".new", missing);  // of an image that was being added
  for (auto& [name, nothing] : records_.all("image-going")) remove_going(name);
  try {
    co_await on(threads_.pool, [&gallery = gallery_, files = disk_files()] {
      gallery.sweep(files);
      return 0;
    });
  } catch (const std::exception& trouble) {
    spdlog::warn("could not remove the files of deleted images: {}", trouble.what());
    files_left_ = true;
  }
}

void Images::remove_what_is_left() {
  for (const std::string& name : std::set<std::string>(left_)) remove_going(name);
  if (std::exchange(files_left_, false)) sweep();
}

bool Images::has_captured(const std::string& operation) const {
  for (const auto& [id, image] : records_.all("captured-image"))
    if (id == operation) return gallery_.find(image).has_value();
  return false;
}

void Images::forget_captures() {
  for (const auto& [id, image] : records_.all("captured-image"))
    records_.write("captured-image", id, std::nullopt);
}

}  // namespace berth
