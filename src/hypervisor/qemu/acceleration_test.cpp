#include "hypervisor/qemu/acceleration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"
#include "hypervisor/test_loop.h"

namespace berth::qemu {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

/// A host whose QEMU is a shell script and whose /dev/kvm is a plain file.
class AccelerationTest : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("BERTH_ACCELERATOR");
    write_file(settings.device, "");
    qemu_does("echo berth-probe-ok");
  }
  void TearDown() override { ::unsetenv("BERTH_ACCELERATOR"); }

  void qemu_does(const std::string& commands) {
    write_file(settings.program, "#!/bin/sh\necho run >>" + runs.string() + "\n" + commands + "\n", 0700);
  }
  std::size_t times_run() { return read_file_if_there(runs).value_or("").size() / 4; }
  Acceleration find() { return loop.run(find_acceleration(settings)); }

  TestLoop loop;
  TemporaryFolder folder;
  std::filesystem::path runs = folder / "runs";
  AccelerationSettings settings{.program = folder / "qemu",
                                .memory = folder / "accelerator.json",
                                .device = folder / "kvm",
                                .limit = 30s};
};

}  // namespace

TEST_F(AccelerationTest, IsKvmWhenTheGuestEndedProperly) {
  EXPECT_EQ(find().accelerator, Accelerator::kvm);
}

TEST_F(AccelerationTest, IsTcgWhenQemuDies) {
  qemu_does("echo 'failed to set MSR 0x10a to 0x69' >&2; echo 'Assertion failed' >&2; kill -ABRT $$");

  const Acceleration found = find();

  EXPECT_EQ(found.accelerator, Accelerator::tcg);
  EXPECT_THAT(found.reason, HasSubstr("failed to set MSR 0x10a to 0x69"));
}

TEST_F(AccelerationTest, IsTcgWhenTheGuestHangs) {
  settings.limit = 300ms;
  qemu_does("echo $$ >" + (folder / "pid").string() + "; exec sleep 1000");

  const Acceleration found = find();

  EXPECT_EQ(found.accelerator, Accelerator::tcg);
  EXPECT_THAT(found.reason, HasSubstr("did not end within 0.3 s"));
  const int pid = std::stoi(read_file(folder / "pid"));
  EXPECT_TRUE(loop.until([&] { return ::kill(pid, 0) != 0; })) << "it is still there";
}

TEST_F(AccelerationTest, IsTcgWhenTheGuestSpeaksButDoesNotEnd) {
  settings.limit = 300ms;
  qemu_does("echo berth-probe-ok; exec sleep 1000");

  EXPECT_EQ(find().accelerator, Accelerator::tcg);
}

TEST_F(AccelerationTest, IsTcgWhenTheGuestEndsWithoutTheWord) {
  qemu_does("exit 0");

  EXPECT_THAT(find().reason, HasSubstr("ended without a word"));
}

TEST_F(AccelerationTest, IsTcgWithoutAProbeWhenTheDeviceIsMissing) {
  std::filesystem::remove(settings.device);

  const Acceleration found = find();

  EXPECT_EQ(found.accelerator, Accelerator::tcg);
  EXPECT_THAT(found.reason, AllOf(HasSubstr(settings.device.string()), HasSubstr("does not exist")));
  EXPECT_EQ(times_run(), 0u);
}

TEST_F(AccelerationTest, IsAskedOncePerBoot) {
  find();

  EXPECT_EQ(find().accelerator, Accelerator::kvm);

  EXPECT_EQ(times_run(), 1u);
}

TEST_F(AccelerationTest, IsAskedAgainAfterAnotherBootOrUpdate) {
  qemu_does("exit 1");
  EXPECT_EQ(find().accelerator, Accelerator::tcg);

  qemu_does("echo berth-probe-ok");
  EXPECT_EQ(find().accelerator, Accelerator::kvm);

  std::string memory = read_file(settings.memory);
  memory.replace(memory.find("\"boot\": \"") + 9, 4, "gone");
  write_file(settings.memory, memory);
  find();

  EXPECT_EQ(times_run(), 3u);
}

TEST_F(AccelerationTest, IsAskedAgainWhenItsMemoryIsBroken) {
  for (const char* memory : {"", "{", "[]", R"({"circumstances": {}, "kvm": 1})"}) {
    write_file(settings.memory, memory);
    EXPECT_EQ(find().accelerator, Accelerator::kvm) << memory;
  }
  EXPECT_EQ(times_run(), 4u);
}

TEST_F(AccelerationTest, IsWhatTheUserSays) {
  ::setenv("BERTH_ACCELERATOR", "tcg", 1);
  EXPECT_EQ(find().accelerator, Accelerator::tcg);
  ::setenv("BERTH_ACCELERATOR", "kvm", 1);
  EXPECT_EQ(find().accelerator, Accelerator::kvm);
  EXPECT_EQ(times_run(), 0u);

  ::setenv("BERTH_ACCELERATOR", "warp", 1);
  EXPECT_EQ(loop.error_of([&] { find(); }).kind, ErrorKind::invalid);
}

TEST_F(AccelerationTest, TheTestGuestRunsWell) {
  const auto qemu = find_program("qemu-system-x86_64");
  ASSERT_TRUE(qemu) << "install the package qemu-system-x86";

  EXPECT_EQ(loop.run(probe(*qemu, Accelerator::tcg, 60s)), std::nullopt);
}

}  // namespace berth::qemu
