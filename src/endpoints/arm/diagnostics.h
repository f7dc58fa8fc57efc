#pragma once

#include <string>

#include "endpoints/arm/service.h"

namespace berth::arm {

/// Where the boot diagnostics of a VM are for one hour, up to the file's name; the address itself is the key.
std::string diagnostics_url(const Arm& arm, const Ref& vm, const std::string& origin);

}  // namespace berth::arm
