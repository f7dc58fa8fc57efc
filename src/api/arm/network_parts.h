#pragma once

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "api/arm/network.h"

/// What the documents of Microsoft.Network have in common. For network.cpp and security_rules.cpp.
namespace berth::arm {

std::string weak_etag(const Resource& resource);
/// Name, place, location and tags.
void take_common(Resource& resource, const nlohmann::json& body, const Place& place, std::string_view type);
/// One of `allowed`, in its canonical spelling.
std::string choice(const Field& field, std::initializer_list<std::string_view> allowed,
                   std::string_view otherwise);

}  // namespace berth::arm
