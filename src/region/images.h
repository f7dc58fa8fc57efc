#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "images/gallery.h"
#include "region/operations.h"
#include "region/outcomes.h"
#include "region/threads.h"

namespace berth {

class RegionRecords;
class VmRecords;

/// The images that disks are made from: what of the gallery is the region's to change.
class Images {
 public:
  Images(RegionRecords& records, Operations& operations, VmRecords& vms, Threads threads, Gallery& gallery,
         std::filesystem::path home);

  Gallery& gallery() const { return gallery_; }
  /// Copies a disk file of this machine (qcow2, raw, VHD) into the gallery as an image of the user. Throws
  /// Error(conflict) when the name is taken; what Gallery::import throws ends the operation.
  Accepted import(const std::filesystem::path& file, const std::string& name, const std::string& label);
  /// Copies the OS disk of a VM that is stopped.
  Accepted capture(const Ref& vm, const std::string& name, const std::string& label);
  /// Removes a user's own image; disks that stand on it go on. Throws Error: not_found; conflict for a public
  /// one.
  void remove(const std::string& name);

  /// Within a change: a user's image goes once that is committed.
  void remove_after(const std::string& name);
  /// What an earlier process has not done of remove_after() and sweep().
  asio::awaitable<void> finish_removals();
  void remove_what_is_left();  ///< what could not be removed is tried again
  /// Removes the files of deleted images that no disk stands on any more, in the background.
  void sweep();
  /// Tells `operation` what a long job in the pool is doing.
  ImageProgress progress(const std::string& operation);
  /// Within a change, at start: whether a capture that was under way had made its image; and that none is any
  /// more.
  bool has_captured(const std::string& operation) const;
  void forget_captures();

 private:
  void check_name_is_free(const std::string& name) const;
  std::vector<std::filesystem::path> disk_files() const;
  void remove_going(const std::string& name);

  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  Threads threads_;
  Gallery& gallery_;
  std::filesystem::path home_;
  std::set<std::string> left_;  ///< that are to be removed and still there
  bool files_left_ = false;     ///< of images that are gone
};

}  // namespace berth
