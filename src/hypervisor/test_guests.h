#pragma once

#include <filesystem>
#include <string>

/// For the tests of this folder: guests of one boot sector, up in a quarter of a second.
namespace berth {

/// What the guest does after it has printed its message to the serial port. The value is what its boot
/// sector goes by.
enum class TestGuest : char {
  idles = 'i',         ///< and does not look at the power button
  heeds_button = 'b',  ///< waits for the power button, then powers itself off
  powers_off = 'o',    ///< at once
  resets = 'r',        ///< at once, again and again
  reads_medium = 'm',  ///< prints the first block of the CD up to the first NUL, then idles
};

/// A qcow2 disk with that guest. `message` is at most 60 bytes.
void write_guest_disk(const std::filesystem::path& file, TestGuest guest, const std::string& message);

/// A kernel for direct boot that prints "kernel" to the serial port, then idles. Multiboot, not Linux.
void write_guest_kernel(const std::filesystem::path& file);

/// An empty qcow2 disk of 1 MiB.
void write_empty_disk(const std::filesystem::path& file);

}  // namespace berth
