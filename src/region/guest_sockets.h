#pragma once

#include <filesystem>
#include <string>

namespace berth {

/// The unix sockets by which one VM reaches its host: endpoints/guest listens there, the switch connects.
struct GuestSockets {
  std::filesystem::path wire;      ///< 168.63.129.16:80
  std::filesystem::path plugin;    ///< 168.63.129.16:32526
  std::filesystem::path metadata;  ///< 169.254.169.254:80
  std::filesystem::path
      wake;  ///< not the VM's: its switch says there that somebody wants it, while it sleeps
};

/// Short names: the path of a unix socket has at most 107 bytes.
inline GuestSockets guest_sockets(const std::filesystem::path& folder, const std::string& vm_id) {
  return {folder / (vm_id + ".wire"), folder / (vm_id + ".plug"), folder / (vm_id + ".meta"),
          folder / (vm_id + ".wake")};
}

}  // namespace berth
