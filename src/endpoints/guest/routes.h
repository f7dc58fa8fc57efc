#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

#include "endpoints/guest/token_bucket.h"
#include "http/message.h"
#include "region/guest_host.h"

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
  /// In the cost_of() its requests: an agent that starts asks some forty times in a few seconds, then twice a
  /// second at most.
  TokenBucket allowance{20, 300};
  TokenBucket::Clock::time_point (*now)() = &TokenBucket::Clock::now;
  bool is_flooding = false;  ///< was refused, and has not been served since
};

enum class GuestService { wire_server, host_plugin, metadata };

/// The answer to any request. Never throws and never answers 5xx: the agent would try again for half a
/// minute, and some of its versions end then. 429 when the guest asks for more than its allowance: the agent
/// waits then, and asks again.
Response answer_guest(Guest& guest, GuestService service, const Request& request);

}  // namespace berth
