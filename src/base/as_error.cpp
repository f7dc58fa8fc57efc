#include "base/as_error.h"

#include <filesystem>

namespace berth {

Error as_error(const std::exception& caught) {
  if (const auto* error = dynamic_cast<const Error*>(&caught)) return *error;
  if (const auto* file = dynamic_cast<const std::filesystem::filesystem_error*>(&caught))
    return Error(ErrorKind::unavailable, "FileUnavailable",
                 file->path1().string() + " cannot be changed: " + file->code().message() + ".",
                 "Check the free space and the permissions of its folder.");
  return Error(ErrorKind::internal, "InternalError", caught.what());
}

}  // namespace berth
