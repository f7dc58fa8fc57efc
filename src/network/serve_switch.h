#pragma once

#include <filesystem>
#include <functional>

#include "host/fd.h"

namespace berth::network {

/// Serves the virtual network of an absolute `folder` until `signals`, a signalfd, is readable or the folder
/// is gone: in a sandbox, since it reads what guests send. Calls `on_serving` once, when all is open. Throws
/// Error when it cannot. This process is changed for ever, its working directory included: have a child do
/// it.
void serve_switch(const std::filesystem::path& folder, const Fd& signals,
                  const std::function<void()>& on_serving);

}  // namespace berth::network
