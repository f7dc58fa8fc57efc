#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace berth {

/// An OS image that VMs can be made from.
struct GalleryImage {
  std::string
      name;  ///< what `vm docker create` takes: "berth__Debian-12-docker-amd64-20.10-en-us-30GB" and alike
  std::string label;                           ///< for people
  std::string publisher, offer, sku, version;  ///< the marketplace address; empty for a user's own
  std::string family;                          ///< "Debian 12"
  std::string category;                        ///< "Public" or "User"
  std::string os = "Linux";
  std::uint64_t size_gib = 30;  ///< smallest OS disk
  bool docker = false;          ///< has a Docker Engine installed
  bool built = false;           ///< its files are on disk
  std::string added;            ///< UTC, ISO 8601; of a user's own

  std::string urn() const { return publisher + ":" + offer + ":" + sku + ":" + version; }
};

/// The files of an image that is on disk. Read-only for all users of it.
struct ImageFiles {
  std::filesystem::path disk;            ///< qcow2 or raw; the backing file of VM disks
  std::string format;                    ///< "qcow2", "raw"
  std::filesystem::path kernel, initrd;  ///< for direct boot; empty: the disk has a boot loader
  std::string command_line;
  /// The disks of its machines stand as on Azure: the OS disk on a SCSI bus, a temporary disk beside it. Not
  /// so for images that may have no driver for it at boot: those that users bring, and those built before.
  bool azure_disks = false;
  /// Its machines can be frozen before they are anybody's, and be told who they are (images/templates.h).
  bool takes_identity = false;
};

/// Says how far a long job is: one short line for people ("Installing packages, 120 of 214"), and a fraction
/// or -1.
using ImageProgress = std::function<void(const std::string& what, double fraction)>;

/// The images of this user: `cache` for what can be built again, `own` (inside the region's home) for the
/// user's own. Blocking calls: not for the region's thread. Threads and processes may share one cache:
/// building is locked.
class Gallery {
 public:
  /// `etc`: where the host's apt sources and subordinate ids stand.
  Gallery(std::filesystem::path cache, std::filesystem::path own, std::filesystem::path etc = "/etc");
  ~Gallery();

  std::vector<GalleryImage> list() const;
  /// By name (case-insensitive), or "publisher:offer:sku:version" with version "latest" allowed. nullopt if
  /// unknown.
  std::optional<GalleryImage> find(const std::string& name) const;

  /// Makes sure that the image's files are there, building them if needed; another process that builds the
  /// same is waited for. Interrupted at any point, it leaves nothing half made in the cache. Throws Error:
  /// not_found, unavailable (mmdebstrap missing, mirror refused, no space: with the last lines of the build
  /// log), and Error(unavailable, "OperationCanceled") when `stop` was requested.
  ImageFiles ensure(const std::string& name, const ImageProgress& progress, std::stop_token stop);

  /// The same of an image whose files are there; nullopt of any other.
  std::optional<ImageFiles> files_of(const GalleryImage& image) const;

  /// The files of the image that a disk of make_disk() stands on, whatever the gallery would build by that
  /// name now: a machine keeps the kernel that its root file system has modules for. Throws Error(not_found).
  ImageFiles files_of(const std::filesystem::path& disk) const;

  /// A new qcow2 overlay of the image, `size_gib` large (at least the image's own), at `target`. Never
  /// overwrites.
  void make_disk(const ImageFiles& image, const std::filesystem::path& target, std::uint64_t size_gib) const;
  /// A new empty qcow2 disk.
  void make_empty_disk(const std::filesystem::path& target, std::uint64_t size_gib) const;
  /// A qcow2 disk of that size, empty unless it was there already.
  void make_temporary_disk(const std::filesystem::path& target, std::uint64_t size_mib) const;

  /// Makes a VM's disk larger; conflict while a machine has it open.
  void grow_disk(const std::filesystem::path& disk, std::uint64_t size_gib) const;

  /// Adds a user's own image: qcow2, raw or VHD with the agent installed. Checked, then copied (reflink if
  /// the file system can). Throws Error: invalid (not a disk image, has a backing file), conflict (name
  /// taken).
  GalleryImage import(const std::filesystem::path& file, const std::string& name, const std::string& label,
                      const ImageProgress& progress);
  /// Flattens a VM's disk into an image of the user ("capture"). `base` gives direct-boot files to it.
  GalleryImage capture(const std::filesystem::path& disk, const ImageFiles& base, const std::string& name,
                       const std::string& label, const ImageProgress& progress);
  /// The image is gone at once, and its name is free; its files stay until sweep() finds no disk on them.
  /// Throws Error: not_found; conflict for a public image.
  void remove(const std::string& name);
  bool has_deleted() const;
  /// Removes the files of deleted images on which none of `disks`, all that there are, stands.
  void sweep(const std::vector<std::filesystem::path>& disks);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
