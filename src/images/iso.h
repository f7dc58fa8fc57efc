#pragma once

#include <string>
#include <utility>
#include <vector>

namespace berth {

/// An ISO 9660 image with Rock Ridge names: file name -> bytes, all in the root. In memory only (but for the
/// bytes of files below 32 bytes, which pass through an unnamed temporary file).
std::string make_iso(const std::string& volume_label,
                     const std::vector<std::pair<std::string, std::string>>& files);

}  // namespace berth
