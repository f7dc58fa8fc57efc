#pragma once

#include <span>
#include <string_view>

#include "base/error.h"

/// Resource types that Azure has and the region has not: one wording for all of them, wherever they are asked for.
namespace berth::arm {

struct AbsentType {
  std::string_view type;     ///< with those below it; "Microsoft.KeyVault/" for all of a provider
  std::string_view why;      ///< "it has no scale sets"
  std::string_view instead;  ///< what to do
};
/// Those that have a line of their own; of all others not_supported() speaks in general.
std::span<const AbsentType> absent_types();

/// Error(not_found, "InvalidResourceType"): why the region has no such type, and what to do instead.
Error not_supported(std::string_view type);

}  // namespace berth::arm
