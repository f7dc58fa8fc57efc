#include "hypervisor/qemu/arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace berth::qemu {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;
using testing::StartsWith;

MachineSpec small_machine() {
  return {.id = "0123456789ab",
          .name = "web1",
          .uuid = "d0df4c54-4ecb-4a4b-8899-aabbccddeeff",
          .cpus = 2,
          .memory_mib = 2048,
          .os_disk = "/vm/os.qcow2",
          .direct_boot = {},
          .data_disks = {},
          .nics = {}};
}

const HostSide tcg{
    .program = "/usr/bin/qemu-system-x86_64", .accelerator = Accelerator::tcg, .medium = false};

/// The argument after `option` whose value holds `part`.
testing::Matcher<std::vector<std::string>> has(const std::string& option, const std::string& part) {
  return testing::Truly([=](const std::vector<std::string>& argv) {
    for (std::size_t i = 0; i + 1 < argv.size(); ++i)
      if (argv[i] == option && argv[i + 1].find(part) != std::string::npos) return true;
    return false;
  });
}

}  // namespace

TEST(QemuArguments, GiveMemoryInMebibytesWithItsUnit) {
  EXPECT_THAT(arguments(small_machine(), tcg), AllOf(has("-m", "2048M"), has("-smp", "2")));
}

TEST(QemuArguments, GiveTheGuestItsUuid) {
  EXPECT_THAT(arguments(small_machine(), tcg), has("-uuid", "d0df4c54-4ecb-4a4b-8899-aabbccddeeff"));
}

TEST(QemuArguments, NameTheProcessorOfTheAccelerator) {
  const HostSide kvm{.program = "qemu", .accelerator = Accelerator::kvm, .medium = false};

  EXPECT_THAT(arguments(small_machine(), tcg),
              AllOf(has("-accel", "tcg,thread=multi,tb-size=128"), has("-cpu", "max")));
  EXPECT_THAT(arguments(small_machine(), kvm), AllOf(has("-accel", "kvm"), has("-cpu", "host")));
}

TEST(QemuArguments, PutTheOsDiskBeforeAllOtherDisks) {
  MachineSpec spec = small_machine();
  spec.data_disks = {{0, "/vm/data.qcow2"}};

  const auto argv = arguments(spec, {.program = "qemu", .accelerator = Accelerator::tcg, .medium = true});

  EXPECT_THAT(argv, has("-device", "virtio-blk-pci,id=os,drive=os,addr=0x3,bootindex=1"));
  EXPECT_THAT(argv, has("-device", "virtio-scsi-pci,id=scsi0,addr=0x4"));
  EXPECT_THAT(argv, has("-device", "scsi-cd,id=cd0,bus=scsi0.0,scsi-id=0,lun=0,drive=medium"));
  EXPECT_THAT(argv, has("-device", R"("bus":"scsi0.0","scsi-id":1,"lun":0,"drive":"lun0")"));
}

TEST(QemuArguments, PutTheDisksOfAnAzureMachineOnScsiBusesInAzuresOrder) {
  MachineSpec spec = small_machine();
  spec.azure_disks = true;
  spec.temporary_disk = "/vm/temporary.qcow2";

  const auto argv = arguments(spec, tcg);

  EXPECT_THAT(argv, has("-device", "virtio-scsi-pci,id=system,addr=0x3"));
  EXPECT_THAT(argv,
              has("-device", "scsi-hd,id=os,bus=system.0,scsi-id=0,lun=0,drive=os,serial=root,bootindex=1"));
  EXPECT_THAT(argv, has("-device",
                        "scsi-hd,id=temporary,bus=system.0,scsi-id=0,lun=1,drive=temporary,serial=resource"));
  EXPECT_THAT(argv, has("-blockdev", R"("filename":"/vm/temporary.qcow2")"));
  EXPECT_THAT(argv, has("-device", "virtio-scsi-pci,id=scsi0,addr=0x4"));
  EXPECT_THAT(argv, Not(has("-device", "virtio-blk")));
}

TEST(QemuArguments, ReadTheMediumFromAnInheritedDescriptor) {
  const auto with = arguments(small_machine(), {.program = "qemu", .accelerator = {}, .medium = true});
  const auto without = arguments(small_machine(), tcg);

  EXPECT_THAT(with, AllOf(has("-add-fd", "fd=4,set=1"), has("-blockdev", R"("filename":"/dev/fdset/1")")));
  EXPECT_THAT(with, has("-device", "scsi-cd,id=cd0,bus=scsi0.0,scsi-id=0,lun=0,drive=medium"));
  EXPECT_THAT(without, AllOf(has("-device", "scsi-cd,id=cd0"), Not(has("-device", "drive=medium"))));
}

TEST(QemuArguments, ListenOnTheSocketOfEachInterface) {
  MachineSpec spec = small_machine();
  spec.nics = {{"00:0d:3a:00:00:01", "/net/a.sock"}, {"00:0d:3a:00:00:02", "/net/b,c.sock"}};

  const auto argv = arguments(spec, tcg);

  EXPECT_THAT(argv, has("-netdev", "stream,id=n0,server=on,addr.type=unix,addr.path=/net/a.sock"));
  EXPECT_THAT(argv, has("-netdev", "id=n1,server=on,addr.type=unix,addr.path=/net/b,,c.sock"));
  EXPECT_THAT(argv, has("-device", "virtio-net-pci,netdev=n0,mac=00:0d:3a:00:00:01,addr=0x10"));
  EXPECT_THAT(argv, has("-device", "virtio-net-pci,netdev=n1,mac=00:0d:3a:00:00:02,addr=0x11"));
}

TEST(QemuArguments, KeepCommasAndQuotesInFileNames) {
  MachineSpec spec = small_machine();
  spec.os_disk = R"(/a,b "c"/os.qcow2)";

  EXPECT_THAT(arguments(spec, tcg), has("-blockdev", R"("filename":"/a,b \"c\"/os.qcow2")"));
}

TEST(QemuArguments, BootAKernelDirectlyWhenThereIsOne) {
  MachineSpec spec = small_machine();
  spec.direct_boot = {"/image/vmlinuz", "/image/initrd", "root=/dev/vda1 console=ttyS0"};

  EXPECT_THAT(arguments(spec, tcg), AllOf(has("-kernel", "/image/vmlinuz"), has("-initrd", "/image/initrd"),
                                          has("-append", "root=/dev/vda1 console=ttyS0")));
}

TEST(QemuArguments, DenyQemuWhatItNeedsNot) {
  EXPECT_THAT(arguments(small_machine(), tcg), has("-sandbox", "spawn=deny"));
}

TEST(QemuArguments, AreTheSameForTheSameSpecification) {
  EXPECT_EQ(arguments(small_machine(), tcg), arguments(small_machine(), tcg));
}

TEST(QemuArguments, RefuseMoreInterfacesThanThereAreSlots) {
  MachineSpec spec = small_machine();
  spec.nics.resize(15);

  EXPECT_THROW(arguments(spec, tcg), Error);
}

TEST(QemuArguments, GiveEveryMachineAPortForItsIdentityAndANewGeneration) {
  EXPECT_THAT(
      arguments(small_machine(), tcg),
      AllOf(has("-device", "vmgenid,guid=auto"), has("-device", "name=identity"), has("-chardev", "fd=5")));
}

TEST(QemuArguments, ShareTheMemoryWithTheFileOfAMachineThatIsToBeFrozen) {
  MachineSpec spec = small_machine();
  spec.memory_file = "/templates/a,b/memory";

  EXPECT_THAT(arguments(spec, tcg),
              AllOf(has("-object", "size=2048M,mem-path=/templates/a,,b/memory,share=on"),
                    has("-machine", "memory-backend=memory"), has("-device", "scsi-cd,id=cd0"),
                    Not(Contains("-incoming"))));
}

TEST(QemuArguments, KeepWhatARestoredMachineWritesToItsMemoryFromTheFile) {
  HostSide host = tcg;
  host.goes_on = true;
  host.frozen_memory = "/templates/memory";

  EXPECT_THAT(arguments(small_machine(), host),
              AllOf(has("-object", "mem-path=/templates/memory,share=off"), has("-device", "scsi-cd,id=cd0"),
                    has("-incoming", "defer")));
}

TEST(QemuArguments, NameTheMemoryAlikeWhereverItIs) {
  HostSide host = tcg;
  host.goes_on = true;

  EXPECT_THAT(arguments(small_machine(), host),
              AllOf(has("-object", "memory-backend-ram,id=memory,size=2048M"),
                    has("-machine", "memory-backend=memory"), has("-incoming", "defer")));
}

TEST(QemuArguments, OfALayoutNameNothingThatIsOneMachinesOwn) {
  MachineSpec spec = small_machine();
  spec.nics = {{"00:0d:3a:12:34:56", "/net/port"}};
  spec.direct_boot = MachineSpec::DirectBoot{"/image/kernel", "/image/initrd", "quiet"};

  for (const std::string& word : layout(spec, tcg))
    for (const char* own : {"web1", "d0df4c54", "/vm/os.qcow2", "12:34:56", "/net/port", "/image", "quiet"})
      EXPECT_THAT(word, Not(HasSubstr(own)));
}

}  // namespace berth::qemu
