#pragma once

#include <string>
#include <string_view>

namespace berth {

/// The text as it may stand between two tags, or in an attribute's double quotes. What XML 1.0 cannot carry
/// becomes '?'.
std::string xml_escaped(std::string_view text);

}  // namespace berth
