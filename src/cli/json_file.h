#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>

namespace berth {

/// The object in a file of the user's settings; an empty one when it is not there. Throws Error(invalid) naming the file when it holds
/// anything else.
nlohmann::json read_json_file(const std::filesystem::path& file);

/// Changes it, one writer at a time, so that nothing is lost when two commands do it at once. Mode 0600. Throws as above, and
/// Error(unavailable) when it cannot be written.
void change_json_file(const std::filesystem::path& file, const std::function<void(nlohmann::json&)>& change);

}  // namespace berth
