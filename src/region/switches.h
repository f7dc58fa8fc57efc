#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "model/resources.h"
#include "region/settings.h"

namespace berth {

class Operations;
class RegionRecords;

/// Where an interface of a machine meets the switch of its network.
struct MachinePort {
  std::string id;   ///< 12 hexadecimal digits
  std::string mac;  ///< "00:0d:3a:…"
  std::filesystem::path socket;
};

/// The one block that a switch has for all prefixes of its network; "" when none between /8 and /29 holds them.
std::string whole_block(const VirtualNetwork& network);

/// Makes the switches and the ports of this host agree with networks, interfaces and security rules.
class Switches {
 public:
  Switches(RegionRecords& records, Operations& operations, boost::asio::any_io_executor executor,
           VirtualNetworks& networks, const RegionSettings& settings);

  /// Returns once the switch of a network does what the records say now.
  boost::asio::awaitable<void> settle(Ref network);
  boost::asio::awaitable<void> settle_vm(Ref vm);  ///< all networks of a VM
  void settle_soon(const Ref& network);            ///< in the background
  void settle_after(const NetworkInterface& nic);  ///< within a change: once that is committed
  /// The ports of a VM's addresses that had to move go back to where they were asked for, once its networks
  /// are settled again: whoever had them may be gone. They move again where they are refused again. False
  /// when none had moved.
  bool return_ports(const Vm& vm);

  std::filesystem::path folder(const VirtualNetwork& network) const;  ///< of its sockets
  MachinePort port_of(const NetworkInterface& nic, const VirtualNetwork& network) const;

  boost::asio::awaitable<void> remove(const VirtualNetwork& network);
  void remove_after(const VirtualNetwork& network);  ///< within a change, in the background
  void forget_after(const VirtualNetwork& network);  ///< within a change: it was removed before

  /// Settles the networks of machines that run on from an earlier process; switches of others end.
  boost::asio::awaitable<void> take_up(std::function<bool(const Vm&)> runs);
  boost::asio::awaitable<void> heal();  ///< starts switches again that died

 private:
  /// Ports of public addresses, by the address's key.
  using AddressPorts = std::map<std::string, std::vector<PublicAddress::Port>>;
  struct Live;

  boost::asio::awaitable<void> settle_once(Ref network);
  boost::asio::awaitable<void> settle_or_log(Ref network);
  /// What the switch of a network shall do now, and which ports its addresses have then.
  SwitchConfig config_of(const VirtualNetwork& network, AddressPorts& ports) const;
  /// Moves ports that the host refused; true when the switch must be told of that.
  bool move_refused(const SwitchReport& report, AddressPorts& ports) const;
  void keep_ports(AddressPorts ports);
  void tell_deaths();  ///< of switches, in what their VMs are shown with

  RegionRecords& records_;
  Operations& operations_;
  boost::asio::any_io_executor executor_;
  VirtualNetworks& networks_;
  const RegionSettings& settings_;
  std::map<std::string, std::shared_ptr<Live>> live_;  ///< by network id
};

}  // namespace berth
