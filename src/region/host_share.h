#pragma once

#include <string>

#include "model/catalog.h"

namespace berth {

/// What a host gives of a VM's size: all, unless it has less.
struct HostShare {
  unsigned cpus = 1;
  unsigned memory_mib = 1024;
  std::string less;  ///< what of the size it does not give, in a sentence; "" when it gives all
};

/// Of a host with that many processors and that much memory.
HostShare host_share(const VmSize& size, unsigned host_cpus, unsigned host_memory_mib);
/// Of this one.
HostShare host_share(const VmSize& size);

}  // namespace berth
