#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "model/resources.h"

namespace berth::arm {

class JsonText;

/// {"error":{"code","message","details","additionalInfo"}}: Resource Manager's error body. The advice stands
/// at the end of the message, since most clients show nothing else, and by itself in additionalInfo, for
/// ours.
std::string error_body(const Problem& problem);
std::string error_body(const Error& error);

/// The inner object, below `key`.
void write_error(JsonText& out, std::string_view key, const Problem& problem);
Problem problem_of(const Error& error);

/// The status that goes with an error: by its code where Azure has a special one (412, 403, 405), else by
/// kind.
int status_of(const Error& error);

/// "The Resource 'Microsoft.Compute/virtualMachines/X' under resource group 'G' was not found."
Error resource_not_found(std::string_view type, std::string_view name, std::string_view group);
/// 404 for a child whose parent does not exist.
Error parent_not_found(std::string_view type, std::string_view name, std::string_view parent);

}  // namespace berth::arm
