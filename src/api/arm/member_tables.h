#pragma once

#include <span>

#include "api/arm/members.h"

namespace berth::arm {

/// The lines themselves, for members.cpp.
std::span<const Document> member_tables();
std::span<const Member> members_of_every_resource();

}  // namespace berth::arm
