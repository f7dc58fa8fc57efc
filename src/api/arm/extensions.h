#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "model/orders.h"

namespace berth::arm {

class JsonText;

inline constexpr std::string_view extension_type = "Microsoft.Compute/virtualMachines/extensions";

/// What a PUT of a VM extension asks for, but for its name, which is not in the body.
/// `before`: the extension that stands there, or nullptr: a PATCH-like body takes publisher and type from it.
ExtensionOrder parse_extension(const nlohmann::json& body, const Extension* before);

/// Never with protected settings. With `instance_view`, what its handler in the guest reported.
void write_extension(JsonText& out, const Vm& vm, const Extension& extension, std::string_view subscription,
                     bool instance_view);
/// The same as it stands in a VM's instance view.
void write_extension_view(JsonText& out, std::string_view key, const Vm& vm, const Extension& extension);

}  // namespace berth::arm
