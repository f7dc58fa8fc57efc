#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "images/gallery.h"

namespace berth {

/// A machine of an image that booted once and was frozen before it was anybody's (docs/instant.md): what machines
/// with the same devices go on from. Its files are never written again.
struct MachineTemplate {
  std::filesystem::path disk;            ///< qcow2, on the image's; machines' OS disks stand on it
  std::filesystem::path temporary_disk;  ///< qcow2; empty: it has none
  std::filesystem::path memory;          ///< as large as the machine's memory, with holes
  std::filesystem::path devices;         ///< the hypervisor's

  static MachineTemplate in(const std::filesystem::path& folder, bool with_temporary_disk);
};

/// The templates of images, each in a folder below its image's, with a manifest (template.json): the layout that it
/// is for, and size and SHA-256 of each file. Blocking calls: not for the region's thread. Processes may share
/// a cache. A machine's disk stands on its template's for good: that stays as long as the image, even when
/// the rest was found damaged.
class Templates {
 public:
  Templates();

  /// The template of that image for machines of that layout (Driver::template_layout). A file is read whole and
  /// compared with the manifest once in this process, and again when anything has touched it; a template that
  /// does not fit its manifest is set aside, with a warning in the log, and is none.
  std::optional<MachineTemplate> find(const ImageFiles& image, const std::string& layout);

  /// Whether there is one for any layout, without reading its files.
  bool has_any(const ImageFiles& image) const;

  /// A new one on its way.
  class Draft {
   public:
    ~Draft();                              ///< removes it unless it was kept
    const MachineTemplate& files() const;  ///< `memory`, `devices` and the disks are for the caller to make
    /// It is whole: writes the manifest and gives it its place. Throws Error(unavailable).
    void keep();

   private:
    friend class Templates;
    struct Impl;
    explicit Draft(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
  };
  /// nullptr while another process makes the same. What one left that was killed is removed. Throws
  /// Error(unavailable), also when the space is not enough for `memory_mib` and the disks.
  std::unique_ptr<Draft> begin(const ImageFiles& image, const std::string& layout, bool with_temporary_disk,
                               unsigned memory_mib);

  /// Where they are.
  static std::filesystem::path folder_of(const ImageFiles& image);
  /// The folder of the image that a backing file belongs to: itself its disk, or that of one of its templates.
  static std::filesystem::path image_folder(const std::filesystem::path& backing);

 private:
  struct Seen;
  std::shared_ptr<Seen> seen_;
};

}  // namespace berth
