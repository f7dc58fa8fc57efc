#include "hypervisor/fake_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "host/files.h"
#include "host/temporary_folder.h"
#include "hypervisor/test_loop.h"

namespace berth {
namespace {

using namespace std::chrono_literals;

class FakeDriverHands : public testing::Test {
 protected:
  MachineSpec machine(const std::string& id) {
    return {.id = id,
            .name = "web1",
            .uuid = {},
            .os_disk = disk,
            .direct_boot = {},
            .data_disks = {},
            .nics = {}};
  }

  TestLoop loop;
  TemporaryFolder home;
  std::filesystem::path disk = home / "os.qcow2";
  FakeDriver driver{loop.context.get_executor(), home.path()};

  void SetUp() override { write_file(disk, ""); }
};

}  // namespace

TEST_F(FakeDriverHands, AStartThatShallFailFailsOnce) {
  driver.fail_next_start = Error(ErrorKind::unavailable, "AllocationFailed", "No memory.");

  EXPECT_EQ(loop.error_of([&] { loop.run(driver.start(machine("a"), "")); }).code, "AllocationFailed");
  loop.run(driver.start(machine("a"), ""));

  EXPECT_EQ(driver.observe("a"), MachineState::running);
}

TEST_F(FakeDriverHands, TheHookSeesWhatTheGuestWouldSee) {
  std::string seen;
  driver.on_start = [&](const MachineSpec& spec, const std::string& medium) { seen = spec.id + medium; };

  loop.run(driver.start(machine("a"), " medium"));

  EXPECT_EQ(seen, "a medium");
}

TEST_F(FakeDriverHands, AMachineStoppedWhileItStartsDoesNotStart) {
  std::exception_ptr outcome;
  bool ended = false;
  boost::asio::co_spawn(loop.context, driver.start(machine("a"), ""), [&](std::exception_ptr trouble) {
    outcome = trouble;
    ended = true;
  });
  boost::asio::co_spawn(loop.context, driver.stop("a", 0s), [](std::exception_ptr) {});

  EXPECT_TRUE(loop.until([&] { return ended; }));
  EXPECT_THROW(std::rethrow_exception(outcome), Error);
  EXPECT_NE(driver.observe("a"), MachineState::running);
}

TEST_F(FakeDriverHands, AnEventOfADriverThatIsGoneReachesNobody) {
  auto gone = std::make_unique<FakeDriver>(loop.context.get_executor(), home.path());
  bool told = false;
  gone->on_event([&](const std::string&, MachineEvent) { told = true; });
  loop.run(gone->start(machine("a"), ""));

  gone->crash("a");
  gone.reset();

  loop.until([] { return false; }, 10ms);
  EXPECT_FALSE(told);
}

TEST_F(FakeDriverHands, AHundredMachinesAreNothing) {
  const auto id = [](int i) { return "m" + std::to_string(i); };
  for (int i = 0; i < 100; ++i) loop.run(driver.start(machine(id(i)), ""));
  const auto began = std::chrono::steady_clock::now();

  for (int i = 0; i < 100; ++i) ASSERT_EQ(driver.observe(id(i)), MachineState::running);

  EXPECT_LT(std::chrono::steady_clock::now() - began, 1s);
}

}  // namespace berth
