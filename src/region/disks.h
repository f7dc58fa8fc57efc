#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "model/resources.h"
#include "region/outcomes.h"
#include "region/threads.h"

namespace berth {

class Images;
class Operations;
class RegionRecords;

/// Managed disks and their files.
class Disks {
 public:
  Disks(RegionRecords& records, Operations& operations, Images& images, Threads threads,
        std::filesystem::path home);

  /// Makes an empty disk, or changes tags and kind of the one that is there, and its size when that grows.
  /// The operation is "" when there is nothing to do on the host. Conflict when it would shrink, or grow
  /// while its VM is not deallocated.
  Accepted put(Disk wanted);
  void remove(const Ref& ref);
  std::vector<const Disk*> list(const std::string& group = {}) const;
  const Disk* find(const Ref& ref) const;

  void check_growth(const Disk& disk, std::uint64_t size_gib) const;
  /// Makes the file of a disk that has none yet, or lets the one it has grow to `size_gib`.
  boost::asio::awaitable<void> make(Ref ref, std::uint64_t size_gib);
  /// Within a change; its file is added to those that remove_files() shall remove afterwards.
  void erase(const Ref& ref, std::vector<std::string>& files);
  /// Below the region's home. What cannot be removed now is tried again.
  boost::asio::awaitable<void> remove_files(std::vector<std::string> files);
  boost::asio::awaitable<void> remove_what_is_left();
  /// Files that an earlier process was about to remove, and those that it had not finished.
  boost::asio::awaitable<void> sweep_files();
  static std::string file_of(const Disk& disk);  ///< below the region's home, also before it is made

 private:
  boost::asio::awaitable<void> remove_with_images(std::vector<std::string> files);

  RegionRecords& records_;
  Operations& operations_;
  Images& images_;
  Threads threads_;
  std::filesystem::path home_;
  std::set<std::string> left_;  ///< files that are to be removed and still there
};

}  // namespace berth
