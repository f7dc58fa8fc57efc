#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>

#include "region/impl.h"

namespace berth {

void Region::Impl::check_image_name_is_free(const std::string& name) const {
  if (host.gallery.find(name))
    throw Error(ErrorKind::conflict, "ImageExists", fmt::format("There is an image '{}' already.", name),
                "Choose another name.");
}

/// Tells `operation` what a long job in the pool is doing.
ImageProgress Region::Impl::image_progress(const std::string& operation) {
  return [this, operation](const std::string& what, double fraction) {
    const std::string text = fraction < 0 ? what : fmt::format("{} ({:.0f} %)", what, fraction * 100);
    asio::post(host.executor, [this, operation, text] { detail(operation, text); });
  };
}

Accepted Region::import_image(const std::filesystem::path& file, const std::string& name,
                              const std::string& label) {
  Impl& self = *impl_;
  self.check_image_name_is_free(name);
  const auto work = [&self, file, name, label](std::string operation) -> asio::awaitable<void> {
    self.phase(operation, "Copying the image");
    co_await self.on(self.host.builds, [&gallery = self.host.gallery, file, name, label,
                                        progress = self.image_progress(operation)] {
      gallery.import(file, name, label, progress);
      return 0;
    });
  };
  return {self.begin("image import", "osImages/" + name, work, {}), true};
}

Accepted Region::capture_vm(const Ref& ref, const std::string& image_name, const std::string& label) {
  Impl& self = *impl_;
  const Vm& vm = self.vm(ref);
  if (vm.power != PowerState::stopped && vm.power != PowerState::deallocated)
    throw Impl::not_now(vm, "captured");
  self.check_image_name_is_free(image_name);
  const auto work = [&self, ref, id = vm.id, image_name,
                     label](std::string operation) -> asio::awaitable<void> {
    self.phase(operation, "Copying the disk");
    const Vm& vm = self.still(ref, id);
    const Disk* disk = self.disks.find(vm.os_disk);
    if (!disk) throw Error(ErrorKind::internal, "InternalError", ref.name + " has no OS disk.");
    co_await self.on(self.host.builds, [&gallery = self.host.gallery, file = self.host.home / disk->file,
                                        image_name, label, progress = self.image_progress(operation)] {
      gallery.capture(file, gallery.files_of(file), image_name, label, progress);
      return 0;
    });
  };
  return self.records.change([&] {
    Accepted accepted = self.begin_vm(vm, "vm capture", work);
    // For a start that finds the operation unfinished and the image there.
    self.records.write("captured-image", accepted.operation, image_name);
    return accepted;
  });
}

void Region::delete_image(const std::string& name) {
  impl_->host.gallery.remove(name);
  impl_->sweep_images();
}

void Region::Impl::sweep_images() {
  if (!host.gallery.has_deleted()) return;
  std::vector<std::filesystem::path> files;
  for (const auto& [key, disk] : disks.rows())
    if (!disk.file.empty()) files.push_back(host.home / disk.file);
  asio::post(host.pool, [this, executor = host.executor, &gallery = host.gallery, files = std::move(files)] {
    try {
      gallery.sweep(files);
    } catch (const std::exception& trouble) {
      spdlog::warn("could not remove the files of deleted images: {}", trouble.what());
      asio::post(executor, [this] { image_files_left = true; });
    }
  });
}

}  // namespace berth
