#pragma once

#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <string>

#include "model/orders.h"
#include "region/operations.h"
#include "region/outcomes.h"
#include "region/threads.h"

namespace berth {

struct Frozen;
class Disks;
class Images;
class RegionRecords;
class Switches;
class VmAttachments;
class VmCertificates;
class VmPower;
class VmRecords;
class VmRestoring;

/// Makes virtual machines: checks the order, writes its record, and does the steps that follow.
class VmMaking {
 public:
  struct Neighbours {
    VmRecords& vms;
    VmAttachments& attachments;
    VmCertificates& certificates;
    VmPower& power;
    VmRestoring& restoring;
    Images& images;
    Switches& switches;
  };
  VmMaking(RegionRecords& records, Operations& operations, Neighbours neighbours, Threads threads,
           std::filesystem::path home);

  /// `before`: a VM of that name of which nothing ever ran, or nullptr.
  Accepted begin(VmOrder order, const Vm* before);
  /// Within a change: goes on with what an earlier process had begun; `runs`: the machine does.
  void take_up(const Vm& vm, bool runs, Operations::Unfinished& unfinished);
  /// Runs the steps of a creation or an update, then writes into the VM's record what they came to.
  boost::asio::awaitable<void> conclude(Ref vm, std::string id, boost::asio::awaitable<void> steps);

 private:
  /// The OS disk that an order wants, as its record will be; nothing is written.
  Disk os_disk_of(const VmOrder& order, const Vm* before) const;
  boost::asio::awaitable<void> make(std::string operation, Ref ref, std::string id, Secret password,
                                    std::string custom_data, bool as_it_is);
  boost::asio::awaitable<bool> restore(std::string operation, Ref ref, std::string id, Secret password,
                                       std::string medium, Frozen from, bool grow);
  boost::asio::awaitable<void> start_attached(std::string operation, Ref ref, std::string id);
  boost::asio::awaitable<void> give_up(Ref ref, std::string id);
  boost::asio::awaitable<void> resume(std::string operation, Ref ref, std::string id);

  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  VmAttachments& attachments_;
  VmCertificates& certificates_;
  VmPower& power_;
  VmRestoring& restoring_;
  Images& images_;
  Switches& switches_;
  Threads threads_;
  std::filesystem::path home_;
};

}  // namespace berth
