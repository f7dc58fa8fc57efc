#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>
#include <vector>

#include "region/region.h"

namespace berth {

struct Parts;

/// Reads the store, takes up what runs, finishes or rolls back what was under way; then keeps looking for what
/// heals. Returns what of the store could not be read.
boost::asio::awaitable<std::vector<std::string>> recover(Parts& parts, const Region::Services& host,
                                                         const RegionSettings& settings);

}  // namespace berth
