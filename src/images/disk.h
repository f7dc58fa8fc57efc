#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>

namespace berth {

/// What a file that may be a disk image is, as far as we take it: qcow2, raw or a fixed VHD.
struct DiskFile {
  std::string format;              ///< "qcow2", "raw" or "vpc"
  std::uint64_t virtual_size = 0;  ///< bytes
  std::filesystem::path backing;   ///< absolute; empty: it stands alone
};

/// The largest virtual disk that is taken: what an OS disk of Azure can have.
constexpr std::uint64_t largest_disk = std::uint64_t{4095} << 30;  // bytes

/// Looks at the file itself for its format, and opens no other file that it names; then asks qemu-img about a
/// qcow2, by that format and within limits of time and memory. For files that nobody else can change: see
/// import_disk(). Throws Error: not_found, invalid (no disk image that we take, damaged, encrypted, too
/// large).
DiskFile inspect_disk(const std::filesystem::path& file);

/// Takes a file that may be anybody's: opens it once, copies it (sharing blocks where the file system can,
/// and leaving holes) to `target`, and looks at nothing but the copy. A fixed VHD leaves its footer behind
/// and is "raw" then. Throws Error, and leaves no target: as inspect_disk(); invalid also for what stands on
/// another file; unavailable without the space for it; conflict when it shrinks meanwhile, or `target` is
/// there.
DiskFile import_disk(const std::filesystem::path& file, const std::filesystem::path& target);

/// The same of a disk that berth made or has inspected before, from its own header and without a program.
/// `format`: "qcow2" or "raw". Source: QEMU's docs/interop/qcow2.txt. Throws Error: not_found, invalid.
DiskFile read_disk(const std::filesystem::path& file, const std::string& format = "qcow2");

/// Makes an overlay of `backing`, or an empty disk when that is empty. Throws Error(conflict) when `target`
/// is there.
void create_disk(const std::filesystem::path& target, std::uint64_t bytes,
                 const std::filesystem::path& backing = {}, const std::string& backing_format = {});

/// Makes a qcow2 disk larger. Throws Error: unavailable; conflict when a virtual machine has it open.
void grow_disk(const std::filesystem::path& file, std::uint64_t bytes);

/// A qcow2 file of its own with all that `file` and what it stands on hold. Throws Error: unavailable;
/// conflict when a virtual machine has it open.
void flatten_disk(const std::filesystem::path& file, const std::string& format,
                  const std::filesystem::path& target, std::stop_token stop = {});

}  // namespace berth
