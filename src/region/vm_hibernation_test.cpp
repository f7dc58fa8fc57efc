#include "region/vm_hibernation.h"

#include <gmock/gmock.h>

#include "region/test_world.h"

namespace berth {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Hibernating : public testing::Test {
 protected:
  const Vm& vm() { return world.region->machines().get({"g", "web1"}); }
  void hibernate() { world.finish(world.region->machines().hibernate({"g", "web1"})); }
  void start() { world.finish(world.region->machines().start({"g", "web1"})); }
  /// What its switch was told last.
  const SwitchPort& port() { return world.networks.networks.begin()->second.ports.at(0); }
  MachineState seen() { return world.driver->observe(vm().id).value_or(MachineState::stopped); }
  /// As its switch does when somebody connects.
  void knock() {
    world.region->machines().wake(vm().id);
    for (int i = 0; i < 20 && vm().power != PowerState::running; ++i) world.turn();
  }

  World world;
};

}  // namespace

TEST_F(Hibernating, ItsProcessGoesAndItsPortsStay) {
  world.make("web1");
  const auto forwards = port().forwards;
  EXPECT_THAT(port().wake.string(), IsEmpty());

  hibernate();

  EXPECT_EQ(vm().power, PowerState::hibernated);
  EXPECT_EQ(seen(), MachineState::hibernated);
  EXPECT_EQ(port().forwards, forwards);
  EXPECT_THAT(port().wake.string(), HasSubstr(vm().id + ".wake"));
}

TEST_F(Hibernating, AStartHasItGoOnAndDoesNotBoot) {
  world.make("web1");
  hibernate();
  int boots = 0;
  world.driver->on_start = [&](const MachineSpec&, const std::string&) { ++boots; };

  start();

  EXPECT_EQ(vm().power, PowerState::running);
  EXPECT_EQ(seen(), MachineState::running);
  EXPECT_THAT(port().wake.string(), IsEmpty());
  EXPECT_EQ(boots, 0);
  EXPECT_TRUE(vm().agent) << "it never left";
}

TEST_F(Hibernating, WhoKnocksWakesItOnce) {
  world.make("web1");
  hibernate();

  world.region->machines().wake(vm().id);
  knock();
  knock();

  EXPECT_EQ(vm().power, PowerState::running);
  EXPECT_EQ(seen(), MachineState::running);
}

TEST_F(Hibernating, AWakeThatFailsIsNotTriedAgainAtOnceAndLosesNothing) {
  world.make("web1");
  hibernate();
  world.driver->fail_next_start = Error(ErrorKind::unavailable, "AllocationFailed", "No memory.");
  knock();
  EXPECT_EQ(vm().power, PowerState::hibernated);
  knock();
  EXPECT_EQ(vm().power, PowerState::hibernated) << "within half a minute";

  start();
  EXPECT_EQ(vm().power, PowerState::running);
}

TEST_F(Hibernating, WhatCannotBeWrittenDownRunsOn) {
  world.make("web1");
  world.driver->fail_next_hibernate = Error(ErrorKind::unavailable, "NoSpace", "No space.");

  EXPECT_EQ(thrown_by([&] { hibernate(); }).code, "NoSpace");

  EXPECT_EQ(vm().power, PowerState::running);
  EXPECT_EQ(seen(), MachineState::running);
  EXPECT_THAT(port().wake.string(), IsEmpty());
}

TEST_F(Hibernating, OnlyWhatRunsHibernates) {
  world.make("web1");
  hibernate();
  EXPECT_THAT(thrown_by([&] { hibernate(); }).what(), HasSubstr("hibernated"));
  world.finish(world.region->machines().deallocate({"g", "web1"}));
  EXPECT_EQ(vm().power, PowerState::deallocated);
  EXPECT_EQ(seen(), MachineState::stopped) << "its memory was given up";
  EXPECT_EQ(thrown_by([&] { hibernate(); }).kind, ErrorKind::conflict);
}

TEST_F(Hibernating, WhatWouldKeepItFromFindingItselfAgainIsRefused) {
  world.make("web1");
  hibernate();
  VmOrder larger = world.order("web1");
  larger.vm.size = "Standard_A2";
  EXPECT_THAT(thrown_by([&] { world.region->machines().put(larger); }).what(), HasSubstr("size"));
  EXPECT_EQ(thrown_by([&] {
              world.region->machines().stop({"g", "web1"}, false);
            }).kind,
            ErrorKind::conflict);
  EXPECT_EQ(thrown_by([&] { world.region->machines().restart({"g", "web1"}); }).kind, ErrorKind::conflict);
  EXPECT_EQ(thrown_by([&] { world.region->machines().redeploy({"g", "web1"}); }).kind, ErrorKind::conflict);
  EXPECT_EQ(thrown_by([&] { world.region->machines().generalize({"g", "web1"}); }).kind, ErrorKind::conflict);
  EXPECT_EQ(seen(), MachineState::hibernated);

  world.region->machines().retag({"g", "web1"}, {{"a", "b"}});
  EXPECT_EQ(vm().tags.size(), 1U);
}

TEST_F(Hibernating, ANewProcessFindsItAsleep) {
  world.make("web1");
  hibernate();
  world.kill();
  world.networks.networks.clear();

  world.open();
  for (int i = 0; i < 20; ++i) world.turn();

  EXPECT_EQ(vm().power, PowerState::hibernated);
  EXPECT_THAT(port().wake.string(), Not(IsEmpty()));
  knock();
  EXPECT_EQ(vm().power, PowerState::running);
}

TEST_F(Hibernating, AProcessThatIsKilledLeavesItAwakeOrAsleepAndNothingBetween) {
  world.make("web1");
  for (int step = 0; step < 12; ++step) {
    if (vm().power == PowerState::running)
      world.region->machines().hibernate({"g", "web1"});
    else
      world.region->machines().start({"g", "web1"});
    for (int i = 0; i < step; ++i) world.io->run_one_for(std::chrono::milliseconds(5));
    world.kill();
    world.open();
    for (int i = 0; i < 20; ++i) world.turn();
    const bool runs = seen() == MachineState::running;
    ASSERT_EQ(vm().power, runs ? PowerState::running : PowerState::hibernated) << "after step " << step;
    ASSERT_EQ(port().wake.empty(), runs) << "after step " << step;
  }
}

TEST_F(Hibernating, WhereItsDeletionFailsItSleepsOn) {
  world.make("web1");
  hibernate();
  world.driver->fail_next_destroy =
      std::make_exception_ptr(Error(ErrorKind::unavailable, "FileUnavailable", "EIO"));

  EXPECT_EQ(thrown_by([&] {
              world.finish(world.region->machines().remove({"g", "web1"}));
            }).code,
            "FileUnavailable");

  EXPECT_EQ(vm().power, PowerState::hibernated);
  EXPECT_EQ(seen(), MachineState::hibernated);
}

TEST_F(Hibernating, AnExtensionThatItsAgentHasNotReportedIsWaitedForBeyondSleep) {
  world.make("web1");
  world.guests->talkative = false;
  const Accepted set = world.region->extensions().put({"g", "web1"}, world.shell());
  world.turn();
  hibernate();
  world.turn();
  EXPECT_EQ(vm().extensions.at(0).provisioning, Provisioning::creating);
  EXPECT_EQ(thrown_by([&] {
              world.region->extensions().remove({"g", "web1"}, "shell", true);
            }).kind,
            ErrorKind::conflict);

  world.guests->talkative = true;
  start();
  world.finish(set);
  EXPECT_EQ(vm().extensions.at(0).provisioning, Provisioning::succeeded);
}

TEST_F(Hibernating, AKnockAtAMachineThatIsAwakeTellsItsSwitch) {
  world.make("web1");
  hibernate();
  start();
  world.networks.networks.begin()->second.ports.at(0).wake = "/not/told";

  world.region->machines().wake(vm().id);
  world.turn();

  EXPECT_THAT(port().wake.string(), IsEmpty());
}

TEST_F(Hibernating, ItIsDeletedAsAnyOther) {
  const std::string id = world.make("web1").id;
  hibernate();

  world.finish(world.region->machines().remove({"g", "web1"}));

  EXPECT_FALSE(std::filesystem::exists(world.driver->folder(id)));
}

}  // namespace berth
