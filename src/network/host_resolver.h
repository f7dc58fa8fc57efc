#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "network/addresses.h"
#include "network/poll_set.h"

namespace berth::network {

/// Finds out what names lead to, at once and then every minute, on a thread of its own: a name server that
/// does not answer must not hold up frames.
class HostResolver {
 public:
  struct Found {
    std::string name;
    std::vector<Ipv4> addresses;
  };

  HostResolver();
  HostResolver(const HostResolver&) = delete;
  HostResolver& operator=(const HostResolver&) = delete;
  ~HostResolver();

  void set_names(const std::set<std::string, std::less<>>& names);
  void fill(PollSet& set);
  std::vector<Found> take();  ///< what was found since the last time

 private:
  struct Shared;
  static void work(const std::shared_ptr<Shared>& shared);

  std::shared_ptr<Shared> shared_;  ///< outlives this object while a name server keeps the thread waiting
  bool started_ = false;
};

}  // namespace berth::network
