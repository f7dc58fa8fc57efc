#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "http/router.h"
#include "region/access.h"

namespace berth {

class Region;

/// The classic Service Management API over a region: XML, clients known by their management certificate. Its
/// paths begin with the subscription's id. All of it belongs to the region's thread.
class ClassicEndpoints {
 public:
  /// Both outlive it. `home`: the region's.
  ClassicEndpoints(Region& region, const RegionAccess& access, std::filesystem::path home);
  ~ClassicEndpoints();

  /// Rolls back what was half made when the process before ended. Once, after Region::recover().
  void recover();

  void add_to(Router& router);
  /// True for a path of this dialect: it begins with a UUID.
  static bool speaks(const Request& request);
  /// The answer when no route matches: the dialect's 404 or 405.
  static Response no_route(const Request& request, bool method_mismatch);

  /// Writes the publish-settings file of this region, in its home and with mode 0600, for `url`
  /// ("https://127.0.0.1:8443/"), and returns its path. The certificate in it is made and registered when
  /// there is none yet.
  std::filesystem::path write_publish_settings(const std::string& url);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth
