#include "region/host_share.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <thread>

namespace berth {
namespace {

unsigned memory_of_host_mib() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page <= 0) return 4096;
  return static_cast<unsigned>(static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page) >> 20);
}

}  // namespace

HostShare host_share(const VmSize& size, unsigned host_cpus, unsigned host_memory_mib) {
  // The host itself, and what else it runs, need a quarter of its memory.
  const unsigned most = std::max(host_memory_mib / 4 * 3, 512u);
  HostShare share{.cpus = std::min(size.cpus, std::max(host_cpus, 1u)),
                  .memory_mib = std::min(size.memory_mib, most),
                  .less = {}};
  if (share.cpus < size.cpus || share.memory_mib < size.memory_mib)
    share.less =
        fmt::format("The size {} has {} processors and {} MiB of memory; this host gives {} and {} MiB.",
                    size.name, size.cpus, size.memory_mib, share.cpus, share.memory_mib);
  return share;
}

HostShare host_share(const VmSize& size) {
  static const unsigned cpus = std::max(1u, std::thread::hardware_concurrency());
  static const unsigned memory = memory_of_host_mib();
  return host_share(size, cpus, memory);
}

}  // namespace berth
