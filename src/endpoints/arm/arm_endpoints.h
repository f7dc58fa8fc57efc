#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "http/router.h"
#include "region/access.h"

namespace berth {

class Region;

/// Resource Manager over a region: sign-in, documents, deployments. All of it belongs to the region's thread.
class ArmEndpoints {
 public:
  /// Both outlive it. `clock`: seconds since 1970, for tests; empty: the system's.
  ArmEndpoints(Region& region, const RegionAccess& access, std::function<std::int64_t()> clock = {});
  ~ArmEndpoints();

  /// Removes what an earlier process had not finished. Call once, after Region::recover().
  void recover();
  void add_to(Router& router);
  /// The answer when no route matches: Resource Manager's 404 or 405.
  static Response no_route(const Request& request, bool method_mismatch);
  /// True for the requests whose body is a file (an extension's zip), of up to `largest_file` bytes.
  static bool takes_file(std::string_view method, std::string_view path);
  static constexpr std::size_t largest_file = std::size_t{64} * 1024 * 1024;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
