#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "hypervisor/driver.h"

/// docs/decisions/0004-acceleration-is-probed.md
namespace berth::qemu {

struct Acceleration {
  Accelerator accelerator = Accelerator::tcg;
  std::string reason;  ///< a clause for people: "/dev/kvm does not exist on this host"
};

struct AccelerationSettings {
  std::filesystem::path program;  ///< qemu-system-x86_64
  std::filesystem::path memory;   ///< file of the answer; empty: not remembered
  std::filesystem::path device = "/dev/kvm";
  std::chrono::milliseconds limit{10'000};  ///< of the probe; a guest that runs needs less than one
};

/// KVM only if a small guest has ended properly under it on this boot of the host. BERTH_ACCELERATOR=kvm or
/// tcg decides without asking; any other value throws Error(invalid).
boost::asio::awaitable<Acceleration> find_acceleration(AccelerationSettings settings);

/// Tells one QEMU from another by its file: asking for its version costs a process.
std::string program_print(const std::filesystem::path& program);

/// Boots a guest of one sector: it halts through timer interrupts in real mode, goes on to paged long mode,
/// says a word and powers itself off. nullopt when it did, else what happened instead.
boost::asio::awaitable<std::optional<std::string>> probe(std::filesystem::path program,
                                                         Accelerator accelerator,
                                                         std::chrono::milliseconds limit);

}  // namespace berth::qemu
