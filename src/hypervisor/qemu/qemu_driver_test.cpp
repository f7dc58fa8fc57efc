#include "hypervisor/qemu/qemu_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"
#include "hypervisor/qemu/monitor.h"
#include "hypervisor/test_guests.h"
#include "hypervisor/test_loop.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string machine_id = "0123456789ab";

/// What is QEMU's own; what every driver does is in driver_contract_test.cpp.
class QemuDriverTest : public testing::Test {
 protected:
  QemuDriverTest() { make_driver(); }
  ~QemuDriverTest() override { loop.run(driver->destroy(machine_id)); }

  void make_driver() {
    driver.reset();
    driver = std::make_unique<QemuDriver>(loop.context.get_executor(), settings);
    driver->on_event([this](const std::string&, MachineEvent event) { events.push_back(event); });
  }
  MachineSpec machine(TestGuest guest) {
    MachineSpec spec{.id = machine_id,
                     .name = "web1",
                     .uuid = "d0df4c54-4ecb-4a4b-8899-aabbccddeeff",
                     .memory_mib = 32,
                     .os_disk = driver->folder(machine_id) / "os.qcow2",
                     .direct_boot = {},
                     .data_disks = {},
                     .nics = {}};
    make_folder(driver->folder(machine_id));
    write_guest_disk(spec.os_disk, guest, "hello");
    return spec;
  }
  Error error_of(boost::asio::awaitable<void> work) {
    return loop.error_of([&] { loop.run(std::move(work)); });
  }
  bool said(const std::string& text) {
    return loop.until(
        [&] { return read_file(driver->serial_log(machine_id)).find(text) != std::string::npos; });
  }
  /// Another client's word with QEMU; no driver may be connected.
  json ask(const std::string& command, json arguments = json::object()) {
    const auto monitor = loop.run(qemu::Monitor::connect(driver->folder(machine_id) / "qmp.sock", 30s, {}));
    return loop.run(monitor->execute(command, std::move(arguments)));
  }
  mode_t mode(const std::filesystem::path& file) {
    struct stat status {};
    ::stat(file.c_str(), &status);
    return status.st_mode & 07777;
  }

  TestLoop loop;
  TemporaryFolder home;
  QemuSettings settings{.home = home.path(), .accelerator = Accelerator::tcg};
  std::unique_ptr<QemuDriver> driver;
  std::vector<MachineEvent> events;
};

}  // namespace

TEST_F(QemuDriverTest, SaysWhichPackageIsMissing) {
  settings.program = "qemu-system-not-there";
  make_driver();

  const Error error = error_of(driver->start(machine(TestGuest::idles), ""));

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.advice, HasSubstr("qemu-system-x86"));
}

TEST_F(QemuDriverTest, SaysHowMuchMemoryIsMissing) {
  write_file(home / "meminfo", "MemTotal:  9 kB\nMemAvailable:     31000 kB\n");
  settings.memory_info = home / "meminfo";
  make_driver();

  const Error error = error_of(driver->start(machine(TestGuest::idles), ""));

  EXPECT_EQ(error.code, "AllocationFailed");
  EXPECT_STREQ(error.what(), "Cannot start web1: it needs 32 MiB of memory and 30 MiB are free.");
}

TEST_F(QemuDriverTest, AQemuThatDiesAtItsStartIsQuoted) {
  MachineSpec spec = machine(TestGuest::idles);
  write_file(spec.os_disk, "this is no qcow2");

  const Error error = error_of(driver->start(spec, ""));

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.what(), AllOf(HasSubstr("web1 did not start"), HasSubstr("qcow2 format")));
  EXPECT_EQ(driver->observe(machine_id), MachineState::stopped);
  write_guest_disk(spec.os_disk, TestGuest::idles, "hello");
  loop.run(driver->start(spec, ""));
}

TEST_F(QemuDriverTest, LogsThatGrewLargeAreTurnedOverAtAStart) {
  MachineSpec spec = machine(TestGuest::idles);
  const auto folder = driver->folder(machine_id);
  for (const char* name : {"qemu.log", "serial.log"}) {
    write_file(folder / name, "of before\n");
    std::filesystem::resize_file(folder / name, 100 << 20);  // a hole: no space is taken
  }
  write_file(spec.os_disk, "this is no qcow2");
  EXPECT_THAT(error_of(driver->start(spec, "")).what(), HasSubstr("qcow2 format"));
  for (const char* name : {"qemu.log", "serial.log"}) {
    EXPECT_LT(std::filesystem::file_size(folder / name), 10'000u) << name;
    EXPECT_EQ(std::filesystem::file_size(folder / (name + std::string(".1"))), 100u << 20) << name;
  }
}

TEST_F(QemuDriverTest, TheConsoleOfAMachineThatRunsOnIsTurnedOverToo) {
  settings.log_check = 20ms;
  make_driver();
  const std::filesystem::path log = driver->serial_log(machine_id);
  loop.run(driver->start(machine(TestGuest::idles), ""));
  ASSERT_TRUE(said("hello"));
  std::filesystem::resize_file(log, 100 << 20);

  EXPECT_TRUE(loop.until([&] { return std::filesystem::file_size(log) < 10'000; }));
  EXPECT_EQ(std::filesystem::file_size(log.string() + ".1"), 100u << 20);
  loop.run(driver->reset(machine_id));
  EXPECT_TRUE(said("hello")) << "it goes on writing";
  EXPECT_LT(std::filesystem::file_size(log), 10'000u) << "at the start of the file";
}

TEST_F(QemuDriverTest, ASocketPathThatIsTooLongIsNamed) {
  settings.home = home / std::string(90, 'x');
  make_driver();

  EXPECT_EQ(error_of(driver->start(machine(TestGuest::idles), "")).code, "PathTooLong");
}

TEST_F(QemuDriverTest, OthersMayNeitherCommandNorRead) {
  loop.run(driver->start(machine(TestGuest::idles), ""));

  const auto folder = driver->folder(machine_id);
  EXPECT_EQ(mode(folder), 0700u);
  for (const char* name : {"qmp.sock", "serial.log", "qemu.log", "qemu.pid"})
    EXPECT_EQ(mode(folder / name), 0600u) << name;
}

TEST_F(QemuDriverTest, TheGuestReadsTheMedium) {
  loop.run(driver->start(machine(TestGuest::reads_medium), "swordfish" + std::string(4096, '\0')));

  EXPECT_TRUE(said("hello"));
  EXPECT_TRUE(said("swordfish"));
  const auto process = driver->process(machine_id);
  ASSERT_TRUE(process);
  const std::string argv = read_file("/proc/" + std::to_string(process->pid) + "/cmdline");
  EXPECT_THAT(argv, AllOf(HasSubstr("web1"), Not(HasSubstr("swordfish"))));
}

TEST_F(QemuDriverTest, AKernelIsBootedDirectlyWithEverythingElseInPlace) {
  MachineSpec spec = machine(TestGuest::idles);
  const auto folder = driver->folder(machine_id);
  write_guest_kernel(folder / "kernel");
  write_file(folder / "initrd", "initrd");
  write_empty_disk(folder / "a,b \"c\".qcow2");
  spec.name = "web,1";
  spec.direct_boot = {folder / "kernel", folder / "initrd", "console=ttyS0 x=\"a,b\""};
  spec.data_disks = {{3, folder / "a,b \"c\".qcow2"}};
  spec.nics = {{"00:0d:3a:00:00:01", home / "n,0.sock"}, {"00:0d:3a:00:00:02", home / "n1.sock"}};

  loop.run(driver->start(spec, std::string(4096, 'x')));

  EXPECT_TRUE(said("kernel"));
  EXPECT_TRUE(std::filesystem::is_socket(home / "n,0.sock"));
}

TEST_F(QemuDriverTest, AnEjectedMediumIsDropped) {
  loop.run(driver->start(machine(TestGuest::idles), std::string(4096, 'x')));
  ASSERT_TRUE(said("hello"));  // the firmware closes the drive when it finds it
  driver.reset();
  driver = std::make_unique<QemuDriver>(loop.context.get_executor(), settings);
  EXPECT_THAT(ask("query-fdsets"), testing::SizeIs(1));
  ask("blockdev-open-tray", {{"id", "cd0"}, {"force", true}});

  loop.run(driver->adopt(machine_id));

  make_driver();
  EXPECT_THAT(ask("query-fdsets"), testing::SizeIs(0));
  EXPECT_EQ(driver->observe(machine_id), MachineState::running);
}

TEST_F(QemuDriverTest, AMachineThatNobodyLetGoRunsWhenAdopted) {
  loop.run(driver->start(machine(TestGuest::idles), ""));
  make_driver();
  ask("stop");
  ask("system_reset");
  ASSERT_EQ(ask("query-status")["status"], "prelaunch");

  loop.run(driver->adopt(machine_id));

  make_driver();
  EXPECT_EQ(ask("query-status")["status"], "running");
}

TEST_F(QemuDriverTest, AQemuWithoutPidFileIsEndedBeforeTheNextStarts) {
  const MachineSpec spec = machine(TestGuest::idles);
  loop.run(driver->start(spec, ""));
  const auto stray = driver->process(machine_id);
  ASSERT_TRUE(stray);
  std::filesystem::remove(driver->folder(machine_id) / "qemu.pid");
  make_driver();

  loop.run(driver->start(spec, ""));

  EXPECT_NE(driver->process(machine_id), stray);
  // Its socket goes, then its process.
  EXPECT_TRUE(loop.until([&] { return !is_alive(*stray); }));
}

TEST_F(QemuDriverTest, AHangingQemuIsKilled) {
  loop.run(driver->start(machine(TestGuest::heeds_button), ""));
  const auto process = driver->process(machine_id);
  ASSERT_TRUE(process && send_signal(*process, SIGSTOP));

  loop.run(driver->stop(machine_id, 10ms));

  EXPECT_FALSE(is_alive(*process));
  EXPECT_EQ(driver->observe(machine_id), MachineState::stopped);
}

TEST_F(QemuDriverTest, AProcessIdOfAnotherBootIsNobody) {
  machine(TestGuest::idles);
  write_file(driver->folder(machine_id) / "qemu.pid", "1 1\n");

  EXPECT_EQ(driver->observe(machine_id), MachineState::stopped);
  loop.run(driver->stop(machine_id, 0s));
  EXPECT_TRUE(std::filesystem::exists("/proc/1"));
}

TEST_F(QemuDriverTest, ACrashAfterTheGuestPoweredOffBeforeIsACrash) {
  const MachineSpec spec = machine(TestGuest::idles);
  loop.run(driver->start(spec, ""));
  loop.run(driver->stop(machine_id, 0s));
  loop.run(driver->start(spec, ""));

  ASSERT_TRUE(send_signal(*driver->process(machine_id), SIGKILL));

  ASSERT_TRUE(loop.until([&] { return !events.empty(); }));
  EXPECT_THAT(events, testing::ElementsAre(MachineEvent::crashed));
}

TEST_F(QemuDriverTest, AcceleratesAsTheProbeFound) {
  settings.accelerator = std::nullopt;
  make_driver();

  const Accelerator found = loop.run(driver->accelerator());

  EXPECT_THAT(found, testing::AnyOf(Accelerator::kvm, Accelerator::tcg));
  loop.run(driver->start(machine(TestGuest::idles), ""));
  EXPECT_TRUE(said("hello"));
}

TEST_F(QemuDriverTest, WhatIsNoFrozenMachineDoesNotStartAndIsNamed) {
  const MachineSpec spec = machine(TestGuest::idles);
  write_file(home / "memory", std::string(32 << 20, '\0'));
  write_file(home / "devices", "this is not QEMU's");

  const Error error = error_of(driver->restore(spec, "", {home / "memory", home / "devices"}));

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.what(), HasSubstr("did not start"));
  EXPECT_EQ(driver->observe(machine_id), MachineState::stopped);
}

TEST_F(QemuDriverTest, NothingAMachineIsToldStaysInAFile) {
  MachineSpec spec = machine(TestGuest::idles);
  loop.run(driver->start(spec, ""));

  const Error error =
      loop.error_of([&] { loop.run(driver->converse(machine_id, Secret("swordfish"), 50ms)); });

  EXPECT_THAT(error.what(), HasSubstr("did not answer"));
  for (const auto& entry : std::filesystem::recursive_directory_iterator(home.path()))
    if (entry.is_regular_file())
      EXPECT_THAT(read_file(entry.path()), Not(HasSubstr("swordfish"))) << entry.path();
}

TEST_F(QemuDriverTest, MachinesOfOneKindHaveOneLayout) {
  MachineSpec one = machine(TestGuest::idles), other = one;
  one.direct_boot = other.direct_boot = MachineSpec::DirectBoot{"/k", "/i", "quiet"};
  one.nics = other.nics = {{"00:0d:3a:00:00:01", "/net/one"}};
  other.id = other.name = "ba9876543210";
  other.uuid = "4c4c4544-4ecb-4a4b-8899-aabbccddeeff";
  other.os_disk = "/elsewhere/os.qcow2";
  other.nics = {{"00:0d:3a:00:00:02", "/net/other"}};
  const std::string layout = loop.run(driver->template_layout(one));

  EXPECT_EQ(loop.run(driver->template_layout(other)), layout);
  other.memory_mib = 64;
  EXPECT_NE(loop.run(driver->template_layout(other)), layout);
  other.memory_mib = 32;
  other.cpus = 2;
  EXPECT_NE(loop.run(driver->template_layout(other)), layout);
}

TEST_F(QemuDriverTest, WhatItCannotFreezeHasNoLayout) {
  MachineSpec spec = machine(TestGuest::idles);
  spec.nics = {{"00:0d:3a:00:00:01", "/net/one"}};
  EXPECT_EQ(loop.run(driver->template_layout(spec)), "");  // a disk with a boot loader of its own
  spec.direct_boot = MachineSpec::DirectBoot{"/k", "/i", "quiet"};
  EXPECT_NE(loop.run(driver->template_layout(spec)), "");

  spec.nics.push_back({"00:0d:3a:00:00:02", "/net/two"});
  EXPECT_EQ(loop.run(driver->template_layout(spec)), "");
}

TEST_F(QemuDriverTest, WhatCannotBeWrittenDownGoesOn) {
  const MachineSpec spec = machine(TestGuest::heeds_button);
  loop.run(driver->start(spec, ""));
  ASSERT_TRUE(said("hello"));
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{}, little{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  little = {.rlim_cur = 64 << 10, .rlim_max = before.rlim_max};  // as on a full disk
  ::setrlimit(RLIMIT_FSIZE, &little);

  const Error error = error_of(driver->hibernate(spec));

  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(error.what(), HasSubstr("File too large"));
  for (const auto& entry : std::filesystem::directory_iterator(driver->folder(machine_id)))
    EXPECT_THAT(entry.path().filename().string(), Not(HasSubstr("hibernation")));
  EXPECT_EQ(driver->observe(machine_id), MachineState::running);
  loop.run(driver->stop(machine_id, 60s));  // its guest hears the button
  EXPECT_EQ(driver->observe(machine_id), MachineState::stopped);
}

TEST_F(QemuDriverTest, AMachineOfOtherDevicesDoesNotWakeAndLosesNothing) {
  MachineSpec spec = machine(TestGuest::heeds_button);
  loop.run(driver->start(spec, ""));
  loop.run(driver->hibernate(spec));
  spec.memory_mib = 64;

  EXPECT_EQ(error_of(driver->wake(spec)).code, "HibernationUnusable");
  EXPECT_EQ(driver->observe(machine_id), MachineState::hibernated);

  spec.memory_mib = 32;
  loop.run(driver->wake(spec));
  EXPECT_EQ(driver->observe(machine_id), MachineState::running);
}

TEST_F(QemuDriverTest, AMachineThatWouldNotFindItselfAgainDoesNotFallAsleep) {
  const MachineSpec spec = machine(TestGuest::heeds_button);
  loop.run(driver->start(spec, ""));
  write_file(driver->folder(machine_id) / "layout", "of a QEMU that was replaced since");

  EXPECT_THAT(error_of(driver->hibernate(spec)).advice, HasSubstr("azure vm restart"));

  EXPECT_EQ(driver->observe(machine_id), MachineState::running);
}

TEST_F(QemuDriverTest, WhatIsNoHibernationDoesNotWakeAndStays) {
  const MachineSpec spec = machine(TestGuest::heeds_button);
  loop.run(driver->start(spec, ""));
  loop.run(driver->hibernate(spec));
  std::filesystem::resize_file(driver->folder(machine_id) / "hibernation", 4096);

  EXPECT_THAT(error_of(driver->wake(spec)).what(), HasSubstr("did not start"));

  EXPECT_EQ(driver->observe(machine_id), MachineState::hibernated);
}

/// The process that wrote it down was killed before it ended QEMU; or one that had it load, before it went on.
TEST_F(QemuDriverTest, AMachineBesideItsHibernationIsEndedAndNotContinued) {
  const MachineSpec spec = machine(TestGuest::heeds_button);
  loop.run(driver->start(spec, ""));
  loop.run(driver->hibernate(spec));
  const auto folder = driver->folder(machine_id);
  std::filesystem::copy_file(folder / "hibernation", folder / "kept");
  loop.run(driver->wake(spec));
  std::filesystem::rename(folder / "kept", folder / "hibernation");

  make_driver();
  loop.run(driver->adopt(machine_id));

  EXPECT_EQ(driver->observe(machine_id), MachineState::hibernated);
  loop.run(driver->wake(spec));
  EXPECT_EQ(driver->observe(machine_id), MachineState::running);
}

/// The process that halted it was killed before it had written it down.
TEST_F(QemuDriverTest, AMachineThatWasHaltedForNothingGoesOn) {
  const MachineSpec spec = machine(TestGuest::heeds_button);
  loop.run(driver->start(spec, ""));
  ASSERT_TRUE(said("hello"));
  driver.reset();
  {
    const auto monitor = loop.run(qemu::Monitor::connect(home / "vm" / machine_id / "qmp.sock", 5s, {}));
    loop.run(monitor->execute("stop"));
  }

  make_driver();
  loop.run(driver->adopt(machine_id));

  loop.run(driver->stop(machine_id, 60s));  // its guest hears the button
  EXPECT_EQ(driver->observe(machine_id), MachineState::stopped);
}

}  // namespace berth
