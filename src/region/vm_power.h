#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "hypervisor/driver.h"
#include "images/gallery.h"
#include "model/resources.h"
#include "region/settings.h"
#include "region/threads.h"

namespace berth {

class Operations;
class RegionRecords;
class Switches;
class VmRecords;

/// Switches virtual machines on and off: the steps of an operation that has begun. Each step looks the VM up
/// anew (VmRecords::current()), for it may have been deleted meanwhile.
class VmPower {
 public:
  /// What of the host a machine runs on.
  struct Ground {
    Driver& driver;
    Gallery& gallery;
    std::function<void(const std::string& vm_id, const std::filesystem::path& folder)> guest_endpoints;
    Threads threads;
    std::filesystem::path home;
  };
  VmPower(RegionRecords& records, Operations& operations, VmRecords& vms, Switches& switches, Ground ground,
          const RegionSettings& settings);

  /// `from`: it does not boot, but goes on from there.
  boost::asio::awaitable<void> switch_on(std::string operation, Ref vm, std::string id, std::string medium,
                                         std::optional<Frozen> from = {});
  boost::asio::awaitable<void> switch_off(std::string operation, Ref vm, std::string id,
                                          std::chrono::milliseconds grace, bool deallocate);
  boost::asio::awaitable<void> await_agent(std::string operation, Ref vm, std::string id);
  boost::asio::awaitable<void> cut(std::string id);      ///< whatever it is doing
  boost::asio::awaitable<void> destroy(std::string id);  ///< and closes its guest endpoints

  /// Returns once the agent of a restored machine has set it up, or after a while.
  boost::asio::awaitable<void> await_set_up(std::string operation, Ref vm, std::string id);

  /// What its machine is made of.
  MachineSpec machine(const Vm& vm, const ImageFiles& files) const;
  boost::asio::awaitable<MachineSpec> specification(Ref vm, std::string id);  ///< the same, once it is made

  /// What the host sees now.
  bool runs(const Vm& vm) const;
  bool is_hibernated(const Vm& vm) const;
  PowerEvent found(const std::string& id) const;  ///< the same, for its record
  /// A machine that runs on from an earlier process, or sleeps on.
  boost::asio::awaitable<void> adopt(const Vm& vm);
  void take_event(const std::string& id, MachineEvent event);

 private:
  std::filesystem::path temporary_disk(const std::string& id) const;  ///< there until the VM is deallocated

  RegionRecords& records_;
  Operations& operations_;
  VmRecords& vms_;
  Switches& switches_;
  Driver& driver_;
  Gallery& gallery_;
  std::function<void(const std::string& vm_id, const std::filesystem::path& folder)> guest_endpoints_;
  Threads threads_;
  std::filesystem::path home_;
  const RegionSettings& settings_;
};

}  // namespace berth
