#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace berth {

/// A request target (RFC 9112 section 3.2) taken apart.
struct Target {
  std::string path;          ///< percent-decoded, repeated slashes collapsed; "*" for OPTIONS *
  CaseInsensitiveMap query;  ///< decoded, "+" is a space; the last of repeated keys
  std::string authority;     ///< of the absolute form ("http://HOST/…"); else empty
};

/// nullopt for a target that is none: neither a path nor an absolute URL, or with control characters.
std::optional<Target> parse_target(std::string_view target);

}  // namespace berth
