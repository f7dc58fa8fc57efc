#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

#include "endpoints/guest/guest_host.h"
#include "http/message.h"

namespace berth {

/// Extension packages in memory: every new VM fetches the same ones.
class PackageCache {
 public:
  /// The bytes of the zip.
  const std::string& get(const ExtensionPackage& package);

 private:
  std::map<std::string, std::string> by_hash_;
  std::size_t size_ = 0;
};

/// One VM as its services see it.
struct Guest {
  std::string vm_id;
  GuestHost& host;
  std::shared_ptr<PackageCache> packages;
};

enum class GuestService { wire_server, host_plugin, metadata };

/// The answer to any request. Never throws and never answers 5xx: the agent would try again for half a
/// minute, and some of its versions end then.
Response answer_guest(Guest& guest, GuestService service, const Request& request);

}  // namespace berth
