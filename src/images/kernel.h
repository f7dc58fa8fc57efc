#pragma once

#include <string>
#include <string_view>

namespace berth {

/// The ELF kernel inside a bzImage, when QEMU can start that directly (it has the PVH entry point); else the
/// bzImage itself. An emulated processor is spared the firmware, the real mode and the decompression: 1.4 s.
/// Source: Documentation/arch/x86/boot.rst (payload_offset, payload_length); xen/include/public/elfnote.h.
std::string uncompressed_kernel(std::string_view image);

}  // namespace berth
