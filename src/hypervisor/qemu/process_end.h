#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>

#include "host/process.h"

namespace berth::qemu {

/// True as soon as that process has ended, false when it still runs after `limit`.
boost::asio::awaitable<bool> has_ended(ProcessId process, std::chrono::milliseconds limit);

}  // namespace berth::qemu
