#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "model/orders.h"
#include "region/outcomes.h"

namespace berth {

class Disks;
class Driver;
class Operations;
class RegionRecords;
class VmAttachments;
class VmMaking;
class VmPower;
class VmRecords;
struct RegionSettings;

/// Changes virtual machines that are there: size, data disks, and what stands only in their records.
class VmChanges {
 public:
  struct Neighbours {
    VmRecords& vms;
    VmAttachments& attachments;
    VmMaking& making;
    VmPower& power;
    Disks& disks;
  };
  VmChanges(RegionRecords& records, Operations& operations, Neighbours neighbours, Driver& driver,
            std::filesystem::path home, const RegionSettings& settings);

  Accepted begin(const Vm& known, VmOrder order);
  /// Plugs and unplugs data disks of a running machine until they are those of its record.
  boost::asio::awaitable<void> match_data_disks(Ref ref, std::string id);

 private:
  bool says_the_same(const Vm& known, const VmOrder& order) const;
  boost::asio::awaitable<void> update(std::string operation, Ref ref, std::string id, std::string size,
                                      std::uint64_t os_disk_gib, std::vector<DataDisk> data_disks);

  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  VmAttachments& attachments_;
  VmMaking& making_;
  VmPower& power_;
  Disks& disks_;
  Driver& driver_;
  std::filesystem::path home_;
  const RegionSettings& settings_;
};

}  // namespace berth
