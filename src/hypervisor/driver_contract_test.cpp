#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <signal.h>

#include <fstream>

#include "host/files.h"
#include "host/temporary_folder.h"
#include "hypervisor/fake_driver.h"
#include "hypervisor/qemu/qemu_driver.h"
#include "hypervisor/test_guests.h"
#include "hypervisor/test_loop.h"

namespace berth {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

/// A host, and what a test does to it from outside.
struct TestHost {
  virtual ~TestHost() = default;
  virtual std::unique_ptr<Driver> make_driver() = 0;
  /// Puts an OS disk with that guest into place.
  virtual void install(MachineSpec& spec, TestGuest guest) = 0;
  /// The hypervisor of that machine dies.
  virtual void crash(Driver& driver, const std::string& id) = 0;

  TestLoop loop;
  TemporaryFolder home;
};

class FakeHost final : public TestHost {
 public:
  std::unique_ptr<Driver> make_driver() override {
    auto driver = std::make_unique<FakeDriver>(loop.context.get_executor(), home.path());
    driver->on_power_button = [this](const std::string& id) {
      return guests_[id] == TestGuest::heeds_button;
    };
    driver->on_start = [this, &fake = *driver](const MachineSpec& spec, const std::string&) {
      std::ofstream(fake.serial_log(spec.id), std::ios::app) << "hello";
      if (guests_[spec.id] == TestGuest::powers_off) fake.guest_powers_off(spec.id);
      if (guests_[spec.id] == TestGuest::resets) fake.guest_resets(spec.id);
    };
    return driver;
  }
  void install(MachineSpec& spec, TestGuest guest) override {
    guests_[spec.id] = guest;
    write_file(spec.os_disk, "");
  }
  void crash(Driver& driver, const std::string& id) override { static_cast<FakeDriver&>(driver).crash(id); }

 private:
  std::map<std::string, TestGuest> guests_;
};

class QemuHost final : public TestHost {
 public:
  QemuHost() { settings_.home = home.path(); }
  std::unique_ptr<Driver> make_driver() override {
    return std::make_unique<QemuDriver>(loop.context.get_executor(), settings_);
  }
  void install(MachineSpec& spec, TestGuest guest) override {
    write_guest_disk(spec.os_disk, guest, "hello");
  }
  void crash(Driver& driver, const std::string& id) override {
    const auto process = static_cast<QemuDriver&>(driver).process(id);
    ASSERT_TRUE(process && send_signal(*process, SIGKILL));
  }

 private:
  QemuSettings settings_{.home = {}, .accelerator = Accelerator::tcg};
};

class DriverContract : public testing::TestWithParam<std::unique_ptr<TestHost> (*)()> {
 protected:
  DriverContract() { take(host->make_driver()); }
  ~DriverContract() override {
    for (const std::string& id : ids) run(driver->destroy(id));
  }

  /// A new driver on the same host; the one before it is gone.
  void take(std::unique_ptr<Driver> next) {
    driver.reset();
    driver = std::move(next);
    driver->on_event([this](const std::string& id, MachineEvent event) { events.emplace_back(id, event); });
  }

  MachineSpec machine(TestGuest guest, const std::string& id = "0123456789ab") {
    MachineSpec spec{.id = id,
                     .name = "web1",
                     .uuid = "d0df4c54-4ecb-4a4b-8899-aabbccddeeff",
                     .memory_mib = 32,
                     .os_disk = driver->folder(id) / "os.qcow2",
                     .direct_boot = {},
                     .data_disks = {},
                     .nics = {}};
    make_folder(driver->folder(id));
    host->install(spec, guest);
    ids.push_back(id);
    return spec;
  }
  MachineSpec start(TestGuest guest, const std::string& id = "0123456789ab") {
    const MachineSpec spec = machine(guest, id);
    run(driver->start(spec, ""));
    return spec;
  }
  MachineSpec start_to_be_frozen(TestGuest guest) {
    MachineSpec spec = machine(guest);
    spec.memory_file = host->home / "memory";
    run(driver->start(spec, ""));
    EXPECT_TRUE(said(spec.id, "hello"));
    return spec;
  }
  std::filesystem::path data_disk(const std::string& name) {
    write_empty_disk(host->home / name);
    return host->home / name;
  }

  template <class T>
  T run(boost::asio::awaitable<T> work) {
    return host->loop.run(std::move(work));
  }
  Error error_of(boost::asio::awaitable<void> work) {
    return host->loop.error_of([&] { run(std::move(work)); });
  }
  bool said(const std::string& id, const std::string& text) {
    return host->loop.until(
        [&] { return read_file(driver->serial_log(id)).find(text) != std::string::npos; });
  }
  bool something_happened() {
    return host->loop.until([&] { return !events.empty(); });
  }

  std::unique_ptr<TestHost> host = GetParam()();
  std::unique_ptr<Driver> driver;
  std::vector<std::pair<std::string, MachineEvent>> events;
  std::vector<std::string> ids;
};

const std::string web1 = "0123456789ab";

template <class Host>
std::unique_ptr<TestHost> make() {
  return std::make_unique<Host>();
}

INSTANTIATE_TEST_SUITE_P(Fake, DriverContract, testing::Values(&make<FakeHost>));
INSTANTIATE_TEST_SUITE_P(Qemu, DriverContract, testing::Values(&make<QemuHost>));

}  // namespace

TEST_P(DriverContract, AMachineThatNobodyMadeIsUnknown) {
  EXPECT_EQ(driver->observe(web1), std::nullopt);
  EXPECT_EQ(run([](Driver& d) -> boost::asio::awaitable<bool> {
              co_await d.stop(web1, 0s);
              co_await d.destroy(web1);
              co_await d.adopt(web1);
              co_return true;
            }(*driver)),
            true);
  EXPECT_EQ(driver->observe(web1), std::nullopt);
}

TEST_P(DriverContract, AStartedMachineRunsItsGuest) {
  start(TestGuest::idles);

  EXPECT_EQ(driver->observe(web1), MachineState::running);
  EXPECT_TRUE(said(web1, "hello"));
}

TEST_P(DriverContract, StartingARunningMachineIsAConflict) {
  const MachineSpec spec = start(TestGuest::idles);

  const Error error = error_of(driver->start(spec, ""));

  EXPECT_EQ(error.kind, ErrorKind::conflict);
  EXPECT_STREQ(error.what(), "web1 is already running.");
}

TEST_P(DriverContract, OfTwoStartsAtOnceOneIsAConflict) {
  const MachineSpec spec = machine(TestGuest::idles);
  int started = 0, refused = 0;
  const auto outcome = [&](std::exception_ptr trouble) { ++(trouble ? refused : started); };

  boost::asio::co_spawn(host->loop.context, driver->start(spec, ""), outcome);
  boost::asio::co_spawn(host->loop.context, driver->start(spec, ""), outcome);

  EXPECT_TRUE(host->loop.until([&] { return started + refused == 2; }));
  EXPECT_EQ(started, 1);
  EXPECT_EQ(driver->observe(web1), MachineState::running);
}

TEST_P(DriverContract, AMissingDiskIsNamed) {
  MachineSpec spec = machine(TestGuest::idles);
  spec.os_disk = "/nonexistent/disk.qcow2";

  const Error error = error_of(driver->start(spec, ""));

  EXPECT_EQ(error.kind, ErrorKind::unavailable);
  EXPECT_THAT(error.what(), HasSubstr("/nonexistent/disk.qcow2"));
  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
}

TEST_P(DriverContract, StopLetsAGuestThatHeedsTheButtonEndByItself) {
  start(TestGuest::heeds_button);
  ASSERT_TRUE(said(web1, "hello"));
  const auto began = std::chrono::steady_clock::now();

  run(driver->stop(web1, 50s));

  EXPECT_LT(std::chrono::steady_clock::now() - began, 40s);
  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
}

TEST_P(DriverContract, AGuestThatStillBootsHearsALaterPressOfTheButton) {
  start(TestGuest::heeds_button);

  run(driver->stop(web1, 1h));

  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
}

TEST_P(DriverContract, StopCutsThePowerOfAGuestThatDoesNot) {
  start(TestGuest::idles);

  run(driver->stop(web1, 200ms));

  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
}

TEST_P(DriverContract, APowerCutDoesNotWaitForAnEarlierStop) {
  start(TestGuest::idles);
  bool ended = false;
  boost::asio::co_spawn(host->loop.context, driver->stop(web1, 1h),
                        [&](std::exception_ptr) { ended = true; });

  run(driver->stop(web1, 0s));

  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
  EXPECT_TRUE(host->loop.until([&] { return ended; }));
}

TEST_P(DriverContract, StopIsIdempotentAndNoEvent) {
  start(TestGuest::heeds_button);

  run(driver->stop(web1, 0s));
  run(driver->stop(web1, 10s));

  host->loop.until([] { return false; }, 100ms);
  EXPECT_THAT(events, IsEmpty());
}

TEST_P(DriverContract, AStoppedMachineStartsAgainAndItsSerialLogGrows) {
  const MachineSpec spec = start(TestGuest::idles);
  ASSERT_TRUE(said(web1, "hello"));
  const std::string first = read_file(driver->serial_log(web1));
  run(driver->stop(web1, 0s));

  run(driver->start(spec, ""));

  EXPECT_EQ(driver->observe(web1), MachineState::running);
  EXPECT_TRUE(host->loop.until(
      [&] { return read_file(driver->serial_log(web1)).find("hello", first.size()) != std::string::npos; }));
  EXPECT_THAT(read_file(driver->serial_log(web1)), StartsWith(first));
}

TEST_P(DriverContract, AGuestThatPowersItselfOffEndsStopped) {
  start(TestGuest::powers_off);

  EXPECT_TRUE(something_happened());

  EXPECT_THAT(events, ElementsAre(std::pair(web1, MachineEvent::powered_off)));
  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
}

TEST_P(DriverContract, AGuestThatResetsItselfRunsOn) {
  start(TestGuest::resets);

  EXPECT_TRUE(something_happened());

  EXPECT_EQ(events.front(), std::pair(web1, MachineEvent::reset));
  EXPECT_EQ(driver->observe(web1), MachineState::running);
}

TEST_P(DriverContract, AMachineWhoseHypervisorDiesHasCrashed) {
  start(TestGuest::idles);

  host->crash(*driver, web1);

  EXPECT_TRUE(something_happened());
  EXPECT_THAT(events, ElementsAre(std::pair(web1, MachineEvent::crashed)));
  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
}

TEST_P(DriverContract, WhatNeedsARunningMachineIsAConflictOnAStoppedOne) {
  machine(TestGuest::idles);

  for (const Error& error :
       {error_of(driver->reset(web1)), error_of(driver->attach_disk(web1, {0, data_disk("data.qcow2")})),
        error_of(driver->detach_disk(web1, 0)),
        host->loop.error_of([&] { run(driver->screenshot(web1)); })}) {
    EXPECT_EQ(error.kind, ErrorKind::conflict);
    EXPECT_STREQ(error.what(), "Machine 0123456789ab is not running.");
  }
}

TEST_P(DriverContract, ResetIsOurOwnDoingAndNoEvent) {
  start(TestGuest::idles);

  run(driver->reset(web1));

  host->loop.until([] { return false; }, 100ms);
  EXPECT_THAT(events, IsEmpty());
  EXPECT_EQ(driver->observe(web1), MachineState::running);
}

TEST_P(DriverContract, ALunHoldsOneDisk) {
  MachineSpec spec = machine(TestGuest::idles);
  spec.data_disks.push_back({2, data_disk("first.qcow2")});
  run(driver->start(spec, ""));
  const std::filesystem::path second = data_disk("second.qcow2");

  EXPECT_EQ(error_of(driver->attach_disk(web1, {2, second})).kind, ErrorKind::conflict);
  EXPECT_EQ(error_of(driver->detach_disk(web1, 3)).kind, ErrorKind::conflict);
  EXPECT_EQ(error_of(driver->attach_disk(web1, {3, "/nonexistent.qcow2"})).kind, ErrorKind::unavailable);

  run(driver->attach_disk(web1, {3, second}));
  EXPECT_EQ(error_of(driver->attach_disk(web1, {3, second})).kind, ErrorKind::conflict);
  EXPECT_THAT(run(driver->luns(web1)), ElementsAre(2, 3));
  run(driver->detach_disk(web1, 2));
  EXPECT_THAT(run(driver->luns(web1)), ElementsAre(3));
  run(driver->detach_disk(web1, 3));
  run(driver->attach_disk(web1, {2, second}));
}

TEST_P(DriverContract, AScreenshotIsAPng) {
  start(TestGuest::idles);

  const std::string image = run(driver->screenshot(web1));

  EXPECT_THAT(image, StartsWith("\x89PNG\r\n\x1a\n"));
  EXPECT_THAT(image, HasSubstr("IEND"));
}

TEST_P(DriverContract, DestroyEndsItAndTakesItsFolder) {
  start(TestGuest::idles);

  run(driver->destroy(web1));

  EXPECT_EQ(driver->observe(web1), std::nullopt);
  EXPECT_FALSE(std::filesystem::exists(driver->folder(web1)));
  run(driver->destroy(web1));
}

TEST_P(DriverContract, MachinesOutliveTheirDriver) {
  const MachineSpec spec = start(TestGuest::heeds_button);
  ASSERT_TRUE(said(web1, "hello"));

  take(host->make_driver());

  EXPECT_EQ(driver->observe(web1), MachineState::running);
  EXPECT_EQ(error_of(driver->start(spec, "")).kind, ErrorKind::conflict);
  run(driver->attach_disk(web1, {0, data_disk("data.qcow2")}));
  run(driver->stop(web1, 50s));
  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
}

TEST_P(DriverContract, AnAdoptedMachineIsWatched) {
  start(TestGuest::idles);
  take(host->make_driver());

  run(driver->adopt(web1));
  run(driver->adopt(web1));
  host->crash(*driver, web1);

  EXPECT_TRUE(something_happened());
  EXPECT_THAT(events, ElementsAre(std::pair(web1, MachineEvent::crashed)));
}

TEST_P(DriverContract, MachinesAreApart) {
  const std::string web2 = "ba9876543210";
  start(TestGuest::idles, web1);
  start(TestGuest::powers_off, web2);

  EXPECT_TRUE(something_happened());

  EXPECT_THAT(events, ElementsAre(std::pair(web2, MachineEvent::powered_off)));
  EXPECT_EQ(driver->observe(web1), MachineState::running);
}

TEST_P(DriverContract, TheMediumIsInNoFile) {
  const MachineSpec spec = machine(TestGuest::idles);
  const std::string medium = "swordfish" + std::string(2048, ' ');

  run(driver->start(spec, medium));

  for (const auto& entry : std::filesystem::recursive_directory_iterator(host->home.path()))
    if (entry.is_regular_file())
      EXPECT_THAT(read_file(entry.path()), testing::Not(HasSubstr("swordfish"))) << entry.path();
}

TEST_P(DriverContract, AFrozenMachineEndsAndLeavesWhatOthersGoOnFrom) {
  const MachineSpec frozen = start_to_be_frozen(TestGuest::heeds_button);

  run(driver->freeze(web1, host->home / "devices"));

  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
  EXPECT_TRUE(std::filesystem::exists(frozen.memory_file));
  EXPECT_GT(std::filesystem::file_size(host->home / "devices"), 0U);
  EXPECT_THAT(events, IsEmpty());
}

TEST_P(DriverContract, ARestoredMachineGoesOnAndDoesNotBoot) {
  const std::string web2 = "ba9876543210";
  const MachineSpec frozen = start_to_be_frozen(TestGuest::heeds_button);
  run(driver->freeze(web1, host->home / "devices"));
  const MachineSpec spec = machine(TestGuest::heeds_button, web2);

  run(driver->restore(spec, "", {frozen.memory_file, host->home / "devices"}));
  EXPECT_EQ(driver->observe(web2), MachineState::running);
  run(driver->stop(web2, 60s));  // its guest hears the power button at once

  EXPECT_EQ(driver->observe(web2), MachineState::stopped);
  EXPECT_EQ(read_file_if_there(driver->serial_log(web2)).value_or(""), "");
}

TEST_P(DriverContract, ManyMachinesGoOnFromFilesThatStayAsTheyWere) {
  const MachineSpec frozen = start_to_be_frozen(TestGuest::heeds_button);
  run(driver->freeze(web1, host->home / "devices"));
  const std::string memory = read_file(frozen.memory_file), devices = read_file(host->home / "devices");

  for (const std::string& id : {std::string("000000000001"), std::string("000000000002")}) {
    const MachineSpec spec = machine(TestGuest::heeds_button, id);
    run(driver->restore(spec, "swordfish" + std::string(2048, ' '),
                        {frozen.memory_file, host->home / "devices"}));
    EXPECT_EQ(driver->observe(id), MachineState::running);
  }

  EXPECT_TRUE(read_file(frozen.memory_file) == memory);
  EXPECT_TRUE(read_file(host->home / "devices") == devices);
}

TEST_P(DriverContract, AMachineWhoseMemoryIsInNoFileIsNotFrozen) {
  start(TestGuest::heeds_button);

  EXPECT_EQ(error_of(driver->freeze(web1, host->home / "devices")).kind, ErrorKind::conflict);

  EXPECT_EQ(driver->observe(web1), MachineState::running);
  EXPECT_FALSE(std::filesystem::exists(host->home / "devices"));
}

TEST_P(DriverContract, WithoutTheFilesOfAFrozenMachineNothingStarts) {
  const MachineSpec spec = machine(TestGuest::heeds_button);

  const Error error = error_of(driver->restore(spec, "", {host->home / "memory", host->home / "devices"}));

  EXPECT_THAT(error.what(), HasSubstr("memory"));
  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
}

TEST_P(DriverContract, AHibernatedMachineGoesOnWhereItWasHalted) {
  const MachineSpec spec = start(TestGuest::heeds_button);
  ASSERT_TRUE(said(spec.id, "hello"));

  run(driver->hibernate(spec));
  EXPECT_EQ(driver->observe(web1), MachineState::hibernated);
  take(host->make_driver());
  EXPECT_EQ(driver->observe(web1), MachineState::hibernated);
  run(driver->wake(spec));

  EXPECT_EQ(driver->observe(web1), MachineState::running);
  run(driver->stop(web1, 60s));  // its guest hears the power button at once
  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
  EXPECT_EQ(read_file(driver->serial_log(web1)), "hello");  // once
  EXPECT_THAT(events, IsEmpty());
}

TEST_P(DriverContract, AMachineHibernatesAgainAndAgain) {
  MachineSpec spec = machine(TestGuest::heeds_button);
  spec.data_disks = {{0, data_disk("data.qcow2")}};
  run(driver->start(spec, "a medium" + std::string(2040, ' ')));

  for (int i = 0; i < 3; ++i) {
    run(driver->hibernate(spec));
    run(driver->wake(spec));
  }

  EXPECT_EQ(run(driver->luns(web1)), std::set<int>{0});
}

TEST_P(DriverContract, OfAHibernatedMachineOnlyItsFolderIsLeft) {
  const MachineSpec spec = start(TestGuest::heeds_button);
  run(driver->hibernate(spec));

  EXPECT_EQ(error_of(driver->reset(web1)).kind, ErrorKind::conflict);
  EXPECT_EQ(error_of(driver->hibernate(spec)).kind, ErrorKind::conflict);
  EXPECT_EQ(run(driver->luns(web1)), std::set<int>());
  EXPECT_EQ(driver->observe(web1), MachineState::hibernated);
}

TEST_P(DriverContract, AHibernatedMachineThatIsStoppedOrStartedGivesItsMemoryUp) {
  const MachineSpec spec = start(TestGuest::heeds_button);
  run(driver->hibernate(spec));
  run(driver->stop(web1, 60s));
  EXPECT_EQ(driver->observe(web1), MachineState::stopped);

  run(driver->start(spec, ""));
  run(driver->hibernate(spec));
  run(driver->start(spec, ""));
  EXPECT_EQ(driver->observe(web1), MachineState::running);
  run(driver->stop(web1, 0s));

  EXPECT_EQ(driver->observe(web1), MachineState::stopped);
  EXPECT_EQ(error_of(driver->wake(spec)).kind, ErrorKind::conflict);
}

}  // namespace berth
