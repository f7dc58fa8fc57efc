#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

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
  /// What clients call us ("https://127.0.0.1:8443"): a token that is meant for one of them is taken.
  void serve_at(std::vector<std::string> origins);
  /// The answer when no route matches: Resource Manager's 404 or 405.
  static Response no_route(const Request& request, bool method_mismatch);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
