#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>

namespace berth {

class Operations;
class RegionRecords;

/// The names of public addresses resolve on this host while the addresses exist: a block of its hosts file,
/// written anew each time.
class HostNames {
 public:
  /// `file`: empty for none. `home` tells the blocks of two regions apart.
  HostNames(RegionRecords& records, Operations& operations, boost::asio::any_io_executor executor,
            std::filesystem::path file, const std::filesystem::path& home);

  void write();
  void rewrite();  ///< where nothing can be taken back any more: what the file refuses is logged

 private:
  bool try_write();
  boost::asio::awaitable<void> write_in_turn();

  RegionRecords& records_;
  Operations& operations_;
  boost::asio::any_io_executor executor_;
  std::filesystem::path file_;
  std::string owner_;
  bool waits_ = false;  ///< until another region has written its names
};

}  // namespace berth
