#pragma once

#include <string>
#include <string_view>

namespace berth::wire {

/// Why the directory at the end of a zip is not the whole truth about it, as a clause ("it has no directory
/// at its end"); "" when it is. Some readers believe the directory and others the headers before the files:
/// a zip is one and the same package for all of them only when both say the same names, sizes and checksums,
/// every name once, and there is nothing between the files. Zip64 is not taken, for no package is so large.
/// Source: APPNOTE.TXT 6.3.10, sections 4.3 to 4.5.
std::string zip_directory_fault(std::string_view zip);

}  // namespace berth::wire
