#pragma once

#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "host/process.h"
#include "hypervisor/driver.h"
#include "hypervisor/qemu/turn.h"

namespace berth {

struct QemuSettings {
  std::filesystem::path home;                  ///< machines in vm/ID below it
  std::string program = "qemu-system-x86_64";  ///< a path, or a name to be found
  std::optional<Accelerator> accelerator;      ///< none: probed
  std::filesystem::path memory_info = "/proc/meminfo";
  std::chrono::milliseconds log_check{60'000};  ///< how often logs in use are looked at
};

/// In a machine's folder: qemu.pid ("PID START"), qmp.sock, serial.log, qemu.log, hibernation. The pid file and QEMU's
/// own state are the only truth: nothing here has to survive but can be asked again.
class QemuDriver final : public Driver {
 public:
  QemuDriver(boost::asio::any_io_executor executor, QemuSettings settings);
  ~QemuDriver() override;

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

  /// The process of a running machine.
  std::optional<ProcessId> process(const std::string& id) const;

 private:
  struct Machine;
  using MachinePtr = std::shared_ptr<Machine>;

  bool was_stopped(const std::string& id) const;
  boost::asio::awaitable<void> begin(MachineSpec spec, std::string medium, std::optional<Frozen> from);
  ProcessId launch(const MachineSpec& spec, const std::string& medium, Accelerator accelerator,
                   const std::optional<Frozen>& from);
  MachinePtr watch(const std::string& id, const ProcessId& process);
  /// A guest writes to its console as long as it likes.
  boost::asio::awaitable<void> keep_logs_small(std::weak_ptr<bool> alive);
  boost::asio::awaitable<void> await_end(MachinePtr machine);
  boost::asio::awaitable<void> connect(MachinePtr machine);
  boost::asio::awaitable<void> catch_up(MachinePtr machine);
  boost::asio::awaitable<MachinePtr> reach(std::string id);
  boost::asio::awaitable<void> try_reach(std::string id);
  boost::asio::awaitable<void> end_stray(std::string id);
  boost::asio::awaitable<void> write_down(MachinePtr machine, std::filesystem::path file, bool with_memory,
                                          std::uintmax_t most);
  static boost::asio::awaitable<nlohmann::json> memory_of(MachinePtr machine);  ///< null: it has another name
  boost::asio::awaitable<std::string> layout_text(MachineSpec spec);
  void forget_hibernation(const std::string& id);
  /// Presses its power button, when there is time for it, and ends it.
  boost::asio::awaitable<void> end(MachinePtr machine, std::chrono::milliseconds grace);
  void take_event(const MachinePtr& machine, const std::string& event, const nlohmann::json& data);
  void tell(const std::string& id, MachineEvent event);
  void tell_later(const std::string& id, MachineEvent event);  ///< not within the monitor's own call
  void forget(const Machine& machine);

  boost::asio::any_io_executor executor_;
  QemuSettings settings_;
  std::function<void(std::string, MachineEvent)> handler_;
  std::map<std::string, MachinePtr> machines_;  ///< those that are watched
  std::map<std::string, bool> starting_;        ///< true: stop() came meanwhile
  qemu::Turn probing_;
  boost::asio::thread_pool writing_{1};   ///< takes what machines write down; not waited for at the end
  boost::asio::thread_pool removals_{1};  ///< of folders; waited for
  std::optional<Accelerator> accelerator_;
  unsigned screenshots_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< for coroutines that may outlive us
};

}  // namespace berth
