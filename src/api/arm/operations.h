#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/resources.h"

namespace berth::arm {

/// What is polled at Azure-AsyncOperation: id, name, status, times, error; and ours, properties.phases.
/// `details`: more about the problem than the operation itself keeps (a deployment's). `phases`: of the
/// operation and of those under it, in the order they began.
std::string operation_body(const Operation& operation, std::string_view id, const std::vector<Phase>& phases,
                           const std::vector<Problem>& details = {});

}  // namespace berth::arm
