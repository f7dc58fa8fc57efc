#pragma once

#include <string>
#include <vector>

#include "endpoints/classic/handlers.h"

/// A deployment is all or nothing, also when the process is killed in the midst of it.
namespace berth::classic {

/// What an order makes, and nobody had before it. Each is named here before it is made.
struct Made {
  std::vector<Ref> vms, interfaces, disks;
};

/// Writes down under `key` what take_back() would have to remove; again under the same key, as it becomes more.
void keep_pending(Region& region, const std::string& key, const Made& made);

/// Removes what is there of it, then forgets that it was under way. False: this host cannot now (its disk is full).
/// Failures are logged: whoever asks for this has an error of his own to tell.
asio::awaitable<bool> take_back_now(Classic& classic, Made made, std::string key);

/// The same, tried again until it is done.
asio::awaitable<void> take_back(Classic& classic, Made made, std::string key);

/// It is made: forgets that it was under way; tried again until the store takes that.
asio::awaitable<void> keep_made(Classic& classic, std::string key);

/// Begins to take back what an earlier process had under way. Call once, before serving.
void roll_back_pending(Classic& classic);

}  // namespace berth::classic
