#include "hypervisor/qemu/probe_guest.h"

// The BIOS loads it to 0x7c00 and jumps there in real mode, on one processor of two. It does what hangs on
// hosts whose KVM only seems to work: halt and be woken by an interrupt, write model-specific registers, and
// change to paged long mode. Ports of QEMU's q35: 0xe9 debug console, 0x604 ACPI PM1 control.
asm(R"(
.pushsection .rodata
.globl berth_probe_guest
berth_probe_guest:
.code16
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $0x7c00, %sp
  cld

  sti                            # two ticks of the BIOS clock at 0x46c, 55 ms each
  movw 0x46c, %bx
1:
  hlt
  movw 0x46c, %ax
  subw %bx, %ax
  cmpw $2, %ax
  jb 1b
  cli

  movw $0x1000, %di              # three empty page tables at 0x1000
  xorw %ax, %ax
  movw $0x1800, %cx
  rep stosw
  movw $0x2003, 0x1000           # that map the first 2 MiB to itself
  movw $0x3003, 0x2000
  movw $0x0083, 0x3000
  movl %cr4, %eax
  orl $0x620, %eax               # PAE, and SSE's state
  movl %eax, %cr4
  movl $0x1000, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx         # EFER: long mode
  rdmsr
  orl $0x100, %eax
  wrmsr
  lgdt (descriptors_at - berth_probe_guest + 0x7c00)
  movl %cr0, %eax
  andl $0xfffffffb, %eax         # no emulated FPU
  orl $0x80000003, %eax          # paging, protection
  movl %eax, %cr0
  ljmp $8, $(long_mode - berth_probe_guest + 0x7c00)

.code64
long_mode:
  xorl %eax, %eax
  cpuid
  rdtsc
  xorps %xmm0, %xmm0
  addps %xmm0, %xmm0
  movl $(word - berth_probe_guest + 0x7c00), %esi
  movw $0xe9, %dx
2:
  lodsb
  outb %al, %dx
  cmpb $10, %al
  jne 2b
  movw $0x604, %dx               # sleep enable, type 0: S5
  movw $0x2000, %ax
  outw %ax, %dx
3:
  hlt
  jmp 3b

word:
  .ascii "berth-probe-ok\n"
.balign 8
descriptors:
  .quad 0
  .quad 0x00209a0000000000       # code, 64 bits
descriptors_at:
  .word 15
  .long descriptors - berth_probe_guest + 0x7c00
.org berth_probe_guest + 510
  .word 0xaa55
.popsection
)");

extern "C" const char berth_probe_guest[512];

namespace berth::qemu {

std::string_view probe_guest() {
  return {berth_probe_guest, 512};
}

}  // namespace berth::qemu
