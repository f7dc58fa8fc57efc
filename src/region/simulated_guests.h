#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "model/resources.h"

namespace berth {

class Region;

/// Plays the guest agents of machines that are none: each VM that starts is provisioned at once, each
/// extension reports success. For tests and `berthd --driver=fake`; give seen() to
/// Region::Services::vm_changed.
class SimulatedGuests {
 public:
  explicit SimulatedGuests(boost::asio::any_io_executor executor) : executor_(std::move(executor)) {}

  void plays_in(Region& region) { region_ = &region; }
  void seen(const Vm& vm);

  /// What the handler of an extension answers; lets a test fail one. Empty: success.
  std::function<HandlerStatus(const Vm& vm, const Extension& extension)> answer;
  /// False: the agents say nothing from now on.
  bool talkative = true;
  /// False: handlers do not let themselves be uninstalled.
  bool leaves = true;

 private:
  void report_soon(const std::string& vm_id, std::chrono::milliseconds pause);
  void report(const std::string& vm_id);

  boost::asio::any_io_executor executor_;
  Region* region_ = nullptr;
  std::map<std::string, std::string> last_;  ///< VM id -> "container incarnation" that was answered
};

}  // namespace berth
