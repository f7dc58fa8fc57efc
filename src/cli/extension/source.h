#pragma once

#include <filesystem>
#include <string>

#include "api/wire/handler_package.h"

namespace berth {

/// An extension handler on its way into the region: a zip, or a folder that becomes one.
struct ExtensionSource {
  std::string zip;         ///< the bytes
  wire::PackageName name;  ///< what is known of it: `given`, its manifests, the name of the file or folder
  wire::HandlerPackage contents;
};

/// Reads a zip, or packs a folder (what begins with a dot stays out; links become what they lead to). Throws
/// Error: not_found; invalid when it is too large or when its name is not known in full, saying how to give
/// it. Faults inside the package are in `contents`.
ExtensionSource load_extension(const std::filesystem::path& path, const wire::PackageName& given);

}  // namespace berth
