#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "model/resources.h"

namespace berth::arm {

class JsonText;

inline constexpr std::string_view extension_type = "Microsoft.Compute/virtualMachines/extensions";

/// What a PUT of a VM extension asks for.
struct ExtensionRequest {
  std::string publisher, type, version;
  bool auto_upgrade = true;
  std::string settings;       ///< JSON text; "" for none
  Secret protected_settings;  ///< JSON text
  bool has_protected_settings = false;
  std::string force_update_tag;
  std::vector<std::string> after;  ///< provisionAfterExtensions
  bool suppress_failures = false;
  Tags tags;
  std::string kept;  ///< as Extension::kept
};

/// `before`: the extension that stands there, or nullptr: a PATCH-like body takes publisher and type from it.
ExtensionRequest parse_extension(const nlohmann::json& body, const Extension* before);

/// Never with protected settings. With `instance_view`, what its handler in the guest reported.
void write_extension(JsonText& out, const Vm& vm, const Extension& extension, std::string_view subscription,
                     bool instance_view);
/// The same as it stands in a VM's instance view.
void write_extension_view(JsonText& out, std::string_view key, const Vm& vm, const Extension& extension);

}  // namespace berth::arm
