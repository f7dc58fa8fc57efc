#include "region/disks.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <boost/asio/detached.hpp>
#include <set>

#include "crypto/random.h"
#include "host/files.h"
#include "region/images.h"
#include "region/operations.h"
#include "region/region_records.h"

namespace berth {

namespace asio = boost::asio;

namespace {

std::string disk_target(const Ref& ref) {
  return "disks/" + ref.group + "/" + ref.name;
}

}  // namespace

Disks::Disks(RegionRecords& records, Operations& operations, Images& images, Threads threads,
             std::filesystem::path home)
    : records_(records),
      operations_(operations),
      images_(images),
      threads_(std::move(threads)),
      home_(std::move(home)) {}

void Disks::check_growth(const Disk& disk, std::uint64_t size_gib) const {
  if (size_gib < disk.size_gib)
    throw Error(
        ErrorKind::conflict, "OperationNotAllowed",
        fmt::format("Disk '{}' has {} GiB and cannot shrink to {} GiB.", disk.name, disk.size_gib, size_gib));
  const Vm* user = records_.vms.find(disk.vm);
  if (size_gib > disk.size_gib && user && user->power != PowerState::deallocated)
    throw Error(
        ErrorKind::conflict, "OperationNotAllowed",
        fmt::format("Cannot resize disk '{}' while it is attached to running VM '{}'. Resizing a disk of an "
                    "Azure Virtual Machine requires the virtual machine to be deallocated.",
                    disk.name, user->name),
        "Deallocate it, then try again ('az vm deallocate').");
}

Accepted Disks::put(Disk wanted) {
  records_.check_group(wanted.group);
  const Disk* before = records_.disks.find(wanted.ref());
  if (wanted.size_gib == 0 && !before)
    throw Error(ErrorKind::invalid, "InvalidParameter", fmt::format("Disk '{}' has no size.", wanted.name),
                "Give diskSizeGB.");
  const std::uint64_t size = wanted.size_gib != 0 ? wanted.size_gib : before->size_gib;
  if (before) {
    if (before->file.empty())
      for (const Operation* operation : operations_.of(disk_target(before->ref())))
        if (operation->status == OperationStatus::running) return {operation->id, false};
    check_growth(*before, size);
    wanted.size_gib = before->size_gib;
    wanted.file = before->file;
    wanted.vm = before->vm;
    wanted.os = before->os;
    wanted.image = before->image;
  }
  stamp(wanted, before);
  const bool created = !before;
  return records_.change([&]() -> Accepted {
    const Disk& kept = records_.disks.put(std::move(wanted));
    if (!kept.file.empty() && size == kept.size_gib) return {"", created};
    return {operations_.begin(created ? OperationKind::disk_create : OperationKind::disk_resize,
                              disk_target(kept.ref()),
                              [this, ref = kept.ref(), size](std::string) { return make(ref, size); }),
            created};
  });
}

void Disks::remove(const Ref& ref) {
  const Disk* disk = records_.disks.find(ref);
  if (!disk) return;
  if (!disk->vm.empty() && records_.vms.find(disk->vm))
    throw Error(ErrorKind::conflict, "OperationNotAllowed",
                fmt::format("Disk '{}' is attached to VM '{}'.", ref.name, disk->vm.name),
                "Detach it or delete the VM first.");
  records_.change([&] {
    std::vector<std::string> files;
    erase(ref, files);
    records_.after(
        [this, files] { asio::co_spawn(threads_.executor, remove_with_images(files), asio::detached); });
  });
}

asio::awaitable<void> Disks::remove_with_images(std::vector<std::string> files) {
  co_await remove_files(std::move(files));
  images_.sweep();
}

std::vector<const Disk*> Disks::list(const std::string& group) const {
  return records_.disks.list(group);
}

const Disk* Disks::find(const Ref& ref) const {
  return records_.disks.find(ref);
}

std::string Disks::file_of(const Disk& disk) {
  return disk.file.empty() ? "disks/" + disk.guid + ".qcow2" : disk.file;
}

asio::awaitable<void> Disks::make(Ref ref, std::uint64_t size_gib) {
  const Disk* disk = records_.disks.find(ref);
  if (!disk) throw resource_not_found("Microsoft.Compute/disks", ref);
  const bool is_new = disk->file.empty();
  if (!is_new && disk->size_gib >= size_gib) co_return;
  const std::string guid = disk->guid, file = file_of(*disk);
  co_await on(threads_.pool, [&gallery = images_.gallery(), path = home_ / file, size_gib, is_new] {
    if (!is_new) {
      gallery.grow_disk(path, size_gib);
      return 0;
    }
    make_folder(path.parent_path());
    std::filesystem::remove(path);  // of an attempt that ended early
    gallery.make_empty_disk(path, size_gib);
    return 0;
  });
  const Disk* made = records_.disks.find(ref);
  if (!made || made->guid != guid) {
    co_await remove_files({file});
    throw Error(ErrorKind::conflict, "OperationPreempted", fmt::format("Disk '{}' was deleted.", ref.name));
  }
  records_.change([&] {
    Disk& disk_made = records_.disks.edit(ref);
    disk_made.file = file;
    disk_made.size_gib = size_gib;
    disk_made.etag = new_uuid();
    if (!records_.vms.find(disk_made.vm)) return;
    for (DataDisk& data : records_.vms.edit(disk_made.vm).data_disks)
      if (data.disk == ref) data.size_gib = size_gib;
  });
}

void Disks::erase(const Ref& ref, std::vector<std::string>& files) {
  const std::string file = file_of(*records_.disks.find(ref));
  // The next process removes it if this one cannot any more.
  records_.write("file-going", file, "");
  records_.disks.erase(ref);
  files.push_back(file);
}

asio::awaitable<void> Disks::remove_files(std::vector<std::string> files) {
  if (files.empty()) co_return;
  left_.insert(files.begin(), files.end());
  const std::vector<std::string> gone = co_await on(threads_.pool, [home = home_, files = std::move(files)] {
    std::vector<std::string> removed;
    for (const std::string& file : files) {
      std::error_code trouble;
      std::filesystem::remove(home / file, trouble);
      if (trouble)
        spdlog::warn("could not remove {}: {}", file, trouble.message());
      else
        removed.push_back(file);
    }
    return removed;
  });
  for (const std::string& file : gone) left_.erase(file);
  if (gone.empty()) co_return;
  co_await operations_.insist([&] {
    for (const std::string& file : gone) records_.write("file-going", file, std::nullopt);
  });
}

asio::awaitable<void> Disks::remove_what_is_left() {
  if (!left_.empty()) co_await remove_files({left_.begin(), left_.end()});
}

asio::awaitable<void> Disks::sweep_files() {
  std::vector<std::string> going;
  for (auto& [file, nothing] : records_.all("file-going")) going.push_back(file);
  std::error_code missing;
  for (const auto& entry : std::filesystem::directory_iterator(home_ / "disks", missing))
    if (entry.path().extension() == ".new") going.push_back("disks/" + entry.path().filename().string());
  co_await remove_files(std::move(going));
  std::set<std::string> known;
  for (const auto& [key, disk] : records_.disks.rows()) known.insert(file_of(disk));
  for (const auto& entry : std::filesystem::directory_iterator(home_ / "disks", missing))
    if (const std::string file = "disks/" + entry.path().filename().string(); !known.contains(file))
      spdlog::warn("{} belongs to no disk of this region", file);
}

}  // namespace berth
