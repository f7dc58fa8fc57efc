#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <set>

#include "base/error.h"
#include "hypervisor/driver.h"

namespace berth {

/// A host without machines: for tests, and for berthd --driver=fake. Obeys Driver's contract to the letter,
/// with folders on disk where a second FakeDriver finds the machines running; boots nothing and writes no
/// serial log. Light enough for tens of thousands of machines.
class FakeDriver final : public Driver {
 public:
  FakeDriver(boost::asio::any_io_executor executor, std::filesystem::path home);
  ~FakeDriver() override;

  boost::asio::awaitable<void> start(MachineSpec spec, std::string medium) override;
  boost::asio::awaitable<void> restore(MachineSpec spec, std::string medium, Frozen from) override;
  boost::asio::awaitable<void> freeze(std::string id, std::filesystem::path devices) override;
  boost::asio::awaitable<void> hibernate(MachineSpec spec) override;
  boost::asio::awaitable<void> wake(MachineSpec spec) override;
  boost::asio::awaitable<std::string> converse(std::string id, Secret line,
                                               std::chrono::milliseconds limit) override;
  boost::asio::awaitable<std::string> template_layout(MachineSpec spec) override;
  boost::asio::awaitable<void> stop(std::string id, std::chrono::milliseconds grace) override;
  boost::asio::awaitable<void> reset(std::string id) override;
  boost::asio::awaitable<void> attach_disk(std::string id, MachineSpec::DataDisk disk) override;
  boost::asio::awaitable<void> detach_disk(std::string id, int lun) override;
  boost::asio::awaitable<std::set<int>> luns(std::string id) override;
  boost::asio::awaitable<std::string> screenshot(std::string id) override;
  std::optional<MachineState> observe(const std::string& id) override;
  std::filesystem::path folder(const std::string& id) const override;
  std::filesystem::path serial_log(const std::string& id) const override;
  boost::asio::awaitable<void> destroy(std::string id) override;
  void on_event(std::function<void(std::string id, MachineEvent)> handler) override;
  boost::asio::awaitable<void> adopt(std::string id) override;
  boost::asio::awaitable<Accelerator> accelerator() override;

  // What a test makes of the host and of the guests.

  /// Thrown by the next start(), once.
  std::optional<Error> fail_next_start;
  /// Thrown by the next stop(), once; the machine runs on.
  std::optional<Error> fail_next_stop;
  /// Thrown by the next hibernate(), once; the machine runs on.
  std::optional<Error> fail_next_hibernate;
  /// Thrown by the next destroy(), once: an Error, or what the host's file system throws.
  std::exception_ptr fail_next_destroy;
  /// Called inside start(), not restore() or wake(), once the machine runs: plays what the guest does at boot. `medium` is what start()
  /// was given.
  std::function<void(const MachineSpec& spec, const std::string& medium)> on_start;
  /// Whether machines can be frozen: template_layout() names their size then.
  bool freezes = false;
  /// What the guest's unit answers to a line of converse(). None: `{"state":"done"}`, to an empty one
  /// `{"state":"waiting"}`.
  std::function<std::string(const std::string& id, const std::string& line)> on_word;
  /// Called when stop() presses the power button: true if the guest heeds it. None: every guest does.
  std::function<bool(const std::string& id)> on_power_button;

  void guest_powers_off(const std::string& id);
  void guest_resets(const std::string& id);
  /// QEMU would be gone without a word.
  void crash(const std::string& id);
  void host_has_no_space(const std::string& id);

 private:
  struct Machine {
    std::set<int> luns;
    std::filesystem::path memory_file;                 ///< of one that may be frozen
    bool watched = false;                              ///< by start() or adopt()
    std::shared_ptr<boost::asio::steady_timer> ended;  ///< cancelled when it ends; made when someone waits
  };

  Machine* find(const std::string& id);
  Machine& get(const std::string& id);
  void remember(const std::string& id, const Machine& machine);
  void end(const std::string& id);
  void tell(const std::string& id, MachineEvent event);
  boost::asio::awaitable<void> next_turn();

  boost::asio::any_io_executor executor_;
  std::filesystem::path home_;
  std::map<std::string, Machine> running_;
  std::map<std::string, bool> starting_;  ///< true: stop() came meanwhile
  std::set<std::string> going_on_;        ///< that are restored just now
  std::shared_ptr<std::function<void(std::string, MachineEvent)>> handler_;
};

}  // namespace berth
