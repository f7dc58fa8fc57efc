#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "hypervisor/driver.h"
#include "model/resources.h"
#include "region/outcomes.h"

namespace berth {

class Operations;
class RegionRecords;
class Switches;
class VmPower;
class VmRecords;

/// Machines that sleep: their memory is on disk, their ports stay open, and who comes wakes them (docs/instant.md).
class VmHibernation {
 public:
  VmHibernation(RegionRecords& records, Operations& operations, VmRecords& vms, Switches& switches,
                VmPower& power, Driver& driver);

  /// Throws Error(conflict) when it does not run.
  Accepted begin(const Vm& vm);
  /// The steps of an operation that has begun: a machine that is asleep goes on. Another operation's, too.
  boost::asio::awaitable<void> wake(std::string operation, Ref vm, std::string id);
  /// Somebody wants it: wakes it, unless that is under way, or was tried in vain just now.
  void wanted(const std::string& vm_id);
  /// Begins nothing any more, and waits for a while for those that are on their way, which would stand still.
  boost::asio::awaitable<void> stop();

 private:
  boost::asio::awaitable<void> hibernate(std::string operation, Ref vm, std::string id);
  /// Writes down what the host sees.
  boost::asio::awaitable<void> conclude(Ref vm, std::string id);

  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  Switches& switches_;
  VmPower& power_;
  Driver& driver_;
  /// Held by each machine's steps that neither runs nor sleeps; they may outlive us.
  std::shared_ptr<bool> at_work_ = std::make_shared<bool>(true);
  bool ending_ = false;
  std::map<std::string, std::chrono::steady_clock::time_point> in_vain_;  ///< by VM id: when to try again
};

}  // namespace berth
