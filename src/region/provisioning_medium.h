#pragma once

#include <string>

#include "base/secret.h"
#include "model/resources.h"

namespace berth {

/// The ISO image that tells the guest agent who it is. `password` empty: keys only.
/// Source of the format: docs/wire/wireserver.md, provisioning medium (ovf-env.xml).
std::string provisioning_medium(const Vm& vm, const Secret& password, const std::string& custom_data);

}  // namespace berth
