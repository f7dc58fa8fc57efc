#pragma once

#include <filesystem>
#include <string>

#include "endpoints/classic/handlers.h"

namespace berth::classic {

/// Writes the file by which classic clients sign in to this region, readable by its owner alone; its
/// certificate stays the same as long as it counts. `url`: where clients reach the region, with a slash at
/// its end.
std::filesystem::path write_publish_settings(Classic& classic, const std::string& url);

}  // namespace berth::classic
