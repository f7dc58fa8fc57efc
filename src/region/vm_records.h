#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>

#include "region/operations.h"
#include "region/outcomes.h"
#include "region/region_records.h"
#include "region/signal.h"

namespace berth {

/// What a VM has besides its record, while this process runs.
struct LiveVm {
  explicit LiveVm(boost::asio::any_io_executor executor) : changed(std::move(executor)) {}
  Signal changed;              ///< status arrived, power changed, deletion asked
  std::string busy;            ///< the operation that works on it; one at a time
  std::stop_source giving_up;  ///< stops slow work when the VM is being deleted
};

/// Keeps a VM for one operation: others find it busy until this goes.
struct BusyGuard {
  std::shared_ptr<LiveVm> state;
  std::string operation;
  ~BusyGuard() {
    if (state->busy != operation) return;
    state->busy.clear();
    state->changed.notify();
  }
};

/// The records of the virtual machines, and who works on which.
class VmRecords {
 public:
  /// `changed` is told after each change of a VM's record; may be empty.
  VmRecords(RegionRecords& records, Operations& operations, boost::asio::any_io_executor executor,
            std::function<void(const Vm& vm)> changed);

  void load();  ///< once the tables are

  const Vm& get(const Ref& ref) const;  ///< throws ResourceNotFound
  const Vm* find_by_id(const std::string& id) const;
  /// The VM if it is still the same one and not being deleted; throws Error(conflict, "OperationPreempted")
  /// otherwise.
  const Vm& current(const Ref& ref, const std::string& id) const;
  std::shared_ptr<LiveVm> live(const std::string& id);

  // --- within a change
  const Vm& put(Vm vm);
  /// The VM to be changed, with a new etag; those who wait are told once that is committed.
  Vm& edit(const Ref& vm);
  void erase(const Vm& vm);
  /// One change of one VM.
  template <class F>
  void change(const Ref& ref, F work) {
    records_.change([&] { work(edit(ref)); });
  }

  /// Throws conflict while an operation works on it.
  void check_idle(const Vm& vm);
  /// Begins an operation that nothing else works beside on this VM.
  Accepted begin(const Vm& vm, OperationKind kind, Operations::Work work, std::string id = {});
  void stop();  ///< wakes all that wait for a VM

 private:
  RegionRecords& records_;
  Operations& operations_;
  boost::asio::any_io_executor executor_;
  std::function<void(const Vm& vm)> changed_;
  std::map<std::string, std::string, std::less<>> keys_;  ///< Vm::id -> Ref key
  std::map<std::string, std::shared_ptr<LiveVm>> live_;   ///< by Vm::id
};

/// What an operation on a VM names as its target.
std::string vm_target(const Ref& vm);
/// Azure hands out the VM's id with the first three groups of the SMBIOS uuid in the other byte order.
std::string smbios_uuid(const std::string& vm_id);
/// "web1 is stopped and cannot be restarted now."
Error not_now(const Vm& vm, const std::string& what);

}  // namespace berth
