#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <string>

#include "base/secret.h"
#include "model/resources.h"

namespace berth {

class PrivateKey;
class RegionRecords;
class VmRecords;
struct RegionSettings;

/// The certificate of each VM, by which it reads its protected settings; its key is given to the VM's agent.
class VmCertificates {
 public:
  /// `new_key` is called on the pool.
  VmCertificates(RegionRecords& records, VmRecords& vms, boost::asio::any_io_executor pool,
                 const RegionSettings& settings, std::function<PrivateKey()> new_key);

  void load();
  bool has(const Vm& vm) const;                               ///< with its key
  void ensure(Vm& vm);                                        ///< within a change
  boost::asio::awaitable<void> make(Ref vm, std::string id);  ///< the same, with the key made by the pool
  void erase(const Vm& vm);                                   ///< within a change
  /// DER of the PKCS#12 with the VM's own certificate and key: GuestHost::guest_pfx().
  Secret pfx(const std::string& vm_id, const std::string& transport);

 private:
  void keep(Vm& vm, std::string certificate, Secret key);
  void give(const Vm& vm, const std::string& transport);

  RegionRecords& records_;
  VmRecords& vms_;
  boost::asio::any_io_executor pool_;
  const RegionSettings& settings_;
  std::function<PrivateKey()> new_key_;
  std::map<std::string, Secret> keys_;  ///< by Vm::id
};

}  // namespace berth
