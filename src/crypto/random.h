#pragma once

#include <cstddef>
#include <string>

#include "base/secret.h"

namespace berth {

/// Bytes of the operating system's generator. Throws Error(unavailable) when it has none.
std::string random_bytes(std::size_t count);
std::string random_hex(std::size_t digits);  ///< lower case
std::string new_uuid();                      ///< version 4, lower case, with dashes
Secret random_secret(
    std::size_t bytes);  ///< base64url; begins with a letter: no program takes it for an option

}  // namespace berth
