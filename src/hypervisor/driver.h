#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/secret.h"

namespace berth {

constexpr std::size_t longest_word = 64 << 10;  ///< bytes of a line that a guest says to converse()

/// What runs a guest's instructions.
enum class Accelerator { kvm, tcg, none };  ///< none: the fake
std::string_view to_string(Accelerator accelerator);

/// One machine as the host sees it: files, sockets, sizes. Nothing of Azure. The device list is a pure
/// function of this value, so the same specification always makes the same machine.
struct MachineSpec {
  struct Nic {
    std::string mac;               ///< "00:0d:3a:…"
    std::filesystem::path socket;  ///< unix stream socket of the virtual network (network/)
  };
  struct DataDisk {
    int lun = 0;
    std::filesystem::path file;  ///< qcow2
  };
  struct DirectBoot {
    std::filesystem::path kernel, initrd;
    std::string command_line;
  };
  std::string id;    ///< 12 hexadecimal digits; the name of its folder
  std::string name;  ///< for messages and QEMU's -name
  std::string uuid;  ///< SMBIOS product uuid, constant over the machine's life
  unsigned cpus = 1;
  unsigned memory_mib = 1024;
  std::filesystem::path os_disk;  ///< qcow2
  bool azure_disks =
      false;  ///< OS and temporary disk on a SCSI bus, as on Azure; else the OS disk is virtio's
  std::optional<std::filesystem::path> temporary_disk;  ///< qcow2; with azure_disks only
  std::optional<DirectBoot> direct_boot;                ///< else the disk's own boot loader
  std::vector<DataDisk> data_disks;
  std::vector<Nic> nics;
  /// A file that is made to hold the machine's memory, as large as that but for the holes in it: freeze() asks for
  /// it. Empty: memory of QEMU's own.
  std::filesystem::path memory_file;
};

/// A machine that stands still: what freeze() wrote, and others go on from. Both files belong to one disk as it was at
/// that moment. They are only read: each machine has what it changes in memory of its own.
struct Frozen {
  std::filesystem::path memory;   ///< MachineSpec::memory_file
  std::filesystem::path devices;  ///< QEMU's migration stream, without the memory
};

/// What a machine did by itself, or what befell it. no_space: it is halted since the host has no space for
/// what it writes to its disks; tried again, and told again, every space_pause until there is some.
enum class MachineEvent { powered_off, reset, crashed, no_space };
constexpr std::chrono::seconds space_pause{5};

/// What a machine is doing now. hibernated: its memory and devices are in its folder, and it goes on from there.
enum class MachineState { running, hibernated, stopped };

/// Runs machines on this host. Knows nothing of Azure, HTTP or the store. Machines outlive the driver object
/// and the process: a new driver over the same folder finds them again (observe() says so at once). All
/// methods belong to one thread, that of the executor they are awaited on.
class Driver {
 public:
  virtual ~Driver() = default;

  /// Returns once the virtual CPUs run; the guest may need minutes more. `medium` is the provisioning ISO
  /// image: it is kept in memory only and never written to disk; empty: no medium. Throws Error: conflict
  /// when the machine already runs, unavailable when the host lacks QEMU, memory or a file of the
  /// specification (the text holds the last lines of QEMU's own log). A hibernated machine boots, and its memory is
  /// given up.
  virtual boost::asio::awaitable<void> start(MachineSpec spec, std::string medium) = 0;

  /// The same, but the machine does not boot: it goes on where a frozen one stood. That had the same devices
  /// (template_layout()), no data disks and one network interface; `spec.os_disk` and `spec.temporary_disk` stand
  /// on its disks. Its guest knows nothing of a new name, address or medium until converse() tells it.
  virtual boost::asio::awaitable<void> restore(MachineSpec spec, std::string medium, Frozen from) = 0;

  /// Halts a machine that was started with a memory_file, writes its devices to a new file and ends it. What
  /// it wrote to its disks is on them. Throws Error: conflict when it does not run, unavailable.
  virtual boost::asio::awaitable<void> freeze(std::string id, std::filesystem::path devices) = 0;

  /// Halts a machine, writes its memory and devices to a file in its folder and ends it; wake() has it go on there.
  /// `spec` is what it is made of now. Throws Error: conflict when it does not run, or was started by a version of
  /// this program that could not; unavailable, and then it runs on, if it can.
  virtual boost::asio::awaitable<void> hibernate(MachineSpec spec) = 0;

  /// The machine goes on where hibernate() halted it; from then on that file is gone, since its disks change. Throws
  /// Error: conflict when it runs, or is not hibernated, or this host is not as it was then (another QEMU, processor or
  /// accelerator, other devices); unavailable. It is hibernated still then.
  virtual boost::asio::awaitable<void> wake(MachineSpec spec) = 0;

  /// Sends a line to the unit of the guest that gives a machine its identity (images/recipe), or none when it is
  /// empty, and returns the next line that it says: at most longest_word bytes. Conversations of a machine take
  /// turns. Throws Error: conflict when it does not run, unavailable when nothing came within `limit`.
  virtual boost::asio::awaitable<std::string> converse(std::string id, Secret line,
                                                       std::chrono::milliseconds limit) = 0;

  /// All that a machine of another specification must have in common with this one to go on where it was frozen:
  /// devices, memory, processors, QEMU's version, the accelerator. "" when this host freezes none, or none of these
  /// devices.
  virtual boost::asio::awaitable<std::string> template_layout(MachineSpec spec) = 0;

  /// Presses the power button, waits up to `grace`, then cuts the power. Zero grace: cuts it at once. The memory of a
  /// hibernated machine is given up. Idempotent.
  virtual boost::asio::awaitable<void> stop(std::string id, std::chrono::milliseconds grace) = 0;

  /// Resets a running machine. Throws Error(conflict) when it is not running.
  virtual boost::asio::awaitable<void> reset(std::string id) = 0;

  /// Plugs a disk into, or takes it out of, a running machine (virtio-scsi, by lun); detach waits until the
  /// guest let go of it. Throws Error: conflict when the machine is not running or the lun is taken or empty.
  virtual boost::asio::awaitable<void> attach_disk(std::string id, MachineSpec::DataDisk disk) = 0;
  virtual boost::asio::awaitable<void> detach_disk(std::string id, int lun) = 0;

  /// The luns of the data disks that are plugged now; none when it does not run.
  virtual boost::asio::awaitable<std::set<int>> luns(std::string id) = 0;

  /// The screen as a PNG image (serial consoles are a text file, see serial_log). Throws Error(conflict) when
  /// the machine is not running.
  virtual boost::asio::awaitable<std::string> screenshot(std::string id) = 0;

  /// What the host sees now; nullopt for a machine it has never seen, or whose folder is gone.
  virtual std::optional<MachineState> observe(const std::string& id) = 0;

  /// The machine's folder: its disks, sockets and logs. The caller puts disks there; the driver owns the
  /// rest.
  virtual std::filesystem::path folder(const std::string& id) const = 0;
  virtual std::filesystem::path serial_log(const std::string& id) const = 0;

  /// Ends it if it runs and removes its folder with all that is in it. Idempotent.
  virtual boost::asio::awaitable<void> destroy(std::string id) = 0;

  /// Called on the driver's executor whenever a machine that start() or adopt() knows changes by itself.
  virtual void on_event(std::function<void(std::string id, MachineEvent)> handler) = 0;

  /// Takes up watching a machine that an earlier process started; does nothing when it does not run.
  virtual boost::asio::awaitable<void> adopt(std::string id) = 0;

  /// Found out once and remembered (a file in the driver's folder, valid for this QEMU, kernel and boot): a
  /// KVM that opens may still hang its guests, so a small guest is booted under it.
  virtual boost::asio::awaitable<Accelerator> accelerator() = 0;
};

/// Machines under `home`/vm/ID, run by QEMU over QMP.
std::unique_ptr<Driver> make_qemu_driver(boost::asio::any_io_executor executor, std::filesystem::path home);

}  // namespace berth
