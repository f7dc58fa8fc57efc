#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "region/guest_host.h"

namespace berth {

class PackageCache;

/// The three services by which a VM's guest agent reaches its host: wire server, host plugin and instance
/// metadata, on unix sockets of the VM's own (region/guest_sockets.h), so that a socket is an identity. On
/// the region's thread.
class GuestEndpoints {
 public:
  /// `host` outlives this object. `wanted` is told by a VM's switch that somebody wants it, while it sleeps: again and
  /// again, until it is awake.
  GuestEndpoints(boost::asio::any_io_executor executor, GuestHost& host,
                 std::function<void(const std::string& vm_id)> wanted);
  ~GuestEndpoints();

  /// Opens the services of a VM in `folder`, which is made if need be; an empty one closes them. May be
  /// called again. The signature is that of Region::Services::guest_endpoints. Throws Error(unavailable) when
  /// it cannot listen there.
  void set(const std::string& vm_id, const std::filesystem::path& folder);

 private:
  struct Machine;
  boost::asio::any_io_executor executor_;
  GuestHost& host_;
  std::function<void(const std::string&)> wanted_;
  std::shared_ptr<PackageCache> packages_;
  std::map<std::string, std::unique_ptr<Machine>> machines_;
};

}  // namespace berth
