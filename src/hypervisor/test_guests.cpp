#include "hypervisor/test_guests.h"

#include <stdexcept>

#include "host/files.h"
#include "host/process.h"
#include "host/temporary_folder.h"

// The BIOS loads it to 0x7c00 and jumps there in real mode. Ports of QEMU's q35: 0x3f8 serial, 0x600 ACPI
// PM1 status, 0x602 PM1 enable, 0x604 PM1 control, 0xcf9 reset.
asm(R"(
.pushsection .rodata
.globl berth_test_guest
berth_test_guest:
.code16
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $0x7c00, %sp
  cld
  movw $(message - berth_test_guest + 0x7c00), %si
  call print
  movb (guest - berth_test_guest + 0x7c00), %al
  cmpb $'o', %al
  je power_off
  cmpb $'r', %al
  je reset
  cmpb $'b', %al
  je wait_for_button
  cmpb $'m', %al
  je read_medium
idle:
  hlt
  jmp idle

reset:
  movw $0xcf9, %dx
  movb $6, %al
  outb %al, %dx
  jmp idle

wait_for_button:                 # bit 8 of PM1: the power button
  movw $0x602, %dx
  movw $0x100, %ax
  outw %ax, %dx
  movw $0x600, %dx
1:
  inw %dx, %ax
  testw $0x100, %ax
  jz 1b
power_off:                       # sleep enable, type 0: S5
  movw $0x604, %dx
  movw $0x2000, %ax
  outw %ax, %dx
  jmp idle

read_medium:                     # BIOS: extended read; 0xe0 is the first CD
  movw $(packet - berth_test_guest + 0x7c00), %si
  movb $0x42, %ah
  movb $0xe0, %dl
  int $0x13
  cli
  jc idle
  movw $0x8000, %si
  call print
  jmp idle

print:
  movw $0x3f8, %dx
2:
  lodsb
  testb %al, %al
  jz 3f
  outb %al, %dx
  jmp 2b
3:
  ret

.balign 4
packet:
  .byte 16, 0
  .word 1                        # blocks
  .word 0x8000, 0                # to
  .quad 0                        # from block
.org berth_test_guest + 439
guest:
  .byte 0
message:
.org berth_test_guest + 510
  .word 0xaa55
.code64
.popsection
)");

// Loaded to 1 MiB and entered in protected mode. Header: Multiboot specification 0.6.96, 3.1; bit 16 of the
// flags says that its addresses are given.
asm(R"(
.pushsection .rodata
.balign 4
.globl berth_test_kernel, berth_test_kernel_end
berth_test_kernel:
.code32
  .long 0x1badb002, 0x10000, -(0x1badb002 + 0x10000)
  .long 0x100000, 0x100000, 0, 0, kernel_entry - berth_test_kernel + 0x100000
kernel_entry:
  movl $(kernel_message - berth_test_kernel + 0x100000), %esi
  movw $0x3f8, %dx
  movl $6, %ecx
  cld
  rep outsb
1:
  hlt
  jmp 1b
kernel_message:
  .ascii "kernel"
berth_test_kernel_end:
.code64
.popsection
)");

extern "C" const char berth_test_guest[512];
extern "C" const char berth_test_kernel[], berth_test_kernel_end[];

namespace berth {
namespace {

constexpr std::size_t message_at = 440;
constexpr std::size_t guest_at = message_at - 1;
constexpr std::size_t disk_size = 1UL << 20;  // the BIOS boots from no less than a track

void write_disk(const std::filesystem::path& file, const std::string& bytes) {
  const TemporaryFolder scratch;
  write_file(scratch / "raw", bytes);
  const RunResult result = run({"qemu-img", "convert", "-O", "qcow2", scratch / "raw", file});
  if (result.exit_code != 0) throw std::runtime_error("qemu-img (package qemu-utils): " + result.err);
}

}  // namespace

void write_guest_disk(const std::filesystem::path& file, TestGuest guest, const std::string& message) {
  if (message.size() > 60) throw std::invalid_argument("the message does not fit: " + message);
  std::string bytes(berth_test_guest, 512);
  bytes[guest_at] = static_cast<char>(guest);
  bytes.replace(message_at, message.size(), message);
  bytes.resize(disk_size);
  write_disk(file, bytes);
}

void write_guest_kernel(const std::filesystem::path& file) {
  write_file(file, std::string(berth_test_kernel, berth_test_kernel_end));
}

void write_empty_disk(const std::filesystem::path& file) {
  write_disk(file, std::string(disk_size, '\0'));
}

}  // namespace berth
